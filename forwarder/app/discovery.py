"""Which of the files that are there at the start have something new, and which count as history nobody asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from forwarder.app.committing import Committer
from forwarder.clock import Clock
from forwarder.errors import ForwarderError
from forwarder.journal import Changes, Journal, StreamRow
from forwarder.pipeline.redaction import REDACTED
from forwarder.tail.compression import COMPRESSED_SUFFIXES
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import skipped

FIRST_START = "first_start"
PORTION = 500  # files marked in one transaction: thousands at once took 20 MB that were never given back


async def report_present(
    files: Sequence[File],
    *,
    index: StreamIndex,
    follower: Follower,
    journal: Journal,
    committer: Committer,
    start: float | Literal["all", "none"],
    clock: Clock,
    rank: Callable[[File], int] = lambda _: 0,
) -> int:
    """Report the files with unread bytes, those of the lowest `rank` first and the oldest of them before the others.

    At the very first start, files not changed within `start` seconds are only marked as read up to their present end;
    when one of them grows later, it is read from its beginning for the sake of the mapper's state, and only what is new
    becomes events. Returns how many files there are.
    """
    now = clock.now().timestamp()
    is_first = FIRST_START not in await journal.notes()
    oldest_wanted = {"all": float("-inf"), "none": float("inf")}[start] if isinstance(start, str) else now - start
    unwanted: list[File] = []
    for file, stat in _stats(_in_order(files, rank)):
        row = index.at(file.source, stat)
        if row is None and is_first and stat.st_mtime < oldest_wanted:
            unwanted.append(file)
        elif row is None or not _is_read(row, file.path, stat):
            follower.report(file, is_live=False)
    if is_first:
        for start_at in range(0, len(unwanted), PORTION):
            marks = await _skip(unwanted[start_at : start_at + PORTION], index, follower)
            await committer.write(partial(journal.commit, marks))
        await committer.write(lambda: journal.note(FIRST_START, repr(now).encode()))
    return len(files)


def _in_order(files: Iterable[File], rank: Callable[[File], int]) -> list[File]:
    ordered = sorted((rank(file), stat.st_mtime, file) for file, stat in _stats(files))
    return [file for _, _, file in ordered]


async def _skip(files: Sequence[File], index: StreamIndex, follower: Follower) -> Changes:
    """Mark the files as read, apart from those that began to grow meanwhile; a broken one is reported instead."""

    def skip() -> Iterator[tuple[File, StreamRow | None]]:
        for file, stat in _stats(files):
            try:
                yield file, skipped(index.new(file.source, file.path, stat))
            except (OSError, ForwarderError):
                yield file, None  # reading it will say what is wrong with it

    changes = Changes()
    for file, row in await asyncio.to_thread(lambda: list(skip())):
        if row is None:
            follower.report(file, is_live=False)
        elif not index.is_known(row):
            index.update(row)
            changes.checkpoints[row.id] = row
    return changes


def gone_for_good(rows: Iterable[StreamRow], before: float) -> list[int]:
    """Streams whose files do not exist any more and were last changed before that time, in seconds. Blocks.

    Of a path that had a secret in it nobody can say where it is.
    """
    old = (row for row in rows if row.time < before and REDACTED not in row.path)
    return [row.id for row in old if not os.path.exists(row.path)]


def _is_read(row: StreamRow, path: Path, stat: os.stat_result) -> bool:
    """Whether nothing is left: it was not touched since it was read to its end, and is where it was."""
    is_at_end = path.suffix in COMPRESSED_SUFFIXES or stat.st_size == max(row.offset, row.skip_until)
    return is_at_end and row.time == stat.st_mtime and row.path == str(path)


def _stats(files: Iterable[File]) -> Iterable[tuple[File, os.stat_result]]:
    for file in files:
        try:
            yield file, os.stat(file.path)
        except OSError:
            continue  # gone since the sweep; if it comes back, the next one finds it
