"""TLS without a socket: records in, plaintext out, and back. A plain pump around two `ssl.MemoryBIO`.

Why not `asyncio.start_server(ssl=...)`: its transport costs some 280 KB a connection, shows a connection only once
its handshake is done (so that idle ones could not be counted), and lingers for 30 s on close.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence

_HEADER = 5  # bytes before a record's content, of which the last two are its length. RFC 8446 5.1
_HELLO = 16 * 1024  # bytes of a ClientHello kept until it is answered; browsers send some 2 KiB
_IDLE = 32  # records that bring no plaintext, beyond those that do; BoringSSL allows 32, Go 16


_NO_GROUP = {"NO_SUITABLE_KEY_SHARE", "NO_SUITABLE_GROUPS", "NO_SHARED_GROUPS", "NO_SHARED_CIPHER"}
"""What OpenSSL says where the client has no group of ours: the last one in TLS 1.2, and for want of a cipher, too."""


class TLSFailure(Exception):
    """The peer does not speak TLS as we do. What `take` returns then (an alert, maybe) is still owed to it."""


class TLSServer:
    """The server's side of one TLS connection. Feed it what arrives; send what `take` returns after every call.

    OpenSSL gets one record at a time: in one read it would go through any number of those that bring no plaintext. A
    buffer full of KeyUpdates would take us 50 ms.
    """

    __slots__ = (
        "_closed",
        "_contexts",
        "_hello",
        "_idle",
        "_incoming",
        "_object",
        "_outgoing",
        "_rest",
        "_waiting",
        "established",
    )

    def __init__(self, contexts: Sequence[ssl.SSLContext]) -> None:
        """`contexts`: where the first has no group that the client has, the next one is tried, unseen by the client."""
        self._contexts = iter(contexts)
        self._hello: bytes | None = b""  # what OpenSSL has got; None once it was answered
        self._begin(next(self._contexts))
        self._waiting = bytearray()  # what OpenSSL has not got yet
        self._rest = 0  # bytes to come of the record of which it has got a part
        self._idle = 0
        self._closed = False  # by the peer
        self.established = False

    def _begin(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def feed(self, records: bytes | memoryview) -> None:
        """Bytes from the network."""
        self._waiting += records

    def _admit(self) -> bool:
        """Give OpenSSL the next record, or what there is of it; False if there is nothing. Raises TLSFailure."""
        waiting, size = self._waiting, self._rest
        if not size:
            if len(waiting) < _HEADER:
                return False
            self._idle += 1
            if self._idle > _IDLE:
                raise TLSFailure("TOO_MANY_IDLE_RECORDS")
            size = _HEADER + int.from_bytes(waiting[3:_HEADER], "big")
        elif not waiting:
            return False
        self._incoming.write(waiting[:size])
        if self._hello is not None:
            self._hello += waiting[:size]
        self._rest = max(0, size - len(waiting))
        del waiting[:size]
        return True

    def handshake(self) -> bool:
        """Go on with the handshake; True once it is done. Raises TLSFailure."""
        while not self.established:
            try:
                self._object.do_handshake()
                self.established = True
                self._hello = None
            except ssl.SSLWantReadError:
                if self._hello is not None and (self._outgoing.pending or len(self._hello) > _HELLO):
                    self._hello = None
                if not self._admit():
                    return False
            except (ssl.SSLError, OSError) as error:
                if not self._begin_anew(error):
                    raise TLSFailure(_cause(error)) from None
        return True

    def _begin_anew(self, error: OSError) -> bool:
        """Give the next context the same ClientHello, if it may be for want of a group that this one refused it."""
        hello, context = self._hello, next(self._contexts, None)
        if hello is None or context is None or _cause(error) not in _NO_GROUP:
            return False
        self._begin(context)
        self._incoming.write(hello)
        return True

    def read(self, most: int) -> bytes | None:
        """At most so many bytes of plaintext; None when more records are needed; b"" when the peer has closed."""
        while not self._closed:
            if not (self._object.pending() or self._admit()):
                return None  # to ask OpenSSL would raise an exception at the end of every read
            try:
                plaintext = self._object.read(most)
                self._closed = not plaintext
                self._idle = max(0, self._idle - 2)  # two, so that what is idle now and then is forgotten
                return plaintext
            except ssl.SSLWantReadError:
                pass  # that was no plaintext, or not all of a record
            except ssl.SSLZeroReturnError:
                self._closed = True
            except (ssl.SSLError, OSError) as error:
                raise TLSFailure(_cause(error)) from None
        return b""

    def write(self, plaintext: bytes) -> None:
        """Encrypt all of it; `take` returns the records. Raises TLSFailure once we have closed."""
        try:
            self._object.write(plaintext)
        except (ssl.SSLError, OSError) as error:
            raise TLSFailure(_cause(error)) from None

    def take(self) -> bytes:
        """Bytes for the network, handshake and alerts included."""
        return self._outgoing.read()

    def close(self) -> None:
        """Say that no more plaintext comes (close_notify, RFC 8446 6.1). What the peer has sent unread is lost."""
        if self.established:
            try:
                self._object.unwrap()
            except (ssl.SSLError, OSError):
                pass  # its close_notify is not there yet, or never comes: ours is written in both cases


def _cause(error: OSError) -> str:
    """The short reason that OpenSSL gives, as `HTTP_REQUEST` or `NO_SHARED_CIPHER`."""
    return getattr(error, "reason", None) or type(error).__name__
