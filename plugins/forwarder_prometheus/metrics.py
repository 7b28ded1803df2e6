"""Which metrics there are: the forwarder's measures, the names of pi's own extension, and one about the limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from forwarder import MEASURES, Measure, measures

# What pi's extension for pi-daemon counts, by the measure that it equals where the agent is pi. Its counters lack
# `_total`, so they are exposed without a type: as counters the formats' own checks would complain of them.
PI_NAMES = {
    "agent_compaction_tokens_before_total": "pi_compaction_tokens_before",
    "agent_compaction_tokens_after_total": "pi_compaction_tokens_after",
    "agent_compaction_tokens_saved_total": "pi_compaction_tokens_saved",
    "agent_compaction_text_chars": "pi_compaction_summary_length",
    "agent_compaction_duration_seconds": "pi_compaction_duration_seconds",
    "agent_compactions_total": "pi_compaction_total",
    "agent_sessions_started_total": "pi_sessions_started",
    "agent_sessions_ended_total": "pi_sessions_ended",
}
OVERFLOW = "forwarder_series_overflow_total"

_LONG = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_SHORT = (0.05, 0.1, 0.25, 0.5, *_LONG[:-1])
_LONG_ONES = {"agent_turn_duration_seconds", "agent_compaction_duration_seconds", "pi_compaction_duration_seconds"}

HELP: Mapping[str, str] = {
    **{name: one.help for name, one in MEASURES.items()},
    **{name: f"As pi's extension counts it: {MEASURES[like].help}" for like, name in PI_NAMES.items()},
    OVERFLOW: "Values that went to the series `other`, since the metric or all of them have too many.",
}


def type_of(name: str) -> str:
    """The type in the formats' words; ``unknown`` is the old format's ``untyped``."""
    kind = next((MEASURES[like].kind for like, other in PI_NAMES.items() if other == name), None)
    if kind == "counter" and not name.endswith("_total"):
        return "unknown"
    return kind or (MEASURES[name].kind if name in MEASURES else "counter")


def bounds_of(name: str) -> tuple[float, ...]:
    """The upper bounds of a histogram's buckets, in seconds; the last is infinite."""
    return (*(_LONG if name in _LONG_ONES else _SHORT), math.inf)


def measured(event: Mapping[str, Any]) -> list[Measure]:
    """The measures of an event with pi's names added, all of them such as can be counted.

    Raises `KeyError`, `ValueError` and `OverflowError` for an event that is not as the schema says.
    """
    found = [one for measure in measures(event) for one in _with_pi_names(measure)]
    for one in found:
        if not _is_countable(one):
            raise ValueError(f"{one.name} cannot take {one.value!r}")
    return found


def _with_pi_names(measure: Measure) -> Iterator[Measure]:
    yield measure
    if measure.labels["agent"] == "pi" and (name := PI_NAMES.get(measure.name)):
        yield measure._replace(name=name, labels={}, help=HELP[name])


def _is_countable(measure: Measure) -> bool:
    return math.isfinite(measure.value) and (measure.kind == "gauge" or measure.value >= 0)
