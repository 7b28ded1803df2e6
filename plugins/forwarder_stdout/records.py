"""What the live feed shows of an event; the fields are those of EVENTS.md, the rest is skipped without being built."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Envelope(msgspec.Struct):
    """What every event has."""

    type: str
    time: datetime
    agent: str


class Shown(Envelope):
    """Fields of all types of event in one: each is absent where its type does not have it or it is not known."""

    session_id: str = ""
    cwd: str = ""
    actor: str = ""

    reason: str = ""
    state: str = ""
    outcome: str = ""
    trigger: str = ""
    model: str = ""
    duration_ms: float | None = None
    exit_code: int | None = None
    tool: str = ""
    tool_calls: int = 0
    text: str = ""
    bytes: int | None = None
    input: str = ""
    error: str = ""
    error_summary: str = ""
    message: str = ""
    description: str = ""
    decision: str = ""
    child: str = ""
    error_type: str = ""
    status: int | str | None = None
    window: str = ""
    used_percent: float = 0.0
    pressure: str = ""
    percent: float | None = None
    tokens_before: int | None = None
    tokens_after: int | None = None
    record_type: str = ""
    rule: str = ""
    kind: str = ""
    name: str = ""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    source: str = ""
    method: str = ""
    tool_name: str = ""
    server_name: str = ""
    is_error: bool = False
    error_message: str = ""
    query: str = ""
    result_count: int | None = None
    document_count: int | None = None
    operation: str = ""
    total_ms: float | None = None
    percentile: str = ""
    variant: str = ""
    user_rating: float | None = None
    rating: float | None = None
    total_cost: float = 0.0
    currency: str = ""
    provider: str = ""
    event_name: str = ""
    data: str = ""
    metric: str = ""
    severity: str = ""
    deviation_percent: float = 0.0
    op: str = ""
    value: float = 0.0


_SHOWN = msgspec.json.Decoder(Shown, strict=False)
_ENVELOPE = msgspec.json.Decoder(Envelope)


def decode(line: bytes) -> Shown:
    """The event in `line`; of a type that uses one of these names for something else, the envelope only."""
    try:
        return _SHOWN.decode(line)
    except msgspec.ValidationError:
        envelope = _ENVELOPE.decode(line)
        return Shown(envelope.type, envelope.time, envelope.agent)
