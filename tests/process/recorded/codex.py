"""What the recorded rollouts are expected to tell, and what events tell of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.process.agents import AFTER, CODEX
from tests.process.machine import Event
from tests.process.recorded.counting import KINDS, Facts, calls, grouped, of, only, outcomes, tokens

FAILED = {"error", "rejected", "denied", "cancelled"}
ENDS = {"completed": "completed", "failed": "failed", "aborted": "interrupted", "unfinished": "unknown"}


def wanted() -> Facts:
    """By file, as far as its expected.json says. A migrated file counts as what it was before."""
    expected = json.loads((CODEX / "expected.json").read_text())
    return {
        Path(name).name.removesuffix(".zst"): _wants(facts["expect"])
        for scenario in expected.keys() - {AFTER}
        for name, facts in expected[scenario].items()
    }


def _wants(facts: dict[str, Any]) -> dict[str, Any]:
    names = ("user_messages", "assistant_messages", "tool_calls", "nested_tools", "responses_with_usage", "compactions")
    found = {name: facts[name] for name in names if name in facts}
    if "errors" in facts:
        found["errors"] = sorted(facts["errors"])
    if "tokens" in facts:
        used = facts["tokens"]
        found["tokens"] = dict(
            zip(KINDS, (used[k] for k in ("input", "cached", "cache_write", "output", "reasoning")), strict=True)
        )
    if "tool_outcomes" in facts:
        ends = Counter[str](facts["tool_outcomes"])
        ends["unknown"] += ends.pop("running", 0) + ends.pop("no_output", 0)
        found["tool_outcomes"] = +ends
    if facts.get("turns", {}).get("started"):
        found["turns"] = {name: facts["turns"].get(name, 0) for name in ("started", *ENDS)}
    return found


def told(events: Sequence[Event]) -> Facts:
    """The same facts, out of the events that came from each file."""
    files = grouped(events, lambda event: event["origin"]["file"].removesuffix(".zst"))
    return {name: only(_facts(files.get(name, [])), facts) for name, facts in wanted().items()}


def _facts(events: list[Event]) -> dict[str, Any]:
    results = Counter[str]()
    for outcome, number in outcomes(events, "tool_call_end").items():
        results["failed" if outcome in FAILED else outcome] += number
    ends = outcomes(events, "turn_end")
    return {
        "user_messages": len(of(events, "prompt")),
        "assistant_messages": len(of(events, "response")),
        "tool_calls": calls(events),
        "nested_tools": calls(events, is_nested=True),
        "responses_with_usage": len(of(events, "token_usage")),
        "tokens": tokens(events),
        "compactions": len(of(events, "compaction")),
        "errors": sorted(event.get("error_type", "") for event in of(events, "model_error")),
        "tool_outcomes": results,
        "turns": {"started": len(of(events, "turn_start")), **{name: ends[outcome] for name, outcome in ENDS.items()}},
    }
