"""Sessions, turns, messages, errors and compactions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forwarder import (
    AgentEnd,
    AgentSpawn,
    Compaction,
    Event,
    ModelChange,
    ModelError,
    Prompt,
    Response,
    SessionStart,
    SessionState,
    TurnEnd,
    TurnStart,
)

from .lines import (
    CREATED,
    PATH,
    SECOND,
    THREAD,
    TURN,
    aborted,
    answer,
    call,
    complete,
    context,
    event,
    item,
    kinds,
    line,
    meta,
    ms,
    only,
    prompt,
    read,
    started,
    token_count,
    token_record,
    usage,
)


def turn_ends(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(end.turn_id, end.outcome) for end in only(TurnEnd, events)]


def test_a_session_says_who_it_is() -> None:
    """Everything that all its events share comes from its header."""
    [start] = only(SessionStart, read(meta()))

    session = start.session
    assert (session.id, session.agent_version, session.cwd, session.git_branch) == (
        THREAD,
        "0.169.0",
        "/home/dev/shop",
        "main",
    )
    assert (start.key, start.time, start.reason, start.provider) == ((THREAD,), CREATED, "startup", "openai")


def test_the_repository_address_goes_nowhere() -> None:
    """Up to 0.148 it holds the credentials."""
    git = {"branch": "main", "repository_url": "https://dev:hunter2@git.example.com/x.git"}

    assert "hunter2" not in repr(read(meta(git=git)))


@pytest.mark.parametrize(
    ("source", "originator", "entrypoint", "trigger"),
    [
        ("cli", "codex-tui", "cli", "human"),
        ("exec", "codex_exec", "exec", "sdk"),
        ("vscode", "codex_vscode", "ide", "human"),
        ("vscode", "some-client", "rpc", "sdk"),
        ("mcp", "x", "rpc", "sdk"),
        ({"custom": "x"}, "x", None, "sdk"),
        ({"subagent": "review"}, "codex_exec", None, "machine"),
    ],
)
def test_the_source_tells_who_is_typing(source: object, originator: str, entrypoint: str | None, trigger: str) -> None:
    """`vscode` is the source of every app-server client, so the program's name decides."""
    events = read(meta(source=source, originator=originator), started())

    assert [(s.entrypoint) for s in only(SessionStart, events)] == [entrypoint]
    assert [t.trigger for t in only(TurnStart, events)] == [trigger]


def test_a_sub_agent_names_its_parent_and_itself() -> None:
    """`actor` is what the parent's agent_spawn names as its child."""
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": "p", "depth": 1}}}
    [start] = only(SessionStart, read(meta(source=spawn, parent_thread_id="p")))

    assert (start.session.parent_id, start.session.actor, start.reason) == ("p", THREAD, "startup")


def test_a_file_after_a_revert_starts_no_session() -> None:
    """It is the same thread; its turns count on in the same session."""
    path = Path(PATH.name.replace(".jsonl", f"_{SECOND}.jsonl"))
    events = read(meta(history_base={"thread_id": THREAD}), started(), path=path)

    assert kinds(events) == {"TurnStart": 1, "SessionState": 1}
    assert events[0].session.id == THREAD


def test_a_working_folder_is_a_path() -> None:
    """Some versions write URIs; a later turn can run elsewhere."""
    events = read(meta(cwd="file:///home/dev/my%20shop"), started(), context(cwd="/home/dev/other"), prompt())

    assert [events[0].session.cwd, events[-1].session.cwd] == ["/home/dev/my shop", "/home/dev/other"]


def test_the_model_changes_when_it_does() -> None:
    """turn_context comes with every request; the first names no change."""
    events = read(meta(), context("a"), context("a"), context("b"))

    assert [(c.previous_model, c.model) for c in only(ModelChange, events)] == [("a", "b")]


def test_a_turn_lasts_from_mark_to_mark() -> None:
    """Its id is its key, so that copies and migrated files tell the same fact."""
    events = read(meta(), started(), prompt(), answer(), complete(duration_ms=1235))

    [start], [end] = only(TurnStart, events), only(TurnEnd, events)
    assert start.key == end.key == (THREAD, TURN)
    assert (end.outcome, end.duration_ms, end.turn, end.tool_calls) == ("completed", 1235, 1, 0)


