"""Recorded sessions of four releases give the facts that were scripted, whichever of their files is read first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from forwarder_claude_code import ClaudeCode

from forwarder import (
    AgentSpawn,
    Compaction,
    Event,
    Prompt,
    Record,
    SessionEnd,
    SessionStart,
    TokenUsage,
    ToolCallEnd,
    ToolCallStart,
    TurnEnd,
    TurnStart,
)
from forwarder.testing import check_source, read_lines

from .lines import merged, only

SAMPLES = Path(__file__).parent / "samples"
SCENARIOS = sorted(path.name for path in SAMPLES.iterdir())
NEW = [name for name in SCENARIOS if "release" not in name]
FILES = [str(path.relative_to(SAMPLES)) for path in sorted(SAMPLES.glob("*/*/**/*.jsonl"))]


@cache
def expected(scenario: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / scenario / "expected.json").read_text())
    return found


@cache
def of_file(path: Path) -> list[Event]:
    content = path.read_bytes()
    if not ClaudeCode().is_whole(path):
        return read_lines(ClaudeCode(), *content.split(b"\n"), path=path)
    record = Record(content, 0, len(content), b"")
    return list(ClaudeCode().map(record, ClaudeCode().new_state(path)))


def transcripts(scenario: str) -> list[Path]:
    return sorted((SAMPLES / scenario / "transcripts").rglob("*.jsonl"))


def spool(scenario: str) -> list[Path]:
    folder = SAMPLES / scenario / "spool"
    return [folder / "hooks.jsonl"] if (folder / "hooks.jsonl").exists() else sorted(folder.glob("d/*.json"))


def facts(paths: Sequence[Path]) -> list[Event]:
    return merged(*(of_file(path) for path in paths))


def found(events: Sequence[Event], *, is_old: bool) -> dict[str, Any]:
    """The counts that the scenario scripted, as events tell them."""
    outcomes = Counter(end.outcome for end in only(ToolCallEnd, events))
    ends = Counter(end.outcome for end in only(TurnEnd, events))
    used = [usage for usage in only(TokenUsage, events) if usage.purpose is None]
    counts: dict[str, Any] = {
        "prompts": len(only(Prompt, events)),
        "tool_calls": Counter(start.tool for start in only(ToolCallStart, events)),
        "failed": outcomes["error"],
        "turns": ends["completed"],
        "failed_turns": ends["failed"],
        "ended": len(only(SessionEnd, events)),
        "compactions": len(only(Compaction, events)),
        "tokens": {
            "input": sum(usage.input_tokens for usage in used),
            "cached": sum(usage.cached_input_tokens for usage in used),
            "written": sum(usage.cache_write_tokens or 0 for usage in used),
            "output": sum(usage.output_tokens for usage in used),
        },
    }
    if not is_old:
        counts["denied"], counts["rejected"] = outcomes["denied"], outcomes["rejected"]
        counts["started"] = sorted(start.reason for start in only(SessionStart, events))
        counts["agents"] = len(only(AgentSpawn, events))
    return counts


def wanted(scenario: str, *, is_old: bool) -> dict[str, Any]:
    sessions, seen = expected(scenario)["sessions"], expected(scenario)["tokens"]
    cached, written = seen["cache_read_input_tokens"], seen["cache_creation_input_tokens"]

    def total(name: str) -> int:
        return sum(session.get(name, 0) for session in sessions)

    counts: dict[str, Any] = {name: total(name) for name in ("prompts", "failed", "turns", "failed_turns")}
    counts["tool_calls"] = sum((Counter[str](session["tool_calls"]) for session in sessions), Counter[str]())
    counts["ended"] = sum(len(session["session_end_reasons"]) for session in sessions)
    counts["compactions"] = sum(sum(session.get("compactions", {}).values()) for session in sessions)
    counts["tokens"] = {
        "input": seen["input_tokens"] + cached + written,
        "cached": cached,
        "written": written,
        "output": seen["output_tokens"],
    }
    if not is_old:
        counts["denied"], counts["rejected"] = total("denied"), total("rejected")
        reasons = [reason for session in sessions for reason in session["session_start_sources"]]
        counts["started"] = sorted(reason for reason in reasons if reason != "compact")
        counts["agents"] = sum(sum(session.get("subagents", {}).values()) for session in sessions)
    return counts


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_recording_gives_what_was_scripted(scenario: str) -> None:
    """Counts and tokens are those of the script that the recorded sessions followed."""
    is_old = scenario not in NEW
    events = facts([*spool(scenario), *transcripts(scenario)])

    assert found(events, is_old=is_old) == wanted(scenario, is_old=is_old)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_order_of_reading_changes_no_count(scenario: str) -> None:
    """A hook that comes after its transcript's line, and files that are listed backwards, tell the same facts."""
    is_old = scenario not in NEW
    backwards = [*reversed(transcripts(scenario)), *reversed(spool(scenario))]

    assert found(facts(backwards), is_old=is_old) == wanted(scenario, is_old=is_old)


