"""One client of the JSON protocol that waits for each answer: for what is measured by a stopwatch, not by load."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from typing import Any

from gochatsecure.wire.json_v1 import JSON
from gochatsecure.wire.websocket_client import WebSocketClient

from .servers import Server

_context = ssl.create_default_context()
_context.check_hostname = False
_context.verify_mode = ssl.CERT_NONE  # a certificate of the benchmark's own, on loopback


def sign_in(server: Server, name: str) -> str:
    """A token."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=_context)
    connection.request("GET", f"/auth?username={name}")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["token"])


class Talker:
    def __init__(self, server: Server, name: str) -> None:
        token = sign_in(server, name)
        self.socket = connect(server)
        headers = [("Authorization", f"Bearer {token}")]
        self._websocket = WebSocketClient("127.0.0.1", "/ws?room=lobby", headers, JSON.subprotocol)
        self._texts: list[str] = []
        self._asked = 0
        self._flush()
        self.welcome = self.event()

    def event(self) -> dict[str, Any]:
        """What comes next."""
        while not self._texts:
            self._texts += self._websocket.receive(self.socket.recv(65536))
            self._flush()
        found: dict[str, Any] = json.loads(self._texts.pop(0))
        return found

    def say(self, **request: object) -> None:
        self.socket.sendall(self._websocket.send(json.dumps(request)))

    def ask(self, op: str, **request: object) -> dict[str, Any]:
        """The answer; what comes before it is let go. Raises RuntimeError for an error."""
        self._asked += 1
        self.say(op=op, id=self._asked, **{("with" if name == "with_" else name): it for name, it in request.items()})
        while (answer := self.event()).get("re") != self._asked:
            pass
        if "error" in answer:
            raise RuntimeError(f"{op}: {answer['error']}")
        ok: dict[str, Any] = answer["ok"]
        return ok

    def timed(self, op: str, **request: object) -> tuple[float, dict[str, Any]]:
        """Milliseconds until the answer, and the answer."""
        begun = time.perf_counter()
        answer = self.ask(op, **request)
        return (time.perf_counter() - begun) * 1000, answer

    def close(self) -> None:
        self.socket.close()

    def _flush(self) -> None:
        if self._websocket.answer:
            self.socket.sendall(self._websocket.answer)
            self._websocket.answer = b""


def connect(server: Server, receive: int = 0) -> ssl.SSLSocket:
    """Through the TLS handshake. `receive`: bytes that the kernel keeps for us unread; 0 for as many as it likes."""
    raw = socket.socket()
    if receive:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    raw.settimeout(30)
    raw.connect(("127.0.0.1", server.port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _context.wrap_socket(raw, server_hostname="localhost")
