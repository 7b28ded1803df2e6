"""A plugin whose state changed its shape goes on in the middle of its files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from forwarder import Event, Record, Source, SystemClock
from forwarder.app.committing import Committer
from forwarder.app.state_shapes import renew_states
from forwarder.journal import Changes, Journal, StreamRow
from forwarder.tail.index import StreamIndex


@dataclass
class Old:
    count: int = 0


@dataclass
class New:
    names: list[str]


class Counting(Source[Old]):
    def patterns(self) -> list[str]:
        return []

    def new_state(self, path: Path) -> Old:
        return Old()

    def map(self, record: Record, state: Old) -> Iterator[Event]:
        yield from ()


class Naming(Source[New]):
    def patterns(self) -> list[str]:
        return []

    def new_state(self, path: Path) -> New:
        return New([])

    def map(self, record: Record, state: New) -> Iterator[Event]:
        yield from ()


def journal_in(folder: Path) -> Journal:
    return Journal(
        folder, sinks=[], max_bytes=1 << 20, keep_seconds=60, remember_seconds=60, clock=SystemClock()
    )  # fmt: skip


async def rows_after(folder: Path, source: Source[Old] | Source[New]) -> list[StreamRow]:
    async with journal_in(folder) as journal:
        index = StreamIndex(await journal.streams(), journal.new_stream_id)
        await renew_states({"acme": source}, journal, index, write=Committer(journal, SystemClock()).write)
        return await journal.streams()


async def with_a_stream(folder: Path) -> StreamRow:
    row = StreamRow(id=1, source="acme", path="/a.jsonl", device=1, inode=2, offset=500, state=b"\x91\x05")
    async with journal_in(folder) as journal:
        await journal.commit(Changes(checkpoints={1: row}))
    return replace(row, state=b"")


async def test_every_write_waits_for_room(tmp_path: Path) -> None:
    """A disk that is full when the forwarder starts must not end it."""
    waited = 0

    async def write(call: Callable[[], Awaitable[object]]) -> None:
        nonlocal waited
        waited += 1
        await call()

    await with_a_stream(tmp_path)
    await rows_after(tmp_path, Counting())
    async with journal_in(tmp_path) as journal:
        index = StreamIndex(await journal.streams(), journal.new_stream_id)
        await renew_states({"acme": Naming()}, journal, index, write=write)

    assert waited == 2


async def test_a_state_of_the_same_shape_is_kept(tmp_path: Path) -> None:
    """An ordinary restart must not read anything again."""
    row = await with_a_stream(tmp_path)
    await rows_after(tmp_path, Counting())

    assert await rows_after(tmp_path, Counting()) == [row]


async def test_a_state_of_another_shape_is_made_again_without_repeating_events(tmp_path: Path) -> None:
    """After an update the old state is unreadable: the file is mapped from 0, and only what is new becomes events."""
    await with_a_stream(tmp_path)
    await rows_after(tmp_path, Counting())

    (row,) = await rows_after(tmp_path, Naming())

    assert (row.offset, row.skip_until, row.generation) == (0, 500, 1)
