"""TLS without a socket: records in, plaintext out, and back. A plain pump around two `ssl.MemoryBIO`.

Why not `asyncio.start_server(ssl=...)`: its transport costs some 280 KB a connection, shows a connection only once
its handshake is done (so that idle ones could not be counted), and lingers for 30 s on close.
"""

from __future__ import annotations

import ssl


class TLSFailure(Exception):
    """The peer does not speak TLS as we do. What `take` returns then (an alert, maybe) is still owed to it."""


class TLSServer:
    """The server's side of one TLS connection. Feed it what arrives; send what `take` returns after every call."""

    __slots__ = ("_closed", "_incoming", "_object", "_outgoing", "established")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._closed = False  # by the peer
        self.established = False

    def feed(self, records: bytes | memoryview) -> None:
        """Bytes from the network."""
        self._incoming.write(records)

    def handshake(self) -> bool:
        """Go on with the handshake; True once it is done. Raises TLSFailure."""
        if not self.established:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return False
            except (ssl.SSLError, OSError) as error:
                raise TLSFailure(_cause(error)) from None
            self.established = True
        return True

    def read(self, most: int) -> bytes | None:
        """At most so many bytes of plaintext; None when more records are needed; b"" when the peer has closed."""
        if not (self._closed or self._incoming.pending or self._object.pending()):
            return None  # to ask OpenSSL would raise an exception at the end of every read
        try:
            plaintext = self._object.read(most)
            self._closed = not plaintext
            return plaintext
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            self._closed = True
            return b""
        except (ssl.SSLError, OSError) as error:
            raise TLSFailure(_cause(error)) from None

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
