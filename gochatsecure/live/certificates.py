"""The server's TLS context: what it speaks, and the certificate that it shows. The only place that builds one."""

from __future__ import annotations

import ssl
from pathlib import Path

from ..errors import CertificateError
from ..private import refuse_shared

_MAKE = "make one with tools/gen_cert.sh, or name yours with -cert and -key"
_CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"  # forward secrecy and AEAD only; TLS 1.3 has nothing else. RFC 9325 4.2
# The one group that every client has (RFC 8446 9.1). OpenSSL offers ffdhe8192, too, with which each handshake that a
# peer asks for takes us 160 ms (CVE-2022-40735); Python can name one group, or leave all of them on.
_GROUP = "prime256v1"


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.3 and 1.2 with this pair. Raises CertificateError."""
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
    context.set_ecdh_curve(_GROUP)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 1  # a client resumes with one; each costs time in every handshake
    return context


def _refuse_password() -> str:
    raise CertificateError("the certificate's key is encrypted", "give the server a key without a passphrase, mode 600")
