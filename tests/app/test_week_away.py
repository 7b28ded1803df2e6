"""A sink that is away for a week of simulated time, with a journal that is far too small for the week."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from forwarder.app.committing import Committer
from forwarder.delivery import Sender
from forwarder.errors import Unavailable
from forwarder.journal import Journal, StreamRow
from forwarder.pipeline.mapping import Mapped
from forwarder.sink import Batch, Batching, Sink
from forwarder.testing import ManualClock

WEEK_SECONDS = 7 * 86_400.0
JOURNAL_BYTES = 64 << 20
LINE_BYTES = 16 << 10
LINES = 6_000  # 94 MiB


class Away(Sink):
    """Cannot be reached until `is_back`; keeps how many bytes of which event it got."""

    def __init__(self) -> None:
        self.is_back = False
        self.tries = 0
        self.taken: list[int] = []

    async def send(self, batch: Batch) -> None:
        self.tries += 1
        if not self.is_back:
            raise Unavailable("nobody there")
        self.taken += [json.loads(line)["n"] for line in batch.lines]


def line(number: int) -> bytes:
    return b'{"id":"%032x","type":"prompt","n":%d,"text":"%s"}' % (number, number, b"x" * LINE_BYTES)


@pytest.mark.slow
async def test_a_week_without_the_sink_costs_nothing_but_time(tmp_path: Path) -> None:
    """The journal fills up to its limit, reading waits, the files are the overflow; then everything comes, once."""
    clock, sink = ManualClock(), Away()
    journal = Journal(
        tmp_path, sinks=["a"], max_bytes=JOURNAL_BYTES, keep_seconds=60.0, remember_seconds=1e9, clock=clock
    )
    async with journal:
        committer = Committer(journal, clock)
        sender = Sender("a", sink, journal, clock=clock, batching=Batching(), random=Random(1))
        read = 0

        async def reading() -> None:
            nonlocal read
            for number in range(LINES):
                row = StreamRow(id=1, source="acme", path="a.jsonl", device=1, inode=1, offset=number + 1)
                await committer.put(Mapped(lines=[line(number)], facts=[b"%016d" % number]), row)
                read = number + 1

        tasks = [asyncio.create_task(one) for one in (reading(), committer.run(), sender.run())]
        while clock.monotonic() < WEEK_SECONDS:
            await clock.skip()
        read_meanwhile, bytes_meanwhile, tries = read, journal.bytes, sink.tries
        sink.is_back = True
        while len(sink.taken) < LINES:
            await asyncio.sleep(0)
            clock.advance(1.0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    assert read_meanwhile < LINES
    assert bytes_meanwhile < JOURNAL_BYTES * 1.1
    assert tries < WEEK_SECONDS / 20  # half a minute on average: the wait is drawn between nothing and a minute
    assert sink.taken == list(range(LINES))
