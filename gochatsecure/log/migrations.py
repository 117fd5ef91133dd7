"""The schema of the SQLite store, as the steps that lead to it. A step that has been released is never changed.

`PRAGMA user_version` counts the steps that a file has taken; `application_id` marks the file as ours.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import StoreError

APPLICATION_ID = 0x47436853  # "GChS"

STEPS: tuple[str, ...] = (
    """
    CREATE TABLE store (
        epoch TEXT NOT NULL              -- this incarnation of the file: seq count from 1 within it
    ) STRICT;
    CREATE TABLE stream (
        id    INTEGER PRIMARY KEY,
        name  TEXT NOT NULL UNIQUE,      -- room/NAME or inbox/KEY
        floor INTEGER NOT NULL,          -- the oldest seq that is kept
        base  BLOB NOT NULL              -- the chain's head before it
    ) STRICT;
    CREATE TABLE entry (
        stream INTEGER NOT NULL REFERENCES stream (id),
        seq    INTEGER NOT NULL,         -- 1, 2, 3, ... in each stream
        ts     INTEGER NOT NULL,         -- milliseconds since 1970, UTC
        sender TEXT NOT NULL,            -- an identity's key
        cid    TEXT,                     -- the sender's idempotency key, on the first entry of a draft
        kind   TEXT NOT NULL,
        body   TEXT NOT NULL,            -- a JSON array: the fields of this kind
        target INTEGER,                  -- the seq of the message that it is about
        peer   TEXT,                     -- of a private message: the other's name
        seal   BLOB NOT NULL,            -- the salt of the text's commitment; once it is erased, the commitment
        head   BLOB NOT NULL,            -- the chain's value here
        PRIMARY KEY (stream, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX entry_once ON entry (sender, cid) WHERE cid IS NOT NULL;
    CREATE INDEX entry_about ON entry (stream, target, kind, seq) WHERE target IS NOT NULL;
    CREATE INDEX entry_peer ON entry (stream, peer, seq) WHERE peer IS NOT NULL;
    CREATE TABLE rule (                  -- the last entry of each kind that says how a room stands
        stream INTEGER NOT NULL REFERENCES stream (id),
        kind   TEXT NOT NULL,
        person TEXT NOT NULL,            -- the key of whom it is about, or nothing
        seq    INTEGER NOT NULL,
        PRIMARY KEY (stream, kind, person)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE mark (
        reader TEXT NOT NULL,            -- an identity's key
        place  TEXT NOT NULL,            -- room/NAME, with/NAME, or here
        seq    INTEGER NOT NULL,         -- read up to it
        at     INTEGER NOT NULL,         -- counts up: which was set last
        PRIMARY KEY (reader, place)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX mark_at ON mark (reader, at);
    CREATE INDEX mark_last ON mark (at);
    CREATE TABLE account (
        name       TEXT PRIMARY KEY,     -- a registered name
        look       TEXT NOT NULL UNIQUE, -- equal for names that a reader could take for each other
        password   TEXT NOT NULL,        -- its scrypt record
        role       TEXT NOT NULL,
        created    INTEGER NOT NULL,     -- seconds since 1970, UTC
        disabled   INTEGER NOT NULL,     -- 0 or 1
        generation INTEGER NOT NULL,     -- its tokens name it: another one ends them
        changed    INTEGER NOT NULL UNIQUE  -- counts up over all accounts: who watches asks for what is newer
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE revoked (
        id    INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, for who watches
        name  TEXT NOT NULL,             -- whose sign-in has ended
        sid   TEXT NOT NULL,
        until INTEGER NOT NULL           -- seconds since 1970, UTC: its tokens have expired by then
    ) STRICT;
    """,
    """
    ALTER TABLE rule RENAME TO earlier;
    CREATE TABLE rule (                  -- the entries that say how a room stands: the last of each, if it counts still
        stream INTEGER NOT NULL REFERENCES stream (id),
        kind   TEXT NOT NULL,
        person TEXT NOT NULL,            -- the key of whom it is about, of a ban or a mute the name; or nothing
        seq    INTEGER NOT NULL,
        until  INTEGER,                  -- milliseconds since 1970, UTC: when a ban or a mute ends by itself
        PRIMARY KEY (stream, kind, person)
    ) STRICT, WITHOUT ROWID;
    WITH said AS (
        SELECT stream, earlier.kind, person, seq, ts,
            iif(earlier.kind IN ('banned', 'muted', 'unbanned', 'unmuted'),
                substr(person, 1, instr(person || '~', '~') - 1), person) AS about,
            iif(earlier.kind IN ('banned', 'muted'), json_extract(body, '$[1]'), NULL) AS until
        FROM earlier JOIN entry USING (stream, seq)
    )
    INSERT INTO rule (stream, kind, person, seq, until)
    SELECT stream, kind, about, seq, until FROM said
    WHERE kind NOT IN ('kicked', 'unbanned', 'unmuted') AND NOT EXISTS (
        SELECT 1 FROM said AS later WHERE later.stream = said.stream AND later.seq > said.seq AND (
            (later.kind IN (said.kind, 'un' || said.kind) AND later.about = said.about)
            OR (later.kind IN ('kicked', 'banned') AND said.kind IN ('role', 'invited') AND later.person = said.person)
            OR (later.kind = said.kind AND later.ts >= said.until)
        )
    );
    DROP TABLE earlier;
    """,
)


def refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError for a file that is not ours, or of a version that we do not know. Only reads."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or version or application):
        raise StoreError(f"{path}: another program's database", "name another file with -store sqlite:PATH")
    if version > len(STEPS):
        raise StoreError(f"{path}: written by a newer GoChatSecure", "run that version, or restore an older copy")


def migrate(connection: sqlite3.Connection) -> None:
    """Take the steps that this file, which is ours, has not taken: each in one transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(STEPS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
        )