def test_older_names_of_the_marks_are_known() -> None:
    """Codex accepts turn_started and turn_complete too."""
    events = read(meta(), event("turn_started", turn_id=TURN), event("turn_complete", turn_id=TURN))

    assert turn_ends(events) == [(TURN, "completed")]


def test_without_a_stated_duration_the_marks_tell_it() -> None:
    """0.101 to 0.118 state none; both lines carry their time."""
    [end] = only(TurnEnd, read(meta(), started(at=1), complete(at=3.5)))

    assert end.duration_ms == 2500


def test_marks_over_which_the_clock_was_set_back_tell_no_duration() -> None:
    """Unknown beats a guess, and a negative time is not even that."""
    events = read(meta(), started(at=5), prompt(at=5), answer(at=5), complete(at=3))

    assert [end.duration_ms for end in only(TurnEnd, events)] == [None]


def test_an_aborted_turn_was_interrupted() -> None:
    """Whatever the reason: nobody waited for its end."""
    assert turn_ends(read(meta(), started(), aborted())) == [(TURN, "interrupted")]


def test_a_turn_without_end_is_closed_by_the_next() -> None:
    """The process died."""
    assert turn_ends(read(meta(), started(), started(SECOND))) == [(TURN, "unknown")]


def test_a_review_ends_under_another_id() -> None:
    """The start carries the child's turn id: turns are paired by position."""
    assert turn_ends(read(meta(), started(), complete(SECOND))) == [(TURN, "completed")]


def test_an_error_fails_the_turn() -> None:
    """Since 0.146.1; before, an API error left no trace."""
    error = {"message": "too many", "codex_error_info": "rate_limit_exceeded"}
    events = read(meta(), started(), complete(error=error))

    assert turn_ends(events) == [(TURN, "failed")]
    assert [(e.error_type, e.message, e.status) for e in only(ModelError, events)] == [
        ("rate_limit_exceeded", "too many", None)
    ]


def test_an_error_can_carry_a_status() -> None:
    """`codex_error_info` is text or an object around it."""
    info = {"response_stream_disconnected": {"http_status_code": 502}}
    [error] = only(ModelError, read(meta(), started(), complete(error={"message": "m", "codex_error_info": info})))

    assert (error.error_type, error.status) == ("response_stream_disconnected", 502)


def test_a_turn_without_answer_has_not_failed() -> None:
    """A manual compaction ends with null as well."""
    assert turn_ends(read(meta(), started(), complete())) == [(TURN, "completed")]


def states(events: list[Event]) -> list[tuple[str | None, str]]:
    return [(told.previous, told.state) for told in only(SessionState, events)]


def test_a_session_works_during_its_turns_and_waits_between_them() -> None:
    """However a turn ended; each change is told once, under the turn that caused it."""
    events = read(meta(), started(), prompt(), complete(), started(SECOND, at=20), aborted(SECOND, at=25))

    assert states(events) == [
        (None, "working"),
        ("working", "waiting_input"),
        ("waiting_input", "working"),
        ("working", "waiting_input"),
    ]
    assert [told.key for told in only(SessionState, events)] == [
        (THREAD, TURN, "working"),
        (THREAD, TURN, "waiting_input"),
        (THREAD, SECOND, "working"),
        (THREAD, SECOND, "waiting_input"),
    ]


def test_a_failed_turn_waits_for_the_person() -> None:
    """Codex does not try again by itself."""
    assert states(read(meta(), started(), complete(error={"message": "m"})))[-1] == ("working", "waiting_input")


def test_a_turn_that_died_is_not_known_to_have_waited() -> None:
    """A killed process writes nothing; that the next turn began says only that the session works."""
    assert states(read(meta(), started(), started(SECOND))) == [(None, "working")]


