"""What each of AIr's types of event tells in the common schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from forwarder_air.facts import TYPES
from forwarder_air.sessions import Reading, Sessions

from forwarder import (
    Compaction,
    ContextSegment,
    ContextSnapshot,
    Cost,
    Custom,
    Event,
    ModelChange,
    OutputMetrics,
    Phase,
    PromptMetrics,
    SessionStart,
    TokenUsage,
    ToolCallEnd,
    ToolCallStart,
    TurnEnd,
    UnknownRecordSeen,
)
from forwarder.app.looking.schema import tag_of
from tests.plugins.air.samples import AT, FIELDS, event, named, told

TIME = datetime.fromtimestamp(AT / 1000, UTC)


def kinds(events: list[Event]) -> list[str]:
    return [tag_of(type(one)) for one in events]


def rest(events: list[Event]) -> dict[str, Any]:
    """What a type had no field for."""
    (last,) = [one for one in events if isinstance(one, Custom) and one.provider == "air"]
    kept: dict[str, Any] = json.loads(last.data or "{}")
    return kept


def test_there_are_26_types_and_a_sample_of_each() -> None:
    """The contract's list is complete."""
    assert (len(TYPES), set(TYPES)) == (26, set(FIELDS))


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        ("session_start", ["session_start"]),
        ("session_end", ["session_end"]),
        ("turn_start", ["turn_start"]),
        ("turn_end", ["turn_end"]),
        ("agent_start", ["model_change", "custom"]),
        ("agent_end", ["custom"]),
        ("model_change", ["model_change", "custom"]),
        ("tool_call_start", ["tool_call_start"]),
        ("tool_call_end", ["tool_call_end"]),
        ("tool_call", ["tool_call_start", "tool_call_end", "custom"]),
        ("token_usage", ["token_usage"]),
        ("cost", ["cost"]),
        ("context_usage", ["context_snapshot"]),
        ("context_breakdown", ["context_snapshot"]),
        ("compaction", ["compaction"]),
        ("heartbeat", ["context_snapshot"]),
        *((kind, [kind]) for kind in ("mcp_request", "mcp_response", "rag_retrieval", "rag_embedding", "rag_index")),
        *((kind, [kind]) for kind in ("custom", "latency", "output_eval", "prompt_rating", "drift")),
    ],
)
def test_each_type_has_its_place_in_the_common_schema(kind: str, becomes: list[str]) -> None:
    """What it has no field for follows as `custom`."""
    assert kinds(told(event(kind))) == becomes


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("session_start", {"reason": "startup", "model": "m1", "provider": "acme"}),
        ("turn_start", {"turn_id": "0", "trigger": "human"}),
        ("turn_end", {"turn_id": "0", "outcome": "unknown", "tool_calls": 2}),
        ("agent_start", {"model": "m2", "provider": "acme"}),
        ("model_change", {"model": "m3", "previous_model": "m1", "provider": "acme", "trigger": "set"}),
        (
            "tool_call_start",
            {"call_id": "c1", "tool": "bash", "tool_kind": "shell", "input_bytes": 2, "input": "ls"},
        ),
        (
            "tool_call_end",
            {
                "call_id": "c1",
                "tool": "bash",
                "tool_kind": "shell",
                "outcome": "ok",
                "ok": True,
                "duration_ms": 12,
                "output_bytes": 3,
                "output": "a b",
            },
        ),
        (
            "token_usage",
            {
                "model": "m1",
                "provider": "acme",
                "input_tokens": 1150,
                "cached_input_tokens": 1000,
                "cache_write_tokens": 50,
                "output_tokens": 20,
                "total_tokens": 1170,
                "cost_usd": Decimal("0.1"),
                "cost_source": "agent",
            },
        ),
        (
            "cost",
            {
                "model": "m1",
                "provider": "acme",
                "input_cost": Decimal("0.01"),
                "output_cost": Decimal("0.02"),
                "cache_read_cost": Decimal("0.03"),
                "cache_write_cost": Decimal("0.04"),
                "total_cost": Decimal("0.1"),
                "cumulative_cost": Decimal("0.3"),
                "budget_limit": Decimal(5),
                "currency": "USD",
            },
        ),
        (
            "context_usage",
            {"used_tokens": 170_000, "context_window": 200_000, "percent": 85, "pressure": "approaching_limit"},
        ),
        (
            "context_breakdown",
            {
                "used_tokens": 25,
                "context_window": 1000,
                "percent": 2.5,
                "pressure": "normal",
                "segments": [ContextSegment(category="sp_base", label="System", estimated_tokens=25, chars=99)],
            },
        ),
        ("compaction", {"trigger": "auto", "tokens_before": 900, "summary_chars": 12}),
        ("heartbeat", {"used_tokens": 950, "context_window": 1000, "percent": 95, "pressure": "near_limit"}),
        (
            "mcp_response",
            {
                "method": "tools/call",
                "tool_name": "look",
                "resource_uri": "docs://a",
                "server_name": "docs",
                "duration_ms": 5,
                "output_size_bytes": 3,
                "output_preview": "abc",
                "is_error": True,
                "error_message": "late",
            },
        ),
        (
            "rag_retrieval",
            {
                "source": "kb",
                "query": "how",
                "result_count": 2,
                "top_score": 0.9,
                "duration_ms": 6,
                "chunk_sizes": [10, 20],
                "total_chunk_tokens": 30,
                "metadata": '{"k":"v"}',
            },
        ),
        (
            "latency",
            {
                "operation": "turn",
                "total_ms": 1234.5,
                "ttft_ms": 200.25,
                "phases": [Phase(name="think", duration_ms=0.5)],
                "model": "m1",
                "provider": "acme",
                "percentile": "p95",
            },
        ),
        (
            "output_eval",
            {
                "turn_index": 0,
                "model": "m1",
                "provider": "acme",
                "metrics": OutputMetrics(
                    response_tokens=20,
                    tool_call_count=2,
                    tool_error_count=1,
                    tool_success_rate=0.5,
                    had_retry=False,
                    had_immediate_follow_up=True,
                    response_latency_ms=1234.5,
                    cache_hit_rate=0.75,
                ),
                "user_rating": 4,
                "tags": ["accurate", "concise"],
            },
        ),
        (
            "prompt_rating",
            {
                "prompt_hash": "2cf24dba5fb0a30e",
                "variant": "b",
                "category": "system",
                "model": "m1",
                "provider": "acme",
                "metrics": PromptMetrics(
                    goal_achieved=True,
                    turns_to_complete=3,
                    total_tokens=4000,
                    total_cost_usd=Decimal("0.02"),
                    total_latency_ms=9000,
                    tool_error_rate=0.1,
                    required_compaction=False,
                ),
                "rating": 5,
                "notes": "good",
            },
        ),
        (
            "drift",
            {
                "metric": "latency",
                "model": "m1",
                "provider": "acme",
                "baseline": 63.636,
                "current": 200,
                "deviation_percent": 214.3,
                "direction": "increase",
                "severity": "critical",
                "window_size": 11,
                "threshold_percent": 100,
            },
        ),
    ],
)
def test_every_field_arrives(kind: str, fields: dict[str, Any]) -> None:
    """Under our names and in our units; what is 0 in `turnIndex` counts too."""
    first = told(event(kind))[0]

    assert named(first) | {name: 0 for name, value in fields.items() if value == 0} == fields


