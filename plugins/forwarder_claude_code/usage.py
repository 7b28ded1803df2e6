"""Tokens: each response counted once, however many lines and files repeat it (contract, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from forwarder import Key, TokenUsage
from forwarder_claude_code.facts import Moment
from forwarder_claude_code.records import Line, ModelTotals, Usage
from forwarder_claude_code.state import RESPONSES, Transcript, trim

SYNTHETIC = "<synthetic>"
REAL_ID = 20  # characters that an id of Anthropic's has at least: `msg_` and more; those are never used twice

Counts = tuple[int, ...]
"""Input without cache, cache read, cache write, of it for an hour, output, of it thinking."""


def on_answer(state: Transcript, line: Line, at: Moment) -> Iterable[TokenUsage]:
    """The usage of the line's response as far as no line before told it.

    Every line of a response repeats the whole usage, in old releases with placeholders, so the first line tells it and
    a later one only what it has more. The first part has the response's id as its key: whichever of the files that hold
    the response is read first, the others add nothing. A fork zeroes the usage of some copies; those say nothing.
    """
    message = line.message
    if message is None or message.usage is None or message.model == SYNTHETIC or line.isApiErrorMessage:
        return ()
    now = _counts(message.usage)
    response = _identity(line)
    if _is_empty(message.usage) or not response:
        return ()
    name = "/".join(response)
    before = state.used.pop(name, None)
    most = now if before is None else tuple(map(max, now, before))
    state.used[name] = most
    trim(state.used, RESPONSES)
    if most == before:
        return ()
    step = most if before is None else tuple(more - less for more, less in zip(most, before, strict=True))
    _count(state, message.model or "", step)
    key: Key = response if before is None else (*response, *most)
    return [_event(at, key, step, message.usage, model=message.model, response_id=message.id)]


def on_cost_state(state: Transcript, line: Line) -> Iterable[TokenUsage]:
    """What a compaction took: it leaves no answer behind, so only the running totals of the session show it.

    The totals include sub-agents, whose answers are in other files, and what a fork's parent used before; they lack
    what a killed process used. Where any of that shows, nothing is told.
    """
    totals, stated = state.totals, {model: _stated(one) for model, one in (line.modelUsage or {}).items()}
    events: list[TokenUsage] = []
    if totals.is_known and not totals.has_agents and totals.compaction and totals.counted.keys() <= stated.keys():
        for model, now in stated.items():
            before, counted = totals.stated.get(model, _NONE), totals.counted.get(model, _NONE)
            rest = [n - b - c for n, b, c in zip(now, before, counted, strict=True)]
            if min(rest) >= 0 and any(rest):
                events.append(_of_compaction(state, totals.compaction, model, rest))
    totals.stated, totals.counted, totals.compaction, totals.is_known = stated, {}, None, True
    return events


def _of_compaction(state: Transcript, compaction: tuple[str, datetime], model: str, rest: list[int]) -> TokenUsage:
    boundary, time = compaction
    assert state.session is not None, "the compaction's line has set it"
    fresh, cached, written, output = rest
    total_input = fresh + cached + written
    return TokenUsage(
        key=(boundary, model),
        time=time,
        session=state.session,
        turn=state.turn.count or None,
        model=model,
        provider="anthropic",
        input_tokens=total_input,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
        total_tokens=total_input + output,
        purpose="compaction",
    )


_NONE = (0, 0, 0, 0)


def _stated(totals: ModelTotals) -> tuple[int, int, int, int]:
    return totals.inputTokens, totals.cacheReadInputTokens, totals.cacheCreationInputTokens, totals.outputTokens


def _count(state: Transcript, model: str, step: Counts) -> None:
    counted = state.totals.counted
    fresh, cached, written, output = counted.get(model, _NONE)
    counted[model] = (fresh + step[0], cached + step[1], written + step[2], output + step[4])


def _is_empty(usage: Usage) -> bool:
    """Nothing was used, or a fork zeroed its copy: it leaves the nested numbers as they were."""
    stated = (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens, usage.output_tokens)
    return not any(stated)


def _counts(usage: Usage) -> Counts:
    cache = usage.cache_creation
    hour = (cache.ephemeral_1h_input_tokens or 0) if cache else 0
    nested = (cache.ephemeral_5m_input_tokens or 0) + hour if cache else 0
    details = usage.output_tokens_details
    return (
        usage.input_tokens or 0,
        usage.cache_read_input_tokens or 0,
        max(usage.cache_creation_input_tokens or 0, nested),  # 0 beside a nested number until 2.1.151
        hour,
        usage.output_tokens or 0,
        (details.thinking_tokens or 0) if details else 0,
    )


def _identity(line: Line) -> tuple[str, ...]:
    """The message's id. Side files replay messages under another request, so the request counts only beside the ids
    of other backends, which may be used twice."""
    message_id = line.message.id if line.message else None
    if message_id is None or (message_id.startswith("msg_") and len(message_id) >= REAL_ID):
        return (message_id,) if message_id else (line.requestId,) if line.requestId else ()
    return (message_id, line.requestId) if line.requestId else (message_id,)


def _event(
    at: Moment, key: Key, step: Counts, usage: Usage, *, model: str | None, response_id: str | None
) -> TokenUsage:
    fresh, cached, written, hour, output, thinking = step
    total_input = fresh + cached + written
    return TokenUsage(
        key=key,
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        turn=at.turn,
        model=model,
        provider="anthropic",
        response_id=response_id,
        input_tokens=total_input,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour if usage.cache_creation else None,
        output_tokens=output,
        reasoning_tokens=thinking if usage.output_tokens_details else None,
        total_tokens=total_input + output,
    )
