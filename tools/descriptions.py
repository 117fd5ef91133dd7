"""The protocol for other people's tools: JSON Schemas, AsyncAPI of the socket, OpenAPI of the HTTP part."""

from __future__ import annotations

import json
from typing import Any

from gochatsecure.chat.table import BY_OP
from gochatsecure.conformance.codes import ERRORS, HTTP_ERRORS
from gochatsecure.conformance.http import EVERYWHERE, PROBLEM, ROUTES, Answer, Route
from gochatsecure.conformance.schemas import definitions, document, schema_of
from gochatsecure.conformance.shapes import ANSWERS, EVENTS, KINDS
from gochatsecure.version import __version__
from gochatsecure.wire.closing import CLOSE_CODES
from gochatsecure.wire.json_v1 import JSON

_Any = dict[str, Any]
_SERVER = "A GoChatSecure server"


def _moved(value: Any) -> Any:
    """The same schema, with its definitions where AsyncAPI has them."""
    if isinstance(value, dict):
        return {key: _moved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item) for item in value]
    return value.replace("#/$defs/", "#/components/schemas/") if isinstance(value, str) else value


def _written(what: _Any) -> str:
    return json.dumps(what, ensure_ascii=False, indent=1) + "\n"


def schemas() -> str:
    return _written(document())


def asyncapi() -> str:
    """AsyncAPI 3.0: every message, and which answer belongs to which request. As a client sees it."""
    messages: _Any = {}
    operations: _Any = {}
    channel = "#/channels/session"
    for op, row in BY_OP.items():
        messages[f"request.{op}"] = {"summary": row.help, "payload": {"$ref": f"#/components/schemas/request.{op}"}}
        messages[f"answer.{op}"] = {
            "summary": ANSWERS[op].note or f"to `{op}`",
            "payload": {"$ref": f"#/components/schemas/answer.{op}"},
        }
        replies = [{"$ref": f"{channel}/messages/{name}"} for name in (f"answer.{op}", "failure")]
        operations[op] = {
            "action": "send",
            "channel": {"$ref": channel},
            "summary": row.help,
            "messages": [{"$ref": f"{channel}/messages/request.{op}"}],
            "reply": {"channel": {"$ref": channel}, "messages": replies},
        }
    messages["failure"] = {
        "summary": "the request was not carried out",
        "description": "\n".join(f"- `{row.code}`: {row.when}" for row in ERRORS),
        "payload": {"$ref": "#/components/schemas/failure"},
    }
    for name, event in EVENTS.items():
        messages[f"event.{name}"] = {
            "summary": event.note,
            "payload": {"$ref": f"#/components/schemas/event.{name}"},
        }
    operations["events"] = {
        "action": "receive",
        "channel": {"$ref": channel},
        "summary": "what happens in the rooms that one is in, and in one's inbox",
        "messages": [{"$ref": f"{channel}/messages/event.{name}"} for name in EVENTS],
    }
    closing = "\n".join(f"- {code}: {row.meaning}; connect again: {row.advice}" for code, row in CLOSE_CODES.items())
    return _written(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": f"GoChatSecure, {JSON.subprotocol}",
                "version": __version__,
                "description": f"The WebSocket's subprotocol `{JSON.subprotocol}`.\n\nClose codes:\n\n{closing}",
                "license": {"name": "MIT"},
            },
            "defaultContentType": "application/json",
            "servers": {
                "yours": {
                    "host": "{address}",
                    "protocol": "wss",
                    "description": _SERVER,
                    "variables": {"address": {"default": "localhost:8080"}},
                    "security": [{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}],
                }
            },
            "channels": {
                "session": {
                    "address": "/ws",
                    "description": "One text message is one frame.",
                    "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                }
            },
            "operations": operations,
            "components": {"messages": messages, "schemas": _moved(definitions())},
        }
    )


def _answer(answer: Answer) -> _Any:
    if answer.body is not None:
        return {"description": answer.help, "content": {answer.media: {"schema": schema_of(answer.body)}}}
    if answer.media == "text/plain":
        return {"description": answer.help, "content": {answer.media: {"schema": {"type": "string"}}}}
    return {"description": answer.help}


def _operation(route: Route, method: str) -> _Any:
    answers: _Any = {str(answer.status): _answer(answer) for answer in route.answers}
    problems: dict[str, list[str]] = {}
    for row in HTTP_ERRORS:
        if row.code in route.codes or row.code in EVERYWHERE:
            problems.setdefault(str(row.status), []).append(f"`{row.code}`: {row.when}")
    for status, told in problems.items():
        problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
        if status in answers:  # the path's own answer of that status: the one or the other
            answers[status]["description"] += "; or " + "; ".join(told)
            answers[status]["content"] |= problem
        else:
            answers[status] = {"description": "; ".join(told), "content": problem}
    operation: _Any = {"operationId": f"{method.lower()}{route.path.replace('/', '_')}", "summary": route.help}
    if route.parameters:
        operation["parameters"] = [
            {
                "name": item.name,
                "in": "query",
                "required": item.required,
                "description": item.help,
                "schema": dict(KINDS[item.kind]),
            }
            for item in route.parameters
        ]
    if route.body is not None:
        operation["requestBody"] = {
            "content": {"application/json": {"schema": schema_of(route.body)}},
            "required": True,
        }
    if route.bearer != "no":
        operation["security"] = [{"bearer": []}, *([{}] if route.bearer == "may" else [])]
    return {**operation, "responses": dict(sorted(answers.items()))}


def openapi() -> str:
    """OpenAPI 3.1. HEAD is GET without its body, and is not told apart."""
    paths: dict[str, _Any] = {}
    for route in ROUTES:
        told = {method.lower(): _operation(route, method) for method in route.methods if method != "HEAD"}
        paths.setdefault(route.path, {}).update(told)
    return _written(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "GoChatSecure, HTTP",
                "version": __version__,
                "description": "Signing in, the WebSocket handshake, health. Every error is RFC 9457 problem details.",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [
                {
                    "url": "https://{address}",
                    "description": _SERVER,
                    "variables": {"address": {"default": "localhost:8080"}},
                }
            ],
            "paths": paths,
            "components": {
                "schemas": {"problem": schema_of(PROBLEM)},
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )
