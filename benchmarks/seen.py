"""How fast the journal's set of seen facts takes new ones, and how large it grows."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator

from benchmarks.command import MEBIBYTE, scratch
from benchmarks.table import table
from forwarder.journal.schema import FILE_NAME, connect
from forwarder.journal.seen import FACT_BYTES, Seen

BATCH = 500  # facts a transaction: what one commit of a backfill brings
SESSION = 2_000  # facts that share their first bytes
MILESTONES = (200_000, 1_000_000, 4_000_000)


def seen() -> None:
    """Insert facts that neighbours group, as keys that begin with the session do, and facts that nothing groups."""
    rows: list[list[str]] = []
    for name, prefix in (("grouped by session", 4), ("random", 0)):
        with scratch() as folder:
            connection = connect(folder)
            facts = Seen(connection)
            for milestone, rate in rates(connection, facts, prefix):
                size = (folder / FILE_NAME).stat().st_size
                rows.append([name, f"{milestone:,}", f"{rate:,.0f}", f"{size / milestone:.0f}", mib(size)])
            connection.close()
    head = ["facts", "known", "inserts/s on the way there", "bytes each", "MiB"]
    table(f"the set of seen facts, {BATCH} a transaction", head, rows)


def rates(connection: sqlite3.Connection, facts: Seen, prefix: int) -> Iterator[tuple[int, float]]:
    """Each milestone with the rate of the last tenth before it."""
    drawn = random.Random(1)
    group, known = b"", 0
    for milestone in MILESTONES:
        measured_from, spent = milestone - milestone // 10, 0.0
        while known < milestone:
            if known % SESSION == 0:
                group = drawn.randbytes(prefix)
            batch = [group + drawn.randbytes(FACT_BYTES - prefix) for _ in range(BATCH)]
            start = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            facts.add(batch, known)
            connection.execute("COMMIT")
            if known >= measured_from:
                spent += time.perf_counter() - start
            known += BATCH
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        yield milestone, (milestone - measured_from) / spent


def mib(size: int) -> str:
    """In MiB, whole."""
    return f"{size / MEBIBYTE:,.0f}"
