"""Tool calls, and what was used and spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from forwarder import (
    Cost,
    Event,
    Key,
    TokenUsage,
    ToolCallEnd,
    ToolCallStart,
    ToolKind,
    ToolOutcome,
    text_size,
)
from forwarder_air.telling import UNKNOWN, Envelope, Teller, Telling

EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
CURRENCY = "USD"  # the only one that AIr knows
CODEX = "codex-"  # begins the session ids of AIr's watcher for Codex

KINDS: dict[str, ToolKind] = {
    "bash": "shell",
    "exec_command": "shell",
    "shell": "shell",
    "shell_command": "shell",
    "local_shell": "shell",
    "read": "read",
    "ls": "read",
    "write": "write",
    "edit": "edit",
    "multiedit": "edit",
    "apply_patch": "edit",
    "grep": "search",
    "glob": "search",
    "find": "search",
    "webfetch": "web",
    "websearch": "web",
    "task": "agent",
    "todowrite": "plan",
    "update_plan": "plan",
}


class Call(TypedDict):
    """What the start and the end of a tool call share."""

    key: Key
    call_id: str
    tool: str
    tool_kind: ToolKind


def _call(telling: Telling) -> Call:
    """The key is the call's: AIr's watcher ends one call twice, and tells all of them again after a restart."""
    call_id, tool = telling.told.name("toolCallId") or telling.post.id, telling.told.name("toolName") or UNKNOWN
    kind: ToolKind = "mcp" if tool.startswith("mcp__") else KINDS.get(tool.lower(), "other")
    return Call(key=(telling.post.session_id, call_id), call_id=call_id, tool=tool, tool_kind=kind)


def _start(telling: Telling) -> Iterator[Event]:
    yield _started(telling, telling.envelope)


def _started(telling: Telling, envelope: Envelope) -> ToolCallStart:
    told, call = telling.told, _call(telling)
    preview, size = told.text("inputPreview") or "", told.count("inputSizeBytes")
    return ToolCallStart(
        mcp_server=_server(call),
        input_bytes=text_size(preview) if size is None else size,
        input=preview,
        **call,
        **envelope,
    )


def _end(telling: Telling) -> Iterator[Event]:
    """AIr's hook for Claude Code writes 0 ms for a duration that it does not know."""
    told, call = telling.told, _call(telling)
    outcome = _outcome(told.flag("isError"))
    yield ToolCallEnd(
        outcome=outcome,
        ok=outcome == "ok",
        duration_ms=told.milliseconds("durationMs") or None,
        output_bytes=told.count("outputSizeBytes"),
        output=told.text("outputPreview"),
        error=told.text("errorMessage"),
        **call,
        **telling.envelope,
    )


def _both(telling: Telling) -> Iterator[Event]:
    """A call that is told when it is over."""
    envelope = telling.envelope
    lasted = timedelta(milliseconds=telling.told.milliseconds("durationMs") or 0)
    if envelope["time"] - EARLIEST > lasted:
        envelope["time"] -= lasted
    yield _started(telling, envelope)
    yield from _end(telling)


def _server(call: Call) -> str | None:
    """Of ``mcp__SERVER__TOOL``."""
    parts = call["tool"].split("__")
    return parts[1] if call["tool_kind"] == "mcp" and len(parts) > 2 else None


def _outcome(is_error: bool | None) -> ToolOutcome:
    return "unknown" if is_error is None else "error" if is_error else "ok"


def _token_usage(telling: Telling) -> Iterator[Event]:
    """AIr counts cached tokens beside the input, we within it; its watcher passes on Codex's input, which has them.

    A cost of 0 stands for one that the client does not know, or tells in a `cost` event beside this one.
    """
    told, cost = telling.told, telling.told.table("cost")
    fresh, out, read, written = (told.count(name) for name in ("input", "output", "cacheRead", "cacheWrite"))
    if fresh is None or out is None:
        return
    total, cached = told.count("totalTokens"), read or 0
    has_cache = telling.post.session_id.startswith(CODEX) and total == fresh + out and cached <= fresh
    all_input = fresh if has_cache else fresh + cached + (written or 0)
    model = told.name("model")
    spent = cost.money("total") or telling.reading.spent(telling.post, model)
    cost.skip("total", "input", "output", "cacheRead", "cacheWrite")
    yield TokenUsage(
        model=model,
        provider=told.name("provider"),
        input_tokens=all_input,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=out,
        total_tokens=all_input + out,
        cost_usd=spent,
        cost_source="agent" if spent else None,
        **telling.place,
    )


def _cost(telling: Telling) -> Iterator[Event]:
    """The money of a `token_usage`, told again or for the first time: never to be added to `cost_usd`."""
    told = telling.told
    total = told.money("totalCost")
    if total is None:
        return
    yield Cost(
        model=told.name("model"),
        provider=told.name("provider"),
        input_cost=told.money("inputCost"),
        output_cost=told.money("outputCost"),
        cache_read_cost=told.money("cacheReadCost"),
        cache_write_cost=told.money("cacheWriteCost"),
        total_cost=total,
        cumulative_cost=told.money("cumulativeCost"),
        budget_limit=told.money("budgetLimit"),
        budget_exceeded=told.flag("budgetExceeded"),
        currency=told.name("currency") or CURRENCY,
        **telling.place,
    )


TELLERS: Mapping[str, Teller] = {
    "tool_call_start": _start,
    "tool_call_end": _end,
    "tool_call": _both,
    "token_usage": _token_usage,
    "cost": _cost,
}
