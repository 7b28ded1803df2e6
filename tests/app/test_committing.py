"""What was mapped gets into the journal, one transaction after the other, whatever the disk says."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal

import pytest

from forwarder.app import committing
from forwarder.app.committing import PENDING_BYTES, RETRY_SECONDS, Committer
from forwarder.app.state_folder import held
from forwarder.journal import Block, Changes, Cursor, Journal, StreamRow
from forwarder.pipeline.mapping import Mapped
from forwarder.testing import ManualClock


class Disk(Journal):
    """A journal on a disk that is full for so many writes."""

    full_for = 0
    commits = 0
    gate: asyncio.Event | None = None

    async def __aenter__(self) -> Disk:
        self.synced: list[bool] = []
        await super().__aenter__()
        return self

    async def commit(self, changes: Changes) -> Block:
        if self.gate:
            await self.gate.wait()
        if self.full_for:
            self.full_for -= 1
            raise sqlite3.OperationalError("database or disk is full")
        self.commits += 1
        self.synced.append(changes.is_sole_copy)
        return await super().commit(changes)

    async def room(self) -> None:
        if self.full_for:
            self.full_for -= 1
            raise sqlite3.OperationalError("database or disk is full")
        await super().room()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[Disk]:
    with held(tmp_path / "state"):
        async with Disk(
            tmp_path / "state", sinks=["a"], max_bytes=1000, keep_seconds=1e9, remember_seconds=1e9, clock=clock
        ) as journal:
            yield journal


class Committing:
    """A committer at work."""

    def __init__(self, journal: Journal, clock: ManualClock, on_full: Literal["wait", "drop"] = "wait") -> None:
        self.committer = Committer(journal, clock, on_full=on_full)

    async def __aenter__(self) -> Committer:
        self.task = asyncio.create_task(self.committer.run())
        return self.committer

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def mapped(number: int, size: int = 100) -> Mapped:
    line = b'{"id":"%032x","text":"' % number + b"x" * size + b'"}'
    return Mapped(lines=[line], facts=[number.to_bytes(16, "big")])


def row(offset: int, stream: int = 1) -> StreamRow:
    return StreamRow(id=stream, source="acme", path=f"/s{stream}.jsonl", device=1, inode=stream, offset=offset)


async def offsets(journal: Journal) -> dict[int, int]:
    return {one.id: one.offset for one in await journal.streams()}


async def test_what_comes_during_a_commit_goes_into_the_next(journal: Disk, clock: ManualClock) -> None:
    """Many small puts become few transactions, and each stream's newest checkpoint wins."""
    journal.gate = asyncio.Event()
    async with Committing(journal, clock) as committer:
        for number in range(8):
            await committer.put(mapped(number, size=1), row(number))
        await committer.put(Mapped(), row(7, stream=2))
        journal.gate.set()
        await committer.finish()

        assert (journal.last, journal.commits <= 2) == (8, True)
        assert await offsets(journal) == {1: 7, 2: 7}


async def test_an_uncommitted_stream_is_known(journal: Disk, clock: ManualClock) -> None:
    """Its state in the journal is not the newest."""
    journal.gate = asyncio.Event()
    async with Committing(journal, clock) as committer:
        await committer.put(mapped(1), row(1))
        before = (committer.is_uncommitted(1), committer.is_uncommitted(2), committer.has_uncommitted)
        journal.gate.set()
        await committer.finish()

        assert before == (True, False, True)
        assert (committer.is_uncommitted(1), committer.has_uncommitted) == (False, False)


async def test_mapping_waits_while_enough_is_gathered(journal: Disk, clock: ManualClock) -> None:
    """Memory stays bounded when the disk is slow."""
    journal.gate = asyncio.Event()
    async with Committing(journal, clock) as committer:
        await committer.put(mapped(1), row(1))
        async with asyncio.timeout(10):
            while not committer.is_uncommitted(1):
                await asyncio.sleep(0)
        putting = asyncio.create_task(put_many(committer))
        await asyncio.wait([putting], timeout=0.05)
        has_waited = not putting.done()
        journal.gate.set()
        journal.max_bytes = 1 << 30
        await putting
        await committer.finish()

        assert has_waited
        assert journal.last == 13


