"""A chat room on Starlette and uvicorn, with uvloop and httptools."""

from collections import defaultdict

import uvicorn
from shared import CERT, PORT, PRIVATE, issue, verify
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


async def auth(request: Request) -> JSONResponse:
    name = request.query_params["username"]
    return JSONResponse({"token": issue(name), "username": name, "expires_in": 86400})


async def ws(socket: WebSocket) -> None:
    name = verify(socket.query_params["token"])
    if name is None:
        await socket.close(1008)
        return
    room = rooms[socket.query_params.get("room", "default")]
    await socket.accept()
    room.add(socket)
    try:
        async for message in socket.iter_text():
            text = f"{name}: {message}"
            for other in list(room):
                await other.send_text(text)
    finally:
        room.remove(socket)


app = Starlette(routes=[Route("/auth", auth), WebSocketRoute("/ws", ws)])
uvicorn.run(
    app,
    host="127.0.0.1",
    port=PORT,
    ssl_certfile=CERT,
    ssl_keyfile=PRIVATE,
    loop="uvloop",
    http="httptools",
    ws_per_message_deflate=False,
    log_level="warning",
    access_log=False,
)
