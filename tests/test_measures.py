"""What events come to as numbers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from forwarder import MEASURES, ends_session, measures

ENVELOPE = {"id": "0" * 32, "time": "2026-11-21T01:00:00.000Z", "agent": "acme", "session_id": "s1", "host": "h"}
NO_NUMBERS = {"turn_start", "tool_call_start"}  # their ends are counted

# The least that each type may hold, then the most.
LEAST: dict[str, dict[str, Any]] = {
    "session_start": {"reason": "startup"},
    "session_end": {"reason": "exit"},
    "session_state": {"state": "working"},
    "turn_start": {"trigger": "human"},
    "turn_end": {"outcome": "completed", "tool_calls": 2},
    "prompt": {"bytes": 3, "chars": 3, "sha256": "0" * 16},
    "response": {"bytes": 3, "chars": 3},
    "token_usage": {"input_tokens": 9, "cached_input_tokens": 0, "output_tokens": 1, "total_tokens": 10},
    "model_change": {"model": "m"},
    "model_error": {},
    "rate_limit": {"window": "primary", "used_percent": 12.5},
    "tool_call_start": {"call_id": "c", "tool": "bash", "tool_kind": "shell", "input_bytes": 2},
    "tool_call_end": {"call_id": "c", "tool": "bash", "tool_kind": "shell", "outcome": "error", "ok": False},
    "user_command": {},
    "permission": {"tool": "bash", "decision": "asked"},
    "agent_spawn": {"child": "k"},
    "agent_end": {"child": "k"},
    "context_snapshot": {"pressure": "normal"},
    "compaction": {"trigger": "auto"},
    "notification": {"kind": "idle"},
    "tool_usage": {"kind": "script", "name": "sync", "scope": "global", "status": "failed"},
    "gap": {"reason": "oversize"},
    "unknown_record": {"record_type": "x", "count": 1},
    "secret_found": {"rule": "github-pat", "fingerprint": "f"},
}
MORE: dict[str, dict[str, Any]] = {
    "turn_end": {"duration_ms": 2500},
    "token_usage": {
        "model": "m",
        "cached_input_tokens": 4,
        "cache_write_tokens": 2,
        "reasoning_tokens": 1,
        "cost_usd": 0.25,
        "cost_source": "agent",
    },
    "model_error": {"error_type": "overloaded", "status": 529},
    "rate_limit": {"resets_at": "2026-11-21T02:00:00Z"},
    "tool_call_end": {"duration_ms": 40},
    "context_snapshot": {"percent": 61.5},
    "compaction": {"tokens_before": 900, "tokens_after": 100, "duration_ms": 3000, "summary_chars": 77},
    "tool_usage": {"duration_ms": 1500},
    "gap": {"bytes": 100, "count": 3},
}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {**ENVELOPE, "type": kind, **LEAST[kind], **fields}


def counted(kind: str, **fields: Any) -> dict[str, float]:
    """Name and labels without the agent, as text, and the value."""
    found: dict[str, float] = {}
    for one in measures(event(kind, **fields)):
        labels = ",".join(f"{name}={value}" for name, value in one.labels.items() if name != "agent")
        found[f"{one.name}{{{labels}}}"] = one.value
    return found


@pytest.mark.parametrize("kind", LEAST)
def test_every_type_is_measured_with_and_without_what_may_be_unknown(kind: str) -> None:
    """A field that is absent is not counted as 0, and costs nothing else."""
    least, most = counted(kind), counted(kind, **MORE.get(kind, {}))

    assert len(most) >= len(least) >= (0 if kind in NO_NUMBERS | {"context_snapshot"} else 1)


def test_a_type_added_later_has_no_measures() -> None:
    """Whoever updates the forwarder's sources before a sink must not lose the sink."""
    assert list(measures({**ENVELOPE, "type": "telepathy"})) == []


def test_the_kinds_of_tokens_add_up_without_overlap() -> None:
    """Input holds cached and written tokens, output reasoning; whoever adds the kinds up must get the bill."""
    found = counted("token_usage", **MORE["token_usage"])

    assert found == {
        "agent_tokens_total{model=m,kind=input}": 3,
        "agent_tokens_total{model=m,kind=cached_input}": 4,
        "agent_tokens_total{model=m,kind=cache_write}": 2,
        "agent_tokens_total{model=m,kind=reasoning}": 1,
        "agent_cost_usd_total{model=m,source=agent}": 0.25,
    }


def test_a_part_larger_than_the_whole_changes_no_total() -> None:
    """Some providers say more cached tokens than input; the sum stays what was billed."""
    odd = {"cached_input_tokens": 12, "cache_write_tokens": 5, "reasoning_tokens": 3}

    assert sum(counted("token_usage", **odd).values()) == 10


def test_a_model_that_is_not_told_is_unknown() -> None:
    """A series without the label would look like another metric."""
    assert counted("token_usage") == {
        "agent_tokens_total{model=unknown,kind=input}": 9,
        "agent_tokens_total{model=unknown,kind=output}": 1,
    }


def test_percent_becomes_a_ratio_and_milliseconds_seconds() -> None:
    """Base units, as the conventions of metrics want them."""
    assert counted("rate_limit", **MORE["rate_limit"]) == {
        "agent_rate_limit_used_ratio{window=primary}": 0.125,
        "agent_rate_limit_reset_timestamp_seconds{window=primary}": 1795226400,
    }
    assert counted("tool_call_end", duration_ms=40) == {
        "agent_tool_calls_total{tool=bash,outcome=error}": 1,
        "agent_tool_call_duration_seconds{tool=bash}": 0.04,
    }


def test_a_compaction_that_saved_nothing_takes_nothing_back() -> None:
    """A counter cannot fall."""
    assert "agent_compaction_tokens_saved_total{}" not in counted("compaction", tokens_before=10, tokens_after=12)


def test_a_started_helper_is_counted_once_it_is_over() -> None:
    """The log has two lines for one run."""
    assert counted("tool_usage", status="started") == {}


def test_a_sub_agent_is_no_session() -> None:
    """Its state and its context are not those of the session that a person looks at."""
    assert counted("session_state", actor="a1") == {}
    assert counted("context_snapshot", actor="a1", percent=99.0) == {}
    assert not ends_session(event("session_end", actor="a1"))


@pytest.mark.parametrize(
    ("told", "is_end"),
    [
        (event("session_end"), True),
        (event("session_state", state="ended"), True),
        (event("session_state"), False),
        (event("prompt"), False),
    ],
    ids=["end", "ended", "working", "prompt"],
)
def test_a_session_is_over_when_an_event_says_so(told: dict[str, Any], is_end: bool) -> None:
    """Its gauges leave with it."""
    assert ends_session(told) is is_end


def test_names_follow_the_conventions() -> None:
    """`_total` is for counters and for nothing else; no unit is abbreviated, no percent."""
    wrong = [
        name
        for name, one in MEASURES.items()
        if (one.kind == "counter") != name.endswith("_total")
        or not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
        or re.search(r"_(ms|sec|percent|kb|mb)(_|$)", name)
    ]

    assert wrong == []


def test_no_label_has_values_without_end() -> None:
    """A session, a path or a host in a label is a series each."""
    labels = {label for kind in LEAST for one in measures(event(kind, **MORE.get(kind, {}))) for label in one.labels}

    assert labels == {
        *("agent", "model", "tool", "kind", "source", "reason", "state", "outcome", "window", "trigger"),
        *("error_type", "status", "decision", "rule"),
    }
