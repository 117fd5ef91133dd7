"""Signing in over HTTP, by the standard library, in a thread."""

from __future__ import annotations

import asyncio
import json
import ssl
from http.client import HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from .errors import ConnectionRefused


async def sign_in(url: str, username: str, context: ssl.SSLContext | None = None) -> str:
    """A token for a guest of that name, from the server at `url` (`https://localhost:8080`).

    Raises ConnectionRefused, with what the server says; OSError if there is no server."""
    return await asyncio.to_thread(_sign_in, url, username, context or ssl.create_default_context())


def _sign_in(url: str, username: str, context: ssl.SSLContext) -> str:
    parts = urlsplit(url)
    connection = HTTPSConnection(parts.hostname or "localhost", parts.port or 443, timeout=10, context=context)
    try:
        connection.request("GET", f"/auth?username={quote(username, safe='')}")
        response = connection.getresponse()
        body = json.loads(response.read())
    except (HTTPException, ValueError) as error:
        raise OSError(f"{url}: not an answer of a chat server: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise ConnectionRefused(response.status, str(body.get("detail", "not let in")))
    return str(body["token"])
