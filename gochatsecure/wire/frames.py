"""What nearly all of a chat is made of, read and written by us: frames that are a whole text message (RFC 6455 5.2).
Pure.

wsproto takes some ten times as long to read one. Whatever is not exactly such a frame is left to it.
"""

from __future__ import annotations

_FINAL_TEXT = 0x81
_MASKED = 0x80
_TWO, _EIGHT = 126, 127  # in place of the length: so many bytes of it follow
_MASK = 4  # bytes

PING = b"\x89\x00"


def frame(text: str) -> bytes:
    """One text message as one frame, for any number of sessions: a server's are unmasked."""
    payload = text.encode()
    size = len(payload)
    if size < _TWO:
        return bytes((_FINAL_TEXT, size)) + payload
    if size < 65536:
        return bytes((_FINAL_TEXT, _TWO, size >> 8, size & 255)) + payload
    return bytes((_FINAL_TEXT, _EIGHT)) + size.to_bytes(8, "big") + payload


def take_text(waiting: bytearray, most: int) -> str | None:
    """Take off the first frame, if it is a client's whole text message of at most `most` bytes and all of it is there;
    else None, and nothing is taken."""
    if len(waiting) < 2 + _MASK or waiting[0] != _FINAL_TEXT:
        return None
    begin, size = 2 + _MASK, waiting[1] - _MASKED
    if size == _TWO:
        begin, size = 4 + _MASK, waiting[2] << 8 | waiting[3]
        if size < _TWO:  # there is a shorter way to say it, which is the only one
            return None
    elif not 0 <= size < _TWO:
        return None
    end = begin + size
    if size > most or len(waiting) < end:
        return None
    mask = (waiting[begin - _MASK : begin] * (size // _MASK + 1))[:size]
    payload = int.from_bytes(waiting[begin:end], "little") ^ int.from_bytes(mask, "little")
    try:
        text = payload.to_bytes(size, "little").decode()
    except UnicodeDecodeError:
        return None
    del waiting[:end]
    return text


def frame_size(waiting: bytearray) -> int | None:
    """Bytes of the first frame, its header included; None while too little of it is there to tell."""
    if len(waiting) < 2:
        return None
    begin, size = 2, waiting[1] & ~_MASKED
    if size >= _TWO:
        begin = 4 if size == _TWO else 10
        if len(waiting) < begin:
            return None
        size = int.from_bytes(waiting[2:begin], "big")
    return begin + (_MASK if waiting[1] & _MASKED else 0) + size
