"""Where an event came from and what became of it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from forwarder.app.config import Settings, from_values
from forwarder.app.looking.why import Fate, explain, text_lines
from forwarder.app.status_note import NOTE, Status
from forwarder.errors import ConfigError, JournalDamaged
from forwarder.journal import Changes, Cursor, DeadLetter, Journal, StreamRow, ask_again
from forwarder.testing import ManualClock
from tests.app.looking.test_status import SENDER

START = datetime(2026, 1, 1, tzinfo=UTC)


def line(number: int, kind: str = "prompt") -> bytes:
    return (
        f'{{"id":"{ids(number)}","type":"{kind}","time":"2026-01-01T00:00:00.000Z","agent":"acme","session_id":"s",'
        f'"host":"mac","origin":{{"source":"acme","file":"a.jsonl","offset":{number * 4}}}}}'
    ).encode()


def ids(number: int) -> str:
    return f"{number:04x}{'0' * 28}"


def fact(number: int) -> bytes:
    return b"grup" + bytes.fromhex(ids(number))[:12]


class Desk:
    """A journal with the events 1 to 3 of a file, and the sinks `team` and `prompts` beside it."""

    def __init__(self, folder: Path, journal: Journal, clock: ManualClock) -> None:
        self.folder = folder
        self.journal = journal
        self.clock = clock
        self.file = folder / "a.jsonl"
        sinks = {"team": {"use": "stdout"}, "prompts": {"use": "stdout", "types": ["response"]}}
        values: dict[str, object] = {"sinks": sinks, "state_dir": str(folder)}
        self.settings: Settings = from_values(values, place="test", folder=folder)

    def fate(self, number: int, sink: str) -> Fate:
        (one,) = [one for one in explain(ids(number), self.settings).sinks if one.sink == sink]
        return one


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    clock = ManualClock()
    opened = Journal(
        tmp_path, sinks=["team", "prompts"], max_bytes=1 << 20, keep_seconds=60, remember_seconds=1e6, clock=clock
    )
    async with opened as journal:
        desk = Desk(tmp_path, journal, clock)
        desk.file.write_bytes(b"000\n" * 4 + b"half")
        row = StreamRow(id=1, source="acme", path=str(desk.file), device=1, inode=1, offset=16)
        await journal.commit(Changes([line(1), line(2), line(3)], [fact(1), fact(2), fact(3)], {1: row}))
        yield desk


async def test_an_event_is_traced_to_its_record(desk: Desk) -> None:
    """Source, file with its folder, offset and size, and when it was journalled."""
    desk.clock.advance(5)
    found = explain(ids(2)[:6], desk.settings)

    assert found.origin is not None
    assert (found.origin.source, found.origin.file, found.origin.offset) == ("acme", str(desk.file), 8)
    assert (found.origin.size, found.number, found.committed) == (3, 2, START)


async def test_an_acknowledged_event_says_when(desk: Desk) -> None:
    """To the second in which the sink's cursor passed it."""
    desk.clock.advance(7)
    await desk.journal.move("team", Cursor(2, 2))
    desk.clock.advance(7)
    await desk.journal.move("team", Cursor(3, 3))

    assert desk.fate(2, "team") == Fate(sink="team", what="acknowledged", time=START.replace(second=7))
    assert desk.fate(3, "team") == Fate(sink="team", what="acknowledged", time=START.replace(second=14))


async def test_a_pending_event_says_what_it_waits_for(desk: Desk) -> None:
    """How many are before it and, while the sink fails, since when and in whose words."""
    await desk.journal.move("team", Cursor(1, 1))
    stopped = desk.fate(2, "team")
    sender = replace(SENDER, last_error="503 from there", failing_since=START)
    note = Status(
        pid=os.getpid(),
        started=START,
        time=START,
        is_running=True,
        sinks={"team": sender},
        problems={},
        watching="",
    )
    await desk.journal.note(NOTE, msgspec.json.encode(note))

    assert (stopped.what, stopped.why) == ("pending", "next in line; the forwarder is not running")
    assert desk.fate(3, "team").why == (
        "1 events before it; the sink fails since 2026-01-01 00:00:00 UTC: 503 from there"
    )


async def test_a_filtered_event_says_by_what(desk: Desk) -> None:
    """Also while the sink has not come to it: it will never get it."""
    assert desk.fate(1, "prompts") == Fate(sink="prompts", what="filtered out", why="takes only types response")


async def test_a_rejected_event_has_the_destinations_words(desk: Desk) -> None:
    """Also when it has left the journal: the dead letter keeps it."""
    letter = DeadLetter(time=START.timestamp(), reason="422: no", body=line(2), sink="team", event=2)
    await desk.journal.move("team", Cursor(3, 3), [letter])
    ask_again(desk.folder, [1], time=0.0)
    rejected = desk.fate(2, "team")
    desk.clock.advance(1000)
    await desk.journal.move("prompts", Cursor(3, 3))
    await desk.journal.prune()
    later = explain(ids(2), desk.settings)

    assert rejected == Fate(sink="team", what="rejected", time=START, why="422: no; to be tried again", letter=1)
    assert (later.is_in_journal, later.is_seen, later.sinks) == (False, True, [rejected])


async def test_an_event_that_was_dropped_is_told_from_one_that_never_came(desk: Desk) -> None:
    """The fact is remembered longer than the event."""
    for sink in ("team", "prompts"):
        await desk.journal.move(sink, Cursor(3, 3))
    desk.clock.advance(1000)
    await desk.journal.prune()
    known, unknown = explain(ids(1), desk.settings), explain(ids(9), desk.settings)

    assert (known.is_in_journal, known.is_seen) == (False, True)
    assert (unknown.is_in_journal, unknown.is_seen) == (False, False)
    assert "dropped since" in "\n".join(text_lines(known))


@pytest.mark.parametrize(("given", "said"), [("000", "is no id"), ("xyz12", "is no id"), ("000", "at least")])
async def test_what_is_no_id_is_refused(desk: Desk, given: str, said: str) -> None:
    """Too short a beginning would mean thousands of events."""
    with pytest.raises(ConfigError, match=said):
        explain(given, desk.settings)


async def test_an_ambiguous_beginning_names_the_events(desk: Desk) -> None:
    """So that the user can go on with one of them."""
    await desk.journal.commit(Changes([line(0x0020), line(0x0021)], [fact(0x20), fact(0x21)]))
    again = line(0x0020).replace(b"0020000", b"0020001", 1)
    await desk.journal.commit(Changes([again], [b"x" * 16]))

    with pytest.raises(ConfigError, match=f"2 events begin with 0020: {ids(0x20)}, 00200010"):
        explain("0020", desk.settings)


async def test_an_event_that_cannot_be_read_is_named_by_its_number(desk: Desk) -> None:
    """Damage in the middle of a body is no traceback."""
    await desk.journal.commit(Changes([line(4).replace(b'"agent":', b'"agent":x')], [fact(4)]))

    with pytest.raises(JournalDamaged, match="event 4 in the journal cannot be read"):
        explain(ids(4), desk.settings)
