"""One sink's loop against a real journal."""

from __future__ import annotations

import asyncio
import math
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from forwarder import Batching, Rejected, SinkClosed, Unavailable
from forwarder.delivery import Circuit, Selection, Sender, count_dead_letters, list_dead_letters
from forwarder.delivery.outage import REASON_CHARS
from forwarder.journal import Cursor, DeadLetter, Journal, Noted, connect_to_read
from forwarder.testing import ManualClock, MemorySink

Commit = Callable[..., Awaitable[list[bytes]]]
Deliver = Callable[..., Sender]


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def sender_to(journal: Journal, clock: ManualClock) -> Deliver:
    """Makes a sender that delivers the journal to a sink."""

    def make(sink: MemorySink, name: str = "a", max_events: int = 500) -> Sender:
        return Sender(name, sink, journal, clock=clock, batching=Batching(max_events=max_events), random=Random(1))

    return make


@asynccontextmanager
async def running(*senders: Sender) -> AsyncGenerator[None]:
    """Runs the senders until the block ends; what one of them raises comes out."""
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def test_events_arrive_in_order_and_are_acknowledged(
    commit: Commit, journal: Journal, sink: MemorySink, sender_to: Deliver
) -> None:
    """The plain case: batches within the limits, the cursor at the end, nothing left in flight."""
    lines = await commit(5)
    sender = sender_to(sink, max_events=2)
    async with running(sender):
        await sender.caught_up(5)

    assert sink.taken == lines
    assert [len(batch) for batch in sink.requests] == [2, 2, 1]
    assert journal.cursor("a") == Cursor(5, 5)


async def test_events_that_come_later_are_delivered_too(commit: Commit, sink: MemorySink, sender_to: Deliver) -> None:
    """A sink that has caught up waits for what is journalled next."""
    sender = sender_to(sink)
    async with running(sender):
        first = await commit(1)
        await sender.caught_up(1)
        second = await commit(2)
        await sender.caught_up(3)

    assert sink.taken == first + second


async def test_a_batch_is_marked_in_flight_before_it_is_sent(
    commit: Commit, journal: Journal, sink: MemorySink, sender_to: Deliver
) -> None:
    """The mark must be safe first, or a crash would bring the events in other batches under other ids."""
    await commit(3)
    sink.is_open.clear()
    async with running(sender_to(sink, max_events=2)):
        await sink.requested(1)
        assert journal.cursor("a") == Cursor(0, 2)


