"""Which facts have been seen, so that a second reading changes no total.

A fact is 16 bytes: 4 that neighbours share (a checksum of the first part of an event's key) and 12 of its id. Facts of
one session therefore lie together in the B-tree: random keys cost five times as much once the tree outgrows its cache.

New facts go into a small table that is merged into the large one now and then. Within one very long session facts come
in random order all the same, and a commit of 2,000 of them would rewrite nearly every page of its part of the tree: at
600,000 facts of one session that was 44,000 facts a second, with the small table in front 250,000.

A batch goes in with one statement that takes all facts as one blob: a call per fact would pass the interpreter's lock
back and forth once per event, and slow down the mapping that runs beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

from forwarder.events import Key

FACT_BYTES = 16

_EACH = f"""WITH RECURSIVE each(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM each WHERE n + 1 < ?2),
            facts(fact) AS (SELECT substr(?1, n * {FACT_BYTES} + 1, {FACT_BYTES}) FROM each)"""
_UNLESS = "NOT EXISTS (SELECT 1 FROM {table} WHERE {table}.fact = facts.fact)"
_ADD = f"INSERT OR IGNORE INTO seen_lately {_EACH} SELECT fact, ?3 FROM facts WHERE {_UNLESS.format(table='seen')}"
_ADD_UNLESS_BEFORE = f"{_ADD} AND {_UNLESS.format(table='seen_before')}"
_NEW = f"{_EACH} SELECT fact FROM facts JOIN seen_lately USING (fact) WHERE batch = ?3"
_MERGE = ("INSERT INTO seen SELECT fact FROM seen_lately ORDER BY fact", "DELETE FROM seen_lately")
LATELY = 32_000  # facts in the small table: its pages are written with every commit, those of the large one per merge


def fact(key: Key, digest: bytes) -> bytes:
    """The 16 bytes under which the event with this `key` and 16-byte id `digest` is remembered."""
    return _group(key[0]) + digest[:12]


@lru_cache(maxsize=256)
def _group(part: str | int) -> bytes:
    return crc32(str(part).encode()).to_bytes(4, "big")


class Seen:
    """The set of facts in the journal; every call belongs into the transaction that adds the events."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._has_before = bool(connection.execute("SELECT EXISTS (SELECT 1 FROM seen_before)").fetchone()[0])
        # About how many: a transaction that is rolled back makes it wrong, and the next merge comes early or late.
        self._lately: int = connection.execute("SELECT count(*) FROM seen_lately").fetchone()[0]

    def add(self, facts: Sequence[bytes], batch: int) -> list[bool] | None:
        """Remember the facts under the number of their batch.

        Returns None when all of them were new (nearly always), else for each whether it was. Of equal facts in one call
        the first is the new one.
        """
        if not facts:
            return None
        given = (b"".join(sorted(facts)), len(facts), batch)
        added = self._connection.execute(_ADD_UNLESS_BEFORE if self._has_before else _ADD, given).rowcount
        is_new = None
        if added < len(facts):
            new = {row[0] for row in self._connection.execute(_NEW, given)}
            is_new = [one in new and not new.discard(one) for one in facts]  # type: ignore[func-returns-value]
        self._lately += added
        if self._lately >= LATELY:
            self._merge()
        return is_new

    def turn_over(self) -> None:
        """Forget the older generation and begin a new one; called after each half of the time to remember."""
        self._merge()
        self._connection.execute("DROP TABLE seen_before")
        self._connection.execute("ALTER TABLE seen RENAME TO seen_before")
        self._connection.execute("CREATE TABLE seen (fact BLOB PRIMARY KEY) WITHOUT ROWID")
        self._has_before = True

    def _merge(self) -> None:
        for statement in _MERGE:
            self._connection.execute(statement)
        self._lately = 0
