"""What events tell of their sessions, in whatever order they come."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import reduce
from itertools import permutations
from pathlib import Path

import pytest

from forwarder.events import Activity, Session
from forwarder.journal import Changes, DeadLetter, Journal, connect_to_read, read_sessions
from forwarder.journal.schema import FILE_NAME
from forwarder.journal.sessions import LIVE_SECONDS, Said, SessionRow, merged, told
from forwarder.testing import ManualClock

SESSION = Session(agent="acme", id="s1", cwd="/home/dev/shop", git_branch="main")
SUB_AGENT = Session(agent="acme", id="s1", actor="a7", cwd="/home/dev/shop/.worktrees/a7")


def becomes(state: Activity, at: float, session: Session = SESSION) -> SessionRow:
    return told(session, at, Said("session_state", state=state))


def start(at: float, reason: str = "startup") -> SessionRow:
    return told(SESSION, at, Said("session_start", reason=reason, model="acme-1", pid=77))


def end(at: float) -> SessionRow:
    return told(SESSION, at, Said("session_end", reason="exit"))


def activity(at: float, session: Session = SESSION) -> SessionRow:
    return told(session, at, Said())


def after(*rows: SessionRow) -> SessionRow:
    return reduce(merged, rows)


def test_the_order_in_which_events_are_read_changes_nothing() -> None:
    """Hooks, transcripts and copies of either are read in any order; times decide."""
    rows = [start(1), becomes("working", 2), becomes("waiting_input", 9), activity(12), becomes("working", 5)]

    assert {after(*order) for order in permutations(rows)} == {after(*rows)}
    assert (after(*rows).state, after(*rows).since, after(*rows).last) == ("waiting_input", 9, 12)


def test_of_two_states_at_the_same_time_the_later_told_stands() -> None:
    """One record may tell of both, and files without times of their own share one."""
    assert after(becomes("working", 5), becomes("waiting_input", 5)).state == "waiting_input"


def test_nobody_knows_the_state_of_a_session_that_tells_none() -> None:
    """Unknown beats a guess."""
    row = after(start(1), activity(2))

    assert (row.state, row.since, row.last) == (None, None, 2)


def test_a_session_that_has_ended_stays_so_whatever_else_is_read_of_it() -> None:
    """Its last tool's result may be written after its end, and its transcript read after its hooks."""
    row = after(becomes("waiting_input", 8), end(10), activity(10.4), becomes("working", 6))

    assert (row.state, row.since, row.ended_reason, row.is_live(11)) == ("ended", 10, "exit", False)


def test_an_end_in_whole_seconds_is_later_than_what_came_before_it() -> None:
    """`date` tells no fractions everywhere: an answer at 10.3 and an end in the same second."""
    assert after(becomes("waiting_input", 10.3), end(10)).state == "ended"


def test_an_end_that_two_events_tell_keeps_its_reason() -> None:
    """The state `ended` comes with the end, before or behind it."""
    assert after(end(10), becomes("ended", 10)).ended_reason == "exit"
    assert after(becomes("ended", 10), end(10)).ended_reason == "exit"


def test_a_resumed_session_lives_and_forgets_what_it_did_before() -> None:
    """Whether it works or waits is told anew."""
    row = after(becomes("waiting_permission", 8), end(10), start(10.5, "resume"))

    assert (row.state, row.since, row.has_ended) == (None, None, False)
    assert after(row, becomes("working", 11)).state == "working"


def test_a_turn_that_begins_shows_that_a_session_was_resumed() -> None:
    """Some agents do not write a start when they resume."""
    assert not after(end(10), told(SESSION, 60, Said("turn_start"))).has_ended


def test_first_sight_of_a_running_session_is_not_its_start() -> None:
    """When it began is not known then; a resumption does not move it."""
    assert start(5, "seen").started is None
    assert after(start(5, "resume"), start(1), start(7, "fork")).started == 1