async def test_the_next_batch_waits_for_the_answer_to_the_one_before(
    commit: Commit, sink: MemorySink, sender_to: Deliver
) -> None:
    """One in flight: a destination sees events in order even when it is slow."""
    await commit(4)
    sink.is_open.clear()
    sender = sender_to(sink, max_events=2)
    async with running(sender):
        await sink.requested(1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(sink.requests) == 1
        sink.is_open.set()
        await sender.caught_up(4)


async def test_the_ack_of_a_batch_and_the_mark_of_the_next_share_a_write(
    commit: Commit, journal: Journal, sink: MemorySink, sender_to: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ten batches waiting, eleven writes are enough."""
    await commit(20)
    writes: list[Cursor] = []
    move = journal.move

    async def counted(name: str, cursor: Cursor, letters: list[DeadLetter], noting: list[Noted]) -> None:
        writes.append(cursor)
        await move(name, cursor, letters, noting)

    monkeypatch.setattr(journal, "move", counted)
    sender = sender_to(sink, max_events=2)
    async with running(sender):
        await sender.caught_up(20)

    assert len(writes) == 11
    assert writes[1] == Cursor(2, 4)


async def test_a_retry_brings_the_same_batch(
    commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock
) -> None:
    """Events that came meanwhile do not join the batch: its id is what the destination knows it by."""
    lines = await commit(2)
    sink.answers.extend([Unavailable("503"), Unavailable("503")])
    sender = sender_to(sink)
    async with running(sender):
        await clock.asleep()
        more = await commit(2)
        await clock.skip()
        await clock.skip()
        await sender.caught_up(4)

    assert len({batch.id for batch in sink.requests[:3]}) == 1
    assert sink.taken == lines + more
    assert sender.retries == 2


async def test_waits_are_jittered_and_grow_up_to_the_cap(
    commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock
) -> None:
    """Full jitter: each wait lies between 0 and the doubled limit, never above the cap."""
    await commit(1)
    sink.answers.extend([Unavailable("503")] * 12)
    sender = sender_to(sink)
    async with running(sender):
        waits = [await clock.skip() for _ in range(12)]
        await sender.caught_up(1)

    limits = [min(60.0, 0.5 * 2**n) for n in range(12)]
    assert all(0 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    assert max(waits) > 10
    assert len(set(waits)) == 12


async def test_retry_after_is_obeyed(commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock) -> None:
    """What the destination asks for is the least that it gets."""
    await commit(1)
    sink.answers.append(Unavailable("429", after=300.0))
    sender = sender_to(sink)
    async with running(sender):
        assert await clock.skip() == 300.0
        await sender.caught_up(1)


async def test_a_refusal_opens_the_circuit_until_a_probe_gets_through(
    commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock
) -> None:
    """A wrong password costs no data and no storm: one probe a minute."""
    lines = await commit(3)
    sink.answers.extend([Unavailable("401", is_refused=True)] * 3)
    sender = sender_to(sink)
    async with running(sender):
        waits = [await clock.skip() for _ in range(2)]
        await clock.asleep()
        assert sender.status().state is Circuit.OPEN
        sink.is_open.clear()
        await clock.skip()
        await sink.requested(4)
        assert sender.status().state is Circuit.HALF_OPEN
        sink.is_open.set()
        await sender.caught_up(3)

    assert waits == [60.0, 60.0]
    assert sender.status().state is Circuit.CLOSED
    assert sink.taken == lines


async def test_a_bug_in_the_sink_is_retried_and_named(
    commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock
) -> None:
    """Any other exception may not cost data either; the log names its kind and place without a traceback."""
    await commit(1)
    sink.answers.append(ZeroDivisionError("by zero"))
    sender = sender_to(sink)
    with capture_logs() as logs:
        async with running(sender):
            await clock.skip()
            await sender.caught_up(1)

    assert [log["log_level"] for log in logs] == ["error", "info"]
    assert "sink a: ZeroDivisionError in MemorySink.send, line" in logs[0]["event"]


async def test_a_long_outage_is_told_at_growing_intervals(
    commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock
) -> None:
    """A dead sink may not fill the log; the person who reads it later must see from when to when."""
    await commit(1)
    sink.answers.extend([Unavailable("503", after=30.0)] * 30)
    sender = sender_to(sink)
    with capture_logs() as logs:
        async with running(sender):
            for _ in range(30):
                await clock.asleep()
                clock.advance(60.0)
            await sender.caught_up(1)

    safe = "nothing is lost, reading waits when the journal is full"
    assert [log["event"] for log in logs] == [
        f"sink a: 503, 0 of 1024 MiB journalled; {safe}",
        f"sink a: 503 for 60 s, 0 of 1024 MiB journalled; {safe}",
        f"sink a: 503 for 3 min, 0 of 1024 MiB journalled; {safe}",
        f"sink a: 503 for 7 min, 0 of 1024 MiB journalled; {safe}",
        f"sink a: 503 for 15 min, 0 of 1024 MiB journalled; {safe}",
        "sink a: delivers again after 30 min, 0 of 1024 MiB journalled",
    ]


async def test_one_poison_event_among_five_hundred_costs_only_itself(
    commit: Commit, journal: Journal, sink: MemorySink, sender_to: Deliver, tmp_path: Path
) -> None:
    """A rejection without names is split until the poison is alone; everything else arrives exactly once."""
    lines = await commit(500)
    sink.poison = {f"{137:032x}"}
    sender = sender_to(sink)
    async with running(sender):
        await sender.caught_up(500)

    assert sink.taken == lines[:136] + lines[137:]
    assert len(sink.requests) <= 1 + 2 * math.ceil(math.log2(500))
    connection = connect_to_read(tmp_path)
    letters = [stored.letter for stored in list_dead_letters(connection)]
    assert [(one.sink, one.reason, one.body) for one in letters] == [("a", "no such field: colour", lines[136])]
    assert [(one.sink, one.letters) for one in count_dead_letters(connection)] == [("a", 1)]
    connection.close()
    assert journal.cursor("a") == Cursor(500, 500)
    assert (sender.delivered_events, sender.dead_lettered) == (499, 1)


async def test_a_half_is_marked_in_flight_by_itself(
    commit: Commit, journal: Journal, sink: MemorySink, sender_to: Deliver
) -> None:
    """A crash while a batch is being split must bring the same half again."""
    await commit(4)
    sink.answers.extend([Rejected("400"), None])
    sender = sender_to(sink)
    async with running(sender):
        await sink.requested(2)
        sink.is_open.clear()
        await sink.requested(3)
        assert journal.cursor("a") == Cursor(2, 4)
        sink.is_open.set()
        await sender.caught_up(4)

    assert [len(batch) for batch in sink.requests] == [4, 2, 2]


async def test_events_refused_by_name_are_not_sent_again(
    commit: Commit, sink: MemorySink, sender_to: Deliver, tmp_path: Path
) -> None:
    """The destination took the rest of the batch: no second request."""
    lines = await commit(4)
    sink.poison, sink.names_poison = {f"{2:032x}", f"{3:032x}"}, True
    sender = sender_to(sink)
    async with running(sender):
        await sender.caught_up(4)

    assert len(sink.requests) == 1
    assert sink.taken == [lines[0], lines[3]]
    assert sender.delivered_events == 2
    connection = connect_to_read(tmp_path)
    assert [stored.letter.body for stored in list_dead_letters(connection)] == lines[1:3]
    connection.close()


async def test_names_that_nobody_sent_count_as_no_names(commit: Commit, sink: MemorySink, sender_to: Deliver) -> None:
    """A destination that names a stranger cannot be believed about the rest: the batch is split."""
    lines = await commit(2)
    sink.answers.append(Rejected("400", refused=["f" * 32, f"{1:032x}"]))
    sender = sender_to(sink)
    async with running(sender):
        await sender.caught_up(2)

    assert [len(batch) for batch in sink.requests] == [2, 1, 1]
    assert sink.taken == lines


async def test_dead_letters_are_told_without_flooding(commit: Commit, sink: MemorySink, sender_to: Deliver) -> None:
    """A destination that refuses everything is an error, said once and not for every event."""
    await commit(8)
    sink.poison = {f"{n:032x}" for n in range(1, 9)}
    sender = sender_to(sink)
    with capture_logs() as logs:
        async with running(sender):
            await sender.caught_up(8)

    assert sender.dead_lettered == 8
    assert [log["event"] for log in logs] == [
        "sink a: 1 event refused, kept in the dead letters: no such field: colour"
    ]


async def test_a_closed_sink_ends_the_sender_and_keeps_what_was_acknowledged(
    commit: Commit, journal: Journal, sink: MemorySink, sender_to: Deliver
) -> None:
    """A closed pipe is nobody's fault; what was not taken stays in flight for the next run."""
    await commit(4)
    sink.answers.extend([None, SinkClosed("the pipe is closed")])
    with pytest.raises(SinkClosed):
        await sender_to(sink, max_events=2).run()

    assert journal.cursor("a") == Cursor(2, 4)


async def test_a_cancelled_send_leaves_its_batch_in_flight(
    commit: Commit, journal: Journal, sink: MemorySink, sender_to: Deliver
) -> None:
    """At the drain deadline nobody knows whether the batch arrived."""
    await commit(4)
    sink.answers.append(None)
    async with running(sender_to(sink, max_events=2)):
        await sink.requested(1)
        sink.is_open.clear()
        await sink.requested(2)

    assert journal.cursor("a") == Cursor(2, 4)


async def test_after_a_crash_the_same_batch_comes_again(
    *,
    commit: Commit,
    sink: MemorySink,
    sender_to: Deliver,
    tmp_path: Path,
    open_journal: Callable[[Path], Journal],
    clock: ManualClock,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The journal as it lies on the disk during a send: events that came after it do not join the batch."""
    lines = await commit(3)
    sink.is_open.clear()
    crashed = tmp_path_factory.mktemp("crashed") / "state"
    async with running(sender_to(sink)):
        await sink.requested(1)
        lines += await commit(2)
        shutil.copytree(tmp_path, crashed)

    async with open_journal(crashed) as journal:
        again = MemorySink()
        sender = Sender("a", again, journal, clock=clock, batching=Batching(max_events=1))
        async with running(sender):
            await sender.caught_up(5)

    assert again.requests[0].id == sink.requests[0].id
    assert [len(batch) for batch in again.requests] == [3, 1, 1]
    assert again.taken == lines


async def test_a_sink_that_hangs_does_not_hold_up_another(
    commit: Commit, journal: Journal, sink: MemorySink, sender_to: Deliver
) -> None:
    """Each sink has its own cursor."""
    lines = await commit(4)
    stuck = MemorySink()
    stuck.is_open.clear()
    other = sender_to(sink, "b", max_events=1)
    async with running(sender_to(stuck, "a"), other):
        await other.caught_up(4)

    assert sink.taken == lines
    assert journal.cursor("a").acked == 0


async def test_hurry_makes_a_waiting_retry_at_once_and_only_once(
    commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock
) -> None:
    """The drain gives a failing sink one more chance, not a storm of them."""
    await commit(1)
    sink.answers.extend([Unavailable("401", is_refused=True)] * 2)
    sender = sender_to(sink)
    async with running(sender):
        await clock.asleep()
        sender.hurry()
        await sink.requested(2)
        assert await clock.skip() == 60.0
        await sender.caught_up(1)

    assert len(sink.requests) == 3


async def test_a_full_disk_stops_delivery_until_the_cursor_can_be_saved(
    *,
    commit: Commit,
    journal: Journal,
    sink: MemorySink,
    sender_to: Deliver,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sending on without a saved cursor would double everything after a crash."""
    lines = await commit(4)
    move = journal.move
    outcomes = [True, False, False, True, True]

    async def sometimes(name: str, cursor: Cursor, letters: list[DeadLetter], noting: list[Noted]) -> None:
        if not outcomes.pop(0):
            raise sqlite3.OperationalError("database or disk is full")
        await move(name, cursor, letters, noting)

    monkeypatch.setattr(journal, "move", sometimes)
    sender = sender_to(sink, max_events=2)
    async with running(sender):
        await clock.asleep()
        assert len(sink.requests) == 1
        assert sender.status().last_error == "its cursor cannot be saved: database or disk is full"
        await clock.skip()
        await clock.skip()
        await sender.caught_up(4)

    assert sink.taken == lines


@pytest.mark.parametrize("is_still_full", [False, True])
async def test_an_ack_that_could_not_be_saved_is_tried_once_more_at_the_end(
    *,
    commit: Commit,
    journal: Journal,
    sink: MemorySink,
    sender_to: Deliver,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    is_still_full: bool,
) -> None:
    """When the disk is still full, the batch comes again after the restart; that is all."""
    await commit(2)
    move = journal.move
    outcomes = [True, False, not is_still_full]

    async def sometimes(name: str, cursor: Cursor, letters: list[DeadLetter], noting: list[Noted]) -> None:
        if not outcomes.pop(0):
            raise sqlite3.OperationalError("database or disk is full")
        await move(name, cursor, letters, noting)

    monkeypatch.setattr(journal, "move", sometimes)
    async with running(sender_to(sink)):
        await clock.asleep()

    assert journal.cursor("a") == (Cursor(0, 2) if is_still_full else Cursor(2, 2))


@pytest.mark.parametrize(
    ("seconds", "words"), [(5.0, "5 s"), (600.0, "10 min"), (7200.0, "2 h"), (259_200.0, "3 days")]
)
async def test_a_recovery_says_how_long_the_sink_was_away(
    *, commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock, seconds: float, words: str
) -> None:
    """In the unit that a person would use."""
    await commit(1)
    sink.answers.append(Unavailable("503", after=seconds))
    sender = sender_to(sink)
    with capture_logs() as logs:
        async with running(sender):
            await clock.skip()
            await sender.caught_up(1)

    assert logs[-1]["event"].startswith(f"sink a: delivers again after {words},")


async def test_the_status_says_how_the_sink_is_doing(
    commit: Commit, sink: MemorySink, sender_to: Deliver, clock: ManualClock
) -> None:
    """What `forwarder status` and the metrics show."""
    await commit(2)
    sink.answers.extend([None, Unavailable("503 busy", after=90.0)])
    sender = sender_to(sink, max_events=1)
    async with running(sender):
        await clock.asleep()
        status = sender.status()

    assert (status.name, status.acked, status.behind) == ("a", 1, 1)
    assert (status.delivered_events, status.delivered_batches, status.retries) == (1, 1, 1)
    assert (status.last_error, status.last_error_time) == ("503 busy", clock.now())
    assert status.next_try is not None
    assert (status.next_try - clock.now()).total_seconds() == 90.0
    assert status.events_per_second == pytest.approx(0.1)


async def test_a_sink_that_takes_nothing_catches_up_without_a_request(
    commit: Commit, journal: Journal, sink: MemorySink, clock: ManualClock
) -> None:
    """Its cursor moves over what it leaves out, or the journal would fill up behind it."""
    await commit(3)
    sender = Sender("a", sink, journal, clock=clock, selection=Selection(types=["token_usage"]))
    async with running(sender):
        await clock.asleep()
        sender.hurry()
        await sender.caught_up(3)

    assert sink.requests == []
    assert journal.cursor("a") == Cursor(3, 3)


async def test_what_a_destination_says_is_scrubbed_before_it_is_kept(
    commit: Commit, journal: Journal, sink: MemorySink, clock: ManualClock, tmp_path: Path
) -> None:
    """An answer may quote a token: neither the journal's dead letters nor the status may show it."""
    await commit(1)
    sink.answers.append(Rejected("no access for hunter2"))
    sender = Sender("a", sink, journal, clock=clock, scrub=lambda text: text.replace("hunter2", "[REDACTED]"))
    async with running(sender):
        await sender.caught_up(1)
    with closing(connect_to_read(tmp_path)) as connection:
        reasons = [stored.letter.reason for stored in list_dead_letters(connection)]

    assert reasons == ["no access for [REDACTED]"]
    assert "hunter2" not in (sender.status().last_error or "")


@pytest.mark.parametrize("kind", [Rejected, Unavailable, ValueError])
async def test_what_a_destination_says_is_scrubbed_before_it_is_cut(
    kind: type[Exception], commit: Commit, journal: Journal, sink: MemorySink, clock: ManualClock
) -> None:
    """Half a token is not known for one any more: neither the log nor the status may show it."""
    await commit(1)
    sink.answers.append(kind("x" * (REASON_CHARS - 3) + "hunter2"))
    sender = Sender("a", sink, journal, clock=clock, scrub=lambda text: text.replace("hunter2", "[REDACTED]"))
    with capture_logs() as logs:
        async with running(sender):
            await clock.asleep() if kind is not Rejected else await sender.caught_up(1)

    assert logs
    assert "hun" not in f"{logs} {sender.status().last_error}"
