"""What posted events tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from forwarder_pai.facts import facts
from forwarder_pai.posts import Post

from forwarder import AgentEnd, AgentSpawn, Event, Notification, Permission, SessionEnd, SessionStart, TurnStart

TIME = datetime(2026, 2, 5, 10, tzinfo=UTC)


def told(kind: str, time: datetime = TIME, **data: Any) -> list[Event]:
    return list(facts(Post("u1", kind, "s1", time, data, data)))


def shown(events: list[Event]) -> list[dict[str, Any]]:
    """The fields of the events that are set, without the envelope."""
    hidden = {"key", "session", "time_inferred"}
    return [
        {name: value for name in event.__struct_fields__ if name not in hidden and (value := getattr(event, name))}
        for event in events
    ]


def test_a_tool_use_is_a_call_from_its_start_to_its_end() -> None:
    """It is posted when the call is over; the documented form does not say how it went."""
    assert shown(told("tool_use", tool="Bash", args='{"command":"ls"}', duration_ms=1500)) == [
        {
            "time": TIME - timedelta(seconds=1.5),
            "call_id": "u1",
            "tool": "Bash",
            "tool_kind": "shell",
            "input_bytes": 16,
            "input": '{"command":"ls"}',
        },
        {
            "time": TIME,
            "call_id": "u1",
            "tool": "Bash",
            "tool_kind": "shell",
            "outcome": "unknown",
            "duration_ms": 1500,
        },
    ]


@pytest.mark.parametrize(("success", "outcome", "ok"), [(True, "ok", True), (False, "error", False)])
def test_the_real_client_says_how_it_went(success: bool, outcome: str, ok: bool) -> None:
    """And how the arguments begin."""
    start, end = told("tool.execute", tool="mcp_x", args_preview="a", success=success)

    assert [getattr(start, "input", None), getattr(start, "tool_kind", None)] == ["a", "other"]
    assert [getattr(end, "outcome", None), getattr(end, "ok", None)] == [outcome, ok]


@pytest.mark.parametrize("duration", [-1, "5", True, 1e300, None])
def test_what_is_no_duration_is_left_out(duration: object) -> None:
    """Nothing is guessed, and no time before the first year comes of it."""
    start, end = told("tool_use", tool="read", args={"a": "b"}, duration_ms=duration)

    assert (start.time, getattr(end, "duration_ms", 0), getattr(start, "input", "")) == (TIME, None, '{"a":"b"}')


def test_no_call_starts_before_time_does() -> None:
    """The first year has no year before it."""
    start, _ = told("tool_use", datetime(1, 1, 1, tzinfo=UTC), tool="read", duration_ms=1)

    assert start.time == datetime(1, 1, 1, tzinfo=UTC)


def test_a_documented_agent_has_come_and_gone() -> None:
    """Its spawn is told with its duration."""
    assert shown(told("agent_spawn", subagent_type="Explore", prompt="look ü", duration_ms=7)) == [
        {"time": TIME, "child": "u1", "agent_type": "Explore", "prompt_bytes": 7, "description": "look ü"},
        {"time": TIME, "child": "u1", "agent_type": "Explore", "duration_ms": 7},
    ]


def test_the_real_clients_agents_have_ids() -> None:
    """A task's start and its end are of the same child."""
    (spawn,) = told("agent.spawn", task_id="t1", agent_type="general", prompt_length=5)
    (end,) = told("agent.complete", task_id="t1", agent_type="general", success=False)

    assert isinstance(spawn, AgentSpawn)
    assert isinstance(end, AgentEnd)
    assert (spawn.child, end.child, end.outcome, end.duration_ms) == ("t1", "t1", "error", None)


def test_a_session_begins_and_ends() -> None:
    """With what the client knows of it."""
    (start,) = told("session.start", model="opus", working_directory="/w", platform="linux")
    (end,) = told("session_end", duration_ms=9)

    assert isinstance(start, SessionStart)
    assert isinstance(end, SessionEnd)
    assert (start.model, start.session.cwd, start.session.agent, end.duration_ms) == ("opus", "/w", "pai", 9)


def test_a_persons_message_begins_a_turn() -> None:
    """Its text is not told."""
    (turn,) = told("message.user", content_length=5, messageId="m1")

    assert isinstance(turn, TurnStart)
    assert (turn.turn_id, turn.trigger) == ("m1", "human")


@pytest.mark.parametrize("kind", ["security.block", "tool.blocked"])
def test_what_was_blocked_was_denied(kind: str) -> None:
    """By a rule."""
    (permission,) = told(kind, tool="bash", reason="rm")

    assert isinstance(permission, Permission)
    assert (permission.tool, permission.decision, permission.by) == ("bash", "denied", "rule")


@pytest.mark.parametrize(
    "kind", ["security.warn", "message.assistant", "rating.explicit", "voice.sent", "isc.validated", "acme.new"]
)
def test_everything_else_is_kept_as_it_was_told(kind: str) -> None:
    """Under its own name, so that nothing is lost that may matter to somebody."""
    (event,) = told(kind, score=7, text="ü")

    assert isinstance(event, Notification)
    assert (event.kind, event.message) == (kind, '{"score":7,"text":"ü"}')
