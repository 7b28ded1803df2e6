"""What could not be mapped or was rejected, kept with its reason, ready for replay.

Dead letters are written by the transaction that leaves them behind (`Changes.dead_letters`, `Journal.move`); here they
are read, from a connection of `forwarder.journal.connect_to_read`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from forwarder.journal import StoredLetter, read_letters

_COUNT = """SELECT source, sink, reason, count(*), max(time) FROM dead_letters
            GROUP BY source, sink, reason ORDER BY count(*) DESC, max(id) DESC"""


class Reason(NamedTuple):
    """How many letters of one source or sink have the same reason, and when the `latest` came (seconds since 1970)."""

    source: str | None
    sink: str | None
    reason: str
    letters: int
    latest: float


def list_dead_letters(connection: sqlite3.Connection) -> Iterator[StoredLetter]:
    """All dead letters, oldest first."""
    return read_letters(connection)


def count_dead_letters(connection: sqlite3.Connection) -> list[Reason]:
    """The dead letters by who refused them and why, the most frequent first."""
    return [Reason(*row) for row in connection.execute(_COUNT)]
