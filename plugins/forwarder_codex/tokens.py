"""Tokens: exact usage records where there are any, else steps of the running totals; rate limits; context pressure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from forwarder import ContextSnapshot, CoveredUsage, Event, Key, Pressure, RateLimit, TokenUsage
from forwarder_codex.records import Line, RateWindow, TokenCount, TokenInfo, TokenRecord, Usage
from forwarder_codex.state import NO_TOKENS, RESPONSES, Parts, State, Tokens, milliseconds, remember

LIMITS = 16  # windows; an account has two or three
PRESSURES: tuple[tuple[float, Pressure], ...] = ((1.0, "at_limit"), (0.9, "near_limit"), (0.75, "approaching_limit"))


def on_token_record(state: State, line: Line[TokenRecord]) -> Iterable[Event]:
    """Exact usage of one response; what it covers is taken off the next step of the totals."""
    record, memory = line.payload, state.tokens
    if record.thread_id != state.session.id or record.response_id in memory.responses:
        return ()
    remember_response(memory, record.response_id)
    used, (i, c, w, o, r) = record.usage, memory.covered
    memory.covered = (
        i + used.input_tokens,
        c + used.cached_input_tokens,
        w + (used.cache_write_input_tokens or 0),
        o + used.output_tokens,
        r + used.reasoning_output_tokens,
    )
    key = (state.session.id, record.response_id)
    return [_usage(state, line.timestamp, key, _parts(used), used, response_id=record.response_id)]


def on_token_count(state: State, line: Line[TokenCount]) -> Iterable[Event]:
    """Running totals become a step; windows of rate limits become gauges."""
    payload, at = line.payload, line.timestamp
    events: list[Event] = []
    if (info := payload.info) is not None:
        if (step := _step(state.tokens, info)) is not None:
            thread, generation = state.session.id, state.tokens.generation
            events.append(_usage(state, at, (thread, generation, *step.end), step.used, info.total_token_usage))
            if step.inner is not None:
                events.append(CoveredUsage(key=(thread, generation, *step.inner), time=at, session=state.session))
        _context(state, at, info, events)
    if (limits := payload.rate_limits) is not None:
        name = limits.limit_id
        prefix = "" if name is None or name == "codex" else f"{name}."
        if limits.primary is not None:
            _limit(state, at, prefix + "primary", limits.primary, events)
        if limits.secondary is not None:
            _limit(state, at, prefix + "secondary", limits.secondary, events)
    return events


def inherit(memory: Tokens, payload: TokenCount) -> None:
    """A copied line: the totals go on from there, and that is all."""
    if payload.info is not None:
        memory.previous, memory.covered = _parts(payload.info.total_token_usage), NO_TOKENS


def remember_response(memory: Tokens, response_id: str) -> None:
    """So that a copy of the response's record is not counted."""
    memory.responses[response_id] = None
    remember(memory.responses, RESPONSES)


def at_turn_end(state: State, at: datetime) -> list[Event]:
    """How full the context is, if Codex has said so."""
    used = state.tokens.used
    return [] if used is None else [_snapshot(state, at, (state.session.id, state.turn.key), used)]


def _snapshot(state: State, at: datetime, key: Key, used: int, previous: Pressure | None = None) -> ContextSnapshot:
    memory = state.tokens
    return ContextSnapshot(
        key=key,
        time=at,
        session=state.session,
        turn=state.turn.count or None,
        used_tokens=used,
        context_window=memory.window,
        percent=round(100 * used / memory.window, 1) if memory.window else None,
        pressure=memory.pressure,
        previous_pressure=previous,
    )


def _parts(usage: Usage) -> Parts:
    return (
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_input_tokens or 0,
        usage.output_tokens,
        usage.reasoning_output_tokens,
    )


class _Step(NamedTuple):
    """What is to be counted, and the totals that it leads to. `inner` are totals that were reached on the way there."""

    used: Parts
    end: Parts
    inner: Parts | None = None


