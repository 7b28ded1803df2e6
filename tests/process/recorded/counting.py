"""Counts over the events that the command delivers: what the recordings' expected.json files are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from tests.process.machine import Event

Facts = dict[str, dict[str, Any]]
KINDS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
ITEMS = {"shell": "CommandExecution", "edit": "FileChange", "mcp": "McpToolCall"}


def of(events: Iterable[Event], kind: str) -> list[Event]:
    """The events of one type."""
    return [event for event in events if event["type"] == kind]


def tokens(events: Iterable[Event]) -> dict[str, int]:
    """By kind, added up."""
    used = of(events, "token_usage")
    return {kind: sum(event.get(kind, 0) for event in used) for kind in KINDS}


def spent(events: Iterable[Event]) -> dict[tuple[str, str, str], tuple[object, ...]]:
    """Tokens of each kind and dollars, by agent, model and purpose."""
    groups: dict[tuple[str, str, str], list[Event]] = {}
    for event in of(events, "token_usage"):
        key = (event["agent"], event.get("model", ""), event.get("purpose", ""))
        groups.setdefault(key, []).append(event)
    return {key: (*tokens(group).values(), dollars(group)) for key, group in groups.items()}


def dollars(events: Iterable[Event]) -> Decimal:
    """Of usage that has a price."""
    return sum((Decimal(str(event.get("cost_usd", 0))) for event in of(events, "token_usage")), Decimal(0))


def grouped(events: Iterable[Event], name: Callable[[Event], str]) -> dict[str, list[Event]]:
    """The events by what `name` says."""
    found: dict[str, list[Event]] = {}
    for event in events:
        found.setdefault(name(event), []).append(event)
    return found


def calls(events: Iterable[Event], *, is_nested: bool = False) -> Counter[str]:
    """Started calls by tool, or calls within calls by what kind of item they are."""
    starts = [event for event in of(events, "tool_call_start") if ("parent_call_id" in event) == is_nested]
    return Counter(ITEMS[event["tool_kind"]] if is_nested else event["tool"] for event in starts)


def outcomes(events: Iterable[Event], kind: str) -> Counter[str]:
    """How turns, or calls that are in no other call, ended."""
    return Counter(event["outcome"] for event in of(events, kind) if "parent_call_id" not in event)


def only(facts: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The facts that something is wanted of."""
    return {name: value for name, value in facts.items() if name in wanted}
