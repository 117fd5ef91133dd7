"""The chain through each log: whoever keeps its `head` finds out whether anything before it was changed.

    head(0) = SHA-256(["gochatsecure.v1", "room" or "inbox", NAME, epoch])
    head(n) = SHA-256(head(n - 1) || canonical(entry n))
    canonical(entry) = [seq, ts, from, cid, kind, field, ...]
    commitment = SHA-256(salt || text)

Lists are written as RFC 8785 writes JSON, in UTF-8. In an entry's fields the commitment, in base64url without padding,
stands for the text: so the text can be erased, with its salt, and the chain stays whole. The salt keeps a short text
from being guessed by its commitment.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from hashlib import sha256
from typing import Any

from .model import KIND_OF, Content, Entry, Stream, name_of, shown, text_of

SALT = 16  # bytes
_TAG = "gochatsecure.v1"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # of lists of texts and whole numbers: JCS


def genesis(stream: Stream, epoch: str) -> bytes:
    """head(0), 32 bytes."""
    kind, _, name = stream.partition("/")
    return sha256(_encode([_TAG, kind, name_of(name), epoch]).encode()).digest()


def commitment(salt: bytes, text: str) -> bytes:
    """32 bytes that stand for the text. Raises UnicodeEncodeError for what is no Unicode text."""
    return sha256(salt + text.encode()).digest()


def advance(head: bytes, seq: int, ts: int, sender: str, cid: str | None, content: Content, seal: bytes) -> bytes:
    """The head after this entry; `head` is the one before it. `seal`: as in `Entry`, b"" for a kind without a text."""
    fields: list[Any] = [*shown(content)]
    if (text := text_of(content)) is not None:
        fields[content._fields.index("text")] = base64url(seal if len(seal) > SALT else commitment(seal, text))
    canonical = _encode([seq, ts, name_of(sender), cid, KIND_OF[type(content)], *fields])
    return sha256(head + canonical.encode()).digest()


def follows(entry: Entry, head: bytes) -> bool:
    """Whether the entry's own head is what comes of it after this one."""
    return entry.head == advance(head, entry.seq, entry.ts, entry.sender, entry.cid, entry.content, entry.seal)


def is_erased(entry: Entry) -> bool:
    return len(entry.seal) > SALT


def erased(entry: Entry) -> Entry:
    """The same entry without its text, its head and place as they were."""
    text = text_of(entry.content)
    if text is None or is_erased(entry):
        return entry
    bare: Any = entry.content
    return entry._replace(content=bare._replace(text=""), seal=commitment(entry.seal, text))


def base64url(value: bytes) -> str:
    """Without padding, as RFC 7515 2 has it."""
    return b2a_base64(value, newline=False).translate(_URL_SAFE, b"=").decode()


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
