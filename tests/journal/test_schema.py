"""Journals that cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forwarder.errors import JournalDamaged, JournalTooNew, StateError
from forwarder.journal import Changes, Journal, connect_to_read, read_letters, set_aside
from forwarder.journal.schema import APPLICATION_ID, FILE_NAME, FIRST_TABLES, VERSION
from forwarder.testing import ManualClock


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """The journal of the test's folder, not open yet."""
    return Journal(tmp_path, sinks=["a"], max_bytes=1 << 20, keep_seconds=60, remember_seconds=60, clock=ManualClock())


def change(folder: Path, pragma: str) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute(pragma)


async def fill(folder: Path) -> None:
    """Leave a journal with some events behind."""
    opened = Journal(folder, sinks=["a"], max_bytes=1 << 30, keep_seconds=60, remember_seconds=60, clock=ManualClock())
    async with opened as journal:
        await journal.commit(Changes(lines=[b"x" * 1000] * 200, facts=[b"%016d" % n for n in range(200)]))


async def test_a_newer_journal_is_refused_with_what_to_do(journal: Journal, tmp_path: Path) -> None:
    """It may hold what this version does not understand; nothing is changed in it."""
    await fill(tmp_path)
    change(tmp_path, f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(JournalTooNew, match=f"version {VERSION + 1}.*update forwarder"):
        async with journal:
            pass
    with pytest.raises(JournalTooNew):
        connect_to_read(tmp_path)


async def test_an_older_journal_is_brought_up_to_date(journal: Journal, tmp_path: Path) -> None:
    """An update goes on with what the release before left behind; until then reading says what to do."""
    make_first_version(tmp_path)
    with pytest.raises(StateError, match=r"has version 1.*`forwarder run` brings it up to date"):
        connect_to_read(tmp_path)
    async with journal:
        letters = await journal.asked_letters()
    with closing(connect_to_read(tmp_path)) as connection:
        kept = list(read_letters(connection))

    assert letters == []
    assert [(one.letter.reason, one.letter.event, one.letter.attempts) for one in kept] == [("no JSON", None, 1)]


def make_first_version(folder: Path) -> None:
    """A journal of version 1 with a dead letter, as far as the letters are concerned."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.executescript(
            f"{FIRST_TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
            "INSERT INTO dead_letters VALUES (1, 0.0, 'acme', NULL, 'a.jsonl', 5, 7, 'no JSON', x'78')"
        )


async def test_another_programs_file_is_no_journal(journal: Journal, tmp_path: Path) -> None:
    """The application id tells our file from any other SQLite file."""
    await fill(tmp_path)
    change(tmp_path, "PRAGMA application_id = 1")
    with pytest.raises(JournalDamaged, match="no journal of forwarder"):
        async with journal:
            pass


def all_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 500)


def short_garbage(path: Path) -> None:
    path.write_bytes(b"garbage")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zeros_in_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(bytes(8192 * 3))


@pytest.mark.parametrize("spoil", [all_zeros, garbage, short_garbage, empty, zeros_in_the_middle])
async def test_a_broken_file_is_told_and_can_be_set_aside(
    journal: Journal, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """After that a new journal opens in its place, and the old one is kept for a look."""
    await fill(tmp_path)
    spoil(tmp_path / FILE_NAME)
    broken = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(JournalDamaged, match=FILE_NAME):
        async with journal:
            await journal.commit(Changes(lines=[b"y"], facts=[b"f" * 16]))
    aside = set_aside(tmp_path, datetime(2026, 1, 2, tzinfo=UTC))
    await fill(tmp_path)

    assert aside.name == f"{FILE_NAME}.damaged-20260102T000000000000"
    assert aside.read_bytes()[100:] == broken[100:]


def test_setting_aside_takes_the_write_ahead_log_along(tmp_path: Path) -> None:
    """A log left behind would be played into the new journal."""
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / (FILE_NAME + suffix)).write_bytes(suffix.encode())
    aside = set_aside(tmp_path, datetime(2026, 1, 2, tzinfo=UTC))

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        aside.name,
        f"{aside.name}-shm",
        f"{aside.name}-wal",
    ]


async def test_a_folder_that_is_none_is_told_with_what_to_do(tmp_path: Path) -> None:
    """The message names the file and the option."""
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file", sinks=[], max_bytes=1, keep_seconds=1, remember_seconds=1, clock=ManualClock())
    with pytest.raises(StateError, match=f"cannot write the journal .*{FILE_NAME}.*--state-dir"):
        async with journal:
            pass


async def test_a_folder_in_the_journals_place_is_told(journal: Journal, tmp_path: Path) -> None:
    """A place where SQLite cannot make its file is a matter of the folder, not a damage."""
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StateError, match="cannot write the journal"):
        async with journal:
            pass


def test_reading_without_a_journal_says_so(tmp_path: Path) -> None:
    """`forwarder status` before the first run."""
    with pytest.raises(StateError, match="no journal to read"):
        connect_to_read(tmp_path)