@pytest.mark.parametrize("kind", ["custom", "mcp_request", "rag_embedding", "rag_index"])
def test_names_in_snake_case_hold_the_same_values(kind: str) -> None:
    """Types whose fields differ from AIr's in nothing else."""
    (one,) = told(event(kind))
    values = FIELDS[kind].values()
    wanted = {json.dumps(one, separators=(",", ":")) if isinstance(one, dict) else one for one in values}

    assert set(named(one).values()) == wanted - {False}


def test_a_call_that_is_told_once_has_a_start_and_an_end() -> None:
    """The start lies before the end by the duration; what has no field is kept."""
    start, end, *_ = events = told(event("tool_call"))

    assert isinstance(start, ToolCallStart)
    assert isinstance(end, ToolCallEnd)
    assert (end.time, end.time - start.time) == (TIME, timedelta(seconds=1.5))
    assert (start.tool_kind, start.mcp_server, end.outcome, end.error) == ("mcp", "docs", "error", "no such page")
    assert rest(events) == {"provider": "acme", "inputTokens": 7, "outputTokens": 8, "metadata": {"a": [1]}}


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("agent_start", {"thinkingLevel": "off"}),
        ("agent_end", {"messageCount": 3}),
        ("model_change", {"previousProvider": "acme"}),
    ],
)
def test_what_has_no_field_is_kept(kind: str, kept: dict[str, Any]) -> None:
    """As a `custom` event of AIr's under the type's name."""
    assert rest(told(event(kind))) == kept


