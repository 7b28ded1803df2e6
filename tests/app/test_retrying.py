"""Dead letters that are tried again, by the rooms as the engine wires them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from forwarder import BadRecord, Event, Record
from forwarder.app.config import SinkSettings
from forwarder.app.redelivery import Redelivery
from forwarder.app.remapping import Remapping
from forwarder.app.retrying import POLL_SECONDS, take_up_letters
from forwarder.delivery import Sender
from forwarder.journal import (
    Changes,
    Cursor,
    DeadLetter,
    Journal,
    StoredLetter,
    ask_again,
    connect_to_read,
    read_letters,
)
from forwarder.journal.letters import TOLD_BEFORE
from forwarder.pipeline.encoding import Encoder
from forwarder.pipeline.mapping import Mapper
from forwarder.pipeline.redaction import Level, Redactor
from forwarder.pipeline.rules import Rules
from forwarder.source import Source
from forwarder.testing import ManualClock, MemorySink
from tests.app.rooms import Count, Counting, Rooms, opened

RECORDS = [b'"a"', b'"poison"', b'"c"']


@dataclass(frozen=True)
class Picky(Counting):
    """Cannot map a poison, unless it was updated; a state that it left behind would show in the next text."""

    is_updated: bool = True

    def map(self, record: Record, state: Count) -> Iterator[Event]:
        if record.json() == "poison" and not self.is_updated:
            raise BadRecord("poison")
        yield from super().map(record, state)


def letter(path: Path, *, offset: int = 4, size: int = 8) -> DeadLetter:
    return DeadLetter(time=1.0, reason="poison", body=b"", source="acme", file=str(path), offset=offset, size=size)


def letters(folder: Path) -> list[StoredLetter]:
    with closing(connect_to_read(folder)) as connection:
        return list(read_letters(connection))


def remapping(rooms: Rooms, source: Source[Count]) -> Remapping:
    redactor = Redactor(Rules())
    encoder = Encoder(host="mac", level=Level.NONE, redactor=redactor, prices=None)

    def make(name: str, source: Source[Count], path: Path) -> Mapper:
        return Mapper(
            source,
            name=name,
            path=path,
            encoder=encoder,
            redactor=redactor,
            level=Level.NONE,
            now=rooms.clock.now,
        )

    return Remapping(rooms.journal, rooms.committer, {"acme": source}, make, max_line_bytes=1 << 20)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([*RECORDS, b""]))
    return path


async def test_a_record_is_mapped_again_with_the_state_before_it(tmp_path: Path, file: Path) -> None:
    """After an update: only its own events are added, and those of its neighbours stay as they are."""
    clock = ManualClock()
    async with opened(tmp_path, clock) as rooms:
        await rooms.journal.commit(Changes(dead_letters=[letter(file)]))
        ask_again(tmp_path, [1], time=2.0)
        await remapping(rooms, Picky()).take_up(await rooms.journal.asked_letters())

        assert await rooms.texts() == ["1:poison"]
    assert letters(tmp_path) == []


async def test_what_was_told_meanwhile_counts_once_and_says_so(tmp_path: Path, file: Path) -> None:
    """By a copy, or by a neighbour that has taken its number: the letter stays, a loss would be silent otherwise."""
    clock = ManualClock()
    async with opened(tmp_path, clock) as rooms:
        await rooms.journal.commit(Changes(dead_letters=[letter(file), letter(file)]))
        ask_again(tmp_path, [1, 2], time=2.0)
        await remapping(rooms, Picky()).take_up(await rooms.journal.asked_letters())

        assert await rooms.texts() == ["1:poison"]
    (stayed,) = letters(tmp_path)
    assert (stayed.letter.reason, stayed.is_asked) == (TOLD_BEFORE, False)


@pytest.mark.parametrize(
    ("offset", "size", "reason"),
    [
        (4, 8, "poison"),
        (4, 9, "no record of 9 bytes begins at 4 of .*a.jsonl any more"),
        (99, 8, "no record of 8 bytes begins at 99"),
    ],
)
async def test_what_cannot_be_mapped_again_says_why(
    tmp_path: Path, file: Path, offset: int, size: int, reason: str
) -> None:
    """The release is still too old, or the file was rewritten: the letter stays, with the newest reason."""
    clock = ManualClock()
    async with opened(tmp_path, clock) as rooms:
        await rooms.journal.commit(Changes(dead_letters=[letter(file, offset=offset, size=size)]))
        ask_again(tmp_path, [1], time=2.0)
        await remapping(rooms, Picky(is_updated=False)).take_up(await rooms.journal.asked_letters())

        assert await rooms.texts() == []
    (stayed,) = letters(tmp_path)
    assert (stayed.letter.attempts, stayed.is_asked) == (2, False)
    assert re.search(reason, stayed.letter.reason)


async def test_a_wish_is_noticed_when_another_process_writes_it(tmp_path: Path) -> None:
    """Nothing is read again while nobody else has written."""
    clock = ManualClock()
    taken: list[list[int]] = []

    async def take_up(found: Sequence[StoredLetter]) -> None:
        taken.append([one.id for one in found])

    async with opened(tmp_path, clock) as rooms:
        await rooms.journal.commit(Changes(dead_letters=[letter(tmp_path / "a.jsonl")]))
        task = asyncio.create_task(take_up_letters(rooms.journal, [take_up], clock))
        assert await clock.skip() == POLL_SECONDS
        await clock.skip()
        ask_again(tmp_path, [1], time=2.0)
        await clock.skip()
        await clock.asleep()
        task.cancel()
        await asyncio.wait([task])

    assert taken == [[], [1]]


@pytest.fixture
async def sent(tmp_path: Path) -> AsyncGenerator[Callable[..., Awaitable[list[str]]]]:
    """Refuses an event at a level laxer than the sink's is now, asks for it again and tells what reaches the sink."""
    clock, line = ManualClock(), LINE % b'"text":"hello"'
    refused = DeadLetter(time=1.0, reason="no", body=line, sink="team", event=1)
    opened = Journal(tmp_path, sinks=["team"], max_bytes=1 << 20, keep_seconds=60, remember_seconds=60, clock=clock)
    async with opened as journal:
        await journal.commit(Changes(lines=[line]))
        await journal.move("team", Cursor(1, 1), [refused])
        ask_again(tmp_path, [1], time=2.0)

        async def send(sink: SinkSettings, *, is_in_journal: bool = True) -> list[str]:
            if not is_in_journal:
                clock.advance(61)
                await journal.prune()
            memory = MemorySink()
            sender = Sender("team", memory, journal, clock=clock)
            again = Redelivery(journal, {"team": sender}, {"team": sink}, level=Level.NONE, redactor=Redactor(Rules()))
            for _ in range(2):
                await again.take_up(await journal.asked_letters())
            task = asyncio.create_task(sender.run())
            async with asyncio.timeout(10):
                while await journal.asked_letters():
                    await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return [line.decode() for line in memory.taken]

        yield send


