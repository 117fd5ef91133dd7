"""HTTP/1.1 (RFC 9112) by h11, and what h11 leaves to its user: sizes, framing, targets. Bytes in, requests out.

h11 parses each head; this module cuts the head out of the stream itself, so that every size is checked exactly,
however the bytes arrive, and so that no byte behind a head can be read as part of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import parse_qsl

import h11

from ..limits import Limits
from . import strict_json

Headers = Iterable[tuple[str, str]]


class HTTPError(Exception):
    """A request that gets an error answer: RFC 9457 problem details with `code`, stable and for programs.

    `detail` is a constant sentence with cause and mend; nothing of the request is repeated in it.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Headers = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = tuple(headers)

    def response(self) -> Response:
        title = HTTPStatus(self.status).phrase
        problem = {"status": self.status, "title": title, "code": self.code, "detail": self.detail}
        headers = (("Content-Type", "application/problem+json"), *self.headers)
        return Response(self.status, json.dumps(problem).encode(), headers)


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """One whole request, never printed, as it may hold a token. Header names are in lower case; `query` holds each
    parameter once, decoded.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: tuple[tuple[str, str], ...]
    version: str
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def tokens(self, name: str) -> list[str]:
        """The members of a comma-separated header, over all its lines, in lower case."""
        members = (member.strip().lower() for value in self.values(name) for member in value.split(","))
        return [member for member in members if member]

    def fields(self, *names: str) -> list[str]:
        """These texts of the body: one JSON object (RFC 8259) that all readers read alike. Raises HTTPError."""
        kinds = [value.partition(";")[0].strip().lower() for value in self.values("content-type")]
        if kinds != ["application/json"]:  # a page of another origin cannot send this one without being asked about it
            raise HTTPError(415, "content_type_unsupported", "send the body as application/json")
        found: object = None
        with suppress(ValueError, RecursionError):
            found = strict_json.decode(self.body.decode("utf-8"))
        if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in names):
            raise HTTPError(400, "body_invalid", f"send one JSON object with {' and '.join(names)}, as texts")
        return [found[name] for name in names]


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is sent with its length; header values are constants or have been checked by who made them."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


ALWAYS: tuple[tuple[str, str], ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),  # no answer is a page that runs anything
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_MALFORMED = "the request is not well-formed HTTP/1.1; see RFC 9112"
_DIGITS = re.compile(rb"[0-9]{1,16}[ \t]*")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?")
_BAD_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff]|(?![0-9A-Fa-f]{2}))")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*)", re.IGNORECASE)  # h11 makes one of several equal ones
# Line breaks that are not CRLF, folded lines (RFC 9112 5.2), control characters, bytes outside ASCII. h11 lets the last
# three through, and takes quadratic time over a long run of spaces with one of the first behind it.
_REFUSED = re.compile(rb"(?<!\r)\n|\r(?!\n)|\r\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]")


class HTTPServer:
    """The server's side of one HTTP connection: feed bytes, take requests one by one, answer each in turn."""

    __slots__ = ("_buffer", "_h11", "_headless", "_length", "_limits", "_request", "_searched", "_skipped")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.request_head)
        self._buffer = bytearray()
        self._searched = 0  # bytes in which the head's end has been sought
        self._skipped = False  # an empty line before the request
        self._headless = False  # the request is a HEAD: whatever answers it has no body
        self._request: Request | None = None  # its head is read, its body is awaited
        self._length = 0

    def feed(self, data: bytes) -> None:
        """MUST be called with no more bytes at once than one head may have."""
        self._buffer += data

    @property
    def begun(self) -> bool:
        """Some bytes of a request are here that is not yet whole."""
        return bool(self._buffer) or self._request is not None

    @property
    def keeps_alive(self) -> bool:
        """After the last answer, whether another request may follow on this connection."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    @property
    def awaits_body(self) -> bool:
        return self._request is not None

    @property
    def awaits_continue(self) -> bool:
        return self._request is not None and self._h11.they_are_waiting_for_100_continue

    def next_request(self) -> Request | None:
        """The next whole request, or None while it is not all here. Raises HTTPError: answer it and close."""
        if self._request is None:
            if self.keeps_alive:
                self._h11.start_next_cycle()
                self._headless = False
            head = self._cut_head()
            if head is None:
                return None
            self._request, self._length = self._parse_head(head)
        if len(self._buffer) < self._length:
            return None
        request, body = self._request, bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._request = None
        if body:
            self._h11.receive_data(body)
        while isinstance(event := self._h11.next_event(), h11.Data):
            pass  # so that h11 knows the request to be whole
        assert isinstance(event, h11.EndOfMessage), "h11 counts this body otherwise than we do"
        return replace(request, body=body) if body else request

    def _cut_head(self) -> bytes | None:
        limits, buffer = self._limits, self._buffer
        if not self._skipped and buffer.startswith(b"\r\n"):
            del buffer[:2]  # one empty line before a request is ignored, RFC 9112 2.2
            self._skipped = True
            self._searched = 0
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        size = len(buffer) if end < 0 else end + 4
        line = buffer.find(b"\r\n", 0, limits.request_line + 2)
        if line < 0 and size > limits.request_line + 1:
            raise HTTPError(414, "target_too_long", f"the request line is longer than {limits.request_line} bytes")
        if size > limits.request_head:
            raise HTTPError(431, "headers_too_large", f"the request head is longer than {limits.request_head} bytes")
        if _BARE_LF.search(buffer, max(0, self._searched - 1), size):
            raise HTTPError(400, "malformed", _MALFORMED)  # at once: its end would never come
        if end < 0:
            self._searched = size
            return None
        self._searched = 0
        self._skipped = False
        head = bytes(buffer[:size])
        del buffer[:size]
        if head.count(b"\r\n") - 2 > limits.request_headers:
            raise HTTPError(431, "headers_too_many", f"the request has more than {limits.request_headers} header lines")
        lengths = _LENGTH.findall(head)
        if _REFUSED.search(head) or len(lengths) > 1 or not all(map(_DIGITS.fullmatch, lengths)):
            raise HTTPError(400, "malformed", _MALFORMED)
        return head

    def _parse_head(self, head: bytes) -> tuple[Request, int]:
        try:
            self._h11.receive_data(head)
            event = self._h11.next_event()
        except h11.RemoteProtocolError:
            raise HTTPError(400, "malformed", _MALFORMED) from None
        if not isinstance(event, h11.Request):
            raise HTTPError(400, "malformed", _MALFORMED)
        self._headless = event.method == b"HEAD"
        version = event.http_version.decode()
        if version not in ("1.0", "1.1"):
            raise HTTPError(505, "version_unsupported", "this server speaks HTTP/1.1")
        headers = tuple((name.decode("ascii"), value.decode("ascii")) for name, value in event.headers)
        method = event.method.decode("ascii")
        path, query = _split_target(event.target.decode("ascii"))
        request = Request(method, path, query, headers, version)
        if not all(map(_HOST.fullmatch, request.values("host"))):  # h11 has seen to it that there is one, and only one
            raise HTTPError(400, "host_invalid", "the Host header is not a host and a port")
        return request, self._body_length(request)

    def _body_length(self, request: Request) -> int:
        """How many bytes of body follow. h11 would take Content-Length beside Transfer-Encoding, and bodies on GET."""
        lengths = request.values("content-length")
        if request.values("transfer-encoding"):
            if lengths or request.version == "1.0" or request.method in ("GET", "HEAD"):
                raise HTTPError(400, "malformed", _MALFORMED)  # request smuggling, RFC 9112 6.1, 6.3
            raise HTTPError(411, "length_required", "send the body with Content-Length")
        length = int(lengths[0]) if lengths else 0
        if length and (request.method not in ("POST", "PUT", "PATCH") or request.values("upgrade")):
            raise HTTPError(400, "body_unexpected", "this request takes no body")
        if length > self._limits.request_body:
            raise HTTPError(413, "body_too_large", f"a body has at most {self._limits.request_body} bytes")
        return length

    def send(self, response: Response, *, date: str = "", close: bool = False) -> bytes:
        """The bytes of an answer. After `close`, or when the request says so, `keeps_alive` is False."""
        headers = [("Date", date)] if date else []
        headers += [*ALWAYS, *response.headers]
        headers.append(("Content-Length", str(len(response.body))))
        if close:
            headers.append(("Connection", "close"))
        sent = self._send(h11.Response(status_code=response.status, headers=headers, reason=_reason(response.status)))
        if response.body and not self._headless:
            sent += self._send(h11.Data(data=response.body))
        return sent + self._send(h11.EndOfMessage())

    def send_continue(self) -> bytes:
        """100 Continue, which some clients wait for before they send a body (RFC 9110 10.1.1)."""
        return self._send(h11.InformationalResponse(status_code=100, headers=[], reason=_reason(100)))

    def send_switch(self, headers: Headers) -> tuple[bytes, bytes]:
        """101 with these headers, and what has already arrived behind the request: the new protocol's first bytes."""
        sent = self._send(h11.InformationalResponse(status_code=101, headers=list(headers), reason=_reason(101)))
        return sent, bytes(self._buffer)

    def _send(self, event: h11.Event) -> bytes:
        return self._h11.send(event) or b""


def _reason(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode()  # a constant: h11 does not check reason phrases


def _split_target(target: str) -> tuple[str, Mapping[str, str]]:
    """Path and query of an origin-form target (RFC 9112 3.2.1). No path of ours needs an escape, so none is decoded."""
    path, _, query = target.partition("?")
    if not path.startswith("/") or "#" in target:
        raise HTTPError(400, "target_invalid", "the request target must be a path, as /auth?username=NAME")
    if not _PATH.fullmatch(path) or any(segment in (".", "..") for segment in path.split("/")):
        raise HTTPError(400, "target_invalid", "the path has an empty, dotted or escaped part; write it plainly")
    if _BAD_ESCAPE.search(query):
        raise HTTPError(400, "query_invalid", "the query has an escape that stands for nothing printable")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16)
    except ValueError:
        if query:
            raise HTTPError(400, "query_invalid", "the query is not NAME=VALUE pairs in UTF-8") from None
        pairs = []
    if len(dict(pairs)) < len(pairs):
        raise HTTPError(400, "query_invalid", "the query names a parameter twice")
    return path, dict(pairs)
