"""A journal whose tables hold what no forwarder writes is damaged, and says so before anybody relies on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.app.looking.sessions import find_sessions
from forwarder.app.looking.status import read_report
from forwarder.errors import JournalDamaged, StateError
from forwarder.journal import Changes, Cursor, DeadLetter, Noted, SessionRow, StreamRow, connect_to_read, read_letters
from forwarder.journal.file import JournalFile
from forwarder.journal.schema import FILE_NAME
from forwarder.testing.contents import NOON

ROW = StreamRow(id=1, source="acme", path="a.jsonl", device=-1, inode=2**63 - 1, time=-1e10)
LETTER = DeadLetter(time=0.0, reason="no JSON", body=b"x", source="acme", file="a.jsonl", offset=1, size=2)
SESSION = SessionRow(agent="acme", session_id="s", last=-62135596800.0, said="idle", said_at=253402300799.0, pid=7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal with a row in each table, and with what is unusual but right."""
    with closing(JournalFile(tmp_path)) as journal:
        journal.add(Changes([b"{}"], [bytes(16)], {1: ROW}, dead_letters=[LETTER], sessions=[SESSION]), now=1e9)
        journal.save_cursor("team", Cursor(1, 1), noting=[Noted("sinks.team", {"sum": b"7"})], now=1e9)
        journal.save_note("last", b"1")
        journal.save_note("seen_since", b"1795262400.25")
    return tmp_path


def spoil(folder: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        connection.execute(statement, values)


def test_what_a_forwarder_writes_is_sound(folder: Path) -> None:
    """A file from before 1970, an inode of 64 bits, a session of the year 1: all of them are right."""
    connect_to_read(folder).close()
    JournalFile(folder).close()

    assert read_report(folder, max_bytes=1, now=NOON).unread_letters == 1


@pytest.mark.parametrize("since", ["0", "1795262400.25", "-5.0"])
def test_a_clock_may_say_anything(folder: Path, since: str) -> None:
    """Also before 1970: a machine without a battery."""
    spoil(folder, "UPDATE notes SET value = CAST(? AS BLOB) WHERE name = 'seen_since'", since)
    with closing(connect_to_read(folder)) as connection:
        found = connection.execute("SELECT value FROM notes WHERE name = 'seen_since'").fetchone()

    assert found == (since.encode(),)


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE batches SET body = 'text'", "batches.body holds"),
        ("UPDATE batches SET count = 9223372036854775807", "batches.count holds"),
        ("UPDATE batches SET time = 'x'", "batches.time holds"),
        ("UPDATE streams SET path = x'61'", "streams.path holds"),
        ("UPDATE cursors SET acked = 'x'", "cursors.acked holds"),
        ("UPDATE dead_letters SET time = 1e18", "dead_letters.time holds"),
        ("UPDATE dead_letters SET size = x'00'", "dead_letters.size holds"),
        ("UPDATE notes SET value = x'78' WHERE name = 'last'", "notes.value holds"),
        ("UPDATE notes SET value = CAST('1.5' AS BLOB) WHERE name = 'last'", "notes.value holds"),
        ("UPDATE notes SET value = CAST('1.2.3' AS BLOB) WHERE name = 'seen_since'", "notes.value holds"),
        ("UPDATE notes SET value = CAST('5-5' AS BLOB) WHERE name = 'seen_since'", "notes.value holds"),
        ("UPDATE sessions SET said = 'x'", "sessions.said holds"),
        ("UPDATE sessions SET ended = 1e12", "sessions.ended holds"),
        ("UPDATE acks SET second = x'00'", "acks.second holds"),
        ("UPDATE plugin_notes SET body = 'text'", "plugin_notes.body holds"),
        ("DROP TABLE retries", "no such table: retries"),
        ("DROP TABLE seen_before", "no such table: seen_before"),
        ("ALTER TABLE acks RENAME COLUMN acked TO other", "no such column: acked"),
    ],
)
def test_a_column_that_holds_something_else_is_named(folder: Path, statement: str, place: str) -> None:
    """To readers and to the forwarder itself, which sets the file aside and goes on."""
    spoil(folder, statement)

    with pytest.raises(JournalDamaged, match=place):
        connect_to_read(folder)
    with pytest.raises(JournalDamaged, match=place):
        JournalFile(folder)


def test_a_broken_letter_in_a_path_hides_nothing_else(folder: Path) -> None:
    """SQLite refuses to read such a text, in words that elsewhere mean a full disk."""
    spoil(folder, "UPDATE dead_letters SET file = CAST(x'61ff' AS TEXT)")
    with closing(connect_to_read(folder)) as connection:
        (found,) = read_letters(connection)

    assert found.letter.file == "a\ufffd"


def test_a_file_that_ends_early_is_said_to_be_damaged(folder: Path) -> None:
    """By `forwarder status` and `forwarder sessions` as by every other command."""
    path = folder / FILE_NAME
    path.write_bytes(path.read_bytes()[:8200])
    with pytest.raises(StateError, match="damaged"):
        read_report(folder, max_bytes=1)

    with pytest.raises(StateError, match="damaged"):
        find_sessions(folder, states=(), agents=(), with_all=True, now=NOON)


def test_a_number_that_no_process_has_is_no_process(folder: Path) -> None:
    """The note of a damaged journal may name any."""
    note = b"""{"pid":73786976294838206464,"started":"2026-01-01T00:00:00Z","time":"2026-01-01T00:00:00Z",
               "is_running":true,"sinks":{},"problems":{},"watching":""}"""
    spoil(folder, "INSERT INTO notes VALUES ('status', ?)", note)

    assert not read_report(folder, max_bytes=1, now=NOON).is_running
