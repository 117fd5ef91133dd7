"""HTTP on a live connection: requests answered in their order, each within its time."""

from __future__ import annotations

from contextlib import suppress

from ..wire.http1 import HTTPError, HTTPServer, Response
from .routes import Upgrade
from .stage import REQUEST, Carrier, Hold
from .websocket_stage import WebSocketStage


class HTTPStage:
    __slots__ = ("_began", "_connection", "_http")

    read_size = 4096  # bytes; small, so that no more than a head's worth is ever taken unseen

    def __init__(self, connection: Carrier) -> None:
        self._connection = connection
        self._http = HTTPServer(connection.shared.limits)
        self._began: float | None = None  # when the first byte came of a request that is not all here
        connection.wait(connection.shared.limits.head_s, connection.finish)

    def received(self, plaintext: bytes) -> None:
        self._http.feed(plaintext)
        self.go_on()

    def go_on(self) -> None:
        """Answer every whole request that is here; see to it that the next one comes in its time."""
        connection, http = self._connection, self._http
        try:
            while not connection.held and (request := http.next_request()) is not None:
                self._began = None
                answer = connection.shared.routes.answer(request, connection.address)
                if isinstance(answer, Upgrade):
                    self._upgrade(answer)
                    return
                self._respond(answer)
                if not http.keeps_alive:
                    return
                connection.spend(REQUEST)
        except HTTPError as error:
            self._respond(error.response(), close=True)
            return
        if http.awaits_continue:
            connection.send(http.send_continue())
        self._set_deadline()

    def _set_deadline(self) -> None:
        limits = self._connection.shared.limits
        if self._connection.held:
            self._connection.wait(limits.request_s, lambda: self._connection.abort("answers unread"))
            return
        if not self._http.begun:
            self._connection.wait(limits.idle_s, self._connection.finish)
            return
        if self._began is None:
            self._began = self._connection.heard
        until = self._began + (limits.request_s if self._http.awaits_body else limits.head_s)
        self._connection.wait(max(0.0, until - self._connection.heard), self._time_out)

    def _respond(self, response: Response, *, close: bool = False) -> None:
        date = self._connection.shared.routes.date()
        self._connection.send(self._http.send(response, date=date, close=close))
        if not self._http.keeps_alive:
            self._connection.finish()

    def _upgrade(self, upgrade: Upgrade) -> None:
        switch, trailing = self._http.send_switch(upgrade.headers)
        self._connection.send(switch)
        stage = WebSocketStage(self._connection, upgrade.identity, upgrade.wire_format, trailing)
        self._connection.become(stage)
        stage.begin(upgrade.room)

    def _time_out(self) -> None:
        error = HTTPError(408, "request_timeout", "the request took too long to arrive; send it at once")
        self._respond(error.response(), close=True)

    def pause_writing(self) -> None:
        self._connection.hold(Hold.WRITING)  # who does not read its answers may not ask on

    def resume_writing(self) -> None:
        self._connection.release(Hold.WRITING)

    def dismiss(self) -> None:
        self._connection.finish()

    def fail(self) -> None:
        error = HTTPError(500, "internal_error", "the server has made a mistake; it has been logged")
        with suppress(Exception):  # h11 may be in no state to answer: then the peer sees the connection close
            self._respond(error.response(), close=True)
        self._connection.finish()

    def end(self) -> None:
        pass
