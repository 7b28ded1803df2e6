"""Refused events that are wanted again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random

import pytest

from forwarder import Rejected, Unavailable
from forwarder.delivery import Sender
from forwarder.journal import Cursor, DeadLetter, Journal, StoredLetter, ask_again, connect_to_read, read_letters
from forwarder.testing import ManualClock, MemorySink

Commit = Callable[..., Awaitable[list[bytes]]]


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def make_sender(journal: Journal, sink: MemorySink, clock: ManualClock) -> Callable[[], Sender]:
    return lambda: Sender("a", sink, journal, clock=clock, random=Random(1))


@asynccontextmanager
async def running(sender: Sender) -> AsyncGenerator[None]:
    task = asyncio.create_task(sender.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def refused(journal: Journal, commit: Commit, tmp_path: Path) -> Commit:
    """Makes so many events that the sink `a` has refused, each of them wanted again, and returns their lines."""

    async def make(events: int) -> list[bytes]:
        lines = await commit(events)
        found = [DeadLetter(time=1.0, reason="no", body=line, sink="a", event=n) for n, line in enumerate(lines, 1)]
        await journal.move("a", Cursor(journal.last, journal.last), found)
        ask_again(tmp_path, range(1, events + 1), time=1.0)
        return lines

    return make


def letters(folder: Path) -> list[StoredLetter]:
    with closing(connect_to_read(folder)) as connection:
        return list(read_letters(connection))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_a_refused_event_carries_its_number(
    journal: Journal, commit: Commit, sink: MemorySink, make_sender: Callable[[], Sender], tmp_path: Path
) -> None:
    """By it the event is found in the journal again, as it was before this sink's own form of it."""
    lines = await commit(3)
    sink.answers.append(Rejected("no", refused=[lines[1][7:39].decode()]))
    sender = make_sender()
    async with running(sender):
        await sender.caught_up(3)

    assert [one.letter.event for one in letters(tmp_path)] == [2]


async def test_an_idle_sink_gets_it_at_once_and_alone(
    journal: Journal, refused: Commit, sink: MemorySink, make_sender: Callable[[], Sender], tmp_path: Path
) -> None:
    """One event, one batch: its id is the same however often the process dies on the way."""
    lines = await refused(2)
    sender = make_sender()
    async with running(sender):
        await until(lambda: sender.status().behind == 0)
        for letter, line in enumerate(lines, 1):
            sender.redeliver(letter, line)
            sender.redeliver(letter, line)
        await until(lambda: not letters(tmp_path))

    assert [batch.lines for batch in sink.requests] == [(lines[0],), (lines[1],)]
    assert (sender.delivered_events, sender.dead_lettered) == (2, 0)
    assert journal.cursor("a") == Cursor(2, 2)


async def test_what_is_refused_again_stays_a_letter(
    refused: Commit, sink: MemorySink, make_sender: Callable[[], Sender], tmp_path: Path
) -> None:
    """With the newest words, and once: it is no second loss."""
    (line,) = await refused(1)
    sink.answers.append(Rejected("still no"))
    sender = make_sender()
    sender.redeliver(1, line)
    async with running(sender):
        await until(lambda: letters(tmp_path)[0].letter.attempts == 2)

    assert [(one.letter.reason, one.is_asked) for one in letters(tmp_path)] == [("still no", False)]
    assert (sender.delivered_events, sender.dead_lettered) == (0, 0)


async def test_it_waits_for_a_destination_that_is_away(
    refused: Commit, sink: MemorySink, make_sender: Callable[[], Sender], tmp_path: Path, clock: ManualClock
) -> None:
    """As any other batch does; meanwhile the status says since when."""
    (line,) = await refused(1)
    sink.answers.append(Unavailable("503"))
    sender = make_sender()
    sender.redeliver(1, line)
    async with running(sender):
        await clock.asleep()
        since = sender.status().failing_since
        await clock.skip()
        await until(lambda: not letters(tmp_path))

    assert since is not None
    assert sender.status().failing_since is None
    assert sink.taken == [line]


async def test_new_events_are_delivered_between(
    refused: Commit, commit: Commit, sink: MemorySink, make_sender: Callable[[], Sender], tmp_path: Path
) -> None:
    """Thousands of letters may not hold up what an agent does now."""
    again = await refused(3)
    new = await commit(1)
    sender = make_sender()
    for letter, line in enumerate(again, 1):
        sender.redeliver(letter, line)
    async with running(sender):
        await until(lambda: not letters(tmp_path))

    assert sink.taken == [again[0], *new, again[1], again[2]]


async def test_a_batch_in_doubt_goes_first(
    journal: Journal, refused: Commit, commit: Commit, sink: MemorySink, make_sender: Callable[[], Sender]
) -> None:
    """A destination compares what comes first after a crash with what it has got last."""
    again = await refused(1)
    doubtful = await commit(2)
    await journal.move("a", Cursor(1, 3))
    sender = make_sender()
    sender.redeliver(1, again[0])
    async with running(sender):
        await until(lambda: not letters(journal.folder))

    assert sink.taken == [*doubtful, *again]
