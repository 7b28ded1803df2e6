"""A tool call starts with a block of an answer and ends with the result of the same id; what both cost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from forwarder_pi.state import OPEN_CALLS
from forwarder_pi.tools import classify

from forwarder import TokenUsage, ToolCallEnd, ToolCallStart

from .lines import answer, calling, entry, header, only, prompt, read, result, spent, usage


def test_a_call_tells_what_was_asked() -> None:
    """The arguments as JSON, and their size."""
    [start] = only(ToolCallStart, read(header(), prompt(), calling("c1")))

    assert (start.tool, start.tool_kind, start.input) == ("bash", "shell", '{"command":"make"}')
    assert start.input_bytes == len(start.input)


def test_a_stated_duration_is_taken() -> None:
    """Since 1.1 pi measures it."""
    [end] = only(ToolCallEnd, read(header(), prompt(), calling("c1"), result(durationMs=40.6)))

    assert (end.duration_ms, end.duration_inferred) == (41, False)


def test_else_the_duration_is_the_time_since_the_answer() -> None:
    """An upper bound for parallel calls, and marked as inferred."""
    [end] = only(ToolCallEnd, read(header(), prompt(), calling("c1", at=2), result(at=3.25)))

    assert (end.duration_ms, end.duration_inferred) == (1250, True)


def test_a_clock_that_was_set_back_tells_no_duration() -> None:
    """Unknown beats a guess, and a negative time is not even that."""
    [end] = only(ToolCallEnd, read(header(), prompt(), calling("c1", at=5), result(at=3)))

    assert (end.duration_ms, end.duration_inferred) == (None, False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("output\n\nCommand exited with code 2", 2),
        ("Command exited with code -1\n", -1),
        ("Command exited with code 2\nand more", None),
        ("Command timed out after 3 seconds", None),
        ("", None),
    ],
)
def test_a_failed_commands_exit_code_is_its_last_line(text: str, code: int | None) -> None:
    """There is no field for it; the command's own words are not believed."""
    [end] = only(ToolCallEnd, read(header(), prompt(), calling("c1"), result(text=text, isError=True)))

    assert (end.outcome, end.ok, end.exit_code) == ("error", False, code)


def test_only_commands_have_an_exit_code() -> None:
    """A file may well end with these words."""
    words = "Command exited with code 2"
    of_a_file = read(header(), prompt(), calling("c1", tool="read"), result(text=words, isError=True))
    of_success = read(header(), prompt(), calling("c1"), result(text=words))

    assert [end.exit_code for end in only(ToolCallEnd, of_a_file + of_success)] == [None, None]


def test_a_usage_entry_can_stand_between_call_and_result() -> None:
    """pi 1.5 keeps the cache warm while a long tool runs."""
    warm = entry("usage", "u1", "a1", at=2.5, usage=usage(r=100, o=1))
    events = read(header(), prompt(), calling("c1"), warm, result("c1", "r1", "u1"), answer("a2", "r1", at=4))

    assert [end.outcome for end in only(ToolCallEnd, events)] == ["ok"]


def test_a_tools_own_models_are_paid_for() -> None:
    """`toolResult.usage`: which model it asked is not said."""
    events = read(header(), prompt(), calling("c1"), result(usage=usage(70, o=7)))

    assert [(u.purpose, u.model, u.input_tokens) for u in only(TokenUsage, events)][-1] == ("helper", None, 70)


def test_a_result_of_no_call_is_no_call() -> None:
    """But what it used was used."""
    events = read(header(), prompt(), result("c9", parent="p1", usage=usage(70, o=7)))

    assert only(ToolCallEnd, events) == []
    assert spent(events) == [(70, 0, 7)]


def test_a_reused_id_is_another_call() -> None:
    """Small providers count from zero in every answer."""
    lines = [
        prompt(),
        calling("call_0"),
        result("call_0"),
        calling("call_0", name="a2", parent="r1", at=4),
        result("call_0", "r2", "a2", at=5),
    ]
    events = read(header(), *lines)

    assert len({start.key for start in only(ToolCallStart, events)}) == 2
    assert [end.key for end in only(ToolCallEnd, events)] == [start.key for start in only(ToolCallStart, events)]


def test_a_call_whose_id_is_taken_again_will_never_end() -> None:
    """Its result cannot be told from that of the second one."""
    again = calling("call_0", name="a2", parent="a1", at=3)
    events = read(header(), prompt(), calling("call_0"), again, result("call_0", "r1", "a2", at=4))

    assert [end.outcome for end in only(ToolCallEnd, events)] == ["unknown", "ok"]


def test_open_calls_are_bounded() -> None:
    """The oldest is closed as unknown, so that a state stays small."""
    events = read(header(), prompt(), calling(*(f"c{number}" for number in range(OPEN_CALLS + 1))))

    assert [(end.call_id, end.outcome) for end in only(ToolCallEnd, events)] == [("c0", "unknown")]


@pytest.mark.parametrize(
    ("name", "namespace", "wanted"),
    [
        ("bash", None, ("bash", "shell")),
        ("grep", None, ("grep", "search")),
        ("mcp__demo__lookup", None, ("mcp__demo__lookup", "mcp")),
        ("lookup", "mcp__demo", ("mcp__demo.lookup", "mcp")),
        ("deploy", "ops", ("ops.deploy", "other")),
    ],
)
def test_a_tools_name_tells_its_kind(name: str, namespace: str | None, wanted: tuple[str, str]) -> None:
    """Its full name has its namespace in front."""
    assert classify(name, namespace) == wanted


def test_input_includes_what_was_cached() -> None:
    """pi's own `input` leaves it out; 1-hour writes and reasoning are parts of other numbers."""
    used = usage(100, r=30, w=20, o=9, cacheWrite1h=5, reasoning=4)
    [event] = only(TokenUsage, read(header(), prompt(), answer(usage=used)))

    assert (event.input_tokens, event.cached_input_tokens, event.cache_write_tokens) == (150, 30, 20)
    assert (event.cache_write_1h_tokens, event.reasoning_tokens, event.output_tokens) == (5, 4, 9)
    assert event.total_tokens == 159


@pytest.mark.parametrize(
    ("stated", "wanted"),
    [
        (0.007344150000000001, Decimal("0.00734415")),
        (0.026609999999999998, Decimal("0.02661")),
        (1e-8, Decimal("0.00000001")),
        (0, Decimal(0)),
        (12.5, Decimal("12.5")),
    ],
)
def test_a_cost_is_pis_own_without_the_noise(stated: float, wanted: Decimal) -> None:
    """Sums of these are exact; a price of nothing is stated too, for models that cost nothing."""
    [event] = only(TokenUsage, read(header(), prompt(), answer(usage=usage(1, cost=stated))))

    assert (event.cost_usd, event.cost_source) == (wanted, "agent")


def test_a_cost_that_is_not_stated_is_unknown() -> None:
    """The forwarder's own table may then know it."""
    [event] = only(TokenUsage, read(header(), prompt(), answer(usage=usage(1) | {"cost": None})))

    assert (event.cost_usd, event.cost_source) == (None, None)


def test_an_answer_without_usage_tells_none() -> None:
    """Nothing is 0 because it was missing."""
    assert spent(read(header(), prompt(), answer(usage=None))) == []


def test_a_lone_surrogate_in_arguments_costs_no_event() -> None:
    """A text cut inside an emoji is valid for JavaScript only."""
    line = calling("c1").replace(b'"make"', b'"cut \\ud83d"')
    [start] = only(ToolCallStart, read(header(), prompt(), line))

    assert start.input == '{"command":"cut \ufffd"}'