async def put_many(committer: Committer) -> None:
    for number in range(2, 14):
        await committer.put(mapped(number, size=PENDING_BYTES // 4), row(number))


@pytest.mark.parametrize("failures", [1, 2, 5])
async def test_a_full_disk_costs_time_and_nothing_else(journal: Disk, clock: ManualClock, failures: int) -> None:
    """It is tried again until there is room; what came meanwhile follows."""
    journal.full_for = failures
    async with Committing(journal, clock) as committer:
        await committer.put(mapped(1), row(1))
        problems: list[str | None] = []
        for _ in range(failures):
            assert await clock.asleep() == RETRY_SECONDS
            problems.append(committer.problem)
            await committer.put(mapped(2), row(2))
            await clock.skip()
        await committer.finish()

        assert problems == ["database or disk is full"] * failures
        assert (committer.problem, journal.last, await offsets(journal)) == (None, 2, {1: 2})


async def test_a_full_journal_stops_reading_until_a_sink_has_caught_up(journal: Disk, clock: ManualClock) -> None:
    """The source files are the overflow."""
    async with Committing(journal, clock) as committer:
        for number in range(12):
            await committer.put(mapped(number), row(number))
            if not journal.is_full:
                await committer.finish()
        full_at = journal.last
        await journal.move("a", Cursor(full_at, full_at))
        await committer.finish()

        assert (full_at < 12, journal.last, committer.given_up) == (True, 12, 0)


async def test_dropping_is_counted(journal: Disk, clock: ManualClock) -> None:
    """Where the configuration prefers the newest events, the oldest go, and how many is known."""
    async with Committing(journal, clock, on_full="drop") as committer:
        for number in range(30):
            await committer.put(mapped(number), row(number))
            await committer.finish()
        kept = sum(len(block.lines) for block in await journal.events_after(committer.given_up))

        assert (journal.last, await offsets(journal)) == (30, {1: 29})
        assert committer.given_up > 0
        assert kept == 30 - committer.given_up


async def test_a_loss_is_told_as_an_event(journal: Disk, clock: ManualClock) -> None:
    """What a user gives up by configuration must show where the events go, not only in a log."""
    losses: list[int] = []

    def announce(count: int) -> Mapped:
        losses.append(count)
        return Mapped(lines=[b"lost %d" % count], facts=[b"loss" + len(losses).to_bytes(12, "big")])

    committer = Committer(journal, clock, on_full="drop", announce=announce)
    working = asyncio.create_task(committer.run())
    for number in range(30):
        await committer.put(mapped(number), row(number))
        await committer.finish()
    working.cancel()
    lines = [line for block in await journal.events_after(committer.given_up) for line in block.lines]

    assert sum(losses) == committer.given_up > 0
    assert b"lost %d" % losses[-1] in lines


async def test_a_commit_waits_a_little_for_what_is_coming_at_once(journal: Disk, clock: ManualClock) -> None:
    """A transaction per chunk of a backfill would cost more than its events; live lines go without waiting."""
    committer = Committer(journal, clock)
    working = asyncio.create_task(committer.run())
    for number in range(5):
        await committer.put(mapped(number), row(number), is_more_coming=number < 4)
    await committer.finish()
    working.cancel()

    assert len(await journal.events_after(0)) == 1


async def test_lazy_checkpoints_go_along_with_the_next_event(journal: Disk, clock: ManualClock) -> None:
    """Hundreds of state files are rewritten every second to no effect: they cost no transaction of their own."""
    async with Committing(journal, clock) as committer:
        for number in range(100):
            await committer.put(Mapped(), row(number, stream=2), is_lazy=True)
            await asyncio.sleep(0)
        await committer.put(mapped(1), row(1))
        await journal.grown(0)

        assert (journal.commits, await offsets(journal)) == (1, {1: 1, 2: 99})


async def test_lazy_checkpoints_do_not_wait_for_ever(
    journal: Disk, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds without company they are saved alone, and at once when everything has to be saved."""
    async with Committing(journal, clock) as committer:
        await committer.put(Mapped(), row(1), is_lazy=True)
        await committer.finish()
        assert await offsets(journal) == {1: 1}
        monkeypatch.setattr(committing, "LAZY_SECONDS", 0.001)
        await committer.put(Mapped(), row(2), is_lazy=True)
        async with asyncio.timeout(10):
            while committer.has_uncommitted:
                await asyncio.sleep(0)

        assert await offsets(journal) == {1: 2}


async def test_what_has_no_other_copy_reaches_the_disk(journal: Disk, clock: ManualClock) -> None:
    """The file that told it may be gone in a moment; a checkpoint alone need not."""
    async with Committing(journal, clock) as committer:
        await committer.put(Mapped(), row(1), is_sole_copy=True)
        await committer.finish()
        await committer.put(mapped(1), row(2), is_sole_copy=True)
        await committer.finish()

        assert journal.synced == [False, True]