def test_extra_fields_and_fields_of_another_kind_are_kept() -> None:
    """Whatever a client of tomorrow adds; a duration in words is none."""
    events = told(event("mcp_response", traceId="t1", durationMs="5 ms", isError=None))

    assert kinds(events) == ["mcp_response", "custom"]
    assert rest(events) == {"traceId": "t1", "durationMs": "5 ms"}


@pytest.mark.parametrize(
    ("kind", "field"), [("mcp_request", "serverName"), ("latency", "operation"), ("cost", "model")]
)
def test_a_name_that_is_too_long_is_content(kind: str, field: str) -> None:
    """Names stay at every level of redaction: nobody shall pass a text by under such a field."""
    events = told(event(kind, **{field: "x" * 1001}))

    assert [tag_of(type(one)) for one in events if "xxx" in str(named(one))] == ["custom"]
    assert rest(events) == {field: "x" * 1001}


def test_an_extra_field_of_an_object_is_kept() -> None:
    """In its place; the known rest of the object is told already."""
    metrics = FIELDS["output_eval"]["metrics"] | {"mood": "good"}

    assert rest(told(event("output_eval", metrics=metrics))) == {"metrics": {"mood": "good"}}


@pytest.mark.parametrize("kind", ["turn_end", "model_change", "drift"])
def test_what_does_not_fit_its_type_is_kept_whole(kind: str) -> None:
    """Nothing is made up for a field that the common schema cannot do without."""
    changes: dict[str, Any] = {"toolCallCount": ..., "newModel": ..., "severity": "grave"}
    posted = event(kind, **{name: value for name, value in changes.items() if name in FIELDS[kind]})
    (one,) = told(posted)

    assert isinstance(one, Custom)
    assert (one.provider, one.event_name) == ("air", kind)
    assert json.loads(one.data or "") == {name: value for name, value in posted.items() if name in FIELDS[kind]}


def test_a_type_that_nobody_knows_is_kept_and_said() -> None:
    """AIr stores it as it is; once in each session it is told as a sign of change."""
    first, again = event("thought", text="ü"), event("thought", id="e2", text="v")
    events = told(first, again)

    assert kinds(events) == ["custom", "unknown_record"] * 2
    assert [one.key for one in events if isinstance(one, UnknownRecordSeen)] == [("s1", "type", "thought")] * 2
    assert named(events[0]) == {"provider": "air", "event_name": "thought", "data": '{"text":"ü"}'}


def test_an_event_that_tells_nothing_is_kept_too() -> None:
    """That it happened is what it tells."""
    (one, _) = told(event("thought"))

    assert named(one) == {"provider": "air", "event_name": "thought"}


@pytest.mark.parametrize(
    ("session_id", "fields", "all_input"),
    [
        ("s1", {"input": 100, "cacheRead": 60, "output": 20, "totalTokens": 120}, 160),
        ("codex-0195", {"input": 100, "cacheRead": 60, "output": 20, "totalTokens": 120}, 100),
        ("codex-0195", {"input": 100, "cacheRead": 60, "output": 20, "totalTokens": 180}, 160),
        ("codex-0195", {"input": 100, "cacheRead": 160, "output": 20, "totalTokens": 120}, 260),
    ],
)
def test_cached_tokens_are_part_of_the_input(session_id: str, fields: dict[str, Any], all_input: int) -> None:
    """AIr's own input has none of them; its watcher passes Codex's on, which has them already."""
    cost = {"total": 0}
    posted = {"id": "e1", "sessionId": session_id, "timestamp": AT, "type": "token_usage", "cost": cost, **fields}
    (usage,) = told(posted)

    assert isinstance(usage, TokenUsage)
    assert (usage.input_tokens, usage.total_tokens, usage.cost_usd) == (all_input, all_input + 20, None)


