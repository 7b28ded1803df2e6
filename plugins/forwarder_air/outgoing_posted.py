"""What programs tell of themselves, back into the types of AIr that they have their names from.

`cost` has no entry here: it tells of money that `token_usage` has as well, and AIr would add up both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import msgspec

Event = Mapping[str, Any]
Fields = dict[str, object]

PLAIN = {
    "mcp_request": ("method", "tool_name", "resource_uri", "server_name", "input_size_bytes", "input_preview"),
    "mcp_response": (
        *("method", "tool_name", "resource_uri", "server_name", "duration_ms", "output_size_bytes", "output_preview"),
        *("is_error", "error_message"),
    ),
    "rag_retrieval": (
        *("source", "query", "result_count", "top_score", "duration_ms", "chunk_sizes", "total_chunk_tokens"),
        "metadata",
    ),
    "rag_embedding": ("source", "model", "input_tokens", "duration_ms", "dimensions", "batch_size", "metadata"),
    "rag_index": ("source", "document_count", "total_tokens", "duration_ms", "metadata"),
    "custom": ("provider", "event_name", "data", "duration_ms", "is_error", "error_message"),
    "latency": ("operation", "total_ms", "ttft_ms", "phases", "model", "provider", "percentile"),
    "output_eval": ("turn_index", "model", "provider", "metrics", "user_rating", "tags"),
    "prompt_rating": ("prompt_hash", "variant", "category", "model", "provider", "metrics", "rating", "notes"),
    "drift": (
        *("metric", "model", "provider", "baseline", "current", "deviation_percent", "direction", "severity"),
        *("window_size", "threshold_percent"),
    ),
}
RENAMED = {"deviation_percent": "deviationPct", "threshold_percent": "threshold", "total_cost_usd": "totalCost"}
JSON_TEXT = {"metadata", "data"}

# Without these AIr's server answers that the event failed (contract, 1.2).
NEEDED: Mapping[str, Collection[str]] = {
    "output_eval": ("turnIndex", "model", "provider"),
    "prompt_rating": ("promptHash", "variant", "category", "model", "provider"),
    "drift": (
        *("metric", "model", "provider", "baseline", "current", "deviationPct", "direction", "severity"),
        *("windowSize", "threshold"),
    ),
}
NEEDED_METRICS: Mapping[str, Collection[str]] = {
    "output_eval": (
        *("responseTokens", "toolCallCount", "toolErrorCount", "toolSuccessRate", "responseLatencyMs"),
        "cacheHitRate",
    ),
    "prompt_rating": ("turnsToComplete", "totalTokens", "totalCost", "totalLatencyMs", "toolErrorRate"),
}


def _fields_of(event: Event, names: Collection[str]) -> Fields | None:
    """The event's fields under AIr's names; None where one is missing that AIr needs."""
    fields = {_camel(name): _value(name, event[name]) for name in names if name in event}
    metrics = fields.get("metrics")
    type = event["type"]
    is_whole = all(name in fields for name in NEEDED.get(type, ()))
    if isinstance(metrics, dict):
        is_whole = is_whole and all(name in metrics for name in NEEDED_METRICS[type])
    return fields if is_whole else None


def _value(name: str, value: Any) -> object:
    if name in JSON_TEXT:
        return _object(value)
    if name == "metrics":
        return {_camel(one): number for one, number in value.items()}
    if name == "phases":
        return [{_camel(one): part for one, part in phase.items()} for phase in value]
    return value


def _object(text: str) -> object:
    """The object that the text is in JSON, as AIr has it; a text that was cut is no JSON any more."""
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {"text": text}
    return cast(object, value) if isinstance(value, dict) else {"value": value}


def _camel(name: str) -> str:
    if name in RENAMED:
        return RENAMED[name]
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _mapped(names: Collection[str]) -> Callable[[Event], Fields | None]:
    return lambda event: _fields_of(event, names)


POSTED: Mapping[str, Callable[[Event], Fields | None]] = {type: _mapped(names) for type, names in PLAIN.items()}
