"""What programs tell of themselves: servers, indexes, latencies, evaluations, drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from forwarder import (
    Custom,
    Drift,
    Event,
    Latency,
    McpRequest,
    McpResponse,
    OutputEval,
    OutputMetrics,
    Phase,
    PromptMetrics,
    PromptRating,
    RagEmbedding,
    RagIndex,
    RagRetrieval,
)
from forwarder_air.telling import UNKNOWN, Teller, Telling
from forwarder_air.told import Told

DIRECTIONS: Mapping[str, Literal["increase", "decrease"]] = {"increase": "increase", "decrease": "decrease"}
SEVERITIES: Mapping[str, Literal["info", "warning", "critical"]] = {
    "info": "info",
    "warning": "warning",
    "critical": "critical",
}


def _mcp_request(telling: Telling) -> Iterator[Event]:
    told = telling.told
    yield McpRequest(
        method=told.name("method") or UNKNOWN,
        tool_name=told.name("toolName"),
        resource_uri=told.name("resourceUri"),
        server_name=told.name("serverName"),
        input_size_bytes=told.count("inputSizeBytes"),
        input_preview=told.text("inputPreview"),
        **telling.place,
    )


def _mcp_response(telling: Telling) -> Iterator[Event]:
    told = telling.told
    yield McpResponse(
        method=told.name("method") or UNKNOWN,
        tool_name=told.name("toolName"),
        resource_uri=told.name("resourceUri"),
        server_name=told.name("serverName"),
        duration_ms=told.milliseconds("durationMs"),
        output_size_bytes=told.count("outputSizeBytes"),
        output_preview=told.text("outputPreview"),
        is_error=told.flag("isError"),
        error_message=told.text("errorMessage"),
        **telling.place,
    )


def _retrieval(telling: Telling) -> Iterator[Event]:
    told = telling.told
    sizes = told.counts("chunkSizes")
    total = told.count("totalChunkTokens")
    yield RagRetrieval(
        source=told.name("source") or UNKNOWN,
        query=told.text("query"),
        result_count=told.count("resultCount"),
        top_score=told.number("topScore"),
        duration_ms=told.milliseconds("durationMs"),
        chunk_sizes=sizes,
        total_chunk_tokens=sum(sizes) if total is None and sizes is not None else total,
        metadata=told.json("metadata"),
        **telling.place,
    )


def _embedding(telling: Telling) -> Iterator[Event]:
    told = telling.told
    yield RagEmbedding(
        source=told.name("source") or UNKNOWN,
        model=told.name("model"),
        input_tokens=told.count("inputTokens"),
        duration_ms=told.milliseconds("durationMs"),
        dimensions=told.count("dimensions"),
        batch_size=told.count("batchSize"),
        **telling.place,
    )


def _index(telling: Telling) -> Iterator[Event]:
    told = telling.told
    yield RagIndex(
        source=told.name("source") or UNKNOWN,
        document_count=told.count("documentCount"),
        total_tokens=told.count("totalTokens"),
        duration_ms=told.milliseconds("durationMs"),
        metadata=told.json("metadata"),
        **telling.place,
    )


def _custom(telling: Telling) -> Iterator[Event]:
    told = telling.told
    yield Custom(
        provider=told.name("provider") or UNKNOWN,
        event_name=told.name("eventName") or UNKNOWN,
        data=told.json("data"),
        duration_ms=told.milliseconds("durationMs"),
        is_error=told.flag("isError"),
        error_message=told.text("errorMessage"),
        **telling.place,
    )


def _latency(telling: Telling) -> Iterator[Event]:
    told = telling.told
    total = told.number("totalMs")
    if total is None:
        return
    yield Latency(
        operation=told.name("operation") or UNKNOWN,
        total_ms=total,
        ttft_ms=told.number("ttftMs"),
        phases=told.tables("phases", _phase),
        model=told.name("model"),
        provider=told.name("provider"),
        percentile=told.name("percentile"),
        **telling.place,
    )


def _phase(told: Told) -> Phase | None:
    name, duration = told.name("name"), told.number("durationMs")
    return None if name is None or duration is None else Phase(name=name, duration_ms=duration)


def _output_eval(telling: Telling) -> Iterator[Event]:
    told, metrics = telling.told, telling.told.table("metrics")
    yield OutputEval(
        turn_index=told.count("turnIndex"),
        model=told.name("model"),
        provider=told.name("provider"),
        metrics=OutputMetrics(
            response_tokens=metrics.count("responseTokens"),
            tool_call_count=metrics.count("toolCallCount"),
            tool_error_count=metrics.count("toolErrorCount"),
            tool_success_rate=metrics.number("toolSuccessRate"),
            had_retry=metrics.flag("hadRetry"),
            had_immediate_follow_up=metrics.flag("hadImmediateFollowUp"),
            response_latency_ms=metrics.number("responseLatencyMs"),
            cache_hit_rate=metrics.number("cacheHitRate"),
        ),
        user_rating=told.number("userRating"),
        tags=told.names("tags"),
        **telling.place,
    )


def _prompt_rating(telling: Telling) -> Iterator[Event]:
    told, metrics = telling.told, telling.told.table("metrics")
    yield PromptRating(
        prompt_hash=told.name("promptHash") or UNKNOWN,
        variant=told.name("variant"),
        category=told.name("category"),
        model=told.name("model"),
        provider=told.name("provider"),
        metrics=PromptMetrics(
            goal_achieved=metrics.flag("goalAchieved"),
            turns_to_complete=metrics.count("turnsToComplete"),
            total_tokens=metrics.count("totalTokens"),
            total_cost_usd=metrics.money("totalCost"),
            total_latency_ms=metrics.number("totalLatencyMs"),
            tool_error_rate=metrics.number("toolErrorRate"),
            required_compaction=metrics.flag("requiredCompaction"),
        ),
        rating=told.number("rating"),
        notes=told.text("notes"),
        **telling.place,
    )


def _drift(telling: Telling) -> Iterator[Event]:
    told = telling.told
    baseline, current, deviation = (told.number(name) for name in ("baseline", "current", "deviationPct"))
    direction, severity = told.one_of("direction", DIRECTIONS), told.one_of("severity", SEVERITIES)
    if baseline is None or current is None or deviation is None or direction is None or severity is None:
        return  # kept as it is
    yield Drift(
        metric=told.name("metric") or UNKNOWN,
        model=told.name("model"),
        provider=told.name("provider"),
        baseline=baseline,
        current=current,
        deviation_percent=deviation,
        direction=direction,
        severity=severity,
        window_size=told.count("windowSize"),
        threshold_percent=told.number("threshold"),
        **telling.place,
    )


TELLERS: Mapping[str, Teller] = {
    "mcp_request": _mcp_request,
    "mcp_response": _mcp_response,
    "rag_retrieval": _retrieval,
    "rag_embedding": _embedding,
    "rag_index": _index,
    "custom": _custom,
    "latency": _latency,
    "output_eval": _output_eval,
    "prompt_rating": _prompt_rating,
    "drift": _drift,
}
