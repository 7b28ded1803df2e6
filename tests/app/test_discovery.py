"""What is read of the files that are there at the start."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forwarder.app.discovery import gone_for_good
from forwarder.app.state_folder import held
from forwarder.journal import StreamRow
from forwarder.testing import ManualClock
from tests.app.rooms import opened

DAY = 86_400.0


@pytest.fixture
def clock() -> ManualClock:
    """Stands at the machine's time, since files have that."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    with held(folder):
        return folder


def write(path: Path, *numbers: int, age: float = 0.0) -> Path:
    """Append a line per number; `age` is how long ago that was, in seconds."""
    with path.open("ab") as file:
        file.write(b"".join(b"%d\n" % number for number in numbers))
    time = path.stat().st_mtime - age
    os.utime(path, (time, time))
    return path


def test_a_file_whose_name_holds_a_secret_is_not_gone(tmp_path: Path) -> None:
    """The journal does not know where it is; to forget it would be to read and count it again."""
    rows = [
        StreamRow(id=number, source="acme", path=str(tmp_path / name), device=1, inode=number)
        for number, name in enumerate(["gone.jsonl", "[REDACTED].jsonl"], 1)
    ]

    assert gone_for_good(rows, before=DAY) == [1]


async def test_the_first_start_reads_what_changed_lately(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """Files changed within the time are read from their beginning, the others are history."""
    old, new = write(tmp_path / "old.jsonl", 1, 2, age=2 * DAY), write(tmp_path / "new.jsonl", 3, 4)
    async with opened(state, clock) as rooms:
        await rooms.start(old, new, start=DAY)
        await rooms.read()

        assert await rooms.texts() == ["0:3", "1:4"]


@pytest.mark.parametrize(("start", "texts"), [("all", ["0:1", "0:2"]), ("none", [])])
async def test_the_first_start_may_read_all_or_nothing(
    tmp_path: Path, state: Path, clock: ManualClock, start: str, texts: list[str]
) -> None:
    """As the user wrote."""
    files = [write(tmp_path / "old.jsonl", 1, age=2 * DAY), write(tmp_path / "new.jsonl", 2)]
    async with opened(state, clock) as rooms:
        await rooms.start(*files, start="all" if start == "all" else "none")
        await rooms.read()

        assert await rooms.texts() == texts


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_only_what_is_appended_to_history_becomes_events(
    tmp_path: Path, state: Path, clock: ManualClock, is_restarted: bool
) -> None:
    """The whole file is read then, for the mapper's state: the third record knows of two before it."""
    path = write(tmp_path / "s.jsonl", 1, 2, age=2 * DAY)
    async with opened(state, clock) as rooms:
        await rooms.start(path, start=DAY)
        if not is_restarted:
            write(path, 3)
            await rooms.read(path)
            assert await rooms.texts() == ["2:3"]
    if is_restarted:
        write(path, 3)
        async with opened(state, clock) as rooms:
            await rooms.start(path, start=DAY)
            await rooms.read()
            assert await rooms.texts() == ["2:3"]


async def test_compressed_history_is_marked_up_to_its_plain_end(
    tmp_path: Path, state: Path, clock: ManualClock
) -> None:
    """Its own size says nothing about where what is new begins."""
    packed = tmp_path / "s.jsonl.gz"
    content = b"".join(b"%d\n" % number for number in range(100))
    packed.write_bytes(gzip.compress(content))
    os.utime(packed, (1e9, 1e9))
    async with opened(state, clock) as rooms:
        await rooms.start(packed, start=DAY)
        packed.unlink()
        plain = tmp_path / "s.jsonl"
        plain.write_bytes(content + b"777\n")
        await rooms.read(plain)

        assert await rooms.texts() == ["100:777"]


async def test_a_broken_file_of_history_is_reported(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """It does not keep the others from being marked."""
    broken, old = tmp_path / "b.jsonl.gz", write(tmp_path / "old.jsonl", 1, age=2 * DAY)
    broken.write_bytes(gzip.compress(b"1\n" * 1000)[:-9])
    os.utime(broken, (1e9, 1e9))
    async with opened(state, clock) as rooms:
        await rooms.start(broken, old, start=DAY)
        await rooms.read()

        assert list(rooms.problems.by_file) == [str(broken)]
        assert [row.path for row in await rooms.journal.streams()] == [str(old)]


async def test_later_starts_read_everything_new(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """What was written while nobody looked is wanted, however old it says it is."""
    known = write(tmp_path / "known.jsonl", 1)
    async with opened(state, clock) as rooms:
        await rooms.start(known, start="none")
    write(known, 2)
    came = write(tmp_path / "came.jsonl", 3, age=30 * DAY)
    async with opened(state, clock) as rooms:
        await rooms.start(known, came, start="none")
        await rooms.read()

        assert sorted(await rooms.texts()) == ["0:3", "1:2"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
async def test_files_read_to_their_end_are_not_opened_again(
    tmp_path: Path, state: Path, clock: ManualClock, suffix: str
) -> None:
    """Thousands of finished sessions cost one look each, compressed or not, renamed or not."""
    path = tmp_path / f"s.jsonl{suffix}"
    path.write_bytes(gzip.compress(b"1\n2\n") if suffix else b"1\n2\n")
    async with opened(state, clock) as rooms:
        await rooms.start(path)
        await rooms.read()
    async with opened(state, clock) as rooms:
        assert await rooms.start(path) == 0
    moved = path.rename(tmp_path / f"moved.jsonl{suffix}")
    async with opened(state, clock) as rooms:
        await rooms.start(moved)
        await rooms.read(moved)
        assert await rooms.texts() == ["0:1", "1:2"]
    async with opened(state, clock) as rooms:
        assert await rooms.start(moved) == 0


async def test_a_file_renamed_while_nobody_looked_is_known_by_its_new_name(
    tmp_path: Path, state: Path, clock: ManualClock
) -> None:
    """Nothing in it is new; but by its old name it would be forgotten as gone, and read again."""
    path = write(tmp_path / "s.jsonl", 1, 2)
    async with opened(state, clock) as rooms:
        await rooms.start(path)
        await rooms.read()
    renamed = path.rename(tmp_path / "t.jsonl")
    async with opened(state, clock) as rooms:
        await rooms.start(renamed)
        await rooms.read()
        [row] = await rooms.journal.streams()

        assert (row.path, row.generation, await rooms.texts()) == (str(renamed), 0, ["0:1", "1:2"])


async def test_the_oldest_files_are_read_first(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """So that a backfill tells things in the order in which they happened, as far as files go."""
    files = [write(tmp_path / f"{age}.jsonl", age, age=age * 100.0) for age in (1, 3, 2)]
    async with opened(state, clock) as rooms:
        await rooms.start(*files)
        await rooms.read()

        assert await rooms.texts() == ["0:3", "0:2", "0:1"]


async def test_a_file_with_a_name_that_is_not_utf_8_is_reported(
    tmp_path: Path, state: Path, clock: ManualClock
) -> None:
    """Not even its checkpoint could be kept; the others are read."""
    odd = write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")), 1)
    good = write(tmp_path / "s.jsonl", 2)
    async with opened(state, clock) as rooms:
        await rooms.start(odd, good, start="none")
        await rooms.read(good)

        assert list(rooms.problems.by_file) == [f"{tmp_path}/caf\ufffd.jsonl"]
        assert [row.path for row in await rooms.journal.streams()] == [str(good)]


async def test_a_file_that_goes_before_the_start_is_no_problem(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """The sweep saw it, and then it was deleted."""
    async with opened(state, clock) as rooms:
        assert await rooms.start(tmp_path / "gone.jsonl") == 0


async def test_a_rewriting_of_the_same_length_is_noticed(tmp_path: Path, state: Path, clock: ManualClock) -> None:
    """While nobody looked, the content changed and the size did not."""
    path = write(tmp_path / "s.jsonl", 1, 2, age=100)
    async with opened(state, clock) as rooms:
        await rooms.start(path)
        await rooms.read()
    path.write_bytes(b"3\n4\n")
    async with opened(state, clock) as rooms:
        await rooms.start(path)
        await rooms.read()

        assert await rooms.texts() == ["0:1", "1:2", "0:3", "1:4"]


async def test_a_file_that_is_gone_for_long_is_forgotten(tmp_path: Path) -> None:
    """Checkpoints must not pile up for ever; one whose file may still come back is kept."""
    there = tmp_path / "there.jsonl"
    there.touch()
    rows = [
        StreamRow(id=1, source="acme", path=str(there), device=1, inode=1, time=10.0),
        StreamRow(id=2, source="acme", path=str(tmp_path / "gone.jsonl"), device=1, inode=2, time=10.0),
        StreamRow(id=3, source="acme", path=str(tmp_path / "just-gone.jsonl"), device=1, inode=3, time=99.0),
    ]

    assert gone_for_good(rows, before=50.0) == [2]
