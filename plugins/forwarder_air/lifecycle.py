"""Sessions, turns, models, and how full the context is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from forwarder import (
    Compaction,
    ContextSegment,
    ContextSnapshot,
    Custom,
    Event,
    ModelChange,
    Pressure,
    SessionEnd,
    SessionStart,
    TurnEnd,
    TurnStart,
)
from forwarder_air.sessions import AIR
from forwarder_air.telling import Teller, Telling
from forwarder_air.told import Told

LEVELS: tuple[tuple[float, Pressure], ...] = ((100, "at_limit"), (90, "near_limit"), (80, "approaching_limit"))
HEARTBEAT_SECONDS = 300  # in which AIr calls active what was heard of; clients send one every 10 s


def _session_start(telling: Telling) -> Iterator[Event]:
    """The session is the fact: clients tell its start again after a restart, under another id."""
    told = telling.told
    told.skip("agent", "cwd")
    if model := told.name("model"):
        telling.reading.new_model(telling.post, model)
    yield SessionStart(
        key=(telling.post.session_id,),
        reason="startup",
        model=model,
        provider=told.name("provider"),
        **telling.envelope,
    )


def _session_end(telling: Telling) -> Iterator[Event]:
    yield SessionEnd(reason="other", **telling.place)


def _turn_start(telling: Telling) -> Iterator[Event]:
    """`turnIndex` counts from 0 or 1, with some clients anew in each prompt: a name of the turn, no index of ours."""
    yield TurnStart(turn_id=_index(telling.told), trigger="human", **telling.place)


def _turn_end(telling: Telling) -> Iterator[Event]:
    calls = telling.told.count("toolCallCount")
    if calls is not None:
        yield TurnEnd(turn_id=_index(telling.told), outcome="unknown", tool_calls=calls, **telling.place)


def _index(told: Told) -> str | None:
    index = told.count("turnIndex")
    return None if index is None else str(index)


def _agent_start(telling: Telling) -> Iterator[Event]:
    """Told before each answer, so mostly of a model that is known."""
    provider = telling.told.name("provider")
    if model := telling.told.name("model"):
        is_new, previous = telling.reading.new_model(telling.post, model)
        if is_new:
            yield ModelChange(model=model, previous_model=previous, provider=provider, **telling.place)


def _model_change(telling: Telling) -> Iterator[Event]:
    told = telling.told
    model = told.name("newModel")
    if model is None:
        return
    telling.reading.new_model(telling.post, model)
    yield ModelChange(
        model=model,
        previous_model=told.name("previousModel"),
        provider=told.name("newProvider"),
        trigger=told.name("source"),
        **telling.place,
    )


def _compaction(telling: Telling) -> Iterator[Event]:
    """Clients write 0 tokens for what they do not know."""
    told = telling.told
    is_automatic = told.flag("isAutomatic")
    yield Compaction(
        trigger="unknown" if is_automatic is None else "auto" if is_automatic else "manual",
        tokens_before=told.known_count("tokensBefore"),
        tokens_after=told.known_count("tokensAfter"),
        summary_chars=told.count("summaryLength"),
        **telling.place,
    )


def _context_usage(telling: Telling) -> Iterator[Event]:
    told = telling.told
    percent = told.number("utilizationPct")
    yield ContextSnapshot(
        used_tokens=told.count("tokensUsed"),
        context_window=told.known_count("contextWindow"),
        percent=percent,
        pressure=_pressure(percent),
        **telling.place,
    )


def _context_breakdown(telling: Telling) -> Iterator[Event]:
    told = telling.told
    used, window = told.count("totalTokens"), told.known_count("contextWindow")
    percent = _percent(used, window)
    yield ContextSnapshot(
        used_tokens=used,
        context_window=window,
        percent=percent,
        pressure=_pressure(percent),
        segments=told.tables("segments", _segment),
        **telling.place,
    )


def _segment(told: Told) -> ContextSegment | None:
    category = told.name("category")
    if category is None:
        return None
    return ContextSegment(
        category=category,
        label=told.name("label"),
        estimated_tokens=told.count("estimatedTokens"),
        chars=told.count("charCount"),
    )


def _heartbeat(telling: Telling) -> Iterator[Event]:
    """One in five minutes, and one for each pressure in them: every single one would be noise."""
    told, post, envelope = telling.told, telling.post, telling.envelope
    key = (post.session_id, "heartbeat", int(post.time.timestamp() // HEARTBEAT_SECONDS))
    used = told.count("contextTokens")
    if used is None:
        yield Custom(key=key, provider=AIR, event_name="heartbeat", **envelope)
        return
    window = told.known_count("contextWindow")
    percent = _percent(used, window)
    pressure = _pressure(percent)
    yield ContextSnapshot(
        key=(*key, pressure),
        used_tokens=used,
        context_window=window,
        percent=percent,
        pressure=pressure,
        **envelope,
    )


def _percent(used: int | None, window: int | None) -> float | None:
    return None if used is None or not window else round(100 * used / window, 3)


def _pressure(percent: float | None) -> Pressure:
    """Without a percentage `normal`, as everywhere: nobody said that the context were full."""
    for least, level in LEVELS:
        if percent is not None and percent >= least:
            return level
    return "normal"


TELLERS: Mapping[str, Teller] = {
    "session_start": _session_start,
    "session_end": _session_end,
    "turn_start": _turn_start,
    "turn_end": _turn_end,
    "agent_start": _agent_start,
    "model_change": _model_change,
    "compaction": _compaction,
    "context_usage": _context_usage,
    "context_breakdown": _context_breakdown,
    "heartbeat": _heartbeat,
}
