"""Session files mark no turns: prompts begin them, final answers end them."""

from __future__ import annotations

import pytest
from forwarder_pi import Pi
from forwarder_pi.state import LEAVES

from forwarder import Event, ModelError, Prompt, Response, ToolCallEnd, TurnEnd, TurnStart, UserCommand
from forwarder.testing import check_source

from .lines import answer, as_v1, calling, entry, header, message, ms, only, prompt, read, result, spent, usage


def ends(events: list[Event]) -> list[tuple[int | None, str, int]]:
    """Number, outcome and calls of each turn that ended."""
    return [(end.turn, end.outcome, end.tool_calls) for end in only(TurnEnd, events)]


@pytest.mark.parametrize(
    ("stop", "outcome"), [("stop", "completed"), ("length", "completed"), ("aborted", "interrupted")]
)
def test_a_final_answer_ends_the_turn(stop: str, outcome: str) -> None:
    """At once, with the time since the prompt."""
    [end] = only(TurnEnd, read(header(), prompt(at=1), answer(stop=stop, at=3.5)))

    assert (end.outcome, end.duration_ms) == (outcome, 2500)


def test_a_turn_over_which_the_clock_was_set_back_has_no_duration() -> None:
    """Unknown beats a guess, and a negative time is not even that."""
    [end] = only(TurnEnd, read(header(), prompt(at=5), answer(at=3)))

    assert end.duration_ms is None


def test_a_turn_goes_on_while_tools_are_called() -> None:
    """Its calls are counted."""
    lines = [prompt(), calling("c1", "c2"), result("c1"), result("c2", "r2", "r1"), answer("a2", "r2", at=4)]

    assert ends(read(header(), *lines)) == [(1, "completed", 2)]


def test_a_prompt_from_the_queue_steers_the_turn() -> None:
    """It was submitted while a tool ran, and is written when the tool has ended."""
    steer = prompt("p2", "r1", at=3.1, timestamp=ms(2.5))
    events = read(header(), prompt(), calling("c1"), result(at=3), steer, answer("a2", "p2", at=4))

    assert [p.turn for p in only(Prompt, events)] == [1, 1]
    assert ends(events) == [(1, "completed", 1)]


def test_a_prompt_after_a_final_answer_begins_a_turn() -> None:
    """Also one that waited in the queue for it."""
    events = read(header(), prompt(), answer(), prompt("p2", "a1", at=2.1, timestamp=ms(1.5)), answer("a2", "p2", at=3))

    assert ends(events) == [(1, "completed", 0), (2, "completed", 0)]


def test_a_failed_answer_may_be_tried_again() -> None:
    """The retry belongs to the same turn, and each failure says which attempt it was."""
    lines = [
        prompt(),
        answer(stop="error", errorMessage="529 overloaded"),
        entry("context_edit", "e1", "a1", at=2.1, targetId="a1", replacement=None),
        answer("a2", "e1", at=4, stop="error", errorMessage="500 broken"),
        answer("a3", "a2", at=9),
    ]
    events = read(header(), *lines)

    assert [(e.attempt, e.status) for e in only(ModelError, events)] == [(1, 529), (2, 500)]
    assert ends(events) == [(1, "completed", 0)]


def test_a_failure_ends_the_turn_when_the_next_prompt_comes() -> None:
    """However soon: nobody steers a turn that has failed."""
    lines = [prompt(), answer(stop="error"), prompt("p2", "a1", at=2.2, timestamp=ms(1.9))]
    [end] = only(TurnEnd, read(header(), *lines))

    assert (end.outcome, end.duration_ms) == ("failed", 1000)


def test_a_killed_turn_is_unknown() -> None:
    """The session was resumed; nothing says how the turn before ended, nor its call."""
    events = read(header(), prompt(), calling("c1"), prompt("p2", "a1", at=60), answer("a2", "p2", at=61))

    assert ends(events) == [(1, "unknown", 1), (2, "completed", 0)]
    assert [(e.outcome, e.duration_ms, e.output) for e in only(ToolCallEnd, events)] == [("unknown", None, None)]