def test_a_sub_agent_works_for_itself_and_waits_for_nobody() -> None:
    """Its states are those of its own thread; no person is asked for anything when it is done."""
    told = only(SessionState, read(meta(parent_thread_id="p"), started(), complete()))

    assert [(state.session.id, state.session.actor, state.state) for state in told] == [
        (THREAD, THREAD, "working"),
        (THREAD, THREAD, "idle"),
    ]


def test_until_098_only_an_abort_ends_the_work() -> None:
    """Nothing is written when such a turn is complete, and the next prompt does not say since when Codex waited."""
    prompts = [event("user_message", at=at, message="go", kind="plain") for at in (1, 20)]
    events = read(meta(), *prompts, event("turn_aborted", at=30, reason="interrupted"))

    assert [(told.key, told.state) for told in only(SessionState, events)] == [
        ((THREAD, str(ms(1)), "working"), "working"),
        ((THREAD, str(ms(20)), "waiting_input"), "waiting_input"),
    ]


def test_several_prompts_can_steer_one_turn() -> None:
    """Steering starts no turn; the prompts differ in their place."""
    events = read(meta(), started(), prompt("one", "u1"), prompt("two", "u2", at=2), complete())

    assert [p.key for p in only(Prompt, events)] == [(THREAD, TURN, 1), (THREAD, TURN, 2)]
    assert len(only(TurnStart, events)) == 1


def test_a_prompt_is_measured() -> None:
    """Bytes, characters and a digest are told where the text is not."""
    [told] = only(Prompt, read(meta(), started(), prompt("größer ✓")))

    assert (told.bytes, told.chars, told.sha256, told.text) == (12, 8, "054f1e232302a549", "größer ✓")


def test_a_message_has_the_same_key_before_and_after_a_migration() -> None:
    """Events without ids become items with made-up ids; their place in the turn stays."""
    before = read(meta(), started(), event("user_message", message="a"), event("agent_message", message="b"))
    after = read(meta(ordinal=0), started(ordinal=1), prompt("a", "item-1"), answer("b", "item-2"))

    assert [e.key for e in before] == [e.key for e in after]


def test_until_098_each_prompt_begins_a_turn() -> None:
    """There were no marks; an abort ended a turn at most."""
    lines = [event("user_message", at=at, message="go", kind="plain") for at in (1, 20, 40)]
    events = read(meta(), *lines[:2], event("turn_aborted", at=30, reason="interrupted"), lines[2])

    assert turn_ends(events) == [(None, "unknown"), (None, "interrupted")]
    assert [t.key for t in only(TurnStart, events)] == [(THREAD, str(ms(at))) for at in (1, 20, 40)]


def test_a_made_up_turn_id_is_not_used() -> None:
    """A migration names old turns `rollout-1`; the time of their first line is the same before and after."""
    old = read(meta(), event("user_message", message="go"))
    migrated = read(meta(), started("rollout-1"), prompt("go", "item-1"))

    assert [e.key for e in migrated] == [e.key for e in old]


def test_what_codex_writes_in_the_users_name_is_no_prompt() -> None:
    """0.36 marks it with a kind."""
    assert only(Prompt, read(meta(), event("user_message", message="<x>", kind="environment_context"))) == []


def test_a_reviews_prompt_is_no_persons() -> None:
    """Codex writes it; the next prompt is a person's again."""
    entered, exited = item("EnteredReviewMode", "e"), item("ExitedReviewMode", "x")
    lines = [entered, started(), prompt("Review the changes"), exited, complete(), started(SECOND), prompt("thanks")]

    assert [p.text for p in only(Prompt, read(meta(), *lines))] == ["thanks"]


def test_a_review_that_died_ends_with_its_turn() -> None:
    """Else every later prompt would be lost."""
    lines = [item("EnteredReviewMode", "e"), started(), prompt("Review"), started(SECOND), prompt("again")]

    assert [p.text for p in only(Prompt, read(meta(), *lines))] == ["again"]


