"""The journal after a power cut: what was not synced is gone, in whole commits, and the rest fits together.

With `synchronous = NORMAL` SQLite syncs the write-ahead log before it copies pages from it into the file, and the file
before it begins the log anew; nothing else. So a power cut leaves the file as it was after the last such copy, and any
beginning of the log (what stands behind a gap is not used, each frame has a checksum over all before it); or, in the
middle of a copy, the whole log and any mixture of old and new pages. That is what is made here out of the files of a
journal at work. A disk that acknowledges a sync which it has not done is not simulated: nobody can survive that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from forwarder.clock import SystemClock
from forwarder.journal import Changes, Cursor, Journal, StreamRow
from forwarder.journal.schema import FILE_NAME

COMMITS = 12
PAGE_BYTES = 8192
HOLE_BYTES = 2 * PAGE_BYTES  # holds a frame's head, wherever it begins
CUTS = 60


def opened(folder: Path) -> Journal:
    return Journal(folder, sinks=["a"], max_bytes=1 << 30, keep_seconds=1e9, remember_seconds=1e9, clock=SystemClock())


async def work(journal: Journal, numbers: range) -> None:
    """Commits of one event each, with a checkpoint of the same number; the sink's cursor follows."""
    for number in numbers:
        row = StreamRow(id=1, source="acme", path="a.jsonl", device=1, inode=1, offset=number)
        text = b'{"id":"%032x","text":"%s"}' % (number, b"x" * 5000)
        await journal.commit(Changes([text], [b"%016d" % number], {1: row}))
        await journal.move("a", Cursor(number, number))


async def files_at_work(folder: Path) -> tuple[bytes, bytes, bytes]:
    """The journal's file before and behind a copy out of the log, and the log right before it."""
    path, log = folder / FILE_NAME, folder / f"{FILE_NAME}-wal"
    async with opened(folder) as journal:
        await work(journal, range(1, 1 + COMMITS))
    async with opened(folder) as journal:
        await work(journal, range(1 + COMMITS, 1 + 2 * COMMITS))
        before, logged = path.read_bytes(), log.read_bytes()
    return before, path.read_bytes(), logged


async def survivors(folder: Path, file: bytes, log: bytes) -> int:
    """Open what a power cut left; returns how many commits are there. Fails unless everything tells of the same."""
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(file)
    (folder / f"{FILE_NAME}-wal").write_bytes(log)
    async with opened(folder) as journal:
        [row] = await journal.streams()
        events = [line for block in await journal.events_after(0) for line in block.lines]
        acked = journal.cursor("a").acked
        again = await journal.commit(Changes([b"again"] * 2, [b"%016d" % row.offset, b"new".ljust(16)]))
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(events) == row.offset, "events and checkpoint are of one transaction"
    assert row.offset - 1 <= acked <= row.offset, "a cursor never points behind what is there"
    assert len(again.lines) == 1, "facts are of the same transaction, too"
    return row.offset


@pytest.mark.slow
async def test_a_log_cut_anywhere_costs_only_the_last_commits(tmp_path: Path) -> None:
    """Whole ones, and the source files still hold what they told of: reading goes on at the older checkpoint."""
    (tmp_path / "at-work").mkdir()
    before, _, log = await files_at_work(tmp_path / "at-work")
    random = Random(1)
    cuts = sorted({0, len(log), *(random.randrange(len(log)) for _ in range(CUTS))})
    found = [await survivors(tmp_path / str(cut), before, log[:cut]) for cut in cuts]

    assert found == sorted(found)
    assert (found[0], found[-1]) == (COMMITS, 2 * COMMITS)
    assert len(set(found)) > COMMITS / 2


def zeros(size: int) -> bytes:
    return bytes(size)


def garbage(size: int) -> bytes:
    return Random(size).randbytes(size)


@pytest.mark.slow
@pytest.mark.parametrize("filling", [zeros, garbage])
async def test_a_log_with_a_hole_counts_up_to_the_hole(tmp_path: Path, filling: Callable[[int], bytes]) -> None:
    """File systems give a file its length before its content: blocks of zeros, or of what lay there before."""
    (tmp_path / "at-work").mkdir()
    before, _, log = await files_at_work(tmp_path / "at-work")
    random = Random(2)
    for turn in range(20):
        start = random.randrange(len(log) * 4 // 5)  # before the end, where only a cursor would be missing
        spoilt = log[:start] + filling(HOLE_BYTES) + log[start + HOLE_BYTES :]

        assert COMMITS <= await survivors(tmp_path / str(turn), before, spoilt) < 2 * COMMITS


@pytest.mark.slow
async def test_a_copy_out_of_the_log_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    """Any mixture of old and new pages, beside the log that was synced before: nothing is missing."""
    (tmp_path / "at-work").mkdir()
    before, after, log = await files_at_work(tmp_path / "at-work")
    random = Random(3)
    for turn in range(20):
        pages = [
            after[at : at + PAGE_BYTES] if random.random() < 0.5 or at >= len(before) else before[at : at + PAGE_BYTES]
            for at in range(0, len(after), PAGE_BYTES)
        ]

        assert await survivors(tmp_path / str(turn), b"".join(pages), log) == 2 * COMMITS
