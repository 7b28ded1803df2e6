"""What could not be mapped or was rejected, kept with its reason, ready for replay.

Dead letters are written by the transaction that leaves them behind (`Changes.dead_letters`, `Journal.move`); here they
are read, from a connection of `forwarder.journal.connect_to_read`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from forwarder.journal import DeadLetter

_LIST = "SELECT id, time, reason, body, source, sink, file, offset, size FROM dead_letters ORDER BY id"
_COUNT = """SELECT source, sink, reason, count(*), max(time) FROM dead_letters
            GROUP BY source, sink, reason ORDER BY count(*) DESC, max(id) DESC"""


class StoredLetter(NamedTuple):
    """A dead letter under its number in the journal."""

    id: int
    letter: DeadLetter


class Reason(NamedTuple):
    """How many letters of one source or sink have the same reason, and when the `latest` came (seconds since 1970)."""

    source: str | None
    sink: str | None
    reason: str
    letters: int
    latest: float


def list_dead_letters(connection: sqlite3.Connection) -> Iterator[StoredLetter]:
    """All dead letters, oldest first."""
    for id, time, reason, body, source, sink, file, offset, size in connection.execute(_LIST):
        yield StoredLetter(
            id,
            DeadLetter(
                time=time, reason=reason, body=body, source=source, sink=sink, file=file, offset=offset, size=size
            ),
        )


def count_dead_letters(connection: sqlite3.Connection) -> list[Reason]:
    """The dead letters by who refused them and why, the most frequent first."""
    return [Reason(*row) for row in connection.execute(_COUNT)]
