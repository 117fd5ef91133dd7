"""What the person who runs the server can mend. Imports nothing of ours.

    OperatorError             one line: the cause; the mend
    ├── SettingsError         a flag, an environment variable or a TOML key
    ├── CertificateError      the certificate or its key
    ├── KeyFileError          the signing keys
    ├── StoreError            the database or its folder
    └── AddressError          the address to listen on

What a client may be told is `gochatsecure.chat.errors.Refusal`; anything else that is raised is our own bug.
"""

from __future__ import annotations


class OperatorError(Exception):
    """The server cannot start (or go on) as it is set up: `cause` says why, `mend` what to do about it."""

    def __init__(self, cause: str, mend: str) -> None:
        super().__init__(f"{cause}; {mend}")
        self.cause = cause
        self.mend = mend


class SettingsError(OperatorError):
    """A setting has a value that cannot be used."""


class CertificateError(OperatorError):
    """The certificate or its private key is missing, unreadable, too readable, or not a pair."""


class KeyFileError(OperatorError):
    """The file of signing keys is missing, too readable, or holds a key that could be guessed."""


class StoreError(OperatorError):
    """The database is missing, in use, not ours, from a newer version, or damaged."""


class AddressError(OperatorError):
    """The address cannot be listened on."""
