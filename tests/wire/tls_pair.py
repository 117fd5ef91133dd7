"""A TLSServer and Python's own client, on memory BIOs: what the tests of TLS share."""

from __future__ import annotations

import contextlib
import functools
import ssl
import warnings

from gochatsecure.live.certificates import Contexts, server_contexts
from gochatsecure.wire.tls import TLSServer
from tests.support import certificate, client_context

CLOSED = "the peer has closed"


@functools.cache
def our_contexts() -> Contexts:
    return server_contexts(certificate().cert, certificate().key)


def version_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate().ca)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TLS 1.1: the point of a test
        context.minimum_version = context.maximum_version = version
    return context


class Pair:
    """A server and a client, whose records pass only when a test says so."""

    def __init__(self, client: ssl.SSLContext | None = None, server: ssl.SSLContext | None = None) -> None:
        self.server = TLSServer((server,) if server else our_contexts())
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = client or client_context()
        self.client = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def from_client(self) -> bytes:
        return self._outgoing.read()

    def to_server(self) -> None:
        self.server.feed(self.from_client())

    def to_client(self) -> bytes:
        records = self.server.take()
        self._incoming.write(records)
        return records

    def step(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.do_handshake()

    def shaken(self) -> Pair:
        """Through the handshake, what follows it in TLS 1.3 included."""
        for _ in range(4):
            self.step()
            self.to_server()
            self.server.handshake()
            self.to_client()
        assert self.server.established
        return self

    def client_reads(self) -> bytes | str:
        """All plaintext that is there; CLOSED if there is none and will be none."""
        plaintext = b""
        while True:
            try:
                part = self.client.read(65536)
            except ssl.SSLWantReadError:
                return plaintext
            except ssl.SSLZeroReturnError:
                part = b""
            if not part:
                return plaintext or CLOSED
            plaintext += part

    def client_closes(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self.client.unwrap()
        self.to_server()


def read_all(server: TLSServer, most: int = 4096) -> bytes:
    plaintext = b""
    while part := server.read(most):
        assert len(part) <= most
        plaintext += part
    return plaintext
