"""Events of agents as AIr's types, every field filled without which its server refuses an event.

AIr's names are camel case, its times are integer milliseconds, and it keeps fields that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from forwarder_air.outgoing_posted import POSTED

Event = Mapping[str, Any]
Fields = dict[str, object]

MAX_TEXT = 1 << 16  # characters of one text: with every one of them escaped, an event still fits into AIr's 1 MiB
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_AN_ERROR = {"ok", "cancelled", "unknown"}
MODEL_SOURCES = {"set", "cycle", "restore"}
ENVELOPE = {
    "id", "type", "time", "time_inferred", "agent", "agent_version", "session_id", "parent_session_id", "actor", "turn",
    "cwd", "git_branch", "host", "origin",
}  # fmt: skip


def session_of(event: Event) -> str:
    """AIr's session: the agent's own, whole; what belongs to none is gathered under the agent's name."""
    return str(event.get("session_id") or event["agent"])


def milliseconds(time: str) -> int:
    """The time of an event as AIr wants it."""
    return (datetime.fromisoformat(time) - EPOCH) // timedelta(milliseconds=1)


def air_event(event: Event) -> Fields:
    """The one event of AIr that an event becomes; `custom` where AIr has no type for it, or too little is known."""
    type: str = event["type"]
    fields = FIELDS[type](event) if type in FIELDS else None
    if fields is None:
        return enveloped(event, "custom", _custom(event))
    return enveloped(event, NAMES.get(type, type), fields)


def enveloped(event: Event, type: str, fields: Fields, *, suffix: str = "") -> Fields:
    """What all events of AIr have; `suffix` sets the id apart from that of the event it follows from."""
    common: Fields = {
        "id": event["id"] + suffix,
        "sessionId": session_of(event),
        "timestamp": milliseconds(event["time"]),
        "type": type,
    }
    if "actor" in event:
        common["actor"] = event["actor"]
    return common | {name: _cut(value) for name, value in fields.items() if value is not None}


def turn_latency(event: Event, *, model: str, provider: str) -> Fields:
    """How long a turn took: AIr shows latencies of this type alone."""
    fields: Fields = {"operation": "turn", "totalMs": event["duration_ms"], "model": model, "provider": provider}
    return enveloped(event, "latency", fields, suffix="-latency")


def money(event: Event, *, spent: float) -> Fields:
    """The cost of a `token_usage`, of which only the whole is known; `spent` is the session's so far.

    AIr adds up the costs of both types, so the usage itself has none.
    """
    fields: Fields = {
        "model": event.get("model", ""),
        "provider": event.get("provider", ""),
        "inputCost": 0,
        "outputCost": 0,
        "cacheReadCost": 0,
        "cacheWriteCost": 0,
        "totalCost": event["cost_usd"],
        "cumulativeCost": spent,
        "currency": "USD",
    }
    return enveloped(event, "cost", fields, suffix="-cost")


def _session_start(event: Event) -> Fields:
    return {
        "cwd": event.get("cwd", ""),
        "model": event.get("model", ""),
        "provider": event.get("provider", ""),
        "agent": event["agent"],
        "reason": event.get("reason"),
    }


def _session_end(event: Event) -> Fields:
    return {"reason": event.get("reason")}


def _turn_start(event: Event) -> Fields:
    return {"turnIndex": event.get("turn")}


def _turn_end(event: Event) -> Fields:
    return {"turnIndex": event.get("turn"), "toolCallCount": event["tool_calls"], "outcome": event["outcome"]}


def _tool_call_start(event: Event) -> Fields:
    return {
        "toolName": event["tool"],
        "toolCallId": _call_id(event),
        "inputSizeBytes": event["input_bytes"],
        "inputPreview": event.get("input"),
    }


def _tool_call_end(event: Event) -> Fields:
    return {
        "toolName": event["tool"],
        "toolCallId": _call_id(event),
        "durationMs": event.get("duration_ms"),
        "outputSizeBytes": event.get("output_bytes"),
        "outputPreview": event.get("output") or event.get("error"),
        "isError": event["outcome"] not in NOT_AN_ERROR,
        "outcome": event["outcome"],
    }


def _token_usage(event: Event) -> Fields:
    cached, written = event["cached_input_tokens"], event.get("cache_write_tokens", 0)
    return {
        "input": max(event["input_tokens"] - cached - written, 0),  # AIr's does not include them
        "output": event["output_tokens"],
        "cacheRead": cached,
        "cacheWrite": written,
        "totalTokens": event["total_tokens"],
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0},
        "model": event.get("model", ""),
        "provider": event.get("provider", ""),
        "purpose": event.get("purpose"),
    }


def _context(event: Event) -> Fields | None:
    used, window, percent = event.get("used_tokens"), event.get("context_window"), event.get("percent")
    if not window:
        return None
    if percent is None and used is not None:
        percent = round(100 * used / window, 1)
    if used is None and percent is not None:
        used = round(window * percent / 100)
    return None if used is None else {"tokensUsed": used, "contextWindow": window, "utilizationPct": percent}


def breakdown(event: Event) -> Fields | None:
    """What takes up the context, where a `context_snapshot` says so."""
    segments, window = event.get("segments"), event.get("context_window")
    if not segments or not window:
        return None
    sizes = [one.get("estimated_tokens", 0) for one in segments]
    fields: Fields = {
        "segments": [
            {
                "category": one["category"],
                "label": one.get("label", one["category"]),
                "estimatedTokens": size,
                "charCount": one.get("chars", 0),
            }
            for one, size in zip(segments, sizes, strict=True)
        ],
        "totalTokens": event.get("used_tokens", sum(sizes)),
        "contextWindow": window,
    }
    return enveloped(event, "context_breakdown", fields, suffix="-breakdown")


def _compaction(event: Event) -> Fields:
    return {
        "tokensBefore": event.get("tokens_before"),
        "tokensAfter": event.get("tokens_after"),
        "summaryLength": event.get("summary_chars"),
        "isAutomatic": None if event["trigger"] == "unknown" else event["trigger"] == "auto",
    }


def _model_change(event: Event) -> Fields:
    trigger = event.get("trigger")
    return {
        "previousModel": event.get("previous_model"),
        "newModel": event["model"],
        "newProvider": event.get("provider", ""),
        "source": trigger if trigger in MODEL_SOURCES else "set",
    }


def _custom(event: Event) -> Fields:
    is_error = event["type"] == "model_error" or (event.get("exit_code") or 0) != 0
    return {
        "provider": event["agent"],
        "eventName": event["type"],
        "data": {name: value for name, value in event.items() if name not in ENVELOPE},
        "durationMs": event.get("duration_ms"),
        "isError": is_error or None,
        "errorMessage": event.get("message") if event["type"] == "model_error" else event.get("error_summary"),
    }


def _call_id(event: Event) -> str:
    """AIr knows calls by this alone, whatever their session."""
    return f"{session_of(event)}:{event['call_id']}"


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:MAX_TEXT]}…"
    if isinstance(value, dict):
        return {name: _cut(part) for name, part in cast(dict[str, object], value).items()}
    return value


NAMES = {"context_snapshot": "context_usage"}
FIELDS: Mapping[str, Callable[[Event], Fields | None]] = {
    "session_start": _session_start,
    "session_end": _session_end,
    "turn_start": _turn_start,
    "turn_end": _turn_end,
    "tool_call_start": _tool_call_start,
    "tool_call_end": _tool_call_end,
    "token_usage": _token_usage,
    "context_snapshot": _context,
    "compaction": _compaction,
    "model_change": _model_change,
    **POSTED,
}
