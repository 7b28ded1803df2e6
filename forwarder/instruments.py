"""What programs tell of themselves: metrics, calls to servers and indexes, latencies, evaluations, money, drift.

Not read from an agent's files but posted, by an agent's extension or by a program itself. What has no shape of its own
(``metadata``, ``data``) is JSON text, and content like every other text that people and models wrote. None of it is
what a provider billed: only `TokenUsage` is to be added up to tokens and cost.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from forwarder.events import Content, Event, Id

MetricKind = Literal["counter", "gauge", "histogram", "summary"]
MetricOp = Literal["increment", "set", "delta", "observe"]


class Metric(Event, frozen=True, kw_only=True):
    """One observation of a metric that a program keeps.

    `op` says what `value` does to it: a counter grows by it (increment), a gauge becomes it (set) or moves by it
    (delta), a histogram or summary takes it in (observe).
    """

    name: str
    kind: MetricKind
    op: MetricOp
    value: float
    labels: dict[str, str]


class McpRequest(Event, frozen=True, kw_only=True):
    """A request to an MCP server; `method` is the protocol's, such as ``tools/call``."""

    method: str
    tool_name: str | None = None
    resource_uri: str | None = None
    server_name: str | None = None
    input_size_bytes: int | None = None
    input_preview: Content | None = None


class McpResponse(Event, frozen=True, kw_only=True):
    """What an MCP server answered. Request and answer have no id in common."""

    method: str
    tool_name: str | None = None
    resource_uri: str | None = None
    server_name: str | None = None
    duration_ms: int | None = None
    output_size_bytes: int | None = None
    output_preview: Content | None = None
    is_error: bool | None = None
    error_message: Content | None = None


class RagRetrieval(Event, frozen=True, kw_only=True):
    """A search in an index; `source` is the index's name, `top_score` mostly between 0 and 1."""

    source: str
    query: Content | None = None
    result_count: int | None = None
    top_score: float | None = None
    duration_ms: int | None = None
    chunk_sizes: list[int] | None = None
    total_chunk_tokens: int | None = None
    metadata: Content | None = None


class RagEmbedding(Event, frozen=True, kw_only=True):
    """Texts were turned into vectors."""

    source: str
    model: str | None = None
    input_tokens: int | None = None
    duration_ms: int | None = None
    dimensions: int | None = None
    batch_size: int | None = None


class RagIndex(Event, frozen=True, kw_only=True):
    """Documents were added to an index."""

    source: str
    document_count: int | None = None
    total_tokens: int | None = None
    duration_ms: int | None = None
    metadata: Content | None = None


class Phase(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named part of a latency."""

    name: str
    duration_ms: float


class Latency(Event, frozen=True, kw_only=True):
    """How long an `operation` took: ``turn``, ``tool_call``, ``api_call``, ``ttft`` or one of the program's own.

    With a `percentile` (``p95``) it stands for many, as the program computed it. `ttft_ms`: until the first token.
    """

    operation: str
    total_ms: float
    ttft_ms: float | None = None
    phases: list[Phase] | None = None
    model: str | None = None
    provider: str | None = None
    percentile: str | None = None


class OutputMetrics(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was measured of an answer; rates are between 0 and 1."""

    response_tokens: int | None = None
    tool_call_count: int | None = None
    tool_error_count: int | None = None
    tool_success_rate: float | None = None
    had_retry: bool | None = None
    had_immediate_follow_up: bool | None = None
    response_latency_ms: float | None = None
    cache_hit_rate: float | None = None


class OutputEval(Event, frozen=True, kw_only=True):
    """How good an answer was. `turn_index` is the program's own, which may begin at 0; `user_rating` is 1 to 5."""

    turn_index: int | None = None
    model: str | None = None
    provider: str | None = None
    metrics: OutputMetrics
    user_rating: float | None = None
    tags: list[str] | None = None


class PromptMetrics(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a prompt; the rate is between 0 and 1."""

    goal_achieved: bool | None = None
    turns_to_complete: int | None = None
    total_tokens: int | None = None
    total_cost_usd: Decimal | None = None
    total_latency_ms: float | None = None
    tool_error_rate: float | None = None
    required_compaction: bool | None = None


class PromptRating(Event, frozen=True, kw_only=True):
    """How well a variant of a prompt did. `prompt_hash` is the prompt's `text_digest`; `rating` is 1 to 5."""

    prompt_hash: Id
    variant: str | None = None
    category: str | None = None
    model: str | None = None
    provider: str | None = None
    metrics: PromptMetrics
    rating: float | None = None
    notes: Content | None = None


class Cost(Event, frozen=True, kw_only=True):
    """What a program says that it spent, in `currency`. A statement beside the `TokenUsage` of the same turn, whose
    `cost_usd` is the same money: never to be added to that. `cumulative_cost` is the program's own running total."""

    model: str | None = None
    provider: str | None = None
    input_cost: Decimal | None = None
    output_cost: Decimal | None = None
    cache_read_cost: Decimal | None = None
    cache_write_cost: Decimal | None = None
    total_cost: Decimal
    cumulative_cost: Decimal | None = None
    budget_limit: Decimal | None = None
    budget_exceeded: bool | None = None
    currency: str


class Custom(Event, frozen=True, kw_only=True):
    """Something with a meaning of its own to its `provider`; `data` is JSON text."""

    provider: str
    event_name: str
    data: Content | None = None
    duration_ms: int | None = None
    is_error: bool | None = None
    error_message: Content | None = None


class Drift(Event, frozen=True, kw_only=True):
    """A `metric` left its `baseline`, the mean of the last `window_size` values, by more than the threshold."""

    metric: str
    model: str | None = None
    provider: str | None = None
    baseline: float
    current: float
    deviation_percent: float
    direction: Literal["increase", "decrease"]
    severity: Literal["info", "warning", "critical"]
    window_size: int | None = None
    threshold_percent: float | None = None