LINE = b'{"id":"00000000000000000000000000000001","type":"prompt","time":"2026-01-01T00:00:00.000Z","agent":"acme",%b}'
AT_FULL = SinkSettings("team", use="memory", level=Level.FULL)
CUT = (LINE % b"").decode().replace(",}", "}")
Send = Callable[..., Awaitable[list[str]]]


async def test_an_event_goes_out_as_its_sink_would_get_it_today(sent: Send, tmp_path: Path) -> None:
    """Not as it was when it was refused: what the sink may have is decided anew, and it comes once."""
    assert await sent(AT_FULL) == [CUT]
    assert letters(tmp_path) == []


async def test_an_event_that_left_the_journal_is_cut_again(sent: Send, tmp_path: Path) -> None:
    """What was kept of it may be laxer than what the sink may have today."""
    assert await sent(AT_FULL, is_in_journal=False) == [CUT]
    assert letters(tmp_path) == []


async def test_an_event_that_left_the_journal_cannot_be_renamed_again(sent: Send, tmp_path: Path) -> None:
    """Under other names nobody can tell any more what has to be cut: it stays, and says what to do."""
    assert await sent(replace(AT_FULL, rename={"text": "body"}), is_in_journal=False) == []
    assert "replay its file" in letters(tmp_path)[0].letter.reason
