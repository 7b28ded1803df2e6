"""Each type of event as AIr gets it: everything filled that its server needs, and nothing made up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
import pytest_asyncio
from forwarder_air import outgoing
from forwarder_air.outgoing import FIELDS, air_event, breakdown

import forwarder
from tests.plugins.air.server import AirServer
from tests.plugins.air.telling import Engine, batch, told, usage

CONTENT = {
    "text", "input", "output", "error", "message", "description", "error_summary", "error_message", "input_preview",
    "output_preview", "query", "metadata", "notes", "data",
}  # fmt: skip
COMMON = {"id", "sessionId", "timestamp", "type"}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AirServer]:
    async with AirServer() as running:
        yield running


def mapped(type: str, **fields: Any) -> dict[str, object]:
    """AIr's type and fields, without what all have."""
    event = air_event(told(type, 1, **fields))
    return {name: value for name, value in event.items() if name not in COMMON - {"type"}}


def test_what_all_events_have() -> None:
    """An id that stays the same, the session's whole id, and integer milliseconds."""
    event = air_event(told("session_end", 1, session="01a1fba9-5a25-7c72-b44a-a31862805cd4", reason="exit"))

    assert event["id"] == told("session_end", 1, session="01a1fba9-5a25-7c72-b44a-a31862805cd4")["id"]
    assert event["sessionId"] == "01a1fba9-5a25-7c72-b44a-a31862805cd4"
    assert event["timestamp"] == 1795168801250


def test_input_tokens_are_without_the_cache() -> None:
    """AIr adds cache tokens to them where it computes with both; ours include them."""
    event = air_event(usage(1, input_tokens=1000, cached_input_tokens=700, cache_write_tokens=100))

    assert (event["input"], event["cacheRead"], event["cacheWrite"], event["totalTokens"]) == (200, 700, 100, 1050)


def test_a_token_usage_has_no_money() -> None:
    """AIr adds up that of both types; ours is in the cost event that goes with it."""
    event: Any = air_event(usage(1))

    assert set(event["cost"].values()) == {0}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"used_tokens": 50, "context_window": 200, "percent": 25.0}, (50, 200, 25.0)),
        ({"used_tokens": 50, "context_window": 200}, (50, 200, 25.0)),
        ({"context_window": 200, "percent": 25.0}, (50, 200, 25.0)),
    ],
)
def test_a_context_is_complete_when_two_of_three_are_known(fields: dict[str, Any], shown: tuple[float, ...]) -> None:
    """AIr needs all three, and two make the third."""
    event = mapped("context_snapshot", pressure="normal", **fields)

    assert event["type"] == "context_usage"
    assert (event["tokensUsed"], event["contextWindow"], event["utilizationPct"]) == shown


def test_a_context_of_unknown_size_is_custom() -> None:
    """No number is made up; AIr would fail at a missing one."""
    event = mapped("context_snapshot", pressure="near_limit", percent=91.0)

    assert (event["type"], event["eventName"]) == ("custom", "context_snapshot")
    assert event["data"] == {"pressure": "near_limit", "percent": 91.0}


def test_parts_of_the_context_go_out_too() -> None:
    """AIr draws them."""
    segments = [{"category": "user_messages", "estimated_tokens": 20, "chars": 80}, {"category": "thinking"}]
    event = breakdown(told("context_snapshot", 1, context_window=200, pressure="normal", segments=segments))

    assert event is not None
    assert (event["type"], event["totalTokens"], event["contextWindow"]) == ("context_breakdown", 20, 200)


@pytest.mark.parametrize(
    ("outcome", "is_error"),
    [("ok", False), ("error", True), ("rejected", True), ("denied", True), ("cancelled", False), ("unknown", False)],
)
def test_an_outcome_is_an_error_or_not(outcome: str, is_error: bool) -> None:
    """AIr knows no more; what is unknown is no error."""
    fields: dict[str, Any] = {"call_id": "c", "tool": "t", "tool_kind": "shell", "ok": outcome == "ok"}

    assert mapped("tool_call_end", outcome=outcome, **fields)["isError"] is is_error


def test_a_duration_that_is_unknown_is_not_zero() -> None:
    """AIr's collectors send 0, which its averages and its drift detector believe."""
    fields: dict[str, Any] = {"call_id": "c", "tool": "t", "tool_kind": "shell", "ok": True}

    assert "durationMs" not in mapped("tool_call_end", outcome="ok", **fields)


def test_calls_of_two_sessions_are_apart() -> None:
    """AIr knows calls by their id alone: the second would replace the first."""
    fields: dict[str, Any] = {"call_id": "call_1", "tool": "t", "tool_kind": "shell", "input_bytes": 0}
    ids = [air_event(told("tool_call_start", 1, session=one, **fields))["toolCallId"] for one in ("a", "b")]

    assert ids == ["a:call_1", "b:call_1"]


def test_without_content_there_is_no_preview() -> None:
    """At redaction `full` a sink gets none; sizes and names stay."""
    event = mapped("tool_call_start", call_id="c", tool="t", tool_kind="shell", input_bytes=7)

    assert event == {"type": "tool_call_start", "toolName": "t", "toolCallId": "s-1:c", "inputSizeBytes": 7}