@pytest.mark.parametrize("scenario", NEW)
def test_what_hooks_and_transcripts_both_know_is_one_fact(scenario: str) -> None:
    """Every prompt, call, turn and agent of the hooks has the key that the transcript gives it."""
    both = (Prompt, TurnStart, TurnEnd, ToolCallStart, ToolCallEnd, AgentSpawn)
    hooks = {(type(event), event.key) for event in facts(spool(scenario)) if isinstance(event, both)}
    lines = {(type(event), event.key) for event in facts(transcripts(scenario))}

    assert hooks
    assert hooks <= lines


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_interruptions_are_told_apart_from_kills(scenario: str) -> None:
    """An interrupted turn ends; one that was killed may stay open, or end as unknown with the next."""
    sessions = expected(scenario)["sessions"]
    ends = Counter(end.outcome for end in only(TurnEnd, facts([*spool(scenario), *transcripts(scenario)])))
    interrupted = sum(session.get("interrupted", 0) for session in sessions)
    killed = sum(session.get("killed_turns", 0) for session in sessions)

    assert ends["interrupted"] == interrupted
    assert ends["unknown"] <= killed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_calls_start_and_end_once(scenario: str) -> None:
    """No call ends that did not start, and none twice."""
    events = facts([*spool(scenario), *transcripts(scenario)])
    started = Counter(start.call_id for start in only(ToolCallStart, events))
    ended = Counter(end.call_id for end in only(ToolCallEnd, events))

    assert set((started | ended).values()) <= {1}
    assert ended.keys() <= started.keys()


@pytest.mark.parametrize("file", FILES)
def test_a_recording_can_be_cut_anywhere(file: str) -> None:
    """Resumed at any line it goes on as if nothing had happened, and torn lines are never skipped silently."""
    events = check_source(ClaudeCode(), SAMPLES / file)

    assert len({(type(event), event.key) for event in events}) == len(events)


def test_arrays_tell_what_is_left_in_them() -> None:
    """Hooks that rewrite one array lose events; with the transcript nothing is missing, and nothing is doubled."""
    scenario = "c11-json-array-spool"
    arrays = sorted((SAMPLES / scenario / "spool" / "logs").rglob("*.json"))
    events = facts([*arrays, *transcripts(scenario)])

    assert len(facts(arrays)) > 8
    assert found(events, is_old=False) == wanted(scenario, is_old=False)


def test_the_tokens_of_a_compaction_are_read_off_the_running_totals() -> None:
    """It leaves no answer behind; its purpose says where the number comes from."""
    [usage] = [
        usage for usage in only(TokenUsage, facts(transcripts("c04-resume-compact-fork"))) if usage.purpose is not None
    ]

    assert (usage.purpose, usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (
        "compaction",
        410 + 9060,
        9060,
        88,
    )


def test_nothing_but_compactions_shows_in_running_totals_alone() -> None:
    """Where every answer was counted, the totals leave no rest; sub-agents are in other files and make none either."""
    for scenario in SCENARIOS:
        if scenario != "c04-resume-compact-fork":
            assert [usage for usage in only(TokenUsage, facts(transcripts(scenario))) if usage.purpose] == []


def test_a_fork_bills_its_copies_to_the_session_that_asked() -> None:
    """Its lines name that session, so it does not matter which of the files is read first. A name tells nothing."""
    paths = transcripts("c04-resume-compact-fork")
    billed = [{(u.key, u.session.id) for u in only(TokenUsage, facts(order))} for order in (paths, paths[::-1])]

    assert len({session for _, session in billed[0]}) == 2
    assert billed[0] == billed[1]
