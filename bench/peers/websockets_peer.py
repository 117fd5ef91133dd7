"""A chat room on the websockets library, with its broadcast()."""

import asyncio
import http
import json
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

from shared import PORT, issue, tls, verify
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

rooms: defaultdict[str, set[ServerConnection]] = defaultdict(set)


def process_request(connection: ServerConnection, request: Request) -> Response | None:
    url = urlsplit(request.path)
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    if url.path == "/auth":
        name = query["username"]
        body = json.dumps({"token": issue(name), "username": name, "expires_in": 86400})
        return connection.respond(http.HTTPStatus.OK, body)
    if url.path != "/ws":
        return connection.respond(http.HTTPStatus.NOT_FOUND, "not found\n")
    connection.name = verify(query["token"])
    connection.room = query.get("room", "default")
    if connection.name is None:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "bad token\n")
    return None


async def handler(connection: ServerConnection) -> None:
    room = rooms[connection.room]
    room.add(connection)
    try:
        async for message in connection:
            broadcast(room, f"{connection.name}: {message}")
    finally:
        room.remove(connection)


async def main() -> None:
    async with serve(
        handler, "127.0.0.1", PORT, ssl=tls(), process_request=process_request, compression=None
    ) as server:
        await server.serve_forever()


asyncio.run(main())
