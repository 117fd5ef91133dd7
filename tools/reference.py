"""The tables of docs/protocol.md, from the tables in the code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from gochatsecure.chat import table as asked
from gochatsecure.conformance.codes import ERRORS, HTTP_ERRORS
from gochatsecure.conformance.http import ROUTES
from gochatsecure.conformance.shapes import ANSWERS, EVENTS, FIELDS, LIMITS, PARTS, Shape
from gochatsecure.wire.closing import CLOSE_CODES


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)


def _fields(shape: Shape) -> str:
    return ", ".join(f"`{field.name}{'?' if field.optional else ''}`" for field in shape.fields)


def _sentence(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def requests() -> str:
    rows = []
    for op, row in asked.BY_OP.items():
        fields = ", ".join(f"`{item.name}{'' if item.required else '?'}`" for item in row.parameters)
        rows.append((f"`{op}`", fields, _fields(ANSWERS[op]), _sentence(row.help, ANSWERS[op].note)))
    return table(("op", "fields", "ok", ""), rows)


def kinds() -> str:
    by_kind: dict[asked.Kind, list[str]] = {}
    kinds_of: dict[str, set[str]] = {}
    for row in asked.BY_OP.values():
        for item in row.parameters:
            kinds_of.setdefault(item.name, set()).add(item.kind)
    for op, row in asked.BY_OP.items():
        for item in row.parameters:
            names = by_kind.setdefault(item.kind, [])
            name = f"`{item.name}`" if len(kinds_of[item.name]) == 1 else f"`{item.name}` of `{op}`"
            names += [name] if name not in names else []
    return table(("field", "what it takes"), [(", ".join(names), asked.KINDS[kind]) for kind, names in by_kind.items()])


def events() -> str:
    return table(("event", "fields", ""), [(f"`{name}`", _fields(shape), shape.note) for name, shape in EVENTS.items()])


def fields() -> str:
    parts = {part.replace("_", " "): _fields(shape) for part, shape in PARTS.items()}
    lists = {
        "rooms": "room count",
        "members": "member",
        "messages": "told",
        "conversations": "conversation",
        "sentences": "sentence",
    }
    rows = []
    for name, (kind, meaning) in FIELDS.items():
        inner = parts.get(lists.get(kind, kind), "") if kind not in ("room", "text") else ""
        several = "each " if kind in lists else ""
        rows.append((f"`{name}`", _sentence(meaning, f"{several}{{{inner}}}" if inner else "")))
    return table(("field", "what it is"), rows)


def limits() -> str:
    return table(("in `limits`", ""), [(f"`{name}`", meaning) for name, meaning in LIMITS.items()])


def errors() -> str:
    return table(
        ("code", "when", "temporary"),
        [(f"`{row.code}`", row.when, "yes, with `retry_after_ms`" if row.temporary else "") for row in ERRORS],
    )


def http_errors() -> str:
    rows = []
    for status, group in groupby(HTTP_ERRORS, key=lambda row: row.status):
        rows += [(str(status), f"`{row.code}`", row.when) for row in group]
    return table(("status", "code", "when"), rows)


def http_requests() -> str:
    rows = []
    for route in ROUTES:
        query = "&".join(f"{item.name}={item.name.upper().replace('USER', '')}" for item in route.parameters)
        bearer = {"no": "", "may": "it may carry a token", "must": "with `Authorization: Bearer TOKEN`"}[route.bearer]
        answers = []
        for answer in route.answers:
            told = f" {{{_fields(answer.body)}}}" if answer.body is not None else ""
            answers.append(f"{answer.status}{told}: {answer.help}")
        body = f"with {{{_fields(route.body)}}}" if route.body is not None else ""
        asked_for = f"`{route.methods[0]} {route.path}{'?' + query if query else ''}`"
        rows.append((asked_for, _sentence(route.help, body, bearer), "; ".join(answers)))
    return table(("request", "", "answer"), rows)


def close_codes() -> str:
    rows = [(str(code), ending.meaning, ending.advice) for code, ending in sorted(CLOSE_CODES.items())]
    return table(("code", "meaning", "connect again?"), rows)


def typed() -> str:
    rows = []
    for row in (asked.SAY, asked.TELL, *asked.TABLE):
        if row is asked.SAY:
            rows.append(("any text", row.help))
        elif row.word is not None:
            rows.append((f"`{row.usage}`", row.help))
    return table(("a client sends", "meaning"), [*rows, ("`//TEXT`", "say text that begins with one `/`")])