def test_a_sub_agent_works_and_asks_for_its_session_but_does_not_end_it() -> None:
    """A person has to answer its question; that it has finished is no news for them."""
    row = after(becomes("working", 1), becomes("waiting_permission", 2, SUB_AGENT))
    still = after(row, becomes("waiting_input", 3, SUB_AGENT), told(SUB_AGENT, 4, Said("session_end", reason="exit")))

    assert (row.state, row.actor) == ("waiting_permission", "a7")
    assert (still.state, still.actor, still.last, still.cwd) == ("waiting_permission", "a7", 4, "/home/dev/shop")


def test_an_actor_that_is_its_own_session_speaks_for_it() -> None:
    """Agents whose sub-agents have sessions of their own name them twice."""
    thread = Session(agent="acme", id="s2", actor="s2", parent_id="s1")

    assert (becomes("waiting_input", 1, thread).state, activity(1, thread).parent_session_id) == ("waiting_input", "s1")


def test_names_come_from_the_newest_event_that_has_them() -> None:
    """A session moves and switches models; events that are silent about it change nothing."""
    moved = Session(agent="acme", id="s1", cwd="/home/dev/api")
    row = after(
        start(1), told(moved, 5, Said(model="acme-2")), activity(3), told(Session(agent="acme", id="s1"), 9, Said())
    )

    assert (row.cwd, row.git_branch, row.model, row.pid) == ("/home/dev/api", None, "acme-2", 77)


def test_a_folder_without_its_branch_keeps_the_branch() -> None:
    """Hooks tell the folder alone."""
    assert after(activity(1), activity(2, Session(agent="acme", id="s1", cwd="/home/dev/shop"))).git_branch == "main"


def test_an_idle_agent_waits_for_a_person_and_an_idle_sub_agent_does_not() -> None:
    """The one has asked and got no answer for long, the other is done."""
    thread = Session(agent="acme", id="s2", actor="s2", parent_id="s1")

    assert (becomes("idle", 1).is_waiting, becomes("idle", 1, thread).is_waiting) == (True, False)
    assert (becomes("waiting_permission", 1, thread).is_waiting, becomes("working", 1).is_waiting) == (True, False)


@pytest.mark.parametrize("pid", [0, -1, 2**31, 2**70])
def test_a_number_that_is_no_process_is_left_out(pid: int) -> None:
    """Damaged files hold any number; SQLite does not."""
    assert told(SESSION, 1, Said("session_start", pid=pid)).pid is None


def test_a_silent_session_is_not_live_any_more() -> None:
    """Most agents do not say that they have ended."""
    row = becomes("waiting_input", 1000)

    assert (row.is_live(1000 + LIVE_SECONDS), row.is_live(1001 + LIVE_SECONDS)) == (True, False)


Opener = Callable[[], Journal]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 21, 1, tzinfo=UTC))


@pytest.fixture
def opened(tmp_path: Path, clock: ManualClock) -> Opener:
    """Opens the journal of the test's folder; the same one each time."""
    return lambda: Journal(tmp_path, sinks=[], max_bytes=1 << 20, keep_seconds=60, remember_seconds=60, clock=clock)


def ago(clock: ManualClock, seconds: float) -> float:
    return clock.now().timestamp() - seconds


def saved(folder: Path) -> list[SessionRow]:
    with closing(connect_to_read(folder)) as connection:
        return read_sessions(connection)


async def test_a_session_is_saved_with_its_events_and_outlives_a_restart(
    opened: Opener, clock: ManualClock, tmp_path: Path
) -> None:
    """Each commit is merged with what the ones before it told, also those before a restart."""
    async with opened() as journal:
        await journal.commit(
            Changes([b"{}"], [b"1" * 16], sessions=[start(ago(clock, 9)), becomes("working", ago(clock, 8))])
        )
    async with opened() as journal:
        await journal.commit(Changes([b"{}"], [b"2" * 16], sessions=[becomes("waiting_input", ago(clock, 3))]))
        live = await journal.live_sessions()

    assert saved(tmp_path) == live
    assert [(row.state, row.since, row.started, row.model) for row in live] == [
        ("waiting_input", ago(clock, 3), ago(clock, 9), "acme-1")
    ]


