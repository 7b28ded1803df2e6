"""Dead letters that are wanted again, asked for by another process than the one that holds the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest

from forwarder.errors import StateError
from forwarder.journal import (
    Changes,
    Cursor,
    DeadLetter,
    Journal,
    StoredLetter,
    StreamRow,
    ask_again,
    connect_to_read,
    drop,
    letters,
    read_letters,
)
from forwarder.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: ManualClock) -> AsyncGenerator[Journal]:
    """A journal with three events and three letters of the sink `a`."""
    opened = Journal(tmp_path, sinks=["a"], max_bytes=1 << 30, keep_seconds=60, remember_seconds=60, clock=clock)
    async with opened as journal:
        await journal.commit(Changes(lines=[b"1", b"2", b"3"]))
        await journal.move("a", Cursor(3, 3), [letter(number) for number in (1, 2, 3)])
        yield journal


async def test_paths_are_kept_as_they_may_be(tmp_path: Path, clock: ManualClock) -> None:
    """Of checkpoints and of dead letters: names of files may hold a secret."""
    opened = Journal(
        tmp_path,
        sinks=[],
        max_bytes=1 << 30,
        keep_seconds=60,
        remember_seconds=60,
        clock=clock,
        path_of=lambda path: path.replace("s3cret", "***"),
    )
    row = StreamRow(id=1, source="acme", path="/a/s3cret.jsonl", device=1, inode=1)
    unmapped = DeadLetter(time=1.0, reason="no", body=b"", source="acme", file="/a/s3cret.jsonl", offset=0, size=1)
    async with opened as journal:
        await journal.commit(Changes(checkpoints={1: row}, dead_letters=[unmapped]))
        kept = [one.path for one in await journal.streams()] + [one.letter.file for one in stored(tmp_path)]

    assert kept == ["/a/***.jsonl", "/a/***.jsonl"]


def letter(number: int) -> DeadLetter:
    return DeadLetter(time=1.0, reason="no", body=b"%d" % number, sink="a", event=number)


def stored(folder: Path) -> list[StoredLetter]:
    with closing(connect_to_read(folder)) as connection:
        return list(read_letters(connection))


async def test_what_is_asked_for_outside_comes_in_the_order_of_asking(journal: Journal, tmp_path: Path) -> None:
    """A destination that is being tried again sees the same order after a crash."""
    before = await journal.outside_version()
    ask_again(tmp_path, [3], time=5.0)
    ask_again(tmp_path, [1, 3, 99], time=6.0)

    assert await journal.outside_version() != before
    assert [(one.id, one.letter.event, one.is_asked) for one in await journal.asked_letters()] == [
        (3, 3, True),
        (1, 1, True),
    ]


async def test_a_delivered_letter_is_none_any_more(journal: Journal, tmp_path: Path) -> None:
    """Nor is it asked for: its number may belong to another letter later."""
    ask_again(tmp_path, [1, 2], time=5.0)
    await journal.settle_letter(1)

    assert [one.id for one in stored(tmp_path)] == [2, 3]
    assert [one.id for one in await journal.asked_letters()] == [2]


async def test_a_letter_that_is_refused_again_stays_with_the_new_reason(journal: Journal, tmp_path: Path) -> None:
    """It is one letter, however often it is tried."""
    ask_again(tmp_path, [2], time=5.0)
    await journal.settle_letter(2, refusal="still no")
    again = stored(tmp_path)[1]

    assert (again.letter.reason, again.letter.attempts, again.is_asked) == ("still no", 2, False)
    assert again.letter.time > 1.0
    assert await journal.asked_letters() == []


async def test_a_commit_may_settle_letters(journal: Journal, tmp_path: Path) -> None:
    """A record that could be mapped at last becomes events in the same transaction."""
    await journal.commit(Changes(lines=[b"4"], settled=[1, 3]))

    assert [one.id for one in stored(tmp_path)] == [2]
    assert await journal.event(4) == b"4"
    assert await journal.event(5) is None


async def test_dropped_letters_are_gone_with_their_wish(journal: Journal, tmp_path: Path) -> None:
    """Also while a forwarder holds the journal."""
    ask_again(tmp_path, [1, 2], time=5.0)
    drop(tmp_path, [1, 3])

    assert [(one.id, one.is_asked) for one in stored(tmp_path)] == [(2, True)]


async def test_only_the_newest_letters_are_kept(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a source that cannot be mapped at all leaves behind may not fill the disk."""
    monkeypatch.setattr(letters, "KEPT", 2)
    ask_again(tmp_path, [1, 3], time=5.0)
    await journal.move("a", Cursor(3, 3), [letter(1)])

    assert [(one.id, one.is_asked) for one in stored(tmp_path)] == [(3, True), (4, False)]


async def test_acks_are_kept_by_the_second_as_long_as_their_events(
    journal: Journal, tmp_path: Path, clock: ManualClock
) -> None:
    """`why` tells when a sink got an event; the rows may not outlive what they are about."""
    acks = "SELECT sink, second, acked FROM acks"
    with closing(sqlite3.connect(tmp_path / "journal.sqlite3")) as connection:
        before = connection.execute(acks).fetchall()
        clock.advance(61)
        await journal.prune()
        after = connection.execute(acks).fetchall()

    assert before == [("a", int(ManualClock().now().timestamp()), 3)]
    assert after == []


def test_nobody_asks_without_a_journal(tmp_path: Path) -> None:
    """A command may not make a journal by looking for one."""
    with pytest.raises(StateError, match="no journal to read"):
        ask_again(tmp_path, [1], time=0.0)
    assert list(tmp_path.iterdir()) == []
