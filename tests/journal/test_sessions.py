"""What events tell of their sessions, in whatever order they come."""

from __future__ import annotations

from functools import reduce
from itertools import permutations

import pytest

from forwarder.events import Activity, Session
from forwarder.journal.sessions import LIVE_SECONDS, Said, SessionRow, merged, told

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


@pytest.mark.parametrize("pid", [0, -1, 2**31, 2**70])
def test_a_number_that_is_no_process_is_left_out(pid: int) -> None:
    """Damaged files hold any number; SQLite does not."""
    assert told(SESSION, 1, Said("session_start", pid=pid)).pid is None


def test_a_silent_session_is_not_live_any_more() -> None:
    """Most agents do not say that they have ended."""
    row = becomes("waiting_input", 1000)

    assert (row.is_live(1000 + LIVE_SECONDS), row.is_live(1001 + LIVE_SECONDS)) == (True, False)
