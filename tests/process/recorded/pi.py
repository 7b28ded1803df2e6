"""What the recorded sessions are expected to tell and to cost, and what events tell of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.process.agents import PI
from tests.process.machine import Event
from tests.process.recorded.counting import KINDS, Facts, calls, dollars, grouped, of, only, tokens


def wanted() -> Facts:
    """Usage by scenario, every entry once; the rest by session, except where sessions copy each other."""
    found: Facts = {}
    for path in sorted(PI.glob("*/expected.json")):
        expected = json.loads(path.read_text())
        sessions: list[dict[str, Any]] = list(expected["sessions"].values())
        if not sessions:
            continue
        found[path.parent.name] = _usage(expected["usage_unique_entries_over_all_sessions"])
        if not any("parentSession" in session["header"] for session in sessions):
            found |= {session["header"]["id"]: _wants(session) for session in sessions}
    return found


def _usage(use: dict[str, Any]) -> dict[str, Any]:
    whole = use["input"] + use["cacheRead"] + use["cacheWrite"]
    return {
        "tokens": (whole, use["cacheRead"], use["cacheWrite"], use["output"]),
        "dollars": round(Decimal(str(use["cost"])), 7),
    }


def _wants(session: dict[str, Any]) -> dict[str, Any]:
    return _usage(session["usage_all_entries"]) | {
        "prompts": session["user_prompts"],
        "tool_calls": session["tool_calls"],
        "failed": session["tool_errors"],
        "errors": session["stop_reasons"].get("error", 0),
        "compactions": len(session["compactions"]),
        "commands": len(session["user_bash"]),
    }


def told(events: Sequence[Event]) -> Facts:
    """The same facts, out of the events of each session and of all sessions of a scenario."""
    scenario_of: dict[str, str] = {}
    for path in PI.glob("*/expected.json"):
        sessions = json.loads(path.read_text())["sessions"].values()
        scenario_of |= {session["header"]["id"]: path.parent.name for session in sessions}
    groups = grouped(events, lambda event: scenario_of[event["session_id"]])
    groups |= grouped(events, lambda event: str(event["session_id"]))
    return {name: only(_facts(groups.get(name, [])), facts) for name, facts in wanted().items()}


def _facts(events: list[Event]) -> dict[str, Any]:
    used = tokens(events)
    errors = [event for event in of(events, "tool_call_end") if event["outcome"] == "error"]
    return {
        "tokens": tuple(used[kind] for kind in KINDS[:4]),
        "dollars": round(dollars(events), 7),
        "prompts": len(of(events, "prompt")),
        "tool_calls": calls(events),
        "failed": Counter(event["tool"] for event in errors),
        "errors": len(of(events, "model_error")),
        "compactions": len(of(events, "compaction")),
        "commands": len(of(events, "user_command")),
    }
