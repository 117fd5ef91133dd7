"""Whether a store says what it said when it was written: every number, every link of every chain. Only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..chat.chain import SALT, follows, genesis, is_erased
from ..chat.model import RULES, Edited, Entry, Position, Stream, target_of, text_of, until_of
from ..errors import StoreError
from .migrations import STEPS, refuse_foreign
from .port import keep_rule, peer_of
from .rows import COLUMNS, entry_of

_TOLD = 20  # faults told of one stream; a chain that is broken once may be so to its end


@dataclass(slots=True)
class Report:
    """What was found. `positions` may be kept elsewhere: who holds a head can tell that all before it is unchanged."""

    entries: int = 0
    faults: list[str] = field(default_factory=list)
    positions: dict[Stream, Position] = field(default_factory=dict)


def verify(path: Path) -> Report:
    """Look through the whole file, also while a server writes to it. Raises StoreError for what is no store of ours.

    No fault repeats what anybody has said."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no such file", "name the store with -store sqlite:PATH")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as store:
            # SQLite's own error would quote what is no text.
            store.text_factory = partial(str, encoding="utf-8", errors="backslashreplace")
            refuse_foreign(store, path)
            if store.execute("PRAGMA user_version").fetchone() != (len(STEPS),):
                raise StoreError(f"{path}: of an older version, or empty", "start the server on it once")
            return _verify(store)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be read: {error}", "restore it from a copy") from None


def _verify(store: sqlite3.Connection) -> Report:
    report = Report()
    store.execute("BEGIN")  # all of it as of one moment
    _tell(report, "database", (told for (told,) in store.execute("PRAGMA integrity_check") if told != "ok"))
    strays = store.execute("PRAGMA foreign_key_check")
    _tell(report, "database", (f"a row of {table} belongs to no stream" for table, *_ in strays))
    epochs = store.execute("SELECT epoch FROM store").fetchall()
    if len(epochs) != 1:
        report.faults.append(f"database: it has {len(epochs)} epochs, not one")
        return report
    for number, name, floor, base in store.execute("SELECT id, name, floor, base FROM stream ORDER BY name").fetchall():
        start = Position(epochs[0][0], floor, floor - 1, base)
        _tell(report, name, _follow(store, number, Stream(name), start, report))
    return report


def _tell(report: Report, where: str, faults: Iterable[str]) -> None:
    """The first of them, and how many more there are: however many, they take little memory."""
    found = 0
    for fault in faults:
        found += 1
        if found <= _TOLD:
            report.faults.append(f"{where}: {fault}")
    if found > _TOLD:
        report.faults.append(f"{where}: and {found - _TOLD} faults more")


def _follow(store: sqlite3.Connection, number: int, stream: Stream, start: Position, report: Report) -> Iterator[str]:
    """The faults of one stream; its position goes into the report."""
    if start.floor == 1 and start.head != genesis(stream, start.epoch):
        yield "its chain does not begin with its name and epoch"
    last, head = start.last, start.head
    rules: dict[tuple[str, str], Entry] = {}
    query = f"SELECT target, peer, {COLUMNS} FROM entry WHERE stream = ? ORDER BY seq"
    for target, peer, *row in store.execute(query, (number,)):
        seq = row[0]
        report.entries += 1
        if seq != last + 1:
            missing = f"entry {last + 1} is" if seq == last + 2 else f"entries {last + 1} to {seq - 1} are"
            yield f"{missing} missing" if seq > last else f"entry {seq} is out of its order"
        try:
            entry = entry_of(stream, *row)
        except (ValueError, KeyError, TypeError, RecursionError):
            yield f"entry {seq} cannot be read"
        else:
            yield from _check(entry, head)
            yield from _check_place(entry, target, peer)
            yield from _check_erasing(store, number, entry, target)
            with suppress(TypeError, AttributeError):  # not even a text: that is told already
                if type(entry.content) in RULES:
                    keep_rule(rules, entry)
        last, head = seq, row[-1]
    kept = store.execute("SELECT kind, person, seq, until FROM rule WHERE stream = ?", (number,))
    made = {slot: (rule.seq, until_of(rule.content)) for slot, rule in rules.items()}
    if {(kind, person): (seq, until) for kind, person, seq, until in kept} != made:
        yield "its rules are not those that its entries make"
    report.positions[stream] = start._replace(last=last, head=head)


def _check(entry: Entry, head: bytes) -> Iterator[str]:
    sealed = len(entry.seal) in (SALT, 32) if text_of(entry.content) is not None else not entry.seal
    if not sealed:
        yield f"entry {entry.seq} has no seal that could be one"
    elif len(entry.seal) > SALT and text_of(entry.content) != "":
        yield f"entry {entry.seq} is erased, but has a text"
    try:
        follow = follows(entry, head)
    except (UnicodeError, ValueError, TypeError, AttributeError):
        follow = False
    if not follow:
        yield f"entry {entry.seq}: its head does not follow from entry {entry.seq - 1}"


def _check_place(entry: Entry, target: int | None, peer: str | None) -> Iterator[str]:
    try:
        own = target_of(entry.content), peer_of(entry.stream, entry.sender, entry.content)
    except AttributeError:  # not even a text
        own = None
    if own != (target, peer):
        yield f"entry {entry.seq} is filed under another message, or another name, than its own"


def _check_erasing(store: sqlite3.Connection, number: int, entry: Entry, target: int | None) -> Iterator[str]:
    """A text is erased if, and only if, its message was deleted: neither can be seen from the chain."""
    if text_of(entry.content) is None:
        return
    message = target if isinstance(entry.content, Edited) else entry.seq
    (deletion,) = store.execute(
        "SELECT max(seq) FROM entry INDEXED BY entry_about WHERE stream = ? AND target = ? AND kind = 'deleted'",
        (number, message),
    ).fetchone()
    if is_erased(entry) and deletion is None:
        yield f"entry {entry.seq} is erased, but no entry deletes it"
    elif not is_erased(entry) and deletion is not None and deletion > entry.seq:
        yield f"entry {entry.seq} has a text, but entry {deletion} deletes it"
