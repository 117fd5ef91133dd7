"""JSON (RFC 8259) that all readers read alike: each name of an object is there once (RFC 7493 2.3), no NaN. Pure."""

from __future__ import annotations

import json
from typing import Any


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name is there twice")
    return fields


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant).decode
"""What a text says. Raises ValueError, RecursionError. A bound method: every JSON message is read by it."""
