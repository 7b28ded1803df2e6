"""Recorded sessions of five versions give the facts that their scripts and bytes say."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from forwarder_pi import Pi

from forwarder import (
    Compaction,
    Event,
    ModelError,
    Prompt,
    SessionStart,
    TokenUsage,
    ToolCallEnd,
    ToolCallStart,
    TurnEnd,
    TurnStart,
    UserCommand,
)
from forwarder.testing import check_source

from .lines import facts, only

SAMPLES = Path(__file__).parent / "samples"
EXPECTED: dict[str, dict[str, Any]] = {
    path.parent.name: json.loads(path.read_text()) for path in sorted(SAMPLES.glob("*/expected.json"))
}
FILES = [f"{scenario}/{name}" for scenario, expected in EXPECTED.items() for name in expected["sessions"]]
SCENARIOS = [scenario for scenario, expected in EXPECTED.items() if expected["sessions"]]


@cache
def recorded(name: str) -> tuple[Event, ...]:
    """The events of a recording, read in one go and resumed at every line."""
    return tuple(check_source(Pi(), SAMPLES / name))


def expected(name: str) -> dict[str, Any]:
    scenario, _, file = name.partition("/")
    found: dict[str, Any] = EXPECTED[scenario]["sessions"][file]
    return found


def totals(events: list[TokenUsage]) -> dict[str, object]:
    written = sum(u.cache_write_tokens or 0 for u in events)
    cached = sum(u.cached_input_tokens for u in events)
    cost = sum((u.cost_usd or Decimal(0) for u in events), Decimal(0))
    return {
        "input": sum(u.input_tokens for u in events) - cached - written,
        "output": sum(u.output_tokens for u in events),
        "cacheRead": cached,
        "cacheWrite": written,
        "cost": round(float(cost), 7),
    }


def wanted(usage: dict[str, Any]) -> dict[str, object]:
    return {name: usage[name] for name in ("input", "output", "cacheRead", "cacheWrite")} | {
        "cost": round(usage["cost"], 7)
    }


@pytest.mark.parametrize("name", FILES)
def test_a_recording_gives_what_its_bytes_say(name: str) -> None:
    """Prompts, calls, failures and user commands, as counted independently."""
    events, facts_ = recorded(name), expected(name)
    failed = Counter(end.tool for end in only(ToolCallEnd, events) if end.outcome == "error")

    assert len(only(Prompt, events)) == facts_["user_prompts"]
    assert Counter(start.tool for start in only(ToolCallStart, events)) == facts_["tool_calls"]
    assert failed == facts_["tool_errors"]
    assert len(only(ModelError, events)) == facts_["stop_reasons"].get("error", 0)
    assert [(c.input, c.exit_code) for c in only(UserCommand, events)] == [
        (c["command"], c["exitCode"]) for c in facts_["user_bash"]
    ]
    assert [c.tokens_before for c in only(Compaction, events)] == [c["tokensBefore"] for c in facts_["compactions"]]


@pytest.mark.parametrize("name", FILES)
def test_a_recording_costs_what_pi_says(name: str) -> None:
    """All lines that bear usage count, those of abandoned branches, errors and summaries too."""
    assert totals(only(TokenUsage, recorded(name))) == wanted(expected(name)["usage_all_entries"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_forks_and_clones_double_nothing(scenario: str) -> None:
    """A scenario's files together hold every entry once, however often it was copied."""
    unique: dict[object, TokenUsage] = {}
    for name in EXPECTED[scenario]["sessions"]:
        for usage in only(TokenUsage, recorded(f"{scenario}/{name}")):
            unique.setdefault(usage.key, usage)

    in_all = EXPECTED[scenario]["usage_unique_entries_over_all_sessions"]
    assert totals(list(unique.values())) == wanted(in_all)


FAMILY = "rpc-main-0.87.1"
OWN_INPUT = {
    "01a1fb92-fbf2-733a-9f07-f067201f2ae1": 72430,
    "01a1fb93-4f6d-733a-9f07-f06e53df5aab": 2300,  # cloned from the first
    "01a1fb93-5813-733a-9f07-f070163f71f5": 2400,  # forked from the clone
    "01a1fb93-607a-733a-9f07-f07268e718db": 900,
}


@pytest.mark.parametrize("folders", [*permutations("abcd")])
def test_each_session_of_a_family_is_billed_for_its_own_entries(folders: tuple[str, ...]) -> None:
    """Wherever its files lie: by rank a fork of a fork is read behind those that it copies from."""
    paths = {Path(folder, name): name for folder, name in zip(folders, EXPECTED[FAMILY]["sessions"], strict=True)}
    first: dict[object, TokenUsage] = {}
    for path in sorted(paths, key=lambda path: (Pi().rank(path), path)):
        for usage in only(TokenUsage, recorded(f"{FAMILY}/{paths[path]}")):
            first.setdefault(usage.key, usage)
    billed = Counter[str]()
    for usage in first.values():
        billed[usage.session.id] += usage.input_tokens

    assert billed == OWN_INPUT


@pytest.mark.parametrize("name", FILES)
def test_a_recordings_calls_and_turns_start_and_end_once(name: str) -> None:
    """Also across branches; no fact is told twice. A turn or a call may be open at the end of a file."""
    events = recorded(name)
    assert len(facts(events)) == len(events)

    assert {e.key for e in only(ToolCallEnd, events)} <= {s.key for s in only(ToolCallStart, events)}
    assert {e.key for e in only(TurnEnd, events)} <= {s.key for s in only(TurnStart, events)}
    assert len(only(SessionStart, events)) == 1


def test_a_migration_tells_no_new_facts() -> None:
    """The file is rewritten in place with new random ids; what it held before has the keys that it had before."""
    [after] = EXPECTED["legacy-0.27.9"]["sessions"]
    before = f"legacy-0.27.9/{after}".replace("/sessions/", "/sessions-before-migration/")

    assert facts(recorded(before)) < facts(recorded(f"legacy-0.27.9/{after}"))


def test_the_same_work_ends_in_the_same_way_in_every_version() -> None:
    """The failing test run is the only failed call; its exit code stands in the last line of its output."""
    for scenario in ("print-basic-0.58.4-tele-base", "print-basic-0.73.1"):
        [name] = EXPECTED[scenario]["sessions"]
        ends = only(ToolCallEnd, recorded(f"{scenario}/{name}"))

        assert [(end.tool, end.exit_code) for end in ends if not end.ok] == [("bash", 1)]
        assert [end.outcome for end in only(TurnEnd, recorded(f"{scenario}/{name}"))] == ["completed"]
