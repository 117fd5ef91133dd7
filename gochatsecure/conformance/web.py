"""One HTTP request, by the standard library, in a thread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ssl import SSLContext


class Exchange(NamedTuple):
    """An answer: `body` is what its JSON says, or its text; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: Any


async def ask(
    url: str, context: SSLContext, method: str, path: str, headers: Iterable[tuple[str, str]] = ()
) -> Exchange:
    """Raises OSError if there is no server, or none that speaks HTTP."""
    return await asyncio.to_thread(_ask, url, context, method, path, dict(headers))


def _ask(url: str, context: SSLContext, method: str, path: str, headers: dict[str, str]) -> Exchange:
    parts = urlsplit(url)
    connection = HTTPSConnection(parts.hostname or "localhost", parts.port or 443, timeout=10, context=context)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        text = response.read().decode("utf-8", "replace")
    except HTTPException as error:
        raise OSError(f"{url}: not an answer of an HTTP server: {error}") from None
    finally:
        connection.close()
    return Exchange(response.status, told, json.loads(text) if "json" in told.get("content-type", "") else text)
