"""HTTP at the client's end, by the standard library, in a thread: signing in and out.

Each takes the server's `url` (`https://localhost:8080`), and raises ConnectionRefused, with what the server says;
OSError if there is no server.
"""

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
_PATIENCE = 20  # seconds; passwords may wait in a queue


class Answer(NamedTuple):
    """`body` is what its JSON says, or its text; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Any


async def sign_in(url: str, username: str, context: ssl.SSLContext | None = None, *, password: str = "") -> str:
    """A token for the owner of a registered name, or, without a password, for a guest of that name."""
    if password:
        return await _token(url, "/auth", context, username=username, password=password)
    return _told(url, await ask(url, context, "GET", f"/auth?username={quote(username, safe='')}"))


async def register(
    url: str, username: str, password: str, context: ssl.SSLContext | None = None, *, token: str = ""
) -> str:
    """From now on the name needs this password: a token for its owner. `token`: of the guest who has the name now."""
    return await _token(url, "/register", context, token, username=username, password=password)


async def change_password(
    url: str, token: str, password: str, new_password: str, context: ssl.SSLContext | None = None
) -> str:
    """Another password for the name of this token. All of its sign-ins end; returns the token of a new one."""
    return await _token(url, "/auth/password", context, token, password=password, new_password=new_password)


async def refresh(url: str, token: str, context: ssl.SSLContext | None = None) -> str:
    """A later token of the same sign-in."""
    return await _token(url, "/auth/refresh", context, token)


async def sign_out(url: str, token: str, context: ssl.SSLContext | None = None) -> None:
    """End this sign-in, with all of its tokens and sessions."""
    await _token(url, "/auth/sign-out", context, token)


async def _token(url: str, path: str, context: ssl.SSLContext | None, token: str = "", **fields: str) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return _told(url, await ask(url, context, "POST", path, headers, json.dumps(fields) if fields else None))


def _told(url: str, answer: Answer) -> str:
    """The token in it, if there is one."""
    if not isinstance(answer.body, dict):
        raise OSError(f"{url}: not an answer of a chat server")
    if not 200 <= answer.status < 300:
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
    connection = HTTPSConnection(parts.hostname or "localhost", parts.port or 443, timeout=_PATIENCE, context=context)
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
