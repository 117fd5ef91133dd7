"""The parts of our pages that are made from the code: `make pages` writes them, a test says which are out of date.

A part stands in its page between two comments:

    <!-- made by `make pages`: NAME -->
    <!-- end of NAME -->
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from bench import report
from gochatsecure.live.metrics import PROCESS, SERVER
from gochatsecure.settings import Settings, default_of, flag_of

from . import descriptions, reference, review
from .reference import table

ROOT = Path(__file__).parent.parent


def flags() -> str:
    rows = []
    for item in fields(Settings):
        if item.name != "limits":
            value = item.metadata["value"]
            choices = ": " + ", ".join(f"`{choice}`" for choice in value) if isinstance(value, tuple) else ""
            shown = default_of(item)
            rows.append((f"`-{flag_of(item.name)}`", f"`{shown}`", item.metadata["help"] + choices))
    return table(("flag", "default", "meaning"), rows)


def numbers() -> str:
    rows = []
    for prefix, family in (("gochatsecure_", SERVER), ("process_", PROCESS)):
        for row in family:
            name = f"`{prefix}{row.name}`" if not row.label else f"`{prefix}{row.name}` by `{row.label}`"
            rows.append((name, row.kind, row.help))
    return table(("name", "", "meaning"), rows)


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "flags": ("README.md", flags),
    "http-requests": ("docs/protocol.md", reference.http_requests),
    "http-errors": ("docs/protocol.md", reference.http_errors),
    "typed": ("docs/protocol.md", reference.typed),
    "requests": ("docs/protocol.md", reference.requests),
    "kinds": ("docs/protocol.md", reference.kinds),
    "events": ("docs/protocol.md", reference.events),
    "fields": ("docs/protocol.md", reference.fields),
    "limits": ("docs/protocol.md", reference.limits),
    "errors": ("docs/protocol.md", reference.errors),
    "close-codes": ("docs/protocol.md", reference.close_codes),
    "metrics": ("docs/metrics.md", numbers),
    "controls": ("docs/security.md", review.controls_by_boundary),
    "surface": ("docs/security.md", review.reached_by_strangers),
    **report.PARTS,
}
"""By name: the page that the part stands in, and what makes it."""

FILES: dict[str, Callable[[], str]] = {
    "docs/protocol/schemas.json": descriptions.schemas,
    "docs/protocol/asyncapi.json": descriptions.asyncapi,
    "docs/protocol/openapi.json": descriptions.openapi,
}
"""Files that are made whole."""


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
    pages |= {ROOT / place: make() for place, make in FILES.items()}
    pages |= {ROOT / "docs" / name: plot for name, plot in report.plots().items()}
    return {path: page for path, page in pages.items() if not path.exists() or path.read_text("utf-8") != page}


def main() -> int:
    for path, page in stale().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(page, "utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
