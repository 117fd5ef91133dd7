"""Signing in and out over HTTP, by the standard library, in a thread.

Each takes the server's `url` (`https://localhost:8080`), and raises ConnectionRefused, with what the server says;
OSError if there is no server.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from .errors import ConnectionRefused


async def sign_in(url: str, username: str, context: ssl.SSLContext | None = None, *, password: str = "") -> str:
    """A token for the owner of a registered name, or, without a password, for a guest of that name."""
    if password:
        return await _token(url, "/auth", context, username=username, password=password)
    return str((await _ask(url, "GET", f"/auth?username={quote(username, safe='')}", context))["token"])


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
    return str((await _ask(url, "POST", "/auth/refresh", context, token))["token"])


async def sign_out(url: str, token: str, context: ssl.SSLContext | None = None) -> None:
    """End this sign-in, with all of its tokens and sessions."""
    await _ask(url, "POST", "/auth/sign-out", context, token)


async def _token(url: str, target: str, context: ssl.SSLContext | None, token: str = "", **fields: str) -> str:
    return str((await _ask(url, "POST", target, context, token, fields))["token"])


async def _ask(
    url: str,
    method: str,
    target: str,
    context: ssl.SSLContext | None,
    token: str = "",
    fields: Mapping[str, str] | None = None,
) -> Any:
    context = context or ssl.create_default_context()
    return await asyncio.to_thread(_answer, url, method, target, context, token, fields)


def _answer(
    url: str, method: str, target: str, context: ssl.SSLContext, token: str, fields: Mapping[str, str] | None
) -> Any:
    parts = urlsplit(url)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = None
    if fields is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(fields)
    connection = HTTPSConnection(parts.hostname or "localhost", parts.port or 443, timeout=20, context=context)
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (HTTPException, ValueError) as error:
        raise OSError(f"{url}: not an answer of a chat server: {error}") from None
    finally:
        connection.close()
    if not 200 <= response.status < 300:
        raise ConnectionRefused(response.status, str(answer.get("detail", "not let in")))
    return answer
