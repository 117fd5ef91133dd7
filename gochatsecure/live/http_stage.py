"""HTTP on a live connection: requests answered in their order, each within its time.

A task exists only while an answer has to be waited for; the connection's next request waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from ..wire.http1 import HTTPError, HTTPServer, Response
from .routes import Final, Later, Upgrade
from .stage import REQUEST, Carrier, Hold
from .websocket_stage import WebSocketStage

_logger = logging.getLogger("gochatsecure")


class HTTPStage:
    __slots__ = ("_answer", "_began", "_connection", "_dismissed", "_http", "_task")

    read_size = 4096  # bytes; small, so that no more than a head's worth is ever taken unseen

    def __init__(self, connection: Carrier) -> None:
        self._connection = connection
        self._http = HTTPServer(connection.shared.limits)
        self._task: asyncio.Task[Response | Final] | None = None
        self._answer: Response | Final | None = None  # what that has brought
        self._dismissed = False  # the answer that is waited for is the last
        self._began: float | None = None  # when the first byte came of a request that is not all here
        connection.wait(connection.shared.limits.head_s, connection.finish)

    def received(self, plaintext: bytes) -> None:
        self._http.feed(plaintext)
        self.go_on()

    def go_on(self) -> None:
        """Answer every whole request that is here; see to it that the next one comes in its time."""
        connection, http = self._connection, self._http
        try:
            while not connection.held and (answer := self._next_answer()) is not None:
                if isinstance(answer, Upgrade):
                    self._upgrade(answer)
                    return
                if not isinstance(answer, Response):
                    self._await(answer)
                    break
                self._respond(answer, close=self._dismissed)
                if not http.keeps_alive:
                    return
                connection.spend(REQUEST)
        except HTTPError as error:
            self._respond(error.response(), close=True)
            return
        if http.awaits_continue:
            connection.send(http.send_continue())
        self._set_deadline()

    def _next_answer(self) -> Response | Upgrade | Later | None:
        """To the oldest request that has none; None while there is no such request."""
        answer, self._answer = self._answer, None
        if answer is not None:
            return answer if isinstance(answer, Response) else answer()
        request = self._http.next_request()
        if request is None:
            return None
        self._began = None
        return self._connection.shared.routes.answer(request, self._connection.address)

    def _await(self, answer: Later) -> None:
        self._connection.hold(Hold.TASK)
        self._task = self._connection.shared.loop.create_task(answer)
        self._task.add_done_callback(self._awaited)

    def _awaited(self, task: asyncio.Task[Response | Final]) -> None:
        self._task = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            _logger.error("our bug: a request failed", exc_info=error)
            self.fail()
        else:
            self._answer = task.result()
        self._connection.release(Hold.TASK)

    def _set_deadline(self) -> None:
        limits = self._connection.shared.limits
        if self._connection.held:
            reason = "no answer in time" if self._connection.held & Hold.TASK else "answers unread"
            self._connection.wait(limits.request_s, lambda: self._connection.abort(reason))
            return
        if not self._http.begun:
            self._connection.wait(limits.idle_s, self._connection.finish)
            return
        if self._began is None:
            self._began = self._connection.heard
        until = self._began + (limits.request_s if self._http.awaits_body else limits.head_s)
        self._connection.wait(max(0.0, until - self._connection.heard), self._time_out)

    def _respond(self, response: Response, *, close: bool = False) -> None:
        shared = self._connection.shared
        shared.counts.answers[response.status] += 1
        self._connection.send(self._http.send(response, date=shared.routes.date(), close=close))
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
        if self._task is None:
            self._connection.finish()
        else:
            self._dismissed = True

    def fail(self) -> None:
        error = HTTPError(500, "internal_error", "the server has made a mistake; it has been logged")
        with suppress(Exception):  # h11 may be in no state to answer: then the peer sees the connection close
            self._respond(error.response(), close=True)
        self._connection.finish()

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
