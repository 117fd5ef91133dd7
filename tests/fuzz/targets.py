"""What holds of the parsers for any bytes at all: one function each, which raises when it does not.

No exception but the declared ones, bounded memory, and the same outcome however the bytes are cut. The first bytes of
an input say where it is cut, and what else is to be chosen; the rest is what the peer sends.
"""

from __future__ import annotations

import functools
import json
import random
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType

from gochatsecure.auth.jwt import MAX_TOKEN, Key, TokenError, verify
from gochatsecure.chat.commands import Asked
from gochatsecure.chat.errors import Refusal
from gochatsecure.chat.model import Entry, Posted, room_stream
from gochatsecure.chat.names import InvalidName, canonical_room, canonical_user, skeleton
from gochatsecure.chat.table import TABLE, TELL
from gochatsecure.limits import Limits
from gochatsecure.wire.http1 import HTTPError, HTTPServer, Request
from gochatsecure.wire.json_v1 import JSON
from gochatsecure.wire.lines import LINES
from gochatsecure.wire.tls import TLSFailure, TLSServer
from gochatsecure.wire.websocket import (
    Closed,
    Control,
    Received,
    Text,
    WebSocketServer,
    acceptance,
    check_upgrade,
    offered,
)
from tests.auth.forgery import KEYS, NOW, base64url, signed
from tests.live.support import frames
from tests.support import certificate
from tests.wire.support import cut, exchange, pieces
from tests.wire.tls_pair import Pair, our_contexts

