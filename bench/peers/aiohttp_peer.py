"""A chat room on aiohttp."""

from collections import defaultdict

from aiohttp import WSMsgType, web
from shared import PORT, issue, tls, verify

rooms: defaultdict[str, set[web.WebSocketResponse]] = defaultdict(set)


async def auth(request: web.Request) -> web.Response:
    name = request.query["username"]
    return web.json_response({"token": issue(name), "username": name, "expires_in": 86400})


async def ws(request: web.Request) -> web.WebSocketResponse:
    name = verify(request.query["token"])
    if name is None:
        raise web.HTTPUnauthorized
    room = rooms[request.query.get("room", "default")]
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    room.add(socket)
    try:
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                text = f"{name}: {message.data}"
                for other in list(room):
                    await other.send_str(text)
    finally:
        room.remove(socket)
    return socket


app = web.Application()
app.add_routes([web.get("/auth", auth), web.get("/ws", ws)])
web.run_app(app, host="127.0.0.1", port=PORT, ssl_context=tls(), print=None, access_log=None)
