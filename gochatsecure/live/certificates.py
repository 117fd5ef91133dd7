"""The server's TLS contexts: what it speaks, and the certificate that it shows. The only place that builds them."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

from ..errors import CertificateError
from ..private import refuse_shared

_MAKE = "make one with tools/gen_cert.sh, or name yours with -cert and -key"
_CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"  # forward secrecy and AEAD only; TLS 1.3 has nothing else. RFC 9325 4.2
# The group that nearly every client offers first, and the one that every client has (RFC 8446 9.1). OpenSSL offers
# ffdhe8192, too, with which each handshake that a peer asks for takes us 160 ms (CVE-2022-40735); in Python a context
# has one group, or all of them. Before OpenSSL 3 it can only be one of X9.62's.
_GROUPS = ("X25519", "prime256v1") if ssl.OPENSSL_VERSION_INFO >= (3,) else ("prime256v1",)
Contexts = tuple[ssl.SSLContext, ...]


def server_contexts(certificate: Path, key: Path) -> Contexts:
    """TLS 1.3 and 1.2 with this pair, by each group, in the order in which to try them. Raises CertificateError."""
    return tuple(_context(certificate, key, group) for group in _GROUPS)


def _context(certificate: Path, key: Path, group: str) -> ssl.SSLContext:
    try:
        for path, what in ((certificate, "certificate"), (key, "certificate's key")):
            if not path.is_file():
                raise CertificateError(f"{path}: there is no such file for the {what}", _MAKE)
        refuse_shared(key, CertificateError)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM").replace("_", " ").lower()
        raise CertificateError(f"{certificate}, {key}: not a certificate and its key: {reason}", _MAKE) from None
    except OSError as error:
        raise CertificateError(f"{certificate}, {key}: cannot be read: {error.strerror}", _MAKE) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS_1_2)
    context.set_ecdh_curve(group)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 1  # a client resumes with one; each costs time in every handshake
    return context


def expiry(certificate: Path) -> float:
    """When the first certificate of the file expires, in seconds since 1970. Raises CertificateError.

    The standard library reads no certificates that are not a peer's; this much of DER (X.690) is quickly read.
    """
    try:
        text = certificate.read_text("ascii", errors="replace")
        (pem,) = re.findall("(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text)[:1]
        _, whole, _ = _der(ssl.PEM_cert_to_DER_cert(pem))  # Certificate, and in it tbsCertificate: RFC 5280 4.1
        _, signed, _ = _der(whole)
        kind, value, rest = _der(signed)
        if kind == 0xA0:  # the version, which may be left out
            kind, value, rest = _der(rest)
        for _ in ("signature", "issuer", "validity"):  # behind the serial number
            kind, value, rest = _der(rest)
        _, _, until = _der(value)
        kind, value, _ = _der(until)
        form = "%y%m%d%H%M%SZ" if kind == 0x17 else "%Y%m%d%H%M%SZ"
        return datetime.strptime(value.decode("ascii"), form).replace(tzinfo=UTC).timestamp()
    except (OSError, ValueError, IndexError) as error:
        raise CertificateError(f"{certificate}: its expiry cannot be read: {error}", _MAKE) from None


def _der(encoded: bytes) -> tuple[int, bytes, bytes]:
    """The first element's tag and content, and what comes after it."""
    kind, size, start = encoded[0], encoded[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(encoded[2:start])
    return kind, encoded[start : start + size], encoded[start + size :]


def _refuse_password() -> str:
    raise CertificateError("the certificate's key is encrypted", "give the server a key without a passphrase, mode 600")