def test_an_automatic_compaction_is_one_only_if_known() -> None:
    """Codex does not always say."""
    known, unknown = (mapped("compaction", trigger=one, tokens_before=9) for one in ("auto", "unknown"))

    assert known["isAutomatic"] is True
    assert "isAutomatic" not in unknown


def test_what_air_has_no_type_for_is_custom() -> None:
    """Nothing is left out: the event's own fields are its data."""
    event = mapped("model_error", status=529, error_type="overloaded", message="busy")

    assert event["data"] == {"status": 529, "error_type": "overloaded", "message": "busy"}
    assert (event["provider"], event["eventName"], event["isError"], event["errorMessage"]) == (
        "codex", "model_error", True, "busy",
    )  # fmt: skip


def test_a_cost_that_a_program_tells_is_custom() -> None:
    """The same money is in the token usage, and AIr would add up both."""
    assert mapped("cost", total_cost=0.1, currency="USD")["type"] == "custom"


def test_fields_of_programs_get_their_names_back() -> None:
    """They are AIr's in snake case; what was an object in JSON is one again."""
    drift: dict[str, Any] = {
        "metric": "cost", "model": "m", "provider": "p", "baseline": 1.0, "current": 2.0, "deviation_percent": 100.0,
        "direction": "increase", "severity": "critical", "window_size": 50, "threshold_percent": 100.0,
    }  # fmt: skip
    custom = mapped("custom", provider="p", event_name="e", data='{"a":[1]}', duration_ms=3)

    assert mapped("drift", **drift).keys() >= {"deviationPct", "windowSize", "threshold"}
    assert custom == {"type": "custom", "provider": "p", "eventName": "e", "data": {"a": [1]}, "durationMs": 3}


@pytest.mark.parametrize(("text", "data"), [('{"a": "b…', {"text": '{"a": "b…'}), ("[1]", {"value": [1]})])
def test_data_that_is_no_object_becomes_one(text: str, data: object) -> None:
    """A preview is cut in its middle, and AIr makes an array an object with numbers for keys."""
    assert mapped("custom", provider="p", event_name="e", data=text)["data"] == data


def test_what_a_program_left_out_is_not_made_up() -> None:
    """AIr fails at an evaluation without all of its numbers: it goes out as custom."""
    event = mapped("output_eval", turn_index=1, model="m", provider="p", metrics={"response_tokens": 3})

    assert (event["type"], event["eventName"]) == ("custom", "output_eval")


def wire(kind: type[forwarder.Event], *, is_full: bool) -> dict[str, Any]:
    """An event of the type, with all of its fields or with those alone that it cannot be without."""
    fields: dict[str, Any] = {}
    for one in msgspec.structs.fields(kind):
        if one.name not in {"key", "time", "session", "time_inferred"} and (is_full or one.required):
            fields[one.name] = value_of(get_type_hints(kind)[one.name], is_full=is_full)
    return told(str(kind.__struct_config__.tag), 1, **msgspec.to_builtins(fields, builtin_types=(Decimal,)))


def value_of(hint: Any, *, is_full: bool) -> Any:
    """Something of that type."""
    plain = [one for one in get_args(hint) if one is not type(None)]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = get_type_hints(hint)
        parts = [one for one in msgspec.structs.fields(hint) if is_full or one.required]
        return {one.name: value_of(hints[one.name], is_full=is_full) for one in parts}
    if hint in SIMPLE:
        return SIMPLE[hint]
    if get_origin(hint) is list:
        return [value_of(plain[0], is_full=is_full)]
    if get_origin(hint) is dict:
        return {"name": "value"}
    return plain[0] if isinstance(plain[0], str) else value_of(plain[0], is_full=is_full)


SIMPLE: dict[Any, Any] = {str: "text", int: 3, float: 0.5, bool: True, Decimal: 0.25}


@pytest.mark.parametrize("is_full", [False, True], ids=["least", "most"])
@pytest.mark.parametrize("kind", forwarder.EVENT_TYPES, ids=lambda kind: kind.__name__)
async def test_no_event_lacks_what_air_needs(server: AirServer, kind: type[forwarder.Event], is_full: bool) -> None:
    """Every type of ours, with everything and with nothing but what it must have: AIr fails at none."""
    event = wire(kind, is_full=is_full)
    engine = Engine(server.url)
    await engine.run(batch([event]))

    assert engine.refused == {}
    assert event["id"] in server.stored


@pytest.mark.parametrize("kind", forwarder.EVENT_TYPES, ids=lambda kind: kind.__name__)
async def test_no_event_without_content_lacks_what_air_needs(server: AirServer, kind: type[forwarder.Event]) -> None:
    """At redaction `full` a sink gets numbers, names and ids only."""
    event = {name: value for name, value in wire(kind, is_full=True).items() if name not in CONTENT}
    engine = Engine(server.url)
    await engine.run(batch([event]))

    assert engine.refused == {}
    assert event["id"] in server.stored


def test_every_type_of_the_schema_is_in_the_readme() -> None:
    """Whoever looks for an event in AIr finds there what became of it."""
    readme = Path(outgoing.__file__).with_name("README.md").read_text()
    types = {str(kind.__struct_config__.tag) for kind in forwarder.EVENT_TYPES}

    assert {type for type in types if f"`{type}`" not in readme} == set()
    assert FIELDS.keys() <= types
