"""HTTP at the client's end, by the standard library, in a thread: signing in, a fresh token."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from http.client import HTTPException, HTTPSConnection
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from .errors import ConnectionRefused

_NONE: Mapping[str, str] = MappingProxyType({})


class Answer(NamedTuple):
    """`body` is what its JSON says, or its text; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any


async def sign_in(url: str, username: str, context: ssl.SSLContext | None = None) -> str:
    """A token for a guest of that name, from the server at `url` (`https://localhost:8080`).

    Raises ConnectionRefused, with what the server says; OSError if there is no server."""
    return _token(url, await ask(url, context, "GET", f"/auth?username={quote(username, safe='')}"))


async def refresh(url: str, token: str, context: ssl.SSLContext | None = None) -> str:
    """A fresh token of the same sign-in. Raises as `sign_in` does."""
    return _token(url, await ask(url, context, "POST", "/auth/refresh", {"Authorization": f"Bearer {token}"}))


def _token(url: str, answer: Answer) -> str:
    if not isinstance(answer.body, dict):
        raise OSError(f"{url}: not an answer of a chat server")
    if answer.status != 200:
        raise ConnectionRefused(answer.status, str(answer.body.get("detail", "not let in")))
    return str(answer.body.get("token", ""))


async def ask(
    url: str,
    context: ssl.SSLContext | None,
    method: str,
    path: str,
    headers: Mapping[str, str] = _NONE,
    body: str | None = None,
) -> Answer:
    """One request; `body` is JSON. Raises OSError if there is no server, or none that speaks HTTP."""
    if body is not None:
        headers = {"Content-Type": "application/json", **headers}
    return await asyncio.to_thread(_ask, url, context or ssl.create_default_context(), method, path, headers, body)


def _ask(
    url: str, context: ssl.SSLContext, method: str, path: str, headers: Mapping[str, str], body: str | None
) -> Answer:
    parts = urlsplit(url)
    connection = HTTPSConnection(parts.hostname or "localhost", parts.port or 443, timeout=10, context=context)
    try:
        connection.request(method, path, None if body is None else body.encode(), dict(headers))
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        text = response.read().decode()
        found = json.loads(text) if "json" in told.get("content-type", "") else text
    except (HTTPException, ValueError) as error:
        raise OSError(f"{url}: not an answer of a chat server: {error}") from None
    finally:
        connection.close()
    return Answer(response.status, told, found)


def detail_of(body: bytes) -> str:
    """Why somebody is not let in, in the server's words if it has any (RFC 9457)."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return "the server does not let this client in"
