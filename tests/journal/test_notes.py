"""What plugins note is kept with what it belongs to, and without secrets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from forwarder.journal import Changes, Cursor, DeadLetter, Journal, Noted
from forwarder.journal.schema import FILE_NAME, VERSION
from forwarder.testing import ManualClock

Opener = Callable[..., Journal]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Opens the journal of the test's folder; a text with `hush` in it is a secret."""

    def make() -> Journal:
        return Journal(
            tmp_path,
            sinks=["a"],
            max_bytes=1 << 20,
            keep_seconds=60,
            remember_seconds=60,
            clock=ManualClock(),
            has_secret=lambda text: "hush" in text,
        )

    return make


async def test_notes_are_known_after_a_restart(opened: Opener) -> None:
    """Each under its owner and key: the newest body, and none that was taken back."""
    async with opened() as journal:
        await journal.commit(Changes(noted=[Noted("receivers.x", {"a": b"1", "b": b"2"})]))
        await journal.commit(Changes(noted=[Noted("receivers.x", {"a": b"3", "b": None, "c": None})]))
        await journal.move("a", Cursor(0, 0), noting=[Noted("sinks.x", {"a": b"\xff"})])
    async with opened() as journal:
        found = [await journal.plugin_notes(owner) for owner in ("receivers.x", "sinks.x", "sinks.y")]

    assert found == [{"a": b"3"}, {"a": b"\xff"}, {}]


async def test_notes_are_kept_when_no_event_is_new(opened: Opener) -> None:
    """A request that is repeated may have been answered, and its notes lost, by a release before."""
    async with opened() as journal:
        await journal.commit(Changes(lines=[b"x"], facts=[b"f" * 16]))
        block = await journal.commit(Changes([b"x"], [b"f" * 16], noted=[Noted("receivers.x", {"a": b"1"})]))

        assert (block.lines, await journal.plugin_notes("receivers.x")) == ((), {"a": b"1"})


async def test_a_note_that_cannot_be_kept_undoes_what_came_with_it(opened: Opener) -> None:
    """Events or cursor and notes are one transaction."""
    broken = Noted("x", {"a": 5})  # type: ignore[dict-item]
    async with opened() as journal:
        with pytest.raises(AttributeError):
            await journal.commit(Changes(lines=[b"x"], noted=[Noted("x", {"b": b"1"}), broken]))
        with pytest.raises(AttributeError):
            await journal.move("a", Cursor(1, 1), noting=[broken])
    async with opened() as journal:
        assert (await journal.plugin_notes("x"), journal.last, journal.cursor("a")) == ({}, 0, Cursor(0, 0))


async def test_a_settled_letter_brings_its_notes(opened: Opener) -> None:
    """An event that was refused once is counted when it is taken after all."""
    async with opened() as journal:
        await journal.move("a", Cursor(0, 0), [DeadLetter(time=0.0, reason="no", body=b"x", sink="a")])
        await journal.settle_letter(1, noting=[Noted("sinks.a", {"sum": b"1"})])

        assert await journal.plugin_notes("sinks.a") == {"sum": b"1"}


@pytest.mark.parametrize("note", [{"hush": b"1"}, {"a": b"hush"}, {"a": b"\xffhush\x00"}])
async def test_a_note_with_a_secret_is_forgotten_and_said(
    opened: Opener, tmp_path: Path, note: dict[str, bytes]
) -> None:
    """Its neighbours stay. The line does not name the key, which may be the secret."""
    async with opened() as journal:
        await journal.commit(Changes(noted=[Noted("receivers.x", {"a": b"before", "b": b"2"})]))
        with capture_logs() as logs:
            await journal.commit(Changes(noted=[Noted("receivers.x", {"c": b"3", **note})]))
        found = await journal.plugin_notes("receivers.x")

    assert (found.keys() - {"a"}, found.get("a")) == ({"b", "c"}, None if "a" in note else b"before")
    assert [line["event"].partition(":")[0] for line in logs] == ["receivers.x has noted a secret"]
    assert not [path for path in tmp_path.iterdir() if b"hush" in path.read_bytes()]


async def test_a_journal_without_notes_is_brought_up_to_date(opened: Opener, tmp_path: Path) -> None:
    """One that the release before has left, with all that is in it."""
    async with opened() as journal:
        await journal.commit(Changes(lines=[b"x"], facts=[b"f" * 16]))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.executescript("DROP TABLE plugin_notes; PRAGMA user_version = 4")
    async with opened() as journal:
        await journal.commit(Changes(noted=[Noted("x", {"a": b"1"})]))

        assert (journal.last, await journal.plugin_notes("x"), VERSION) == (1, {"a": b"1"}, 5)