def _step(memory: Tokens, info: TokenInfo) -> _Step | None:
    """What the totals have grown by, without what usage records told already (contract, section 5.3).

    Totals that equal the last usage began anew: a process before 0.80 starts at 0, an overflow sets them to 0.
    """
    now, before = _parts(info.total_token_usage), memory.previous
    if now == before:
        return None
    covered, memory.previous, memory.covered = memory.covered, now, NO_TOKENS
    if before is None:
        return None
    last = _parts(info.last_token_usage)
    step = _difference(now, before)
    if min(step) < 0 or (now == last and before != NO_TOKENS):
        memory.generation += 1
        step = now
    if covered != NO_TOKENS:
        return _uncovered(now, step, covered)
    return None if step == NO_TOKENS else _Step(step, now, _inner(now, step, last))


def _uncovered(now: Parts, step: Parts, covered: Parts) -> _Step | None:
    """What no record told comes before what records told, so it leads to lower totals than `now`."""
    used = _without(step, covered)
    if used == NO_TOKENS:
        return None
    return _Step(used, _difference(now, _difference(step, used)))


def _inner(now: Parts, step: Parts, last: Parts) -> Parts | None:
    """The totals before the last response, where the step is more than that one.

    `codex migrate-rollouts` drops the lines of turns that were rolled back; the next step holds their tokens.
    """
    if last in (step, NO_TOKENS) or min(_difference(step, last)) < 0:
        return None
    return _difference(now, last)


def _difference(one: Parts, other: Parts) -> Parts:
    (i, c, w, o, r), (j, d, x, p, s) = one, other
    return i - j, c - d, w - x, o - p, r - s


def _without(step: Parts, covered: Parts) -> Parts:
    """Nothing is taken back: what usage records told beyond the step is no negative usage."""
    i, c, w, o, r = _difference(step, covered)
    return max(0, i), max(0, c), max(0, w), max(0, o), max(0, r)


def _usage(
    state: State, at: datetime, key: Key, parts: Parts, stated: Usage, *, response_id: str | None = None
) -> TokenUsage:
    """`parts` is what to count of the `stated` usage, which tells whether cache writes are known at all."""
    total_in, cached, writes, total_out, reasoning = parts
    is_compaction, state.tokens.is_compacting = state.tokens.is_compacting, False
    return TokenUsage(
        key=key,
        time=at,
        session=state.session,
        turn=state.turn.count or None,
        model=state.model,
        provider=state.provider,
        response_id=response_id,
        input_tokens=total_in,
        cached_input_tokens=cached,
        cache_write_tokens=None if stated.cache_write_input_tokens is None else writes,
        output_tokens=total_out,
        reasoning_tokens=reasoning,
        total_tokens=total_in + total_out,
        purpose="compaction" if is_compaction else None,
    )


def _context(state: State, at: datetime, info: TokenInfo, events: list[Event]) -> None:
    """`total_tokens` of the last usage is what the context holds, also where (after a compaction) it is an estimate."""
    used = info.last_token_usage.total_tokens
    if used <= 0:
        return
    memory = state.tokens
    window = info.model_context_window or memory.window
    memory.used, memory.window = used, window
    if not window or (used < 0.75 * window and memory.pressure == "normal"):
        return
    before, memory.pressure = memory.pressure, _pressure(used / window)
    if memory.pressure != before:
        key = (state.session.id, "pressure", milliseconds(at))
        events.append(_snapshot(state, at, key, used, before))


def _pressure(share: float) -> Pressure:
    for limit, name in PRESSURES:
        if share >= limit:
            return name
    return "normal"


def _limit(state: State, at: datetime, name: str, window: RateWindow, events: list[Event]) -> None:
    """A gauge, told when it changed. Where only the seconds until the reset are known they shrink with every line."""
    now = (window.used_percent, window.window_minutes, window.resets_at)
    limits = state.tokens.limits
    if limits.get(name) == now or (name not in limits and len(limits) >= LIMITS):
        return
    limits[name] = now
    resets = None
    if window.resets_at is not None:
        resets = _stamp(datetime.fromtimestamp(window.resets_at, UTC))
    elif window.resets_in_seconds is not None:
        resets = _stamp(at + timedelta(0, window.resets_in_seconds))
    events.append(
        RateLimit(
            key=(state.session.id, name, resets or milliseconds(at), str(window.used_percent)),
            time=at,
            session=state.session,
            turn=state.turn.count or None,
            window=name,
            used_percent=window.used_percent,
            window_minutes=window.window_minutes,
            resets_at=resets,
        )
    )


def _stamp(time: datetime) -> str:
    """RFC 3339 with `Z`; ten times faster than `isoformat`."""
    return str(msgspec.to_builtins(time))
