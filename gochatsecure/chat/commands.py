"""What can be asked, as one table: from its rows come the parsing of every wire format, and every help text."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from . import model

Kind = Literal["word", "rest", "count", "here"]
"""How a parameter is typed: one word; all that remains of the line; a whole number from 1; the room one is in."""


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: Kind
    required: bool = True

    @property
    def usage(self) -> str:
        shown = "N" if self.kind == "count" else self.name.upper()
        return "" if self.kind == "here" else shown if self.required else f"[{shown}]"


@dataclass(frozen=True, slots=True)
class Row:
    """One command: the `word` that asks for it, the value it becomes, its parameters in order, its line of help."""

    word: str
    command: type[Any]
    parameters: tuple[Parameter, ...]
    help: str
    fixed: MappingProxyType[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def usage(self) -> str:
        return " ".join([self.word, *filter(None, (parameter.usage for parameter in self.parameters))])


_HERE = Parameter("room", "here")
_TEXT = Parameter("text", "rest")

SAY = Row("", model.Say, (_HERE, _TEXT), "say it to everybody in the room")
TELL = Row("@", model.Tell, (Parameter("name", "word"), _TEXT), "say it to NAME alone, wherever NAME is connected")
TABLE: tuple[Row, ...] = (
    Row("/join", model.Join, (Parameter("room", "word"),), "leave this room and go to ROOM"),
    Row("/who", model.Who, (_HERE,), "who is in this room"),
    Row("/rooms", model.Rooms, (), "the rooms that somebody is in"),
    Row("/history", model.History, (_HERE, Parameter("limit", "count", required=False)), "the last N messages"),
    Row("/me", model.Say, (_HERE, _TEXT), "say what you do: * you TEXT", MappingProxyType({"action": True})),
    Row("/say", model.Say, (_HERE, _TEXT), "say TEXT as it is, whatever it begins with"),
    Row("/help", model.Help, (), "this list"),
    Row("/quit", model.Quit, (), "leave"),
)
BY_WORD = MappingProxyType({row.word: row for row in TABLE})
