"""From the journal's blocks to batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from forwarder import Batching
from forwarder.delivery import Batcher, Selection, Stretch
from forwarder.delivery.batching import PIECE_EVENTS, SPAN_EVENTS
from forwarder.journal import Changes, Cursor, Journal
from forwarder.testing import ManualClock

Commit = Callable[..., Awaitable[list[bytes]]]
NewBatcher = Callable[..., Batcher]

START = Cursor(0, 0)
EVERYTHING = Selection()


@pytest.fixture
def batcher(journal: Journal, clock: ManualClock) -> NewBatcher:
    """Makes a batcher that reads the journal from a cursor on."""

    def make(
        cursor: Cursor = START,
        selection: Selection = EVERYTHING,
        transform: Callable[[bytes], bytes] | None = None,
        **limits: float,
    ) -> Batcher:
        batching = Batching(
            max_events=int(limits.get("max_events", 5000)),
            max_bytes=int(limits.get("max_bytes", 1 << 20)),
            max_wait_seconds=limits.get("max_wait_seconds", 0.0),
        )
        return Batcher(journal, cursor, batching=batching, clock=clock, selection=selection, transform=transform)

    return make


async def everything(batcher: Batcher) -> list[Stretch]:
    stretches: list[Stretch] = []
    while (stretch := await batcher.available()) is not None:
        stretches.append(stretch)
    return stretches


async def test_small_blocks_travel_together(commit: Commit, batcher: NewBatcher) -> None:
    """Commits of one event each become one batch."""
    lines = [line for _ in range(4) for line in await commit(1)]
    [stretch] = await everything(batcher())

    assert stretch.batch.lines == tuple(lines)
    assert (stretch.after, stretch.end, list(stretch.numbers)) == (0, 4, [1, 2, 3, 4])


async def test_no_batch_exceeds_its_bytes_unless_one_event_does(commit: Commit, batcher: NewBatcher) -> None:
    """`max_bytes` counts the lines with their newlines; a single larger event travels alone."""
    size = len((await commit(5))[0]) + 1
    [big] = await commit(1, rest=',"x":"' + "a" * 1000 + '"')
    await commit(2)
    stretches = await everything(batcher(max_bytes=2 * size))

    assert [len(one.batch) for one in stretches] == [2, 2, 1, 1, 2]
    assert stretches[3].batch.lines == (big,)
    assert stretches[0].batch.jsonl().count(b"\n") == 2


async def test_what_was_in_flight_comes_again_whatever_the_limits(commit: Commit, batcher: NewBatcher) -> None:
    """The batch was sent under other limits before the restart; its id must not change."""
    lines = await commit(3) + await commit(7)
    stretches = await everything(batcher(Cursor(1, 6), max_events=2))

    assert [(one.after, one.end) for one in stretches] == [(1, 6), (6, 8), (8, 10)]
    assert stretches[0].batch.lines == tuple(lines[1:6])


async def test_an_event_waits_for_company_as_long_as_it_may(
    commit: Commit, batcher: NewBatcher, clock: ManualClock
) -> None:
    """The wait is counted from the first event on, not from the last."""
    first = await commit(1)
    reader = batcher(max_wait_seconds=5.0)
    assert await reader.available() is None
    waiting = asyncio.create_task(reader.next())
    assert await clock.asleep() == 5.0
    clock.advance(3.0)
    second = await commit(1)
    while await clock.asleep() != 2.0:
        await asyncio.sleep(0)
    clock.advance(2.0)

    assert (await waiting).batch.lines == tuple(first + second)


async def test_a_full_batch_waits_for_nobody(commit: Commit, batcher: NewBatcher) -> None:
    """The limits close a batch before its wait is over."""
    await commit(5)
    reader = batcher(max_events=2, max_wait_seconds=5.0)

    assert [len(one.batch) for one in await everything(reader)] == [2, 2]


async def test_in_a_hurry_nobody_waits(commit: Commit, batcher: NewBatcher, clock: ManualClock) -> None:
    """The drain sends what there is."""
    await commit(1)
    reader = batcher(max_wait_seconds=5.0)
    waiting = asyncio.create_task(reader.next())
    await clock.asleep()
    reader.hurry()

    assert len((await waiting).batch) == 1


async def test_what_nobody_wants_moves_the_cursor_once(commit: Commit, batcher: NewBatcher, clock: ManualClock) -> None:
    """Ten commits without an event for this sink are one move, not ten."""
    reader = batcher(selection=Selection(types=["token_usage"]))
    for _ in range(10):
        await commit(1)
    assert await reader.available() is None
    waiting = asyncio.create_task(reader.next())
    await clock.skip()
    stretch = await waiting

    assert (stretch.end, len(stretch.batch)) == (10, 0)


async def test_a_long_way_without_an_event_is_cut(
    journal: Journal, event: Callable[..., bytes], batcher: NewBatcher
) -> None:
    """A full journal waits for this cursor too, so it moves while the way is still being looked through."""
    line = event(1)
    await journal.commit(Changes(lines=[line] * (SPAN_EVENTS + PIECE_EVENTS + 1)))
    reader = batcher(selection=Selection(types=["token_usage"]))
    [stretch] = await everything(reader)

    assert SPAN_EVENTS <= stretch.end <= SPAN_EVENTS + PIECE_EVENTS
    assert not stretch.numbers


async def test_the_limits_count_what_is_sent(commit: Commit, batcher: NewBatcher) -> None:
    """A transform may make lines longer or shorter; events left out count for nothing."""

    def longer(line: bytes) -> bytes:
        return line[:-1] + b',"long":true}'

    prompts = await commit(2)
    await commit(3, type="response")
    prompts += await commit(200)
    reader = batcher(selection=Selection(types=["prompt"]), transform=longer, max_events=3)
    stretches = await everything(reader)

    assert list(stretches[0].numbers) == [1, 2, 6]
    assert [line for one in stretches for line in one.batch.lines] == [longer(line) for line in prompts]


async def test_events_that_the_journal_gave_up_are_passed_over(
    tmp_path: Path, clock: ManualClock, event: Callable[..., bytes]
) -> None:
    """A full journal may drop what a sink has not taken, even what was in flight: the sink goes on behind it."""
    lines = [event(number) for number in range(1, 9)]

    def journal() -> Journal:
        limit = sum(map(len, lines))
        return Journal(tmp_path, sinks=["a"], max_bytes=limit, keep_seconds=60, remember_seconds=60, clock=clock)

    async with journal() as before:
        for line in lines:
            await before.commit(Changes(lines=[line]))
        await before.move("a", Cursor(0, 1))
    async with journal() as after:
        reader = Batcher(
            after, after.cursor("a"), batching=Batching(), clock=clock, selection=EVERYTHING, transform=None
        )
        lost = await after.give_up_oldest()
        stretches = await everything(reader)

    assert [line for one in stretches for line in one.batch.lines] == lines[lost:]
    assert (stretches[0].after, stretches[-1].end) == (0, 8)


async def test_a_journal_that_gave_up_everything_leaves_nothing_to_send(
    tmp_path: Path, clock: ManualClock, event: Callable[..., bytes]
) -> None:
    """The cursor moves on, as over events that the sink does not take."""

    def journal() -> Journal:
        return Journal(tmp_path, sinks=["a"], max_bytes=1, keep_seconds=60, remember_seconds=60, clock=clock)

    async with journal() as before:
        await before.commit(Changes(lines=[event(1), event(2)]))
    async with journal() as after:
        reader = Batcher(after, START, batching=Batching(), clock=clock, selection=EVERYTHING, transform=None)
        await after.give_up_oldest()
        waiting = asyncio.create_task(reader.next())
        await clock.skip()
        stretch = await waiting

    assert (stretch.end, len(stretch.batch)) == (2, 0)


async def test_halves_together_are_the_whole(commit: Commit, batcher: NewBatcher) -> None:
    """Splitting moves no event and leaves none out, also around events that the sink does not take."""
    await commit(1)
    await commit(1, type="response")
    await commit(2)
    [whole] = await everything(batcher(selection=Selection(types=["prompt"])))
    first, second = whole.halves()

    assert first.batch.lines + second.batch.lines == whole.batch.lines
    assert (first.after, first.end, second.after, second.end) == (0, second.numbers[0] - 1, first.end, 4)
