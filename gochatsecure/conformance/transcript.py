"""Golden transcripts: what is done, and what has to come of it. Read from text, compared with what came. Pure.

    # What is promised, in words.
    fresh: den                       these words, and the names of people, are new in each run
    alice< {"event":"welcome"}       who is mentioned first is signed in and connected
    alice> {"op":"join","id":1,"room":"den"}
    alice< {"re":1,"ok":{"last":0,"head":"$head"}}
    phone: connects as alice         another session of hers; `with lines in den`: of the lines protocol
    phone: is told nothing more
    http> GET /auth?username=alice | Authorization: Bearer $token_alice
    http< 200 {"username":"alice"}
    http> POST /auth {"username":"bob","password":"wrong"}
    bob: registers                   before he is mentioned otherwise: his name is his own from now on

What else somebody may do: `is lost`, `closes`, `is closed with CODE`, `sends binary`, `sends N times FRAME` (`#` in it
is the number), `is answered N times`, `is shown N events`, `catches up in ROOM to SEQ` (from where `$epoch` begins).

In what has to come `"..."` stands for anything, `"(none)"` for a field that is not there, and `"$name"` for what the
same name stands for elsewhere. Fields that are not mentioned may be there. Answers come in their order, and events in
theirs; between the two a transcript makes no order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_LINE = re.compile(r"(\w+)([<>:]) ?(.*)")
_VARIABLE = re.compile(r"\$\w+")
ABSENT = "(none)"


class Step(NamedTuple):
    """One line: `who` sends (`>`), is shown (`<`), or does (`:`) what the `text` says."""

    number: int
    who: str
    sign: str
    text: str


class Transcript(NamedTuple):
    name: str
    promise: str
    fresh: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def people(self) -> set[str]:
        """Who is signed in under their own name."""
        devices = {step.who: step.text.split()[2] for step in self.steps if step.text.startswith("connects as ")}
        return {devices.get(step.who, step.who) for step in self.steps} - {"http", "server"}

    def renamed(self, names: Mapping[str, str]) -> Transcript:
        """The same with other names for people and rooms, wherever they stand as a word of their own."""
        if not names:
            return self
        words = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
        word = re.compile(rf"(?<![\w.-])({words})(?![\w-])")
        steps = [step._replace(text=word.sub(lambda found: names[found[1]], step.text)) for step in self.steps]
        return self._replace(steps=tuple(steps))


def parse(name: str, text: str, fresh: Iterable[str] = ()) -> Transcript:
    """Raises ValueError for a line that is none."""
    words: list[str] = list(fresh)
    promise: list[str] = []
    steps: list[Step] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            promise += [line.removeprefix("#").strip()] if not steps else []
        elif line.startswith("fresh: "):
            words += line.split()[1:]
        elif line.strip():
            found = _LINE.fullmatch(line)
            if found is None:
                raise ValueError(f"{name}, line {number}: not NAME> ..., NAME< ... or NAME: ...")
            steps.append(Step(number, found[1], found[2], found[3]))
    return Transcript(name, " ".join(promise), tuple(words), tuple(steps))


Bound = dict[str, Any]
"""What each `$name` stands for."""


def filled(text: str, bound: Bound) -> str:
    """The text with what its variables stand for; `"$name"` in JSON becomes the value itself. Raises KeyError."""
    if "$" not in text:
        return text  # as it is written: what is no JSON has to stay so
    try:
        return json.dumps(_filled(json.loads(text), bound), ensure_ascii=False)
    except ValueError:
        return _VARIABLE.sub(lambda found: str(bound[found[0]]), text)


def _filled(value: Any, bound: Bound) -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, bound) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, bound) for item in value]
    return bound[value] if isinstance(value, str) and _VARIABLE.fullmatch(value) else value


def fits(wanted: Any, found: Any, bound: Bound, *, exact: bool = False) -> bool:
    """Whether this is what had to come; new variables are bound. `exact`: with these fields alone, in this order."""
    if wanted == "...":
        return True
    if isinstance(wanted, str) and _VARIABLE.fullmatch(wanted):
        return bool(bound.setdefault(wanted, found) == found)
    if isinstance(wanted, dict) and isinstance(found, dict):
        if exact and list(wanted) != list(found):
            return False
        return all(_field_fits(name, item, found, bound, exact) for name, item in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        pairs = zip(wanted, found, strict=False)
        return len(wanted) == len(found) and all(fits(one, other, bound, exact=exact) for one, other in pairs)
    return type(wanted) is type(found) and bool(wanted == found)


def _field_fits(name: str, wanted: Any, fields: dict[str, Any], bound: Bound, exact: bool) -> bool:
    if name not in fields or wanted == ABSENT:
        return name not in fields and bool(wanted == ABSENT)
    found = fields[name]
    if name == "members" and isinstance(wanted, list) and isinstance(found, list) and not exact:
        wanted, found = sorted(wanted, key=json.dumps), sorted(found, key=json.dumps)  # they are in no order
    return fits(wanted, found, bound, exact=exact)
