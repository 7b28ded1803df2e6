"""From files to the journal: events, offsets and states in step, whenever it is interrupted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from forwarder.app import intake as intake_module
from forwarder.app.state_folder import held
from forwarder.tail import reader
from forwarder.tail.follow import File
from forwarder.testing import ManualClock
from tests.app.rooms import opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    with held(folder):
        return folder


def numbered(count: int, first: int = 0) -> bytes:
    return b"".join(b"%d\n" % number for number in range(first, first + count))


def counted(count: int) -> list[str]:
    """The texts of so many records that all knew of those before them."""
    return [f"{number}:{number}" for number in range(count)]


async def test_events_offset_and_state_are_committed_together(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """The checkpoint stands behind the last event, with the state that the next record needs."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(numbered(10))
    async with opened(state, clock) as rooms:
        await rooms.read(path)
        [row] = await rooms.journal.streams()

        assert await rooms.texts() == counted(10)
        assert (row.offset, row.path) == (20, str(path))
        assert b"records\x0a" in await rooms.journal.stream_state(row.id)


async def test_sessions_are_committed_with_their_events(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """What the mapper saw of them, from every slice of a chunk."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(numbered(1000))
    async with opened(state, clock) as rooms:
        await rooms.read(path)
        [row] = await rooms.journal.live_sessions()

    assert (row.agent, row.session_id, row.last, row.state) == ("acme", "s.jsonl", clock.now().timestamp(), None)


async def test_a_restart_goes_on_with_the_state(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """The first record after it knows of all before."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(numbered(10))
    async with opened(state, clock) as rooms:
        await rooms.read(path)
    with path.open("ab") as file:
        file.write(numbered(10, first=10))
    async with opened(state, clock) as rooms:
        await rooms.read(path)

        assert await rooms.texts() == counted(20)


@pytest.mark.parametrize("is_told", [True, False])
async def test_an_interrupted_backfill_goes_on(
    tmp_path: Path, state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """Stopped in the middle of a file that nobody touches any more: the rest is read at the next start, once."""
    monkeypatch.setattr(reader, "CHUNK_BYTES", 64)
    path = tmp_path / "s.jsonl"
    path.write_bytes(numbered(2000))
    async with opened(state, clock) as rooms:
        await rooms.start(path)
        task = asyncio.create_task(rooms.intake.run())
        await rooms.journal.grown(100)
        task.cancel()
        await asyncio.wait([task])
        if is_told:
            await rooms.committer.finish()
        interrupted_at = rooms.journal.last
    async with opened(state, clock) as rooms:
        await rooms.start(path)
        await rooms.read()

        assert interrupted_at < 2000
        assert await rooms.texts() == counted(2000)


async def test_states_in_memory_are_limited(
    tmp_path: Path, state: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that is read again after many others gets its state from the journal."""
    monkeypatch.setattr(intake_module, "MAPPERS_KEPT", 2)
    paths = [tmp_path / f"{number}.jsonl" for number in range(8)]
    async with opened(state, clock) as rooms:
        reading = asyncio.create_task(rooms.intake.run())
        for turn in range(5):
            for number, path in enumerate(paths):
                with path.open("ab") as file:
                    file.write(b"%d\n" % (100 * number + turn))
                rooms.follower.report(File("acme", path), is_live=True)
            await rooms.journal.grown((turn + 1) * len(paths) - 1)
        rooms.follower.end()
        await reading

        assert sorted(await rooms.texts()) == sorted(f"{turn}:{100 * n + turn}" for n in range(8) for turn in range(5))
        assert rooms.mappers_made > len(paths)


async def test_a_rewritten_file_begins_with_a_new_state(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """Its records know of none before them."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(numbered(10))
    async with opened(state, clock) as rooms:
        await rooms.read(path)
    path.write_bytes(numbered(3, first=500))
    async with opened(state, clock) as rooms:
        await rooms.read(path)

        assert (await rooms.texts())[10:] == ["0:500", "1:501", "2:502"]
        assert [row.generation for row in await rooms.journal.streams()] == [1]


async def test_another_file_under_the_same_inode_is_another_session(
    tmp_path: Path, state: Path, clock: ManualClock
) -> None:
    """The stream goes on in a new generation, but the session is named after the new file."""
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_bytes(numbered(10))
    async with opened(state, clock) as rooms:
        reading = asyncio.create_task(rooms.intake.run())
        rooms.follower.report(File("acme", path), is_live=True)
        await rooms.journal.grown(9)
        path.write_bytes(b"777\n")  # keeps the inode, as a delete and a create may
        path.rename(other)
        rooms.follower.report(File("acme", other), is_live=True)
        await rooms.journal.grown(10)
        rooms.follower.end()
        await reading
        [block] = await rooms.journal.events_after(10)
        event = json.loads(block.lines[0])

        assert (event["session_id"], event["origin"]["file"], event["text"]) == ("b.jsonl", "b.jsonl", "0:777")


async def test_a_renamed_file_keeps_its_state_and_tells_its_new_name(
    tmp_path: Path, state: Path, clock: ManualClock
) -> None:
    """The session is the one that it began as."""
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_bytes(numbered(10))
    async with opened(state, clock) as rooms:
        await rooms.read(path)
    path.rename(other)
    with other.open("ab") as file:
        file.write(b"10\n")
    async with opened(state, clock) as rooms:
        await rooms.read(other)
        [block] = await rooms.journal.events_after(10)
        event = json.loads(block.lines[0])

        assert (event["session_id"], event["origin"]["file"], event["text"]) == ("a.jsonl", "b.jsonl", "10:10")


async def test_bad_lines_go_to_the_dead_letters_and_the_file_goes_on(
    tmp_path: Path, state: Path, clock: ManualClock
) -> None:
    """A torn line costs itself."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'0\n{"torn\n1\n' + bytes(100) + b"2\n")
    async with opened(state, clock) as rooms:
        await rooms.read(path)

        assert await rooms.texts() == counted(3)
