"""What each target begins from: words of its language, whole and well-formed, made anew each time."""

from __future__ import annotations

import json

from gochatsecure.auth.jwt import encode
from gochatsecure.chat.table import BY_OP, TABLE
from tests.auth.forgery import CLAIMS, HEADER, NEW, RFC_7515_TOKEN
from tests.wire.support import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame, get, post

UPGRADE = (
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: gochatsecure.v1.json, bearer.x",
    "Sec-WebSocket-Extensions: permessage-deflate",
)
_REQUESTS = [
    get("/auth?username=alice"),
    get("/healthz") + get("/readyz", "Connection: close"),
    get("/", "A: \t b ", "Expect: 100-continue"),
    get("/ws?token=a.b.c&room=den", *UPGRADE) + client_frame(TEXT, b"hi"),
    post(b'{"username":"a"}', "Content-Type: application/json"),
    get("/", "Transfer-Encoding: chunked", "Content-Length: 3", method="POST") + b"3\r\nabc\r\n0\r\n\r\n",
    get("/", " folded", version="HTTP/1.0", host=None),
    get("//a/../%2e?b=%ff&b=", method="HEAD"),
    b"\r\n" + get("*", method="OPTIONS"),
    b"GET / HTTP/1.1\nHost: x\n\n",
]
_FRAMES = [
    client_frame(TEXT, b"hi") + client_frame(PING, b"x") + client_frame(CLOSE, b"\x03\xe8bye"),
    client_frame(TEXT, b"\xe2\x82", fin=False) + client_frame(PONG) + client_frame(CONTINUATION, b"\xac"),
    client_frame(TEXT, b"x" * 130),
    client_frame(TEXT, b"x" * 70_000),
    client_frame(TEXT, fin=False) * 2 + client_frame(CONTINUATION, fin=False) * 9,
    client_frame(BINARY, b"\x00") + client_frame(TEXT, b"\xff"),
    client_frame(TEXT, b"hi", mask=None) + client_frame(3, b"", reserved=4),
    client_frame(CLOSE, b"\x03\xee") + client_frame(CLOSE, b"\x03"),
    client_frame(PING) * 20,
    b"\x81\xff" + b"\xff" * 12,
]
_LINES = [f"{row.word} den some text" for row in TABLE if row.word] + [
    "hi", "@bob psst", "//a", "/history 5", "/join", "\u202ehi\n\rthere\x1b[2J", "\ufeff/quit", "\uff20bob hi",
]  # fmt: skip
_JSON = [json.dumps({"op": op, "id": 1, "room": "den", "text": "hi", "cid": "1", "seq": 1}) for op in BY_OP] + [
    '{"op":"join","id":"x","room":"den","after":{"epoch":"e","seq":3,"head":"' + "A" * 43 + '"}}',
    "[" * 60_000, '{"a":' * 20_000, "9" * 5000, '{"op":"ping","id":' + "9" * 5000 + "}", '{"op":"ping","x":NaN}',
    '{"op":"ping","op":"quit"}', '"\\ud800"', '{"op":"send","room":"den","cid":"1","text":"\\ud800"}', "\ufeff{}",
    '{"op":"ping","id":[]}', '{"op":["ping"]}', '{"op":"ping","id":-1e400}', '{"op":"ping","id":1.0}',
]  # fmt: skip
_TOKENS = [encode(CLAIMS, NEW), RFC_7515_TOKEN, f"{json.dumps(HEADER)}.{json.dumps(CLAIMS)}", "..", "e30.e30.e30"]
_NAMES = [
    "alice",
    "Ａlice",
    "аlice",
    "a" * 33,
    "ⓐ",
    "e\u0301",
    "\u0131\u0307",
    "ﬀ",
    "x\u200d",
    "admin",
    "-",
    "a.",
    "日本",
]

SEEDS: dict[str, list[bytes]] = {
    "tls": [b"\x16\x03\x01\x00\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28", bytes(40)],
    "http1": _REQUESTS,
    "handshake": _REQUESTS,
    "websocket": _FRAMES,
    "lines": [line.encode("utf-8", "surrogatepass") for line in _LINES],
    "json": [text.encode() for text in _JSON],
    "jwt": [token.encode() for token in _TOKENS],
    "names": [name.encode() for name in _NAMES],
}
CHOOSING = frozenset({"tls", "http1", "websocket"})
"""The targets whose inputs begin with bytes of chance."""


def seeds(target: str) -> list[bytes]:
    """Inputs of this target; with several beginnings where these choose something."""
    if target not in CHOOSING:
        return SEEDS[target]
    return [bytes([start, 7]) + seed for seed in SEEDS[target] for start in range(6)]
