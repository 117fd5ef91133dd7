"""Drafts into rows: one transaction for a group of them. On one connection, without a thread of its own."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ..chat.chain import SALT, advance, erased, genesis
from ..chat.content import is_repeat
from ..chat.model import RULES, Deleted, Draft, Entry, Stream, slot_of, taken_back, text_of, until_of
from .migrations import migrate
from .port import Committed, Failed, Outcome, cid_reused, unavailable
from .rows import COLUMNS, INSERT, RULE, Row, encode, end_of, entry_of, entry_under, row_of

_logger = logging.getLogger("gochatsecure.log")
_STREAMS_KNOWN = 10_000  # ends kept in memory; the rest are looked up again

Marks = Mapping[tuple[str, str], int]
"""By reader and place: what was read."""


class _End(NamedTuple):
    """Where a stream ends: its number, its last seq and head."""

    number: int
    last: int
    head: bytes


class Writer:
    """Knows where each stream ends. Used by one thread at a time."""

    def __init__(
        self, connection: sqlite3.Connection, make_epoch: Callable[[], str], make_salt: Callable[[int], bytes]
    ) -> None:
        self._connection = connection
        self._make_epoch = make_epoch
        self._make_salt = make_salt
        self._epoch = ""
        self._ends: dict[Stream, _End] = {}
        self._salts = b""
        self.commits = self.failed = self.entries = 0  # as `port.Tally` has them

    def migrate(self) -> None:
        """Raises sqlite3.Error."""
        migrate(self._connection)
        found = self._connection.execute("SELECT epoch FROM store").fetchone()
        if found is None:
            found = (self._make_epoch(),)
            self._connection.execute("INSERT INTO store (epoch) VALUES (?)", found)
        (self._epoch,) = found

    def close(self) -> None:
        self._connection.close()  # the last connection checkpoints the WAL into the file

    def commit(self, drafts: Sequence[Draft], marks: Marks) -> tuple[list[Outcome], dict[tuple[str, str], int] | None]:
        """One transaction for all. Answers with the drafts' outcomes, and the marks as they are now.

        What SQLite cannot do fails all of them, the marks with None; the next call starts afresh."""
        try:
            try:
                return self._attempt(self._write_new, drafts, marks)
            except sqlite3.IntegrityError:  # some cid has been used before
                return self._attempt(self._write_checked, drafts, marks)
        except sqlite3.Error as error:
            _logger.error("store: a commit of %d failed: %s", len(drafts), error)
        except Exception:
            _logger.exception("store: a commit of %d failed by our own fault", len(drafts))
        self.failed += 1
        self._ends.clear()  # whether it is stored is not known: where they end is looked up again
        refusal = unavailable()
        return [Failed(draft, refusal) for draft in drafts], None

    def _attempt(
        self,
        write: Callable[[Sequence[Draft], dict[Stream, _End]], list[Outcome]],
        drafts: Sequence[Draft],
        marks: Marks,
    ) -> tuple[list[Outcome], dict[tuple[str, str], int]]:
        if len(self._ends) > _STREAMS_KNOWN:
            self._ends.clear()
        ends: dict[Stream, _End] = {}  # as they will be
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = write(drafts, ends)
            bare: dict[tuple[Stream, int], Entry] = {}
            stored = 0
            for outcome in outcomes:
                if isinstance(outcome, Committed) and not outcome.dup:
                    stored += len(outcome.entries)
                    for entry in outcome.entries:
                        if isinstance(entry.content, Deleted):
                            bare |= self._erase(ends[entry.stream].number, entry.stream, entry.content.target)
                        elif type(entry.content) in RULES:
                            self._rule(ends[entry.stream].number, entry)
            if bare:
                outcomes = [_as_it_is_now(outcome, bare) for outcome in outcomes]
            marked = {key: self._mark(*key, seq) for key, seq in marks.items()}
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        self._ends |= ends
        self.commits += 1
        self.entries += stored
        return outcomes, marked

    def _write_new(self, drafts: Sequence[Draft], ends: dict[Stream, _End]) -> list[Outcome]:
        """The common case: every cid is new. Raises sqlite3.IntegrityError if one is not."""
        rows: list[Row] = []
        outcomes: list[Outcome] = [Committed(draft, self._number(draft, ends, rows)) for draft in drafts]
        self._connection.executemany(INSERT, rows)
        return outcomes

    def _write_checked(self, drafts: Sequence[Draft], ends: dict[Stream, _End]) -> list[Outcome]:
        rows: list[Row] = []
        outcomes: list[Outcome] = []
        made: dict[tuple[str, str | None], Entry] = {}  # in this very group
        for draft in drafts:
            key = (draft.sender, draft.cid)
            first = made.get(key)
            if first is None and draft.cid is not None:
                first = entry_under(self._connection, draft.sender, draft.cid)
            if first is None:
                entries = self._number(draft, ends, rows)
                outcomes.append(Committed(draft, entries))
                if draft.cid is not None:
                    made[key] = entries[0]
            elif is_repeat(draft, first):
                outcomes.append(Committed(draft, (first,), dup=True))
            else:
                outcomes.append(Failed(draft, cid_reused()))
        self._connection.executemany(INSERT, rows)
        return outcomes

    def _number(self, draft: Draft, ends: dict[Stream, _End], rows: list[Row]) -> list[Entry]:
        """Give each part its place, and carry the chain on; add its row."""
        entries = []
        _, ts, parts, cid, _ = draft
        for stream, content in parts:
            number, last, head = ends.get(stream) or self._ends.get(stream) or self._look_up(stream)
            seal = b"" if text_of(content) is None else self._salt()
            head = advance(head, last + 1, ts, draft.sender, cid, content, seal)
            ends[stream] = _End(number, last + 1, head)
            entry = Entry(stream, last + 1, ts, draft.sender, cid, content, head, seal)
            rows.append(row_of(number, entry))
            entries.append(entry)
            cid = None
        return entries

    def _salt(self) -> bytes:
        if not self._salts:
            self._salts = self._make_salt(64 * SALT)
        salt, self._salts = self._salts[:SALT], self._salts[SALT:]
        return salt

    def _look_up(self, stream: Stream) -> _End:
        found = end_of(self._connection, stream)
        if found is not None:
            number, _, last, head = found
            return _End(number, last, head)
        base = genesis(stream, self._epoch)
        inserted = self._connection.execute("INSERT INTO stream (name, floor, base) VALUES (?, 1, ?)", (stream, base))
        assert inserted.lastrowid is not None
        return _End(inserted.lastrowid, 0, base)

    def _erase(self, number: int, stream: Stream, target: int) -> dict[tuple[Stream, int], Entry]:
        """The text of this entry and of its edits. Answers with what is left of them."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS} FROM entry WHERE stream = ? AND seq = ?"
            f" UNION ALL SELECT {COLUMNS} FROM entry INDEXED BY entry_about"
            f" WHERE stream = ? AND target = ? AND kind = 'edited'",
            (number, target, number, target),
        ).fetchall()
        bare = [erased(entry_of(stream, *row)) for row in rows]
        self._connection.executemany(
            "UPDATE entry SET body = ?, seal = ? WHERE stream = ? AND seq = ?",
            [(encode(entry.content), entry.seal, number, entry.seq) for entry in bare],
        )
        return {(stream, entry.seq): entry for entry in bare}

    def _rule(self, number: int, entry: Entry) -> None:
        """As `port.keep_rule` keeps it."""
        for moot in taken_back(entry.content):
            self._connection.execute("DELETE FROM rule WHERE stream = ? AND kind = ? AND person = ?", (number, *moot))
        slot = slot_of(entry.stream, entry.content)
        if slot is not None:
            until = until_of(entry.content)
            if slot[0] in ("banned", "muted"):
                ended = "DELETE FROM rule WHERE stream = ? AND kind = ? AND until <= ?"
                self._connection.execute(ended, (number, slot[0], entry.ts))
            self._connection.execute(RULE, (number, *slot, entry.seq, until))

    def _mark(self, reader: str, place: str, seq: int) -> int:
        (marked,) = self._connection.execute(
            "INSERT INTO mark (reader, place, seq, at) VALUES (?, ?, ?, (SELECT coalesce(max(at), 0) + 1 FROM mark))"
            " ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq), at = excluded.at RETURNING seq",
            (reader, place, seq),
        ).fetchone()
        return int(marked)


def _as_it_is_now(outcome: Outcome, bare: Mapping[tuple[Stream, int], Entry]) -> Outcome:
    """A repeated draft's first entry is told without its text, if that was erased together with it."""
    if isinstance(outcome, Committed) and outcome.dup:
        return outcome._replace(entries=[bare.get((entry.stream, entry.seq), entry) for entry in outcome.entries])
    return outcome