def test_an_answer_that_nobody_asked_for_is_a_machines_turn() -> None:
    """An extension's message began the run."""
    lines = [entry("custom_message", "x1", None, content="Go"), answer("a1", "x1")]

    assert [start.trigger for start in only(TurnStart, read(header(), *lines))] == ["machine"]


def test_two_writers_do_not_end_each_others_turns() -> None:
    """Two processes can have the same session open; each goes on with its own branch."""
    lines = [
        prompt("p1"),
        calling("c1", name="a1", parent="p1", at=2),
        prompt("q1", None, at=2.1),
        answer("b1", "q1", at=2.5),
        result("c1", "r1", "a1", at=3, isError=True),
        answer("a2", "r1", at=4),
    ]
    events = read(header(), *lines)

    assert [end.outcome for end in only(ToolCallEnd, events)] == ["error"]


def test_an_unknown_entry_does_not_cut_the_turn() -> None:
    """It is counted as drift and its id is lost; the result behind it still ends its call."""
    unknown = entry("hologram", "x1", "a1", at=2.5)
    lines = [header(), prompt(), calling("c1"), unknown, result("c1", "r1", "x1"), answer("a2", "r1")]
    events = check_source(Pi(), b"\n".join(lines))

    assert [end.outcome for end in only(ToolCallEnd, events)] == ["ok"]
    assert ends(events) == [(1, "completed", 1)]


def test_branches_that_never_grow_are_forgotten() -> None:
    """Each is closed as unknown, so that the state stays small however often a person goes back."""
    lines = [answer()] + [prompt(f"q{number}", "a1", at=2 + number) for number in range(LEAVES + 2)]
    events = read(header(), prompt(), *lines)

    assert ends(events).count((2, "unknown", 0)) == 1


def test_v1_has_one_branch() -> None:
    """No ids: every line goes on with the one before."""
    lines = [prompt(), calling("c1"), result(), answer("a2", at=4), prompt(at=5), answer(at=6)]
    events = read(header(), *map(as_v1, lines))

    assert ends(events) == [(1, "completed", 1), (2, "completed", 0)]


def test_text_is_told_and_thinking_is_not() -> None:
    """An answer's blocks of text are one response; images of a prompt are left out."""
    blocks = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "One"}, {"type": "text", "text": "two"}]
    picture = {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}
    asked = prompt(content=[{"type": "text", "text": "Look:"}, picture])
    events = read(header(), asked, answer(content=blocks, responseId="msg_1"))

    assert [(r.text, r.response_id) for r in only(Response, events)] == [("One\ntwo", "msg_1")]
    assert [p.text for p in only(Prompt, events)] == ["Look:"]


def test_a_prompt_may_be_plain_text() -> None:
    """Programs submit a string instead of blocks."""
    assert [p.text for p in only(Prompt, read(header(), prompt(content="Grüße")))] == ["Grüße"]


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        ('529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', 529, "overloaded_error"),
        ("500 {broken}", 500, None),
        ("400 {}", 400, None),
        ("terminated", None, None),
    ],
)
def test_an_errors_words_are_read(words: str, status: int | None, kind: str | None) -> None:
    """Providers answer with a status and a JSON body; broken connections only with words."""
    [error] = only(ModelError, read(header(), prompt(), answer(stop="error", errorMessage=words)))

    assert (error.status, error.error_type, error.message) == (status, kind, words)


def test_an_aborted_answer_used_nothing() -> None:
    """It states zeros; a stream that broke off states what had arrived."""
    aborted = answer(stop="aborted", usage=usage())
    broken = answer("a2", "p2", at=4, stop="error", usage=usage(1300, o=1))

    assert spent(read(header(), prompt(), aborted, prompt("p2", "a1", at=3), broken)) == [(1300, 0, 1)]


def test_a_persons_own_command_is_no_tool_call() -> None:
    """`!command`; a cancelled one has no exit code."""
    lines = [
        message("bashExecution", "b1", command="false", output="", exitCode=1, cancelled=False),
        message("bashExecution", "b2", "b1", command="sleep 9", output="", cancelled=True),
    ]

    assert [(c.input, c.exit_code) for c in only(UserCommand, read(header(), *lines))] == [
        ("false", 1),
        ("sleep 9", None),
    ]
