"""What the recorded transcripts and hooks are expected to tell together, and what events tell of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.process.agents import claude_scenarios, payloads
from tests.process.machine import Event
from tests.process.recorded.counting import KINDS, Facts, calls, grouped, of, only, outcomes, tokens


def wanted() -> Facts:
    """By scenario: its sessions added up."""
    return {root.name: _wants(json.loads((root / "expected.json").read_text())) for root in claude_scenarios()}


def _wants(expected: dict[str, Any]) -> dict[str, Any]:
    sessions, seen = expected["sessions"], expected["tokens"]
    cached, written = seen["cache_read_input_tokens"], seen["cache_creation_input_tokens"]
    found: dict[str, Any] = {
        "prompts": _total(sessions, "prompts"),
        "turns": {"completed": _total(sessions, "turns"), "failed": _total(sessions, "failed_turns")},
        "tool_calls": sum((Counter[str](session["tool_calls"]) for session in sessions), Counter[str]()),
        "failed": _total(sessions, "failed"),
        "ended": sum(len(session["session_end_reasons"]) for session in sessions),
        "compactions": sum(sum(session.get("compactions", {}).values()) for session in sessions),
        "tokens": (seen["input_tokens"] + cached + written, cached, written, seen["output_tokens"]),
    }
    if not _is_old(expected):
        reasons = [reason for session in sessions for reason in session["session_start_sources"]]
        found |= {
            "started": sorted(reason for reason in reasons if reason != "compact"),
            "interrupted": _total(sessions, "interrupted"),
            "denied": _total(sessions, "denied"),
            "rejected": _total(sessions, "rejected"),
            "agents": sum(sum(session.get("subagents", {}).values()) for session in sessions),
        }
    return found


def _is_old(expected: dict[str, Any]) -> bool:
    return str(expected["version"]).startswith(("1.", "2.0."))  # their hooks tell too little for the rest


def _total(sessions: list[dict[str, Any]], name: str) -> int:
    return sum(session.get(name, 0) for session in sessions)


def told(events: Sequence[Event]) -> Facts:
    """The same facts, out of the events of each scenario's sessions."""
    scenario_of: dict[str, str] = {}
    for root in claude_scenarios():
        for payload in payloads(root):
            scenario_of[json.loads(payload)["session_id"]] = root.name
        scenario_of |= {path.stem: root.name for path in (root / "transcripts").rglob("*.jsonl")}
    scenarios = grouped(events, lambda event: scenario_of[event["session_id"]])
    return {name: only(_facts(scenarios.get(name, [])), facts) for name, facts in wanted().items()}


def _facts(events: list[Event]) -> dict[str, Any]:
    ends, results = outcomes(events, "turn_end"), outcomes(events, "tool_call_end")
    used = tokens(event for event in events if "purpose" not in event)
    return {
        "prompts": len(of(events, "prompt")),
        "turns": {"completed": ends["completed"], "failed": ends["failed"]},
        "tool_calls": calls(events),
        "failed": results["error"],
        "ended": len([event for event in of(events, "session_end") if not event.get("inferred")]),
        "compactions": len(of(events, "compaction")),
        "tokens": tuple(used[kind] for kind in KINDS[:4]),
        "started": sorted(event["reason"] for event in of(events, "session_start") if event["reason"] != "seen"),
        "interrupted": ends["interrupted"],
        "denied": results["denied"],
        "rejected": results["rejected"],
        "agents": len(of(events, "agent_spawn")),
    }
