"""What the Python peers share: TLS, tokens, the port. Each is otherwise as its library's users would write it."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import sys

KEY = b"the benchmark's peers are nobody's secret"
PORT, CERT, PRIVATE = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERT, PRIVATE)
    return context


def issue(name: str) -> str:
    return f"{name}.{hmac.new(KEY, name.encode(), hashlib.sha256).hexdigest()}"


def verify(token: str) -> str | None:
    """The name in it, or None."""
    name = token.partition(".")[0]
    return name if hmac.compare_digest(token, issue(name)) else None