async def test_a_commit_that_fails_leaves_the_sessions_as_they_were(
    opened: Opener, clock: ManualClock, tmp_path: Path
) -> None:
    """Events and states stay in step: neither without the other."""
    bad = DeadLetter(time=0.0, reason="bad", body=b"", offset=2**80)
    async with opened() as journal:
        await journal.commit(Changes(sessions=[becomes("working", ago(clock, 8))]))
        with pytest.raises(OverflowError):
            await journal.commit(Changes(dead_letters=[bad], sessions=[becomes("idle", ago(clock, 1))]))

    assert [row.state for row in saved(tmp_path)] == ["working"]


async def test_old_events_that_are_read_again_move_nothing_back(opened: Opener, clock: ManualClock) -> None:
    """A copy of the session's file, or a fork that repeats its history."""
    async with opened() as journal:
        told_in_turn: list[tuple[Activity, float]] = [
            ("working", 8), ("waiting_permission", 5), ("working", 8), ("waiting_input", 7),
        ]  # fmt: skip
        for state, at in told_in_turn:
            await journal.commit(Changes(sessions=[becomes(state, ago(clock, at))]))
        [row] = await journal.live_sessions()

    assert (row.state, row.since, row.last) == ("waiting_permission", ago(clock, 5), ago(clock, 5))


async def test_history_is_not_live_and_does_not_stay(opened: Opener, clock: ManualClock, tmp_path: Path) -> None:
    """The first start reads years; a session stays as long as events do, and while it may be live."""
    day = 86_400.0
    async with opened() as journal:
        for number in range(50):
            old = Session(agent="acme", id=f"old{number}")
            await journal.commit(Changes(sessions=[becomes("waiting_input", ago(clock, day * (number + 1)), old)]))
        await journal.commit(Changes(sessions=[becomes("working", ago(clock, 15 * 3600))]))
        live = await journal.live_sessions()
        await journal.prune()

    assert [row.session_id for row in live] == ["s1"]
    assert saved(tmp_path) == live


async def test_a_clock_that_ran_ahead_does_not_stop_a_session(opened: Opener, clock: ManualClock) -> None:
    """A state from next year would stand until then."""
    async with opened() as journal:
        await journal.commit(Changes(sessions=[becomes("working", ago(clock, -1e9))]))
        clock.advance(5)
        await journal.commit(Changes(sessions=[becomes("waiting_input", ago(clock, 1))]))
        [row] = await journal.live_sessions()

    assert (row.state, row.since) == ("waiting_input", ago(clock, 1))


async def test_a_journal_of_version_1_tells_its_live_sessions(opened: Opener, tmp_path: Path) -> None:
    """Who waits at the moment of an update says nothing that could be read after it.

    The file was made by the last commit with that version, from hooks of a recorded session.
    """
    compressed = Path(__file__).with_name("version-1.sqlite3.gz").read_bytes()
    (tmp_path / FILE_NAME).write_bytes(gzip.decompress(compressed))
    async with opened() as journal:
        live = await journal.live_sessions()
    rows = {row.session_id[:8]: (row.state, row.ended_reason, row.cwd) for row in saved(tmp_path)}

    assert rows == {
        "d6d4ea3f": ("ended", "clear", "/home/dev/project"),
        "69782303": ("waiting_permission", None, "/home/dev/project"),
    }
    assert [row.session_id[:8] for row in live] == ["69782303"]


async def test_an_upgrade_that_is_interrupted_begins_again(opened: Opener, tmp_path: Path) -> None:
    """A body of a wrong type, which no release writes, stands for a crash: nothing of the new version may stay."""
    compressed = Path(__file__).with_name("version-1.sqlite3.gz").read_bytes()
    (tmp_path / FILE_NAME).write_bytes(gzip.decompress(compressed))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        connection.execute("INSERT INTO batches SELECT 999, 1, 1, time, 'text' FROM batches LIMIT 1")
    with pytest.raises(TypeError):
        async with opened():
            pass
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}

    assert version == 1
    assert not {"sessions", "acks"} & tables
