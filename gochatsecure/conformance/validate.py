"""Whether a value is what a JSON Schema says: as much of draft 2020-12 as our own schemas use. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
    "null": lambda value: value is None,
}
KNOWN = frozenset(
    [
        "$ref",
        "anyOf",
        "oneOf",
        "type",
        "const",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "description",
    ]
)
"""The keywords that are understood here; a test holds that our schemas use no other."""


def faults(value: Any, schema: Schema, defs: Mapping[str, Schema], *, strict: bool = False, at: str = "") -> list[str]:
    """What is wrong with it, each as `PLACE: what`. `strict`: a field that the schema does not name is a fault, too."""
    return list(_faults(value, schema, defs, strict, at))


def _faults(value: Any, schema: Schema, defs: Mapping[str, Schema], strict: bool, at: str) -> Iterator[str]:
    if "$ref" in schema:
        yield from _faults(value, defs[schema["$ref"].removeprefix("#/$defs/")], defs, strict, at)
    if "type" in schema and not _TYPES[schema["type"]](value):
        yield f"{at or 'the frame'}: not of type {schema['type']}"
        return
    if "const" in schema and not (type(value) is type(schema["const"]) and value == schema["const"]):
        yield f"{at or 'the frame'}: not {schema['const']!r}"
    if "anyOf" in schema:
        found = [faults(value, branch, defs, strict=strict, at=at) for branch in schema["anyOf"]]
        yield from min(found, key=len)  # the branch that was meant, most likely
    if "oneOf" in schema:
        fitting = [branch for branch in schema["oneOf"] if not faults(value, branch, defs, strict=strict, at=at)]
        if len(fitting) != 1:
            groups = " or ".join("+".join(branch["required"]) for branch in schema["oneOf"])
            yield f"{at or 'the frame'}: not exactly one of {groups}"
    if isinstance(value, dict):
        yield from _object_faults(value, schema, defs, strict, at)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, schema.get("items", {}), defs, strict, f"{at}[{index}]")
    elif isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
            yield f"{at}: does not match {schema['pattern']}"
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{at}: too short or too long"
    elif _TYPES["integer"](value) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{at}: out of bounds"


def _object_faults(
    value: dict[str, Any], schema: Schema, defs: Mapping[str, Schema], strict: bool, at: str
) -> Iterator[str]:
    dot = f"{at}." if at else ""
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{dot}{name}: is missing"
    properties = schema.get("properties", {})
    for name, item in value.items():
        if name in properties:
            yield from _faults(item, properties[name], defs, strict, f"{dot}{name}")
        elif "additionalProperties" in schema:
            yield from _faults(item, schema["additionalProperties"], defs, strict, f"{dot}{name}")
        elif strict and "properties" in schema:
            yield f"{dot}{name}: no such field is known"
