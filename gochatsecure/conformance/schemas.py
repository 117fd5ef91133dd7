"""JSON Schemas of every frame, made from the tables; draft 2020-12. Unknown fields are no fault: they are ignored."""

from __future__ import annotations

from typing import Any

from ..chat.table import BY_OP
from .shapes import ANSWERS, ENTRIES, EVENTS, KINDS, LIMITS, PARTS, Shape

_Any = dict[str, Any]
_ID: _Any = {"$ref": "#/$defs/id"}
_REQUEST_ID: _Any = {"anyOf": [_ID, {"type": "null"}]}


def _value(kind: str, *, nullable: bool) -> _Any:
    schema = dict(KINDS[kind])
    return {"anyOf": [schema, {"type": "null"}]} if nullable else schema


def _object(properties: _Any, required: list[str], **more: object) -> _Any:
    return {"type": "object", "properties": properties, "required": required, **more}


def schema_of(shape: Shape, fixed: _Any | None = None) -> _Any:
    """Of this shape, before whose fields those that are `fixed` stand, with their values."""
    fixed = fixed or {}
    properties = {name: {"const": value} for name, value in fixed.items()}
    properties |= {field.name: _value(field.kind, nullable=field.nullable) for field in shape.fields}
    required = [*fixed, *(field.name for field in shape.fields if not field.optional)]
    either = {"oneOf": [{"required": list(group)} for group in shape.either]} if shape.either else {}
    return _object(properties, required, **either)


def request_schema(op: str) -> _Any:
    row = BY_OP[op]
    properties: _Any = {"op": {"const": op}, "id": _REQUEST_ID}
    for parameter in row.parameters:
        properties[parameter.name] = _value(parameter.kind, nullable=not parameter.required)
    required = ["op", *(parameter.name for parameter in row.parameters if parameter.required)]
    return _object(properties, required, description=row.help)


def _ref(name: str) -> _Any:
    return {"$ref": f"#/$defs/{name}"}


def definitions() -> dict[str, _Any]:
    """By name: `request.OP`, `ok.OP`, `answer.OP`, `event.NAME`, and the parts of which they are made."""
    defs: dict[str, _Any] = {"id": dict(KINDS["id"])}
    defs |= {name: schema_of(part) for name, part in PARTS.items()}
    defs["limits"] = _object({name: dict(KINDS["number"]) for name in LIMITS}, list(LIMITS))
    defs["entry"] = {"anyOf": [_ref(f"event.{name}") for name in ENTRIES]}
    for op in BY_OP:
        defs[f"request.{op}"] = request_schema(op)
    for op, answer in ANSWERS.items():
        defs[f"ok.{op}"] = schema_of(answer)
        defs[f"answer.{op}"] = _object({"re": _ID, "ok": _ref(f"ok.{op}")}, ["re", "ok"])
    defs["failure"] = _object({"re": _REQUEST_ID, "error": _ref("error")}, ["re", "error"])
    for name, event in EVENTS.items():
        defs[f"event.{name}"] = {**schema_of(event, {"event": name}), "description": event.note}
    defs["request"] = {"anyOf": [_ref(f"request.{op}") for op in BY_OP]}
    defs["answer"] = _object({"re": _ID, "ok": {"type": "object"}}, ["re", "ok"])
    defs["event"] = {"anyOf": [_ref(f"event.{name}") for name in EVENTS]}
    return defs


def document() -> _Any:
    """One schema of whatever may stand in a text message, with all the others in it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A frame of gochatsecure.v1.json",
        "description": "What a client sends is a request; what a server sends is an answer, a failure or an event.",
        "anyOf": [_ref("request"), _ref("answer"), _ref("failure"), _ref("event")],
        "$defs": definitions(),
    }
