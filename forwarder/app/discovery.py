"""Which of the files that are there at the start have something new, and which count as history nobody asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Literal

from forwarder.clock import Clock
from forwarder.errors import ForwarderError
from forwarder.journal import Changes, Journal
from forwarder.tail.compression import plain_size
from forwarder.tail.follow import File, Follower
from forwarder.tail.stream import StreamIndex

FIRST_START = "first_start"


async def report_present(
    files: Iterable[File],
    *,
    index: StreamIndex,
    follower: Follower,
    journal: Journal,
    start: float | Literal["all", "none"],
    clock: Clock,
) -> None:
    """Report the files with unread bytes, oldest first.

    At the very first start, files not changed within `start` seconds are only marked as read up to their present end;
    when one of them grows later, it is read from its beginning for the sake of the mapper's state, and only what is new
    becomes events.
    """
    now = clock.now().timestamp()
    is_first = FIRST_START not in await journal.notes()
    oldest_wanted = {"all": float("-inf"), "none": float("inf")}[start] if isinstance(start, str) else now - start
    skipped = Changes()
    for file, stat in sorted(_stats(files), key=lambda pair: (pair[1].st_mtime, pair[0])):
        row = index.at(file.source, stat)
        if row is None and is_first and stat.st_mtime < oldest_wanted:
            try:
                size = await asyncio.to_thread(plain_size, file.path, stat.st_size)
            except (OSError, ForwarderError):
                follower.report(file, is_live=False)  # reading it will say what is wrong with it
                continue
            row = index.new(file.source, file.path, stat, skip_until=size)
            index.update(row)
            skipped.checkpoints[row.id] = row
        elif row is None or not _is_read(row.offset, row.skip_until, row.time, stat):
            follower.report(file, is_live=False)
    if is_first:
        await journal.commit(skipped)
        await journal.note(FIRST_START, repr(now).encode())


def _is_read(offset: int, skip_until: int, time: float, stat: os.stat_result) -> bool:
    """Whether nothing is left: the plain file ends at the offset, or it has not been touched since it was read."""
    return stat.st_size == max(offset, skip_until) or (time == stat.st_mtime and offset >= skip_until)


def _stats(files: Iterable[File]) -> Iterable[tuple[File, os.stat_result]]:
    for file in files:
        try:
            yield file, os.stat(file.path)
        except OSError:
            continue  # gone since the sweep; if it comes back, the next one finds it
