"""One event of each of AIr's types, with every field that it has, and ways to post them."""

from __future__ import annotations

import json
from typing import Any

from forwarder_air.facts import facts
from forwarder_air.posts import Posts
from forwarder_air.sessions import Reading, Sessions

from forwarder import Event
from forwarder.testing import Posted
from tests.raw_http import Reply, exchange, request

AT = 1_772_400_000_000  # 2026-03-01T21:20:00Z

FIELDS: dict[str, dict[str, Any]] = {
    "session_start": {"cwd": "/home/dev/shop", "model": "m1", "provider": "acme", "agent": "codex"},
    "session_end": {},
    "turn_start": {"turnIndex": 0},
    "turn_end": {"turnIndex": 0, "toolCallCount": 2},
    "agent_start": {"model": "m2", "provider": "acme", "thinkingLevel": "off"},
    "agent_end": {"messageCount": 3},
    "model_change": {
        "previousModel": "m1",
        "previousProvider": "acme",
        "newModel": "m3",
        "newProvider": "acme",
        "source": "set",
    },
    "tool_call_start": {"toolName": "bash", "toolCallId": "c1", "inputSizeBytes": 2, "inputPreview": "ls"},
    "tool_call_end": {
        "toolName": "bash",
        "toolCallId": "c1",
        "durationMs": 12.4,
        "outputSizeBytes": 3,
        "outputPreview": "a b",
        "isError": False,
    },
    "tool_call": {
        "toolName": "mcp__docs__look",
        "toolCallId": "c2",
        "provider": "acme",
        "durationMs": 1500,
        "inputTokens": 7,
        "outputTokens": 8,
        "isError": True,
        "errorMessage": "no such page",
        "metadata": {"a": [1]},
    },
    "token_usage": {
        "input": 100,
        "output": 20,
        "cacheRead": 1000,
        "cacheWrite": 50,
        "totalTokens": 1170,
        "cost": {"input": 0.01, "output": 0.02, "cacheRead": 0.03, "cacheWrite": 0.04, "total": 0.1},
        "model": "m1",
        "provider": "acme",
    },
    "cost": {
        "model": "m1",
        "provider": "acme",
        "inputCost": 0.01,
        "outputCost": 0.02,
        "cacheReadCost": 0.03,
        "cacheWriteCost": 0.04,
        "totalCost": 0.1,
        "cumulativeCost": 0.30000000000000004,
        "budgetLimit": 5,
        "budgetExceeded": False,
        "currency": "USD",
    },
    "context_usage": {"tokensUsed": 170_000, "contextWindow": 200_000, "utilizationPct": 85},
    "context_breakdown": {
        "segments": [{"category": "sp_base", "label": "System", "estimatedTokens": 25, "charCount": 99}],
        "totalTokens": 25,
        "contextWindow": 1000,
    },
    "compaction": {"tokensBefore": 900, "tokensAfter": 0, "summaryLength": 12, "isAutomatic": True},
    "heartbeat": {"contextTokens": 950, "contextWindow": 1000},
    "mcp_request": {
        "method": "tools/call",
        "toolName": "look",
        "resourceUri": "docs://a",
        "serverName": "docs",
        "inputSizeBytes": 2,
        "inputPreview": "{}",
    },
    "mcp_response": {
        "method": "tools/call",
        "toolName": "look",
        "resourceUri": "docs://a",
        "serverName": "docs",
        "durationMs": 5,
        "outputSizeBytes": 3,
        "outputPreview": "abc",
        "isError": True,
        "errorMessage": "late",
    },
    "rag_retrieval": {
        "source": "kb",
        "query": "how",
        "resultCount": 2,
        "topScore": 0.9,
        "durationMs": 6,
        "chunkSizes": [10, 20],
        "totalChunkTokens": 30,
        "metadata": {"k": "v"},
    },
    "rag_embedding": {
        "source": "kb",
        "model": "e1",
        "inputTokens": 9,
        "durationMs": 4,
        "dimensions": 1536,
        "batchSize": 2,
    },
    "rag_index": {"source": "kb", "documentCount": 3, "totalTokens": 44, "durationMs": 7, "metadata": {"k": 1}},
    "custom": {
        "provider": "shop",
        "eventName": "sold",
        "data": {"n": 1},
        "durationMs": 3,
        "isError": False,
        "errorMessage": "none",
    },
    "latency": {
        "operation": "turn",
        "totalMs": 1234.5,
        "ttftMs": 200.25,
        "phases": [{"name": "think", "durationMs": 0.5}],
        "model": "m1",
        "provider": "acme",
        "percentile": "p95",
    },
    "output_eval": {
        "turnIndex": 0,
        "model": "m1",
        "provider": "acme",
        "metrics": {
            "responseTokens": 20,
            "toolCallCount": 2,
            "toolErrorCount": 1,
            "toolSuccessRate": 0.5,
            "hadRetry": False,
            "hadImmediateFollowUp": True,
            "responseLatencyMs": 1234.5,
            "cacheHitRate": 0.75,
        },
        "userRating": 4,
        "tags": ["accurate", "concise"],
    },
    "prompt_rating": {
        "promptHash": "2cf24dba5fb0a30e",
        "variant": "b",
        "category": "system",
        "model": "m1",
        "provider": "acme",
        "metrics": {
            "goalAchieved": True,
            "turnsToComplete": 3,
            "totalTokens": 4000,
            "totalCost": 0.02,
            "totalLatencyMs": 9000,
            "toolErrorRate": 0.1,
            "requiredCompaction": False,
        },
        "rating": 5,
        "notes": "good",
    },
    "drift": {
        "metric": "latency",
        "model": "m1",
        "provider": "acme",
        "baseline": 63.636,
        "current": 200,
        "deviationPct": 214.3,
        "direction": "increase",
        "severity": "critical",
        "windowSize": 11,
        "threshold": 100,
    },
}


def event(kind: str, /, **changes: Any) -> dict[str, Any]:
    """An event of a type as its client posts it; a change to ``...`` takes the field out."""
    common = {"id": f"e-{kind}", "sessionId": "s1", "timestamp": AT, "type": kind}
    fields = common | FIELDS.get(kind, {}) | changes
    return {name: value for name, value in fields.items() if value is not ...}


def told(*events: dict[str, Any], sessions: Sessions | None = None) -> list[Event]:
    """What events tell that are posted in one request."""
    reader = Posts()
    return list(facts([reader.read(one) for one in events], Reading(sessions or Sessions())))


def named(event: Event) -> dict[str, Any]:
    """The fields of an event that are set, without its envelope."""
    hidden = {"key", "session", "time", "time_inferred", "turn"}
    return {
        name: value
        for name in event.__struct_fields__
        if name not in hidden and (value := getattr(event, name)) not in (None, False)
    }


async def post(posted: Posted, path: str, body: object, **headers: str) -> Reply:
    """The answer to a body, as JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await exchange(posted.port, request("POST", path, raw, **{"Content_Type": "application/json"} | headers))
