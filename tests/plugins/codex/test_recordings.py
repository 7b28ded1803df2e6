"""Recorded sessions of sixteen versions give the facts that were scripted."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from forwarder_codex import Codex
from forwarder_codex.layouts import HANDLES, LINE

from forwarder import (
    Compaction,
    Event,
    ModelError,
    Prompt,
    Response,
    TokenUsage,
    ToolCallEnd,
    ToolCallStart,
    TurnEnd,
    TurnStart,
)
from forwarder.testing import check_source

from .lines import kinds, only

SAMPLES = Path(__file__).parent / "samples"
EXPECTED: dict[str, dict[str, dict[str, Any]]] = json.loads((SAMPLES / "expected.json").read_text())
FILES = [f"{scenario}/{name}" for scenario, files in EXPECTED.items() for name in files]
FAILED = {"error", "rejected", "denied", "cancelled"}
ITEMS = {"shell": "CommandExecution", "edit": "FileChange", "mcp": "McpToolCall"}


@cache
def recorded(name: str) -> tuple[Event, ...]:
    """The events of a recording, read in one go and resumed at every line."""
    return tuple(check_source(Codex(), SAMPLES / name))


def facts(name: str) -> dict[str, Any]:
    scenario, _, file = name.partition("/")
    found: dict[str, Any] = EXPECTED[scenario][file]["expect"]
    return found


def tokens(events: tuple[Event, ...]) -> dict[str, int]:
    used = only(TokenUsage, events)
    return {
        "input": sum(u.input_tokens for u in used),
        "cached": sum(u.cached_input_tokens for u in used),
        "cache_write": sum(u.cache_write_tokens or 0 for u in used),
        "output": sum(u.output_tokens for u in used),
        "reasoning": sum(u.reasoning_tokens or 0 for u in used),
    }


def outcomes(events: tuple[Event, ...]) -> Counter[str]:
    ends = [end.outcome for end in only(ToolCallEnd, events) if end.parent_call_id is None]
    return Counter("failed" if outcome in FAILED else outcome for outcome in ends)


@pytest.mark.parametrize("name", FILES)
def test_a_recording_gives_what_was_scripted(name: str) -> None:
    """Counts, tokens and errors are those of the script that the recorded session followed."""
    events, wanted = recorded(name), facts(name)
    starts = only(ToolCallStart, events)
    got: dict[str, Any] = {
        "user_messages": len(only(Prompt, events)),
        "assistant_messages": len(only(Response, events)),
        "tool_calls": Counter(start.tool for start in starts if start.parent_call_id is None),
        "nested_tools": Counter(ITEMS[start.tool_kind] for start in starts if start.parent_call_id),
        "responses_with_usage": len(only(TokenUsage, events)),
        "tokens": tokens(events),
        "compactions": len(only(Compaction, events)),
        "errors": [error.error_type for error in only(ModelError, events)],
    }
    wanted_here = {key: wanted[key] for key in got if key in wanted}
    assert {key: got[key] for key in wanted_here} == wanted_here


@pytest.mark.parametrize("name", [name for name in FILES if "tool_outcomes" in facts(name)])
def test_a_recordings_calls_end_as_scripted(name: str) -> None:
    """What only ran on, or left no output, is unknown."""
    wanted = Counter[str](facts(name)["tool_outcomes"])
    wanted["unknown"] += wanted.pop("running", 0) + wanted.pop("no_output", 0)

    assert outcomes(recorded(name)) == +wanted


@pytest.mark.parametrize("name", [name for name in FILES if facts(name).get("turns", {}).get("started")])
def test_a_recordings_turns_end_as_scripted(name: str) -> None:
    """Unfinished turns are closed by the next, as unknown."""
    events, wanted = recorded(name), facts(name)["turns"]
    ends = Counter[str](end.outcome for end in only(TurnEnd, events))

    names = {"completed": "completed", "failed": "failed", "aborted": "interrupted", "unfinished": "unknown"}
    assert {key: ends[outcome] for key, outcome in names.items()} == {key: wanted.get(key, 0) for key in names}
    assert len(only(TurnStart, events)) == wanted["started"]


@pytest.mark.parametrize("name", FILES)
def test_a_recordings_calls_start_and_end_once(name: str) -> None:
    """Also across items, outputs and turns; no fact is told twice."""
    events = recorded(name)
    assert len({(type(event), event.key) for event in events}) == len(events)

    started = [start.call_id for start in only(ToolCallStart, events)]
    ended = [end.call_id for end in only(ToolCallEnd, events)]
    assert len(set(started)) == len(started)
    assert sorted(started) == sorted(ended)


def fact(event: Event) -> tuple[object, ...]:
    """What decides an event's id."""
    return event.__struct_config__.tag, event.key


def test_a_migration_tells_no_new_facts() -> None:
    """The rewritten file is read again from its start: every fact in it has the key it had before, usage included."""
    for name in EXPECTED["migrate-before-A"]:
        before = {fact(event) for event in recorded(f"migrate-before-A/{name}")}
        after = {fact(event) for event in recorded(f"migrate-after-A/{name}")}

        assert after <= before


@pytest.mark.parametrize("scenarios", [*permutations(["migrate-before-A", "migrate-after-A"])])
def test_a_file_and_its_migrated_copy_count_once_in_any_order(scenarios: tuple[str, ...]) -> None:
    """The copy has one step for two responses, because the turn of the first was rolled back."""
    first: dict[object, Event] = {}
    for scenario in scenarios:
        for name in EXPECTED[scenario]:
            for event in recorded(f"{scenario}/{name}"):
                first.setdefault(fact(event), event)

    assert (tokens(tuple(first.values()))["input"], tokens(tuple(first.values()))["output"]) == (6021, 75)


def test_a_fork_and_its_parent_share_no_facts() -> None:
    """Each file tells its own, so reading both adds up."""
    for scenario in ("fork-A", "legacy-0169-A", "subagents-A", "appserver-A"):
        keys = [{(type(e), e.key) for e in recorded(f"{scenario}/{name}")} for name in EXPECTED[scenario]]

        assert sum(map(len, keys)) == len(set[Any]().union(*keys))


def test_bare_recordings_hold_only_what_that_version_wrote() -> None:
    """No tokens, no marks; the kinds that are left are all there."""
    [name] = EXPECTED["old-0.20.0-A"]

    assert set(kinds(recorded(f"old-0.20.0-A/{name}"))) == {
        "SessionStart", "SessionState", "TurnStart", "Prompt", "ToolCallStart", "ToolCallEnd", "Response",
    }  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_each_line_with_an_envelope_is_decoded_at_once(name: str) -> None:
    """The long way gives the same events, only slower, so nothing else notices that a shape no longer fits."""
    lines = [line for line in (SAMPLES / name).read_bytes().splitlines() if b'"payload":' in line]

    assert all(type(LINE.decode(line).payload) in HANDLES for line in lines)
