"""`journal stats` and `journal verify`: numbers that are right, and damage that is named."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forwarder.app.config import Settings, from_values
from forwarder.app.looking.journal_stats import read_stats, stats_lines
from forwarder.app.looking.journal_verify import verify, verify_lines
from forwarder.errors import JournalDamaged, StateError
from forwarder.journal import Changes, Cursor, Journal
from forwarder.tail.index import StreamIndex
from forwarder.tail.stream import open_stream
from forwarder.testing import ManualClock

START = datetime(2026, 1, 1, tzinfo=UTC)


def line(number: int, kind: str) -> bytes:
    return b'{"id":"%b","type":"%b","time":"2026-01-01T00:00:%02d.000Z","agent":"acme"}' % (
        id_of(number).encode(),
        kind.encode(),
        number,
    )


def id_of(number: int) -> str:
    return f"{number:024x}{'0' * 8}"


def fact(number: int) -> bytes:
    return b"grup" + bytes.fromhex(id_of(number))[:12]


def settings_in(folder: Path) -> Settings:
    sinks = {"team": {"use": "stdout"}}
    return from_values({"sinks": sinks, "state_dir": str(folder / "state")}, place="test", folder=folder)


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """A journal of two batches with five events, of which the sink has three, and the checkpoint of a file."""
    settings = settings_in(tmp_path)
    settings.state_dir.mkdir()
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"a": 1}\n' * 300)
    clock = ManualClock()
    opened = Journal(
        settings.state_dir, sinks=["team"], max_bytes=1 << 20, keep_seconds=1e6, remember_seconds=1e6, clock=clock
    )
    async with opened as journal:
        index = StreamIndex([], journal.new_stream_id)
        stream = open_stream(file, index.find("acme", file, file.stat()), max_line_bytes=4096)
        chunk = stream.read()
        stream.close()
        assert chunk is not None
        kinds = ["prompt", "prompt", "response", "prompt", "response"]
        lines = [line(number, kind) for number, kind in enumerate(kinds, 1)]
        facts = [fact(number) for number in range(1, 6)]
        await journal.commit(Changes(lines[:2], facts[:2], {chunk.row.id: chunk.row}))
        clock.advance(60)
        await journal.commit(Changes(lines[2:], facts[2:]))
        await journal.move("team", Cursor(3, 3))
    return settings


def spoil(settings: Settings, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(settings.state_dir / "journal.sqlite3")) as connection:
        connection.execute(statement, values)
        connection.commit()


async def test_stats_count_what_is_there(settings: Settings) -> None:
    """Events by type and agent, their times, and what each sink has still to take."""
    found = read_stats(settings, now=START + timedelta(seconds=100))
    lag = found.sinks[0]

    assert (found.events, found.batches, found.streams, found.seen_facts) == (5, 2, 1, 5)
    assert (found.first, found.last) == (1, 5)
    assert (found.oldest, found.newest) == (START.replace(second=1), START.replace(second=5))
    assert (found.types, found.agents) == ({"prompt": 3, "response": 2}, {"acme": 5})
    assert (lag.sink, lag.acked, lag.events, lag.seconds) == ("team", 3, 2, 40.0)
    assert 0 < lag.bytes < found.bytes


async def test_stats_are_a_table_for_people(settings: Settings) -> None:
    """What is counted is said once, in front of the first of its numbers."""
    lines = list(stats_lines(read_stats(settings)))

    assert lines[-3:] == [
        "types              3  prompt",
        "                   2  response",
        "agents             5  acme",
    ]


async def test_stats_of_an_empty_journal_are_no_error(tmp_path: Path) -> None:
    """Right after the first start there is nothing to count."""
    settings = settings_in(tmp_path)
    settings.state_dir.mkdir()
    kept = {"max_bytes": 1 << 20, "keep_seconds": 1.0, "remember_seconds": 1.0}
    async with Journal(settings.state_dir, sinks=["team"], clock=ManualClock(), **kept):  # type: ignore[arg-type]
        lines = list(stats_lines(read_stats(settings)))

    assert lines[0] == "events     0, 0 B in 0 batches"
    assert verify(settings).problems == []


async def test_a_whole_journal_has_no_problems(settings: Settings) -> None:
    """Every check passes on what the journal itself has written."""
    found = verify(settings)

    assert (found.events, found.batches, found.files, found.problems) == (5, 2, 1, [])
    assert list(verify_lines(found))[-1] == "all is well"


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE batches SET count = 3 WHERE first = 1", "batch 1: has 2 events of .* says 3"),
        ("UPDATE batches SET first = 4 WHERE first = 3", "batch 4: follows event 2, events are missing"),
        ("UPDATE batches SET body = CAST('x' || substr(body, 2) AS BLOB) WHERE first = 3", "event 3: cannot be read"),
        ("UPDATE batches SET body = CAST(replace(body, '2026', '20x6') AS BLOB)", "event 1: cannot be read"),
        (
            "INSERT INTO batches SELECT 6, count, bytes, time, body FROM batches WHERE first = 1",
            "has the id of event 1",
        ),
        ("UPDATE notes SET value = CAST('4' AS BLOB) WHERE name = 'last'", "newest event is 5, noted is 4"),
        ("UPDATE cursors SET acked = 9, in_flight = 9", "team: its cursor 9 .in flight 9. is outside"),
        ("UPDATE cursors SET in_flight = 1", "team: its cursor 3 .in flight 1. is outside"),
        ("DELETE FROM seen_lately", "event 1: its fact is not among those seen"),
        ("INSERT INTO retries VALUES (1, 7, 0.0)", "dead letter 7: is asked for and does not exist"),
    ],
)
async def test_what_does_not_fit_is_named(settings: Settings, statement: str, problem: str) -> None:
    """One sentence each, with the batch, event, sink or letter that it is about."""
    spoil(settings, statement)
    found = "\n".join(verify(settings).problems)

    assert re.search(problem, found), found


@pytest.mark.parametrize("content", [b'{"b": 1}\n' * 300, b'{"a": 1}\n' * 299, b""])
async def test_a_file_that_is_not_what_was_read_is_named(settings: Settings, tmp_path: Path, content: bytes) -> None:
    """Rewritten in place or cut: the checkpoint does not stand in what it was made for."""
    (tmp_path / "a.jsonl").write_bytes(content)
    (problem,) = verify(settings).problems

    assert problem.startswith(f"acme: {tmp_path / 'a.jsonl'}: is not what was read up to byte 2700")


async def test_a_file_that_grew_or_went_is_no_problem(settings: Settings, tmp_path: Path) -> None:
    """Files grow, and what was read of one that is gone is in the journal."""
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b"more")
    grown = verify(settings).problems
    (tmp_path / "a.jsonl").unlink()

    assert (grown, verify(settings).problems) == ([], [])


async def test_a_damaged_file_is_said_in_words(settings: Settings) -> None:
    """Of both commands: no traceback, and what happens to the file."""
    path = settings.state_dir / "journal.sqlite3"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    problems = "\n".join(verify(settings).problems)

    assert "malformed" in problems
    assert "sets it aside" in problems
    with pytest.raises(JournalDamaged):
        read_stats(settings)


def test_without_a_journal_there_is_nothing_to_verify(tmp_path: Path) -> None:
    """That is another answer than that all is well."""
    with pytest.raises(StateError, match="no journal to read"):
        verify(settings_in(tmp_path))


async def test_stats_count_what_cannot_be_read(settings: Settings) -> None:
    """Whoever looks into a damaged journal wants numbers, not a traceback; `verify` names the damage."""
    spoil(settings, "UPDATE batches SET body = CAST(replace(replace(body, '2026', '20x6'), 'acme', x'ff') AS BLOB)")
    stats = read_stats(settings)

    assert (stats.events, stats.oldest, stats.agents) == (5, None, {"\ufffd": 5})
