"""Which events become posts, and what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from forwarder_pai.inputs import MOST_CALLS, MOST_CHARS, Inputs
from forwarder_pai.outgoing import Profile, outgoing

CALL = {"call_id": "c1", "tool": "bash", "tool_kind": "shell"}


def event(type: str, **fields: Any) -> dict[str, Any]:
    return {"id": "0" * 32, "type": type, "time": "2026-11-20T10:00:00.000Z", "session_id": "s1"} | fields


def told(profile: Profile, *events: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(post.kind, post.data) for post in outgoing(events, profile, Inputs())]


ENDED = event("tool_call_end", **CALL, outcome="ok", ok=True, duration_ms=7)


@pytest.mark.parametrize(
    ("given", "seed", "server"),
    [
        ('{"cmd":"ls"}', {"args": '{"cmd":"ls"}'}, {"args_keys": ["cmd"], "args_preview": '{"cmd":"ls"}'}),
        ('{"cmd":"ls -…', {"args": r'{"input":"{\"cmd\":\"ls -…"}'}, {"args_preview": '{"cmd":"ls -…'}),
        ("*** Begin", {"args": '{"input":"*** Begin"}'}, {"args_preview": "*** Begin"}),
        ("[" * 9000, {"args": json.dumps({"input": "[" * 9000}, separators=(",", ":"))}, {"args_preview": "[" * 200}),
        (None, {}, {}),
    ],
)
def test_a_call_says_what_it_was_given(given: str | None, seed: dict[str, Any], server: dict[str, Any]) -> None:
    """Its start tells; what redaction cut is no JSON any more, what it removed is absent."""
    start = event("tool_call_start", **CALL, input_bytes=9, **({} if given is None else {"input": given}))
    common = {"tool": "bash", "duration_ms": 7}

    assert told("seed", start, ENDED) == [("tool_use", common | seed)]
    assert told("server", start, ENDED) == [("tool.execute", common | {"success": True} | server)]


def test_an_end_without_its_start_is_told_all_the_same() -> None:
    """After a restart nobody remembers it."""
    assert told("seed", ENDED) == [("tool_use", {"tool": "bash", "duration_ms": 7})]


@pytest.mark.parametrize(
    ("outcome", "success"), [("ok", True), ("error", False), ("cancelled", False), ("unknown", None)]
)
def test_how_a_call_went_is_said_where_it_is_known(outcome: str, success: bool | None) -> None:
    """The real client always says true."""
    ((kind, data),) = told("server", ENDED | {"outcome": outcome})

    assert (kind, data.get("success")) == ("tool.execute", success)


@pytest.mark.parametrize("outcome", ["denied", "rejected"])
def test_a_call_that_never_ran_is_none(outcome: str) -> None:
    """The documented server counts uses; the real one has a type for it."""
    assert told("seed", ENDED | {"outcome": outcome}) == []
    assert told("server", ENDED | {"outcome": outcome}) == [("tool.blocked", {"tool": "bash", "reason": outcome})]


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"decision": "denied", "by": "rule"}, ["security.block"]),
        ({"decision": "denied", "by": "mode"}, ["security.block"]),
        ({"decision": "denied", "by": "user"}, []),
        ({"decision": "denied"}, []),
        ({"decision": "allowed", "by": "rule"}, []),
        ({"decision": "asked"}, []),
    ],
)
def test_what_a_rule_forbids_is_a_block(fields: dict[str, str], kinds: list[str]) -> None:
    """The server counts those."""
    assert [kind for kind, _ in told("server", event("permission", tool="bash", **fields))] == kinds


def test_an_agent_is_told_when_it_starts() -> None:
    """Whether it ends is told to the real server alone; nobody waits for that."""
    events = [
        event("agent_spawn", child="a1", agent_type="Explore", prompt_bytes=4, description="look"),
        event("agent_end", child="a1", outcome="completed", duration_ms=7),
    ]

    assert told("seed", *events) == [("agent_spawn", {"subagent_type": "Explore", "prompt": "look"})]
    assert told("server", *events) == [
        ("agent.spawn", {"task_id": "a1", "agent_type": "Explore"}),
        ("agent.complete", {"task_id": "a1", "agent_type": "unknown", "duration_ms": 7, "success": True}),
    ]


def test_a_session_begins_and_ends() -> None:
    """With what the real client tells of it; the documented form has nothing to say."""
    events = [
        event("session_start", reason="startup", model="gpt-5", cwd="/shop"),
        event("session_end", reason="exit", duration_ms=9),
    ]

    assert told("seed", *events) == [("session_start", {}), ("session_end", {})]
    assert told("server", *events) == [
        ("session.start", {"model": "gpt-5", "working_directory": "/shop"}),
        ("session.end", {"duration_ms": 9}),
    ]


@pytest.mark.parametrize("profile", ["seed", "server"])
def test_a_sub_agent_ends_no_session(profile: Profile) -> None:
    """It works under its session's id."""
    events = [event(kind, reason="exit", actor="a1") for kind in ("session_start", "session_end")]

    assert told(profile, *events) == []


def test_messages_are_counted_and_not_told() -> None:
    """As the real client does, whatever the level of redaction."""
    events = [
        event("prompt", bytes=6, chars=5, sha256="0" * 16, text="grüße"),
        event("response", bytes=9, chars=9, response_id="m1", text="long text"),
    ]

    assert told("seed", *events) == []
    assert told("server", *events) == [
        ("message.user", {"content_length": 5}),
        ("message.assistant", {"content_length": 9, "messageId": "m1"}),
    ]


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ({"message": '{"score":7}'}, {"score": 7}),
        ({"message": '{"sco…'}, {"message": '{"sco…'}),
        ({"message": "null"}, {"message": "null"}),
        ({}, {}),
    ],
)
def test_what_came_from_a_client_goes_on_as_it_came(message: dict[str, str], data: dict[str, Any]) -> None:
    """The receiver keeps it as a notification."""
    assert told("server", event("notification", kind="rating.explicit", **message)) == [("rating.explicit", data)]


@pytest.mark.parametrize("type", ["token_usage", "turn_end", "metric", "gap", "a_type_of_tomorrow"])
@pytest.mark.parametrize("profile", ["seed", "server"])
def test_what_no_server_knows_is_left_out(profile: Profile, type: str) -> None:
    """As is what other agents notify of."""
    assert told(profile, event(type), event("notification", kind="idle", message="hm")) == []


def test_starts_whose_ends_never_come_are_forgotten() -> None:
    """The oldest first, and no input is held whole that nobody shows whole."""
    inputs = Inputs()
    for number in range(MOST_CALLS + 1):
        inputs.hold({"session_id": "s1", "call_id": str(number), "input": "x" * (MOST_CHARS + 1)})

    assert inputs.take({"session_id": "s1", "call_id": "0"}) is None
    assert inputs.take({"session_id": "s1", "call_id": "1"}) == "x" * MOST_CHARS + "…"
