"""The dead letters in the journal's file, and the wish to have some of them tried again.

A wish is a row that any process may write; the forwarder that holds the journal takes it up, and the letter goes in the
transaction that says what became of it. So a letter is delivered, refused again or dropped, and never half of that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from forwarder.errors import StateError
from forwarder.journal.rows import DeadLetter, StoredLetter
from forwarder.journal.schema import FILE_NAME, connect, connect_to_read, translated

KEPT = 10_000  # the newest; a source that cannot be mapped at all must not fill the disk

TOLD_BEFORE = (
    "some of its events have ids that were told before: by a copy of it, or by a record behind it that took their "
    "number when it could not be mapped; what was new was added"
)

_COLUMNS = "time, source, sink, file, offset, size, reason, body, event, attempts"
_BURY = f"INSERT INTO dead_letters ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = f"SELECT dead_letters.id, {_COLUMNS.replace('time', 'dead_letters.time', 1)}, retries.id IS NOT NULL"
_ALL = f"{_SELECT} FROM dead_letters LEFT JOIN retries ON letter = dead_letters.id ORDER BY dead_letters.id"
_ASKED = f"{_SELECT} FROM retries JOIN dead_letters ON letter = dead_letters.id ORDER BY retries.id"
_ASK = "INSERT OR IGNORE INTO retries (letter, time) SELECT id, ? FROM dead_letters WHERE id = ?"


def bury(connection: sqlite3.Connection, letters: Sequence[DeadLetter]) -> None:
    """Keep the letters, and let go of the oldest when there are too many."""
    if not letters:
        return
    rows = [
        (
            *(one.time, one.source, one.sink, one.file, one.offset, one.size),
            *(one.reason, one.body, one.event, one.attempts),
        )
        for one in letters
    ]
    connection.executemany(_BURY, rows)
    (newest,) = connection.execute("SELECT max(id) FROM dead_letters").fetchone()
    connection.execute("DELETE FROM dead_letters WHERE id <= ?", (newest - KEPT,))
    connection.execute("DELETE FROM retries WHERE letter <= ?", (newest - KEPT,))


def settle(connection: sqlite3.Connection, letters: Iterable[int]) -> None:
    """The letters are none any more."""
    rows = [(one,) for one in letters]
    connection.executemany("DELETE FROM dead_letters WHERE id = ?", rows)
    connection.executemany("DELETE FROM retries WHERE letter = ?", rows)


def refuse_again(connection: sqlite3.Connection, letter: int, *, reason: str, time: float) -> None:
    """The letter was tried again in vain."""
    connection.execute(
        "UPDATE dead_letters SET time = ?, reason = ?, attempts = attempts + 1 WHERE id = ?", (time, reason, letter)
    )
    connection.execute("DELETE FROM retries WHERE letter = ?", (letter,))


def keep_told(connection: sqlite3.Connection, letters: Iterable[int], *, time: float) -> None:
    """The letters stay although they could be mapped: nobody can tell whether what they say has been told."""
    for one in letters:
        refuse_again(connection, one, reason=TOLD_BEFORE, time=time)


def asked(connection: sqlite3.Connection) -> list[StoredLetter]:
    """The letters that are wanted again, in the order of asking."""
    return list(_stored(connection.execute(_ASKED)))


def read_letters(connection: sqlite3.Connection) -> Iterator[StoredLetter]:
    """All dead letters, oldest first."""
    return _stored(connection.execute(_ALL))


def ask_again(folder: Path, letters: Iterable[int], *, time: float) -> None:
    """From another process: have these letters tried again. Raises `StateError`."""
    with _writing(folder) as connection:
        connection.executemany(_ASK, [(time, one) for one in letters])


def drop(folder: Path, letters: Iterable[int]) -> None:
    """From another process: forget these letters. Raises `StateError`."""
    with _writing(folder) as connection:
        settle(connection, letters)


def _stored(rows: Iterable[tuple[object, ...]]) -> Iterator[StoredLetter]:
    names = _COLUMNS.split(", ")
    for id, *values, is_asked in rows:
        letter = DeadLetter(**dict(zip(names, values, strict=True)))  # type: ignore[arg-type]
        yield StoredLetter(int(str(id)), letter, bool(is_asked))


@contextmanager
def _writing(folder: Path) -> Generator[sqlite3.Connection]:
    """One transaction in a journal that exists, also beside a running forwarder."""
    connect_to_read(folder).close()
    connection, path = connect(folder), folder / FILE_NAME
    try:
        with translated(path):
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise StateError(f"cannot write the journal {path}: {error}; nothing was changed") from error
    finally:
        connection.close()
