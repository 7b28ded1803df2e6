"""What could not be read is told as an event, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from forwarder.app.unreadable import tell_unreadable
from forwarder.tail.follow import File
from forwarder.testing import ManualClock
from tests.app.rooms import Counting, Rooms, opened

WHOLE = b'"aaaaaaaa"\n'
TORN = b'"half a li'


@asynccontextmanager
async def following(folder: Path) -> AsyncGenerator[Rooms]:
    """One life of a forwarder over the journal in the folder."""
    async with opened(folder, ManualClock()) as rooms:
        tasks = [
            asyncio.create_task(rooms.intake.run()),
            asyncio.create_task(
                tell_unreadable(
                    rooms.problems,
                    rooms.journal,
                    rooms.committer,
                    sources={"acme": Counting()},
                    make_mapper=rooms.intake._make_mapper,  # pyright: ignore[reportPrivateUsage]
                )
            ),
        ]
        try:
            yield rooms
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def read(rooms: Rooms, file: Path) -> None:
    """Report the file, and return when all of it was seen and what was read of it is in the journal."""
    rooms.follower.report(File("acme", file), is_live=True)

    def is_seen() -> bool:
        row = rooms.index.known("acme", file)
        return row is not None and row.seen == file.stat().st_size and not rooms.follower.waiting

    await until(is_seen)
    row = rooms.index.known("acme", file)
    assert row is not None
    async with asyncio.timeout(10):
        while (row.generation, row.offset) not in await committed(rooms):
            await asyncio.sleep(0)


async def committed(rooms: Rooms) -> list[tuple[int, int]]:
    return [(row.generation, row.offset) for row in await rooms.journal.streams()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def gaps(rooms: Rooms) -> list[dict[str, Any]]:
    """What the gaps in the journal say."""
    if not rooms.journal.last:
        return []
    lines = [json.loads(line) for block in await rooms.journal.events_after(0) for line in block.lines]
    found = [one for one in lines if one["type"] == "gap"]
    return [{"reason": one["reason"], "bytes": one.get("bytes"), "offset": one["origin"]["offset"]} for one in found]


async def test_what_was_seen_and_then_cut_off_is_told(tmp_path: Path) -> None:
    """With its size and where it began, also when the forwarder was away meanwhile; and it is told once."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(WHOLE + TORN)
    async with following(tmp_path) as rooms:
        await read(rooms, file)
    file.write_bytes(b'"b"\n')
    found: list[list[dict[str, Any]]] = []
    for _ in range(2):
        async with following(tmp_path) as rooms:
            await read(rooms, file)
            found.append(await gaps(rooms))

    assert found == [[{"reason": "truncated", "bytes": 10, "offset": 11}]] * 2


async def test_a_half_line_that_came_last_is_known_too(tmp_path: Path) -> None:
    """No checkpoint is written for it: as long as the process lives it knows how large the file was."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(WHOLE)
    async with following(tmp_path) as rooms:
        await read(rooms, file)
        with file.open("ab") as end:
            end.write(TORN)
        await read(rooms, file)
        file.write_bytes(b'"b"\n')
        await read(rooms, file)

        assert await gaps(rooms) == [{"reason": "truncated", "bytes": 10, "offset": 11}]


async def test_another_content_in_the_same_file_is_told_as_replaced(tmp_path: Path) -> None:
    """It may be longer than the one before."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(WHOLE + TORN)
    async with following(tmp_path) as rooms:
        await read(rooms, file)
        file.write_bytes(b'"bbbbbbbb"\n' * 9)
        await read(rooms, file)

        assert await gaps(rooms) == [{"reason": "replaced", "bytes": 10, "offset": 11}]


async def test_a_file_that_was_read_to_its_end_leaves_no_gap(tmp_path: Path) -> None:
    """Rotation by copying and cutting off loses nothing that was seen."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(WHOLE)
    async with following(tmp_path) as rooms:
        await read(rooms, file)
        file.write_bytes(b'"b"\n')
        await read(rooms, file)

        assert await gaps(rooms) == []


async def test_a_file_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    """However often it is tried, also after a restart; nobody knows how much is in it."""
    folder = tmp_path / "b.jsonl"
    folder.mkdir()
    found: list[list[dict[str, Any]]] = []
    for _ in range(2):
        async with following(tmp_path) as rooms:
            for _ in range(2):
                rooms.follower.report(File("acme", folder), is_live=True)
                await until(lambda: rooms.follower.waiting == 0)
            await until(lambda: rooms.journal.last > 0)
            found.append(await gaps(rooms))

    assert found == [[{"reason": "unreadable", "bytes": None, "offset": 0}]] * 2
