"""Tokens and what they cost, as pi states them with each answer: increments that nobody else tells."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from forwarder import Event, TokenUsage
from forwarder_pi.records import Usage
from forwarder_pi.state import Place, State

PLACES = Decimal("1e-9")  # of a dollar; what pi writes beyond that is the noise of binary fractions


def spent(
    state: State,
    usage: Usage | None,
    place: Place,
    *,
    turn: int | None,
    model: str | None,
    provider: str | None,
    response_id: str | None = None,
    purpose: Literal["compaction", "helper"] | None = None,
) -> list[Event]:
    """What one entry used. Errors and aborted answers state zeros: nothing was used, and nothing is told."""
    if usage is None:
        return []
    total_in = usage.input + usage.cache_read + usage.cache_write
    cost = _dollars(usage)
    if not total_in and not usage.output and not cost:
        return []
    return [
        TokenUsage(
            key=place.key,
            time=place.at,
            session=state.session,
            turn=turn,
            model=model,
            provider=provider,
            response_id=response_id,
            input_tokens=total_in,
            cached_input_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            cache_write_1h_tokens=usage.cache_write_1h,
            output_tokens=usage.output,
            reasoning_tokens=usage.reasoning,
            total_tokens=total_in + usage.output,
            purpose=purpose,
            cost_usd=cost,
            cost_source=None if cost is None else "agent",
        )
    ]


def _dollars(usage: Usage) -> Decimal | None:
    if usage.cost is None or usage.cost.total is None:
        return None
    return usage.cost.total.quantize(PLACES).normalize()