def test_the_money_of_a_turn_is_in_its_usage_alone() -> None:
    """A `cost` event says the same again: only `cost_usd` is ever added up."""
    events = told(event("token_usage"), event("cost"))

    assert [getattr(one, "cost_usd", None) for one in events] == [Decimal("0.1"), None]
    assert isinstance(events[1], Cost)


def test_money_that_is_told_beside_the_usage_is_its_own() -> None:
    """As AIr needs it of whoever knows a cost, lest it be added up twice; of another moment or model it is not."""
    free = FIELDS["token_usage"] | {"cost": {"total": 0}}
    usages = [event("token_usage", **free | {"id": "u1"}), event("token_usage", **free | {"id": "u2"})]
    other = [event("token_usage", **free | {"timestamp": AT + 1}), event("token_usage", **free | {"model": "m2"})]
    events = told(*other, *usages, event("cost"))

    assert [one.cost_usd for one in events if isinstance(one, TokenUsage)] == [None, None, Decimal("0.1"), None]


@pytest.mark.parametrize("total", [0.1 + 0.2, 0.30000000004, 1e-12, -0.0, 1e15])
def test_money_has_at_most_nine_places(total: float) -> None:
    """What JavaScript writes beyond that is noise."""
    (cost,) = told(event("cost", totalCost=total))

    assert isinstance(cost, Cost)
    assert cost.total_cost == Decimal(repr(total)).quantize(Decimal("1e-9"))
    assert "-0" not in str(cost.total_cost) or total < 0


def test_more_money_than_there_is_is_kept_as_it_was_told() -> None:
    """No sum has so many digits."""
    (one,) = told(event("cost", totalCost=1e30))

    assert isinstance(one, Custom)


def test_a_duration_of_0_is_not_known() -> None:
    """AIr's hook for Claude Code writes it for every call."""
    (end,) = told(event("tool_call_end", durationMs=0))

    assert getattr(end, "duration_ms", 0) is None


def test_a_call_without_a_name_or_an_id_is_still_a_call() -> None:
    """The id is the event's then, and how it went is unknown."""
    (end,) = told(event("tool_call_end", toolName=..., toolCallId=..., isError=...))

    assert isinstance(end, ToolCallEnd)
    assert (end.tool, end.call_id, end.outcome, end.ok) == ("unknown", "e-tool_call_end", "unknown", False)


def test_no_call_starts_before_time_does() -> None:
    """The first year has no year before it."""
    start, *_ = told(event("tool_call", timestamp="0001-01-01T00:00:00Z"))

    assert start.time == datetime(1, 1, 1, tzinfo=UTC)


def test_the_start_of_a_session_is_one_however_often_it_is_told() -> None:
    """AIr's watcher tells it again after each restart, under another id."""
    first, second = told(event("session_start"), event("session_start", id="other"))

    assert first.key == second.key == ("s1",)


def test_a_call_is_one_however_often_its_end_is_told() -> None:
    """AIr's watcher ends each patch twice."""
    first, second = told(event("tool_call_end"), event("tool_call_end", id="other"))

    assert first.key == second.key == ("s1", "c1")


def test_a_call_of_another_session_is_another_call() -> None:
    """AIr knows a call by its id alone, and replaces the one by the other."""
    first, second = told(event("tool_call_end"), event("tool_call_end", sessionId="s2"))

    assert first.key != second.key


def test_whose_a_session_is_holds_for_its_other_events() -> None:
    """Where its start stands in a batch does not matter."""
    events = told(event("turn_start"), event("session_start"), event("turn_end"), event("turn_end", sessionId="s2"))

    assert [one.session.agent for one in events] == ["codex", "codex", "codex", "air"]
    assert [one.session.cwd for one in events] == ["/home/dev/shop"] * 3 + [None]


@pytest.mark.parametrize(
    ("agent", "whose"), [(..., "pi"), ("sdk", "sdk"), ("claude-code", "claude-code"), ("a b", "air")]
)
def test_the_agent_is_the_one_that_was_told(agent: Any, whose: str) -> None:
    """Without one it is AIr's default."""
    (start,) = told(event("session_start", agent=agent))

    assert start.session.agent == whose


def test_ids_do_not_depend_on_whose_the_session_is() -> None:
    """What was posted before the start was told, and then again, is the same fact."""
    (before,), (_, after) = told(event("turn_end")), told(event("session_start"), event("turn_end"))

    assert (before.key, before.session.namespace) == (after.key, after.session.namespace)
    assert before.session.agent != after.session.agent


