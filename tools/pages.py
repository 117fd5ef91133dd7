"""The parts of our pages that are made from the code: `make pages` writes them, a test says which are out of date.

A part stands in its page between two comments:

    <!-- made by `make pages`: NAME -->
    <!-- end of NAME -->
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path

from gochatsecure.settings import Settings, default_of, flag_of
from tools.audit import ceiling, held, surface
from tools.controls import Control, boundaries, controls

ROOT = Path(__file__).parent.parent


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


def flags() -> str:
    rows = []
    for item in fields(Settings):
        if item.name != "limits":
            value = item.metadata["value"]
            choices = ": " + ", ".join(f"`{choice}`" for choice in value) if isinstance(value, tuple) else ""
            shown = default_of(item)
            rows.append((f"`-{flag_of(item.name)}`", f"`{shown}`", item.metadata["help"] + choices))
    return table(("flag", "default", "meaning"), rows)


def controls_by_boundary() -> str:
    parts = []
    for key, boundary in boundaries().items():
        rows = [_row(control) for control in controls().values() if control.boundary == key]
        head = ("id", "against", "requirement", "where", "source", "held by")
        parts.append(f"### {boundary[0].upper()}{boundary[1:]}\n\n{table(head, rows)}")
    return "\n".join(parts)


def _row(control: Control) -> Sequence[str]:
    where = "; ".join(f"`{symbol}`" for symbol in control.code)
    return control.id, control.threat, control.requirement, where, "; ".join(control.sources), held(control)


def surface_by_module() -> str:
    counts = surface()
    rows = [(f"`{symbol}`", str(count)) for symbol, count in counts.items()]
    total = f"**{sum(counts.values())}** of {ceiling('surface')} allowed"
    return table(("reached before a sign-in", "lines of code"), [*rows, ("all of it", total)])


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "flags": ("README.md", flags),
    "controls": ("docs/security.md", controls_by_boundary),
    "surface": ("docs/security.md", surface_by_module),
}
"""By name: the page that the part stands in, and what makes it."""


def filled(page: str, name: str, part: str) -> str:
    """The page with this part in it. Raises ValueError where the page has no place for it."""
    begin, end = f"<!-- made by `make pages`: {name} -->\n", f"<!-- end of {name} -->"
    place = re.compile(f"({re.escape(begin)}).*?({re.escape(end)})", re.DOTALL)
    if len(place.findall(page)) != 1:
        raise ValueError(f"no place, or several, for {name}")
    return place.sub(lambda found: f"{found[1]}\n{part}\n{found[2]}", page)


def stale() -> dict[Path, str]:
    """The pages that are out of date, as they should be."""
    pages: dict[Path, str] = {}
    for name, (place, make) in PARTS.items():
        path = ROOT / place
        pages[path] = filled(pages.get(path) or path.read_text("utf-8"), name, make())
    return {path: page for path, page in pages.items() if path.read_text("utf-8") != page}


def main() -> int:
    for path, page in stale().items():
        path.write_text(page, "utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
