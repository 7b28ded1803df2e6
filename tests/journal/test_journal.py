"""The journal as the tail and the senders use it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.journal import Block, Changes, Cursor, DeadLetter, Journal, StreamRow, connect_to_read, fact
from forwarder.journal.schema import FILE_NAME
from forwarder.testing import ManualClock

Opener = Callable[..., Journal]
DAY = 86_400.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opened(tmp_path: Path, clock: ManualClock) -> Opener:
    """Opens the journal of the test's folder; the same one each time."""

    def make(*sinks: str, max_bytes: int = 1 << 20) -> Journal:
        return Journal(
            tmp_path, sinks=sinks, max_bytes=max_bytes, keep_seconds=DAY, remember_seconds=10 * DAY, clock=clock
        )

    return make


@pytest.fixture
async def journal(opened: Opener) -> AsyncGenerator[Journal]:
    """Open, with the sinks `a` and `b`."""
    async with opened("a", "b") as journal:
        yield journal


def changes(*names: str) -> Changes:
    """Events of these names; an equal name is the same fact."""
    return Changes(
        lines=[b'{"line":"%b"}' % name.encode() for name in names],
        facts=[fact(("session", name), name.encode().ljust(16, b"-")) for name in names],
    )


def stream(id: int, offset: int) -> StreamRow:
    return StreamRow(id=id, source="acme", path="/a.jsonl", device=1, inode=2, offset=offset)


def letter(reason: str) -> DeadLetter:
    return DeadLetter(time=0.0, reason=reason, body=b"{}")


def names(blocks: list[Block]) -> list[str]:
    return [line[9:-2].decode() for block in blocks for line in block.lines]


