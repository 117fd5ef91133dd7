"""The tables of docs/security.md, from the list of controls and from the code."""

from __future__ import annotations

from collections.abc import Sequence

from .audit import ceiling, held, surface, surface_by_module
from .controls import Control, boundaries, controls
from .reference import table


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


def reached_by_strangers() -> str:
    rows = [(f"`{module}`", str(count), str(whole)) for module, (count, whole) in surface_by_module().items()]
    total = f"**{sum(surface().values())}**, {ceiling('surface')} allowed"
    return table(("reached before a sign-in", "lines of code", "of the module's"), [*rows, ("all of it", total, "")])