def test_a_model_is_told_once_and_again_when_it_changes() -> None:
    """Clients tell it with each answer."""
    starts = [event("agent_start", id=f"a{n}", timestamp=AT + n, model=m) for n, m in enumerate(["m1", "m1", "m2"])]
    events = told(event("session_start", model=""), *starts)

    changes = [one for one in events if isinstance(one, ModelChange)]
    assert [(one.model, one.previous_model) for one in changes] == [("m1", None), ("m2", "m1")]


def test_the_model_of_the_start_is_no_change() -> None:
    """It is the same one."""
    events = told(event("session_start", model="m2"), event("agent_start"))

    assert kinds(events) == ["session_start", "custom"]


def test_an_older_model_changes_nothing() -> None:
    """As when a client posts again what it has posted before."""
    late = event("agent_start", timestamp=AT - 1, model="m0")

    events = told(event("agent_start"), late, event("agent_start"))

    assert [one.model for one in events if isinstance(one, ModelChange)] == ["m2"]


def test_heartbeats_are_told_once_in_five_minutes() -> None:
    """And once for each pressure in them."""
    beats = [event("heartbeat", id=f"h{n}", timestamp=AT + n * 10_000, contextTokens=...) for n in range(60)]
    full = [event("heartbeat", contextTokens=tokens) for tokens in (100, 200, 999, 1000)]

    assert len({one.key for one in told(*beats) if isinstance(one, Custom) and not one.data}) == 2
    assert [getattr(one, "pressure", "") for one in told(*full)] == ["normal", "normal", "near_limit", "at_limit"]
    assert len({one.key for one in told(*full)}) == 3


@pytest.mark.parametrize(("is_automatic", "trigger"), [(True, "auto"), (False, "manual"), (..., "unknown")])
def test_who_asked_for_a_compaction(is_automatic: Any, trigger: str) -> None:
    """Unknown beats a guess."""
    (one,) = told(event("compaction", isAutomatic=is_automatic))

    assert isinstance(one, Compaction)
    assert one.trigger == trigger


def test_a_context_without_a_window_has_no_percentage() -> None:
    """AIr divides by it."""
    (one,) = told(event("context_breakdown", contextWindow=0, segments=[{"category": "a"}, {"label": "b"}]))[:1]

    assert isinstance(one, ContextSnapshot)
    assert (one.percent, one.pressure, one.segments) == (None, "normal", None)


def test_a_session_without_a_start_is_airs() -> None:
    """Nobody said whose it is."""
    (end,) = told(event("turn_end"))

    assert isinstance(end, TurnEnd)
    assert (end.session.agent, end.session.id) == ("air", "s1")


def test_the_oldest_sessions_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients make up as many as they like; what is forgotten leaves the journal, too."""
    monkeypatch.setattr("forwarder_air.sessions.MAX_SESSIONS", 2)
    sessions, noted = Sessions(), dict[str, bytes | None]()
    for number in range(5):
        reading = Reading(sessions)
        told_here = [event("session_start", sessionId=f"s{number}")]
        noted |= learned(sessions, reading, told_here)

    assert sum(note is not None for note in noted.values()) == 2


def learned(sessions: Sessions, reading: Reading, events: list[dict[str, Any]]) -> dict[str, bytes | None]:
    """What a request with these events is to note."""
    from forwarder_air.facts import facts
    from forwarder_air.posts import Posts

    list(facts([Posts().read(one) for one in events], reading))
    notes = sessions.notes(reading.changed, str)
    sessions.keep(reading.changed, notes)
    return notes


def test_a_session_that_is_known_is_noted_once() -> None:
    """A note costs a row of the journal, each time."""
    sessions = Sessions()
    notes = [learned(sessions, Reading(sessions), [event("session_start")]) for _ in range(2)]

    assert [len(one) for one in notes] == [1, 0]


def test_the_start_is_a_session_start() -> None:
    """With the folder, which later events have as well."""
    (start,) = told(event("session_start"))

    assert isinstance(start, SessionStart)
    assert (start.session.cwd, start.time, start.time_inferred) == ("/home/dev/shop", TIME, False)
