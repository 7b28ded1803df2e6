"""Copied lines are the parent's facts: nothing is told of them, and the totals go on behind them."""

from __future__ import annotations

from forwarder import Event, SessionStart, SessionState, TokenUsage, TurnStart

from .lines import (
    PARENT,
    THREAD,
    call,
    command,
    complete,
    dumps,
    event,
    item,
    kinds,
    meta,
    only,
    output,
    prompt,
    read,
    stamp,
    started,
    token_count,
    token_record,
    usage,
    uuid7,
)

OLD, OWN = uuid7(-30), uuid7(5)
COPIED = [
    meta(thread=PARENT),
    started(OLD, at=0.1),
    call(at=0.1),
    token_record("r1", usage(10), thread=PARENT, at=0.1),
    token_count(usage(10), usage(10), at=0.1),
    complete(OLD, at=0.2),
]


def turns(events: list[Event]) -> list[str | None]:
    return [turn.turn_id for turn in only(TurnStart, events)]


def test_a_legacy_fork_tells_only_its_own_turns() -> None:
    """Copies keep the parent's turn ids, and an id made before the thread is not its own."""
    own = [started(OWN, at=5), token_count(usage(13), usage(3), at=6), complete(OWN)]
    events = read(meta(forked_from_id=PARENT), *COPIED, *own)

    assert turns(events) == [OWN]
    assert [used.input_tokens for used in only(TokenUsage, events)] == [3]
    assert [(s.reason, s.session.parent_id) for s in only(SessionStart, events)] == [("fork", PARENT)]


def test_copied_turns_say_nothing_of_the_forks_state() -> None:
    """They were the parent's work; the fork works when its own turn begins."""
    events = read(meta(forked_from_id=PARENT), *COPIED, started(OWN, at=5), complete(OWN))

    assert [(told.key, told.previous) for told in only(SessionState, events)] == [
        ((THREAD, OWN, "working"), None),
        ((THREAD, OWN, "waiting_input"), "working"),
    ]


def test_a_fork_that_did_nothing_yet_tells_only_its_start() -> None:
    """All of its lines are copies."""
    assert kinds(read(meta(forked_from_id=PARENT), *COPIED)) == {"SessionStart": 1}


def test_a_long_copy_is_one_all_the_same() -> None:
    """Writing a large history takes longer than the burst rule allows, but its turn ids say whose it is."""
    late = [started(OLD, at=0.1), prompt(at=3), started(uuid7(-20), at=4), prompt(at=4)]

    assert kinds(read(meta(forked_from_id=PARENT), *late)) == {"SessionStart": 1}


def test_a_second_header_betrays_copies() -> None:
    """Older sub-agents copy without saying so in their own header."""
    events = read(meta(parent_thread_id=PARENT), *COPIED, started(OWN, at=5))

    assert turns(events) == [OWN]


def test_a_later_header_of_another_thread_is_only_ignored() -> None:
    """Copies come right behind the file's own header or not at all."""
    events = read(meta(), started(OWN), prompt(at=5), meta(thread=PARENT, at=6), prompt(at=7))

    assert kinds(events) == {"SessionStart": 1, "TurnStart": 1, "SessionState": 1, "Prompt": 2}


def test_the_ordinal_ends_the_copies_where_it_is_given() -> None:
    """A sub-agent's file names the first line of its own; before it Codex even invents an abort."""
    head = meta(parent_thread_id=PARENT, forked_from_id=PARENT, subagent_history_start_ordinal=3, ordinal=0)
    invented = event("turn_aborted", 0.1, 2, turn_id=OLD, reason="interrupted")
    events = read(head, started(OLD, at=0.1, ordinal=1), invented, started(OWN, at=0.2, ordinal=3))

    assert turns(events) == [OWN]


def test_without_dated_ids_the_burst_decides() -> None:
    """Copies are written in one go; ids of migrated files say nothing."""
    lines = [started("rollout-1", at=0.2), prompt(at=0.2), started("rollout-2", at=9), prompt(at=9)]

    assert kinds(read(meta(forked_from_id=PARENT), *lines)) == {
        "SessionStart": 1,
        "TurnStart": 1,
        "SessionState": 1,
        "Prompt": 1,
    }


def test_before_turn_marks_the_burst_decides_too() -> None:
    """The first line that was written later is the fork's own."""
    lines = [event("user_message", at=at, message="go") for at in (0.1, 0.2, 60)]

    assert len(turns(read(meta(forked_from_id=PARENT), *lines))) == 1


def test_a_turn_that_started_in_the_burst_can_be_own() -> None:
    """Where it says that it began after the thread did."""
    own = started("rollout-1", at=0.5, started_at=1772366400 + 1)

    assert len(turns(read(meta(forked_from_id=PARENT), own))) == 1


def test_a_fork_without_copies_has_no_prefix() -> None:
    """Its header points into the parent's file instead."""
    base = {"thread_id": PARENT, "end_ordinal_exclusive": 14}
    events = read(meta(forked_from_id=PARENT, history_base=base, ordinal=14), started(OWN), prompt())

    assert kinds(events) == {"SessionStart": 1, "TurnStart": 1, "SessionState": 1, "Prompt": 1}


def test_the_end_of_a_copied_call_is_no_nested_call() -> None:
    """The parent's call is known by its id, though nothing was told of it."""
    lines = [started(OWN, at=5), output("Exit code: 0\nWall time: 1 seconds\n"), command("call_1", at=6)]

    assert "ToolCallEnd" not in kinds(read(meta(forked_from_id=PARENT), *COPIED, *lines))


def test_an_item_of_a_forgotten_call_is_no_nested_call() -> None:
    """A file after a revert can hold the end of a call in the file before it."""
    made_up = item("FileChange", "item-7", changes={}, status="completed")

    assert kinds(read(meta(), started(OWN), command("call_77"), made_up)) == {
        "SessionStart": 1,
        "TurnStart": 1,
        "SessionState": 1,
    }


def test_the_first_line_is_the_files_own_whatever_the_file_is_called() -> None:
    """A copy under another name keeps its session."""
    [start] = only(SessionStart, read(meta(thread=PARENT)))

    assert start.session.id == PARENT != THREAD


def test_an_id_that_only_looks_dated_says_nothing() -> None:
    """Then the burst decides."""
    odd = "zzzzzzzz" + OLD[8:]

    assert kinds(read(meta(forked_from_id=PARENT), started(odd, at=0.2))) == {"SessionStart": 1}


def test_a_second_bare_header_is_ignored() -> None:
    """Only the first line is the file's own."""
    headers = [dumps({"id": thread, "timestamp": stamp(0)}) for thread in (THREAD, PARENT)]

    assert kinds(read(*headers)) == {"SessionStart": 1}