SMALL = Limits(
    request_line=64, request_head=256, request_headers=6, request_body=16, message=200, fragments=5,
    control_frames_per_s=4,
)  # fmt: skip
COMMANDS = tuple({row.command for row in (*TABLE, TELL)})
KINDS_OF_KEY = (*KEYS, Key("pem", b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"))


def chosen(data: bytes, size: int = 2) -> tuple[random.Random, bytes]:
    """Chance that its first bytes decide, and the rest."""
    return random.Random(data[:size]), data[size:]


def cuts(chance: random.Random, data: bytes) -> list[bytes]:
    if chance.random() < 0.3:
        return pieces(data, chance.choice([1, 2, 3, 7]))
    return cut(data, [chance.randrange(10**6) for _ in range(chance.randrange(8))])


def tls(data: bytes) -> None:
    """Bytes where a handshake is wanted; a disturbed first flight; a connection that is disturbed later."""
    chance, rest = chosen(data)
    match chance.randrange(3):
        case 0:
            _read(TLSServer(our_contexts()), cuts(chance, rest), b"")
        case 1:
            _read(TLSServer(our_contexts()), cuts(chance, _disturbed(chance, _hello(), rest)), b"")
        case _:
            pair = Pair(_client()).shaken()
            for part in pieces(rest, 50):
                pair.client.write(part)
            records = pair.from_client()
            if chance.random() < 0.8:
                records = _disturbed(chance, records, rest[:8])
            _read(pair.server, cuts(chance, records), rest)


def _read(server: TLSServer, fed: list[bytes], sent: bytes) -> None:
    """What can be read is what was sent, up to where something was wrong."""
    read = b""
    try:
        for piece in fed:
            server.feed(piece)
            while server.handshake() and (part := server.read(4096)):
                assert len(part) <= 4096
                read += part
    except TLSFailure as failure:
        assert str(failure).isprintable()
    assert sent.startswith(read), "what was read is not what was sent"
    assert len(server.take()) < 20_000, "more was written than a handshake is"
    server.close()
    server.take()


@functools.cache
def _client() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate().ca)
    context.set_ecdh_curve("prime256v1")
    return context


@functools.cache
def _hello() -> bytes:
    pair = Pair()
    pair.step()
    return pair.from_client()


def _disturbed(chance: random.Random, records: bytes, noise: bytes) -> bytes:
    """With some of its bytes changed, left out, said twice, or noise put in."""
    changed = bytearray(records)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[place : place + chance.randrange(1, 20)]
            case 2:
                changed[place:place] = changed[place : place + chance.randrange(1, 40)]
            case _:
                changed[place:place] = noise
    return bytes(changed)


def http1(data: bytes) -> None:
    chance, rest = chosen(data)
    limits = SMALL if chance.random() < 0.5 else Limits()
    whole = exchange(pieces(rest, limits.request_head), limits)
    fed = [small for part in cuts(chance, rest) for small in pieces(part, limits.request_head)]
    parts = exchange(fed, limits)
    assert parts.requests == whole.requests, "it depends on how the bytes are cut"
    assert (parts.error is None) == (whole.error is None)
    assert parts.sent == whole.sent
    for request in whole.requests:
        _check_request(request, limits)
    for found in (whole, parts):
        assert len(found.server._buffer) <= 2 * limits.request_head + limits.request_body
        if found.error is not None:
            found.server.send(found.error.response(), close=True)
            assert not found.server.keeps_alive


def _check_request(request: Request, limits: Limits) -> None:
    assert request.version in ("1.0", "1.1")
    assert request.path.startswith("/") and "//" not in request.path and "%" not in request.path
    assert ".." not in request.path.split("/")
    assert len(request.values("host")) == 1 or request.version == "1.0"
    assert len(request.body) <= limits.request_body
    assert len(request.headers) <= limits.request_headers
    assert not request.values("transfer-encoding")
    for name, value in request.headers:
        assert name == name.lower() and (name + value).isascii()
        assert not {"\r", "\n", "\0"} & set(name + value)


def handshake(data: bytes) -> None:
    """What is answered to a request that asks for a WebSocket, or something like one."""
    server = HTTPServer(Limits())
    try:
        for piece in pieces(data, 4096):
            server.feed(piece)
            request = server.next_request()
            if request is None:
                continue
            check_upgrade(request)
            offers = offered(request)
            sent, trailing = server.send_switch(acceptance(request, offers[0] if offers else None))
            assert sent.count(b"\r\n\r\n") == 1 and sent.startswith(b"HTTP/1.1 101 ")
            websocket = WebSocketServer(Limits(), trailing)
            list(websocket.receive(0.0))
            return
    except HTTPError as error:
        assert 400 <= error.status < 600


def websocket(data: bytes) -> None:
    chance, rest = chosen(data)
    limits = SMALL if chance.random() < 0.7 else Limits()
    whole, parts = _received(limits, [rest]), _received(limits, cuts(chance, rest))
    if whole != parts:
        # Where a limit is met may depend on how a message came; what was heard before that may not.
        assert _is_limit(whole) or _is_limit(parts), "it depends on how the bytes are cut"
        heard = [one for one in whole if isinstance(one, Text)]
        assert heard == [one for one in parts if isinstance(one, Text)]
    for received in whole:
        match received:
            case Text(text):
                assert len(text.encode()) <= limits.message
            case Control(answer):
                assert len(frames(answer)) == bool(answer)
            case Closed(answer, code, _):
                assert received is whole[-1]
                assert len(frames(answer)) == 1 and 1000 <= code < 5000


def _received(limits: Limits, fed: list[bytes]) -> list[Received]:
    server = WebSocketServer(limits)
    found: list[Received] = []
    for piece in fed:
        if server.ended:
            break
        server.feed(piece)
        found += server.receive(0.0)
        assert server._size <= limits.message or server.ended
        assert len(server._parts) <= 65
    return found


def _is_limit(found: list[Received]) -> bool:
    return bool(found) and isinstance(found[-1], Closed) and found[-1].code in (1008, 1009)


def lines(data: bytes) -> None:
    text = data.decode("utf-8", "ignore")
    _check_asked(LINES.decode(text, "den"))
    ((_, shown),) = frames(LINES.frames(Entry(room_stream("den"), 1, 0, "alice~s1", "c1", Posted(text))))
    line = shown.decode()
    assert line.startswith("alice: ") and len(line.splitlines()) == 1, "one message looks like two"
    assert not any(sign < " " or "\x7f" <= sign < "\xa0" or sign in "\u2028\u2029\u202e\u2066" for sign in line)


def json_v1(data: bytes) -> None:
    _check_asked(JSON.decode(data.decode("utf-8", "ignore"), "den"))
    _check_asked(JSON.decode(data.decode("utf-8", "surrogateescape"), "den"))


def _check_asked(asked: Asked) -> None:
    assert isinstance(asked.command, (Refusal, *COMMANDS)), asked
    if isinstance(asked.command, Refusal):
        assert asked.command.code and asked.command.message.isprintable()


def jwt(data: bytes) -> None:
    """A token as it comes; and, so that more than the MAC is seen, one of any header and claims under the right MAC."""
    _check_token(data.decode("latin-1"))
    header, _, payload = data.partition(b".")
    _check_token(signed(f"{base64url(header)}.{base64url(payload)}"))
    plain = base64url(b'{"alg":"HS256","kid":"k2"}')
    _check_token(signed(f"{plain}.{base64url(data)}"))
    _check_token(signed(f"{plain}.{data.decode('latin-1')}"))  # not in base64, or in another one


def _check_token(token: str) -> None:
    if not token.isascii():
        token = token.encode().decode("latin-1")
    try:
        claims = verify(token, KINDS_OF_KEY, now=NOW)
    except TokenError as error:
        assert error.code.startswith("token_")
        return
    assert len(token) <= MAX_TOKEN
    exp = claims["exp"]
    assert type(exp) is int and exp > NOW
    json.dumps(claims, allow_nan=False).encode()


def names(data: bytes) -> None:
    text = data.decode("utf-8", "ignore")
    for canonical, longest in ((canonical_user, 32), (canonical_room, 64)):
        try:
            name = canonical(text)
        except InvalidName as error:
            assert str(error).isprintable()
            continue
        assert canonical(name) == name, "a canonical name has another canonical form"
        assert 1 <= len(name) <= longest
        assert not any(sign in " :()@/#!*\\" or not sign.isprintable() for sign in name)
        assert skeleton(name) == skeleton(skeleton(name)), "what it looks like looks like something else"


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "tls": tls,
        "http1": http1,
        "handshake": handshake,
        "websocket": websocket,
        "lines": lines,
        "json": json_v1,
        "jwt": jwt,
        "names": names,
    }
)
