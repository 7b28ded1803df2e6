"""The journal's file: tables, version, and what happens to a file that cannot be used."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from forwarder.errors import JournalDamaged, JournalTooNew, StateError
from forwarder.journal import noted, sessions
from forwarder.journal.soundness import check_sound
from forwarder.journal.upgrade import sessions_of

VERSION = 5
FILE_NAME = "journal.sqlite3"
APPLICATION_ID = 0x46574452  # "FWDR": tells our file from another program's

# A row of `batches` is everything that one commit added: rows of one event cost nine times as much (DESIGN.md).
# The three tables of seen facts are one set (journal/seen.py); pruning it by age is dropping `seen_before`.
FIRST_TABLES = """
CREATE TABLE batches (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL,
                      time REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE streams (id INTEGER PRIMARY KEY, source TEXT NOT NULL, path TEXT NOT NULL, device INTEGER NOT NULL,
                      inode INTEGER NOT NULL, generation INTEGER NOT NULL, offset INTEGER NOT NULL,
                      skip_until INTEGER NOT NULL, first_line BLOB NOT NULL, head_size INTEGER NOT NULL,
                      head BLOB NOT NULL, tail_size INTEGER NOT NULL, tail BLOB NOT NULL, state BLOB NOT NULL,
                      time REAL NOT NULL);
CREATE TABLE seen_lately (fact BLOB PRIMARY KEY, batch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE seen (fact BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE seen_before (fact BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE cursors (sink TEXT PRIMARY KEY, acked INTEGER NOT NULL, in_flight INTEGER NOT NULL);
CREATE TABLE dead_letters (id INTEGER PRIMARY KEY, time REAL NOT NULL, source TEXT, sink TEXT, file TEXT,
                           offset INTEGER, size INTEGER, reason TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE notes (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""

# What takes a file of this version to the next. A new file is made as version 1 and goes the same way.
# `acks`: up to which event a sink had got in the second `second`; `retries`: letters that somebody wants tried again.
_UPGRADES = {
    1: """
ALTER TABLE dead_letters ADD COLUMN event INTEGER;
ALTER TABLE dead_letters ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
CREATE TABLE retries (id INTEGER PRIMARY KEY, letter INTEGER NOT NULL UNIQUE, time REAL NOT NULL);
CREATE TABLE acks (sink TEXT NOT NULL, second INTEGER NOT NULL, acked INTEGER NOT NULL,
                   PRIMARY KEY (sink, second)) WITHOUT ROWID;
""",
    2: sessions.CREATE,
    3: "ALTER TABLE streams ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;",
    4: noted.CREATE,
}


def connect(folder: Path) -> sqlite3.Connection:
    """Open the journal in `folder` for writing, and make it if there is none.

    Raises `JournalTooNew`, `JournalDamaged`, or `StateError` when the folder cannot be written.
    """
    path = folder / FILE_NAME
    try:
        if not path.exists():
            path.touch(mode=0o600)
        elif path.stat().st_size == 0:  # to SQLite a new one: all that was known would be gone without a word
            raise JournalDamaged(f"{path} is empty")
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        connection.text_factory = _text
    except (OSError, sqlite3.OperationalError) as error:
        raise StateError(f"cannot write the journal {path}: {error}; choose another folder with --state-dir") from error
    try:
        with translated(path):
            _prepare(connection, path)
            check_sound(connection, path)
    except sqlite3.OperationalError as error:
        connection.close()
        raise StateError(f"cannot write the journal {path}: {error}; choose another folder with --state-dir") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _reason(path: Path, error: sqlite3.OperationalError) -> str:
    """SQLite says of a missing file that it cannot open it."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "`forwarder run` was never at work there; start it, or name its folder with --state-dir"
    except OSError as reason:
        return str(reason)
    return str(error)


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """Open the journal in `folder` for reading, also beside a running forwarder. Raises `StateError` without one."""
    path = folder / FILE_NAME
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=30
        )
        connection.text_factory = _text
    except sqlite3.OperationalError as error:
        raise StateError(f"no journal to read at {path}: {_reason(path, error)}") from error
    try:
        with translated(path):
            version = _check_version(connection, path)
            if version < VERSION:
                raise StateError(
                    f"{path} has version {version}, this forwarder reads {VERSION}: "
                    "`forwarder run` brings it up to date"
                )
            check_sound(connection, path)
    except sqlite3.OperationalError as error:
        connection.close()
        raise StateError(f"no journal to read at {path}: {_reason(path, error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def reading(folder: Path) -> Generator[sqlite3.Connection]:
    """One snapshot of the journal for the block, also while a forwarder is writing. Raises `StateError`."""
    connection, path = connect_to_read(folder), folder / FILE_NAME
    try:
        with translated(path):
            connection.execute("BEGIN")
            yield connection
    except sqlite3.OperationalError as error:
        raise StateError(f"cannot read the journal {path}: {error}; try again") from error
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # NORMAL: a power cut may undo the last commits, whole ones, and the source files still hold what they told of.
    connection.executescript(
        """PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
           PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -6144; PRAGMA temp_store = MEMORY;"""
    )
    version = _check_version(connection, path)
    if version < VERSION:
        make = f"{FIRST_TABLES} PRAGMA application_id = {APPLICATION_ID};" if version == 0 else ""
        steps = "".join(_UPGRADES[one] for one in range(max(version, 1), VERSION))
        connection.executescript(f"BEGIN IMMEDIATE; {make} {steps} PRAGMA user_version = {VERSION};")
        if version < 3:
            _tell_sessions(connection)
        connection.execute("COMMIT")


def _tell_sessions(connection: sqlite3.Connection) -> None:
    """Make the sessions of a journal that had none: the live ones are what its last events tell of."""
    newest = connection.execute("SELECT coalesce(max(time), 0) FROM batches").fetchone()[0]
    bodies = "SELECT body FROM batches WHERE time >= ? ORDER BY first"
    for (body,) in connection.execute(bodies, (newest - sessions.LIVE_SECONDS,)):
        sessions.update(connection, sessions_of(body.split(b"\n")), now=newest)


def _text(data: bytes) -> str:
    """A broken letter in a path is no reason to read nothing; SQLite's own words for it are those of a full disk."""
    return data.decode("utf-8", "replace")


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The file's version, 0 for an empty one."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise JournalTooNew(
            f"{path} has version {version}, this forwarder reads up to {VERSION}: update forwarder, "
            "or choose another folder with --state-dir"
        )
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if version and application != APPLICATION_ID:
        raise JournalDamaged(f"{path} is no journal of forwarder (application id {application:#x})")
    return version


@contextmanager
def translated(path: Path | str) -> Generator[None]:
    """Turn SQLite's words for a broken file into `JournalDamaged`; other errors (locked, full) pass unchanged."""
    try:
        yield
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise JournalDamaged(f"{path} is damaged: {error}") from error


def set_aside(folder: Path, now: datetime) -> Path:
    """Rename a journal that cannot be used, with its write-ahead log, and return its new name."""
    aside = folder / f"{FILE_NAME}.damaged-{now:%Y%m%dT%H%M%S%f}"
    for suffix in ("", "-wal", "-shm"):
        if (old := folder / (FILE_NAME + suffix)).exists():
            os.replace(old, str(aside) + suffix)
    return aside