def rows(folder: Path, table: str) -> int:
    with closing(connect_to_read(folder)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


async def test_events_are_numbered_from_one_without_a_hole(journal: Journal) -> None:
    """Sequence numbers are what cursors count in."""
    first = await journal.commit(changes("one", "two"))
    second = await journal.commit(changes("three"))

    assert (first.first, first.last, second.first) == (1, 2, 3)
    assert journal.last == 3
    assert names(await journal.events_after(1)) == ["two", "three"]


async def test_a_fact_is_journalled_once_within_a_batch_and_across_batches(journal: Journal) -> None:
    """The first record of a fact decides."""
    first = await journal.commit(changes("one", "two", "one"))
    second = await journal.commit(changes("three", "two", "three", "four"))
    third = await journal.commit(changes("one", "four"))

    assert names([first, second, third]) == ["one", "two", "three", "four"]
    assert journal.last == 4


async def test_a_fact_without_a_line_is_known_from_there_on(journal: Journal) -> None:
    """An event that holds what others may tell: they count before it, not after it, also within a batch."""
    given = changes("one", "two", "one", "two")
    given.lines[1] = b""
    block = await journal.commit(given)

    assert names([block]) == ["one"]
    assert not (await journal.commit(changes("two"))).lines


async def test_a_fact_is_known_after_a_restart(opened: Opener) -> None:
    """A file read again after the restart changes no total."""
    async with opened("a") as journal:
        await journal.commit(changes("one"))
    async with opened("a") as journal:
        block = await journal.commit(changes("one", "two"))

    assert names([block]) == ["two"]
    assert block.first == 2


async def test_a_fact_is_known_for_at_least_half_of_the_time_to_remember(opened: Opener, clock: ManualClock) -> None:
    """Two generations: after one turn a fact is still known, also across a restart; after two it is forgotten."""
    fresh: list[list[str]] = []
    for _ in range(4):
        async with opened("a") as journal:
            fresh.append(names([await journal.commit(changes("one"))]))
            clock.advance(6 * DAY)
            await journal.prune()

    assert fresh == [["one"], [], [], ["one"]]


async def test_events_without_facts_are_all_new(journal: Journal) -> None:
    """Some events are known to be new by whoever made them."""
    block = await journal.commit(Changes(lines=[b"x", b"x"]))

    assert len(block.lines) == 2


async def test_a_failed_commit_leaves_nothing_behind(journal: Journal, tmp_path: Path) -> None:
    """Events, facts and checkpoints stand or fall together, and the same changes can be given again."""
    both = changes("one", "two")
    both.checkpoints = {1: stream(1, 100)}
    both.dead_letters = [letter("no reason"), DeadLetter(time=0.0, reason="x", body=b"", size=2**70)]
    with pytest.raises(OverflowError):
        await journal.commit(both)
    tables = ("batches", "seen_lately", "streams", "dead_letters", "notes")
    left = [rows(tmp_path, table) for table in tables]
    both.dead_letters.pop()
    block = await journal.commit(both)

    assert left == [0, 0, 0, 0, 0]
    assert names([block]) == ["one", "two"]
    assert [row.offset for row in await journal.streams()] == [100]
    assert rows(tmp_path, "dead_letters") == 1


async def test_a_commit_whose_caller_is_cancelled_counts_as_a_whole(journal: Journal) -> None:
    """The thread cannot be stopped: what it wrote must be known, or the next commit takes the same numbers."""
    for name in ("one", "two", "three"):
        commit = asyncio.create_task(journal.commit(changes(name)))
        await asyncio.sleep(0)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
    await journal.commit(changes("four"))

    assert names(await journal.events_after(0)) == ["one", "two", "three", "four"]


async def test_commits_made_at_the_same_time_get_different_numbers(journal: Journal) -> None:
    """Receivers and the tail commit side by side."""
    blocks = await asyncio.gather(*(journal.commit(changes(name)) for name in ("one", "two", "three")))

    assert [block.first for block in blocks] == [1, 2, 3]


async def test_checkpoints_survive_a_restart_and_ids_go_on(opened: Opener) -> None:
    """A stream keeps its id; a new one never gets the id of another."""
    async with opened("a") as journal:
        await journal.commit(Changes(checkpoints={5: stream(5, 10)}))
        await journal.commit(Changes(checkpoints={5: stream(5, 20), 6: stream(6, 1)}))
        await journal.forget_streams([6])
    async with opened("a") as journal:
        known = await journal.streams()
        fresh = journal.new_stream_id(), journal.new_stream_id()

    assert known == [stream(5, 20)]
    assert fresh == (6, 7)


async def test_checkpoints_are_read_as_they_were_committed(journal: Journal) -> None:
    """Those that are asked for; an unknown one is none."""
    await journal.commit(Changes(checkpoints={number: stream(number, 10 * number) for number in (1, 2, 3)}))

    assert await journal.checkpoints([3, 7, 1]) == [stream(3, 30), stream(1, 10)]


@pytest.mark.slow
def test_a_sync_reaches_the_disk(tmp_path: Path) -> None:
    """Ordinary commits wait for that until the log is folded into the file; a source may be deleted before."""
    script = """
import sys
from pathlib import Path
from forwarder.journal.file import JournalFile
from forwarder.journal import Changes, StreamRow
Path(sys.argv[1]).mkdir()
file = JournalFile(Path(sys.argv[1]))
file.add(Changes(checkpoints={1: StreamRow(id=1, source="acme", path="/a", device=1, inode=2)}), now=0.0)
for _ in range(int(sys.argv[2])):
    file.sync()
import os
os._exit(0)
"""

    def syncs(count: int) -> int:
        trace, folder = tmp_path / f"trace{count}", tmp_path / f"state{count}"
        command = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", str(trace)]
        subprocess.run([*command, sys.executable, "-c", script, str(folder), str(count)], check=True, timeout=60)
        return trace.read_text().count("-wal>")

    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    assert syncs(3) == syncs(0) + 3


async def test_waiting_for_events_ends_with_the_next_commit(journal: Journal) -> None:
    """A sink that has caught up sleeps until something happens."""
    waiting = asyncio.create_task(journal.events_after(0))
    await journal.commit(Changes(checkpoints={1: stream(1, 1)}))
    assert not waiting.done()
    await journal.commit(changes("one"))

    assert names(await waiting) == ["one"]


@pytest.mark.parametrize("after", range(7))
async def test_the_file_tells_the_same_as_the_memory(opened: Opener, after: int) -> None:
    """Sinks that are behind read the file, those that are caught up are handed batches from memory."""
    async with opened("a") as journal:
        for some in (("1", "2", "3"), ("4",), ("5", "6", "7")):
            await journal.commit(changes(*some))
        from_memory = await journal.events_after(after)
    async with opened("a") as journal:
        from_file = await journal.events_after(after)

    assert from_file == from_memory
    assert from_file[0].first == after + 1


async def test_cursors_and_refused_events_are_saved_together(opened: Opener, tmp_path: Path) -> None:
    """An event leaves the sink's way only when it lies in the dead letters."""
    async with opened("a") as journal:
        await journal.commit(changes("one", "two"))
        await journal.move("a", Cursor(1, 2), [letter("refused")])
    async with opened("a") as journal:
        assert journal.cursor("a") == Cursor(1, 2)
    assert rows(tmp_path, "dead_letters") == 1


async def test_a_full_journal_has_no_room_until_every_sink_has_taken_something(opened: Opener) -> None:
    """The size limit is the backpressure: reading waits, and goes on by itself."""
    async with opened("a", "b", max_bytes=60) as journal:
        for name in ("one", "two", "three", "four"):
            await journal.commit(changes(name))
        waiting = asyncio.create_task(journal.room())
        await journal.move("a", Cursor(4, 4))
        await journal.note("turn", b"")  # behind whatever room() had the thread do
        assert not waiting.done()
        await journal.move("b", Cursor(2, 2))
        await waiting
        left = names(await journal.events_after(2))

    assert left == ["three", "four"]


async def test_what_is_given_up_is_counted_if_some_sink_never_got_it(opened: Opener) -> None:
    """`on_full = "drop"` loses the oldest events; the user is told how many."""
    async with opened("a", "b", max_bytes=60) as journal:
        for name in ("one", "two", "three", "four"):
            await journal.commit(changes(name))
        await journal.move("a", Cursor(4, 4))
        await journal.move("b", Cursor(1, 1))
        lost = await journal.give_up_oldest()

    assert lost == 1
    async with opened("a", "b") as journal:
        assert journal.cursor("b") == Cursor(2, 2)
        assert names(await journal.events_after(2)) == ["three", "four"]


async def test_room_is_made_even_when_the_wall_clock_went_back(opened: Opener, clock: ManualClock) -> None:
    """A batch from the future must not stop reading for ever."""
    clock.advance(DAY)
    async with opened("a", max_bytes=10) as journal:
        await journal.commit(changes("one"))
        await journal.move("a", Cursor(1, 1))
    clock.advance(-DAY / 2)
    async with opened("a", max_bytes=10) as journal:
        await journal.room()
        assert journal.bytes == 0


async def test_delivered_events_stay_for_the_time_to_keep(journal: Journal, clock: ManualClock) -> None:
    """What is delivered and old goes; what is young, or some sink has not taken, stays."""
    await journal.commit(changes("old"))
    await journal.commit(changes("old, not delivered"))
    await journal.move("a", Cursor(2, 2))
    await journal.move("b", Cursor(1, 1))
    await journal.prune()
    young = journal.bytes
    clock.advance(DAY + 1)
    await journal.prune()

    assert journal.bytes == young - len(changes("old").lines[0]) - 1
    assert journal.delivered == 1


async def test_numbers_go_on_after_everything_was_dropped(opened: Opener, clock: ManualClock) -> None:
    """A cursor must never point at other events than it did."""
    async with opened("a") as journal:
        await journal.commit(changes("one", "two"))
        await journal.move("a", Cursor(2, 2))
        clock.advance(2 * DAY)
        await journal.prune()
    async with opened("a") as journal:
        block = await journal.commit(changes("three"))

    assert block.first == 3


async def test_a_new_sink_starts_with_the_oldest_event_kept(opened: Opener) -> None:
    """A sink added to the configuration gets the journal's past."""
    async with opened("a") as journal:
        await journal.commit(changes("one"))
        await journal.move("a", Cursor(1, 1))
    async with opened("a", "new") as journal:
        assert journal.cursor("new") == Cursor(0, 0)


async def test_a_sink_that_comes_back_starts_behind_what_was_dropped(opened: Opener, clock: ManualClock) -> None:
    """Events are not kept for a sink that is not configured; it must not wait for them either."""
    async with opened("a", "gone") as journal:
        await journal.commit(changes("one", "two"))
        await journal.move("gone", Cursor(0, 1))
    async with opened("a") as journal:
        await journal.move("a", Cursor(2, 2))
        clock.advance(2 * DAY)
        await journal.prune()
        await journal.commit(changes("three"))
    async with opened("a", "gone") as journal:
        assert journal.cursor("gone") == Cursor(2, 2)
        assert names(await journal.events_after(2)) == ["three"]


async def test_another_process_reads_beside_the_writer(journal: Journal, tmp_path: Path) -> None:
    """`forwarder status` looks into the journal of a running forwarder, and can change nothing in it."""
    with closing(connect_to_read(tmp_path)) as reader:
        await journal.commit(changes("one"))
        await journal.note("pid", b"42")
        counted = reader.execute("SELECT sum(count) FROM batches").fetchone()
        noted = reader.execute("SELECT value FROM notes WHERE name = 'pid'").fetchone()
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM batches")

    assert (counted, noted) == ((1,), (b"42",))


async def test_only_the_user_can_read_the_journal(journal: Journal, tmp_path: Path) -> None:
    """It holds what agents and people wrote."""
    await journal.commit(changes("one"))

    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob(f"{FILE_NAME}*")} == {0}
