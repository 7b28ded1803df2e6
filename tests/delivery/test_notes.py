"""What a sink notes is on the disk with the acknowledgement that it belongs to, and with no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

import pytest

from forwarder import Batch, Batching, Notes, Rejected, Unavailable
from forwarder.delivery import Sender
from forwarder.journal import Cursor, DeadLetter, Journal, Noted
from forwarder.testing import ManualClock, MemorySink

Commit = Callable[..., Awaitable[list[bytes]]]


@dataclass
class Counting(MemorySink):
    """Counts the events that it has taken."""

    asked: int = 0

    def notes(self) -> Notes:
        self.asked += 1
        return {"taken": b"%d" % len(self.taken)}


@pytest.fixture
def sink() -> Counting:
    return Counting()


@asynccontextmanager
async def delivering(
    journal: Journal, sink: Counting, clock: ManualClock, max_events: int = 2
) -> AsyncGenerator[Sender]:
    """A sender at work while the block runs."""
    sender = Sender(
        "a", sink, journal, clock=clock, batching=Batching(max_events=max_events), random=Random(1), owner="sinks.a"
    )
    task = asyncio.create_task(sender.run())
    try:
        async with asyncio.timeout(20):
            yield sender
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def taken(journal: Journal) -> int:
    return int((await journal.plugin_notes("sinks.a")).get("taken", 0))


async def test_notes_and_acknowledgement_are_one_write(
    commit: Commit, journal: Journal, sink: Counting, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the write marks the next batch: whenever the process dies, the count fits the cursor."""
    await commit(9)
    writes: list[tuple[int, list[dict[str, bytes | None]]]] = []
    move = journal.move

    async def seen(name: str, cursor: Cursor, letters: list[DeadLetter], noting: list[Noted]) -> None:
        writes.append((cursor.acked, [dict(one.notes) for one in noting]))
        await move(name, cursor, letters, noting)

    monkeypatch.setattr(journal, "move", seen)
    async with delivering(journal, sink, clock) as sender:
        await sender.caught_up(9)

    assert [(acked, int(notes[0]["taken"] or 0)) for acked, notes in writes if notes] == [
        (2, 2),
        (4, 4),
        (6, 6),
        (8, 8),
        (9, 9),
    ]
    assert (writes[0], sink.asked) == ((0, []), 5)


async def test_a_batch_that_was_not_acknowledged_leaves_no_note(
    commit: Commit, journal: Journal, sink: Counting, clock: ManualClock
) -> None:
    """Tried in vain and then cut off: the notes are those of the batch before."""
    await commit(2)
    async with delivering(journal, sink, clock) as sender:
        await sender.caught_up(2)
        sink.answers.append(Unavailable("503"))
        await commit(2)
        await clock.asleep()
        sink.is_open.clear()
        await clock.skip()
        await sink.requested(3)

    assert (await taken(journal), sink.asked, journal.cursor("a")) == (2, 1, Cursor(2, 4))


@pytest.mark.parametrize("names_poison", [True, False])
async def test_what_is_refused_is_not_noted(
    commit: Commit, journal: Journal, clock: ManualClock, *, names_poison: bool
) -> None:
    """Of a batch with a poisoned event the rest is, whether the destination names it or the batch is split."""
    sink = Counting(poison=[f"{2:032x}"], names_poison=names_poison)
    await commit(4)
    async with delivering(journal, sink, clock, max_events=4) as sender:
        await sender.caught_up(4)

    assert (await taken(journal), sink.asked) == (3, 1 if names_poison else 3)


async def test_an_event_that_is_taken_after_all_is_noted(
    commit: Commit, journal: Journal, sink: Counting, clock: ManualClock
) -> None:
    """With the end of its dead letter, in one write."""
    sink.answers.append(Rejected("no"))
    (line,) = await commit(1)
    async with delivering(journal, sink, clock) as sender:
        await sender.caught_up(1)
        before = await taken(journal)
        sender.redeliver(1, line)
        while sender.delivered_events < 1 or await taken(journal) == before:
            await asyncio.sleep(0)

    assert (before, await taken(journal)) == (0, 1)


async def test_a_bug_in_notes_brings_the_batch_again(commit: Commit, journal: Journal, clock: ManualClock) -> None:
    """As one in `send`: nothing is acknowledged of which the notes are not known."""

    class Broken(Counting):
        def notes(self) -> Notes:
            if not self.asked:
                self.asked += 1
                raise ZeroDivisionError
            return super().notes()

    sink = Broken()
    await commit(1)
    async with delivering(journal, sink, clock) as sender:
        await clock.asleep()
        unsaved = await taken(journal), journal.cursor("a").acked
        await clock.skip()
        await sender.caught_up(1)

    assert (unsaved, len(sink.requests)) == ((0, 0), 2)


async def test_the_sink_may_go_on_with_its_notes(
    commit: Commit, journal: Journal, sink: Counting, clock: ManualClock
) -> None:
    """What it gave is what is kept, whatever becomes of its own mapping."""
    own: dict[str, bytes | None] = {}

    class Reusing(Counting):
        def notes(self) -> Notes:
            own.clear()
            own["taken"] = b"%d" % len(self.taken)
            return own

        async def send(self, batch: Batch) -> None:
            own.clear()
            await super().send(batch)

    sink = Reusing()
    await commit(4)
    async with delivering(journal, sink, clock) as sender:
        await sender.caught_up(4)

    assert await taken(journal) == 4