def test_an_answer_counts_once() -> None:
    """Its text is also in a response item and in the turn's end."""
    copy = line(
        "response_item", {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done"}]}
    )

    assert [r.text for r in only(Response, read(meta(), started(), answer("Done"), copy))] == ["Done"]


def compacted(at: float = 5, message: str = "The story so far") -> bytes:
    return line("compacted", {"message": message, "replacement_history": [{"type": "message"}]}, at)


def test_a_compaction_inside_a_turn_is_automatic() -> None:
    """It is counted from its own line; item and event only repeat it."""
    copies = [item("ContextCompaction", "c"), event("context_compacted")]
    events = read(meta(), started(), prompt(), token_count(usage(900), usage(900)), compacted(), *copies, complete())

    [told] = only(Compaction, events)
    assert (told.trigger, told.summary_chars, told.tokens_before) == ("auto", 16, 900)
    assert told.key == (THREAD, ms(5))


def test_a_turn_that_only_compacts_was_asked_for() -> None:
    """/compact is a turn of its own without a prompt; its request's usage is no sign of work."""
    [told] = only(Compaction, read(meta(), started(), token_record("r1", usage(9)), compacted(message=""), complete()))

    assert (told.trigger, told.summary_chars) == ("manual", None)


def test_work_without_a_prompt_is_compacted_automatically() -> None:
    """Sub-agents and goals have turns without prompts."""
    assert [c.trigger for c in only(Compaction, read(meta(), started(), call(), compacted()))] == ["auto"]


def test_without_marks_nobody_knows_why_the_context_was_compacted() -> None:
    """Before 0.101 a manual compaction looks like any other."""
    events = read(meta(), event("user_message", message="go"), compacted())

    assert [c.trigger for c in only(Compaction, events)] == ["unknown"]


def test_sub_agents_come_and_go() -> None:
    """The second multi-agent tools tell it in activities."""
    lines = [
        item("SubAgentActivity", kind, agent_thread_id="t2", kind=kind)
        for kind in ("started", "interacted", "completed")
    ]
    events = read(meta(), started(), *lines)

    assert [s.child for s in only(AgentSpawn, events)] == ["t2"]
    assert [(e.child, e.outcome) for e in only(AgentEnd, events)] == [("t2", "completed")]


def test_sub_agents_of_the_first_tools_come_and_go() -> None:
    """There the calls' items tell it, with states as text or as an object."""
    spawn: dict[str, Any] = {
        "tool": "spawn_agent",
        "status": "completed",
        "receiver_thread_ids": ["t2"],
        "prompt": "do it",
    }
    wait: dict[str, Any] = {
        "tool": "wait",
        "status": "completed",
        "agents_states": {"t2": {"completed": "text"}, "t3": "running"},
    }
    lines = [item("CollabAgentToolCall", "call_1", **spawn), item("CollabAgentToolCall", "call_2", **wait)]
    events = read(meta(), started(), *lines)

    assert [(s.child, s.description, s.prompt_bytes) for s in only(AgentSpawn, events)] == [("t2", "do it", 5)]
    assert [(e.child, e.outcome) for e in only(AgentEnd, events)] == [("t2", "completed")]


def test_an_agents_activity_can_be_an_event() -> None:
    """Legacy files have no items."""
    lines = [event("sub_agent_activity", agent_thread_id="t2", kind=kind) for kind in ("started", "interrupted")]
    events = read(meta(), started(), *lines)

    assert [(e.child, e.outcome) for e in only(AgentEnd, events)] == [("t2", "interrupted")]


def test_a_start_written_twice_is_one_turn() -> None:
    """The open turn goes on."""
    assert kinds(read(meta(), started(), started(at=2), complete())) == {
        "SessionStart": 1,
        "TurnStart": 1,
        "TurnEnd": 1,
        "SessionState": 2,
    }


def test_an_end_without_a_start_ends_nothing() -> None:
    """Its start was lost with a torn line, or stands in another file."""
    assert turn_ends(read(meta(), complete())) == []


def test_an_error_of_its_own_is_the_turns_error() -> None:
    """Only the extended mode stores it, beside the turn's end: one fact, one key."""
    error: dict[str, Any] = {"message": "m", "codex_error_info": {}}
    told = only(ModelError, read(meta(), started(), event("error", **error), complete(error=error)))

    assert len({e.key for e in told}) == 1
    assert told[0].error_type is None
