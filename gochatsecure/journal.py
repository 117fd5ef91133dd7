"""One line for each event: what the library logs, and the two ways in which the command line writes it.

The library logs to the logger `gochatsecure` and configures nothing. No line ever holds a token, a password, a
message's text or a whole query.
"""

from __future__ import annotations

import json
import logging
import re
import time

_UNSAFE = re.compile("[^ -~]")  # one line of printable ASCII, whatever is in it
"".encode("unicode_escape")  # loads the codec now: later there may be no file descriptor to load it with
_PLAIN = re.compile("[!-~]+")


class Happening:
    """A log message with named fields: `name key=value ...`, written out only if somebody reads it."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, **fields: object) -> None:
        self.name = name
        self.fields = fields

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={_value(value)}" for key, value in self.fields.items())])


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) and '"' not in text else json.dumps(text)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00Z info sign_in username=alice`; a traceback follows on lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_utc(record)} {record.levelname.lower()} {_UNSAFE.sub(_escape, record.getMessage())}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n    ".join([line, *(_UNSAFE.sub(_escape, part) for part in trace)])
        return line


class JSONFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `event`, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {"time": _utc(record), "level": record.levelname.lower()}
        if isinstance(record.msg, Happening):
            line |= {"event": record.msg.name, **record.msg.fields}
        else:
            line["event"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _utc(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
