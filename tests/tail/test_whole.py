"""Files that are one record: read when their content changes, known by their path, and never half."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from forwarder.source import Record
from forwarder.tail.follow import File, Follower
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import Chunk
from forwarder.testing import ManualClock

LIMIT = 1 << 10
NOW = datetime(2026, 5, 6, tzinfo=UTC)


class Wholes:
    """Reads files as the follower does, and remembers the checkpoints as the journal would."""

    def __init__(self) -> None:
        numbers = count(1)
        self._new_id = lambda: next(numbers)
        self.index = StreamIndex([], self._new_id)
        self.problems: list[Exception] = []

    async def chunks(self, *paths: Path, is_last: bool = True) -> list[Chunk]:
        """All that is new in the files; without `is_last` they may still change."""
        follower = Follower(
            self.index,
            max_line_bytes=LIMIT,
            clock=ManualClock(NOW),
            on_problem=lambda _, error: self.problems.append(error),
            is_whole=lambda file: file.path.suffix == ".json",
        )
        for path in paths:
            follower.report(File("acme", path), is_live=True)
        if is_last:
            follower.end()
        async with aclosing(follower.chunks()) as chunks:
            return await self._gathered(follower, chunks, is_last=is_last)

    async def _gathered(self, follower: Follower, chunks: AsyncGenerator[Chunk], *, is_last: bool) -> list[Chunk]:
        found: list[Chunk] = []
        async for chunk in chunks:
            found.append(chunk)
            if not is_last and not follower.waiting:
                break
        return found

    async def records(self, *paths: Path) -> list[Record]:
        return [record for chunk in await self.chunks(*paths) for record in chunk.records]

    def restart(self) -> None:
        """Forget all but the checkpoints."""
        self.index = StreamIndex(list(self.index.rows()), self._new_id)


@pytest.fixture
def wholes() -> Wholes:
    return Wholes()


async def test_a_content_is_one_record(wholes: Wholes, tmp_path: Path) -> None:
    """However many lines it has, and without a newline at its end."""
    path = tmp_path / "a.json"
    path.write_bytes(b'[\n  {"n": 1}\n]')
    os.utime(path, (1000, 1000))
    [record] = await wholes.records(path)

    assert (record.line, record.offset, record.size) == (b'[\n  {"n": 1}\n]', 0, 14)
    assert record.time == datetime.fromtimestamp(1000, UTC)


async def test_a_content_is_read_once(wholes: Wholes, tmp_path: Path) -> None:
    """Also after a restart; touching the file changes nothing but the checkpoint."""
    path = tmp_path / "a.json"
    path.write_bytes(b"[1]")
    await wholes.chunks(path)
    wholes.restart()
    again = await wholes.chunks(path)
    os.utime(path, (1000, 1000))
    touched = await wholes.chunks(path)

    assert again == []
    assert [(chunk.records, chunk.row.time) for chunk in touched] == [([], 1000)]


async def test_a_changed_content_goes_on_with_the_state(wholes: Wholes, tmp_path: Path) -> None:
    """Rewritten in place or replaced: the file is known by its path, and its state is not begun anew."""
    path, other = tmp_path / "a.json", tmp_path / "b.json"
    path.write_bytes(b"[1]")
    [first] = await wholes.chunks(path)
    path.write_bytes(b"[2]")
    [rewritten] = await wholes.chunks(path)
    other.write_bytes(b"[3,4]")
    other.rename(path)
    [replaced] = await wholes.chunks(path)

    assert [chunk.records[0].line for chunk in (rewritten, replaced)] == [b"[2]", b"[3,4]"]
    assert {(chunk.row.id, chunk.is_restarted) for chunk in (first, rewritten, replaced)} == {(first.row.id, False)}


async def test_two_files_are_two_streams(wholes: Wholes, tmp_path: Path) -> None:
    """Of the same name in two folders, and with the same content."""
    paths = [tmp_path / "a" / "stop.json", tmp_path / "b" / "stop.json"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"[1]")

    assert len({chunk.row.id for chunk in await wholes.chunks(*paths)}) == 2


@pytest.mark.parametrize("half", [b"", b" \n", b"[1,\n{", b'{"a": [1]'])
async def test_a_half_written_content_waits(wholes: Wholes, tmp_path: Path, half: bytes) -> None:
    """Hooks rewrite a file while others read it."""
    path, other = tmp_path / "a.json", tmp_path / "b.jsonl"
    path.write_bytes(half)
    other.write_bytes(b"1\n")
    before = await wholes.chunks(path, other, is_last=False)
    path.write_bytes(b"[1,{}]")

    assert [Path(chunk.row.path).name for chunk in before] == ["b.jsonl"]
    assert [record.line for record in await wholes.records(path)] == [b"[1,{}]"]


async def test_what_is_no_json_is_never_half_written(wholes: Wholes, tmp_path: Path) -> None:
    """Such as a count that is kept as so many bytes."""
    path = tmp_path / "a.json"
    path.write_bytes(b"..")
    before = await wholes.records(path)
    path.write_bytes(b"...")

    assert [record.line for record in (*before, *await wholes.records(path))] == [b"..", b"..."]


async def test_at_the_end_a_half_written_content_is_handed_out(wholes: Wholes, tmp_path: Path) -> None:
    """Nothing will complete it: whoever maps it says what is wrong."""
    path = tmp_path / "a.json"
    path.write_bytes(b"[1,")

    assert [record.line for record in await wholes.records(path)] == [b"[1,"]


async def test_of_a_content_beyond_the_limit_there_is_only_the_head(wholes: Wholes, tmp_path: Path) -> None:
    """It is not held."""
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + b"1," * LIMIT + b"1]")
    [record] = await wholes.records(path)

    assert (record.is_whole, record.size) == (False, 2 * LIMIT + 3)
