"""Gauges that sessions have, such as what each does: replaced by the session's next, gone when the session is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field, structs

from forwarder import MEASURES, Measure
from forwarder_prometheus.series import Key, key_of

# Nobody writes down that a session ended when its window is closed or its process is killed. One that was not heard of
# for this time (from an evening to the next morning) is not counted any longer; it is again with its next event.
SILENT_SECONDS = 16 * 3600.0
END_SECONDS = 1.0  # a clock without fractions tells an end up to a second before what preceded it
MAX_SESSIONS = 10_000  # so many in 16 hours are no people's; those that were silent longest make room


class Gauge(Struct, frozen=True):
    labels: dict[str, str]
    value: float
    time: float


class Live(Struct, frozen=True, tag=True):
    """One session: when it was last heard of, when it ended if it did, and its gauges by name. Times are Unix time."""

    heard: float
    ended: float | None = None
    gauges: Mapping[str, Gauge] = field(default_factory=dict[str, Gauge])

    def told(self, event: Mapping[str, Any], measures: Iterable[Measure], *, time: float, is_end: bool) -> Live:
        """The session after an event of it; one that is older than what is known changes nothing."""
        live = structs.replace(self, heard=max(self.heard, time))
        if is_end:
            newer = {name: one for name, one in live.gauges.items() if one.time > time + END_SECONDS}
            return live if newer else structs.replace(live, ended=max(time, live.ended or time), gauges={})
        if live.ended is not None and time >= live.ended and event["type"] == "session_start":
            live = structs.replace(live, ended=None)
        for measure in measures:
            live = live._with(measure, time)
        return live

    def _with(self, measure: Measure, time: float) -> Live:
        before = self.gauges.get(measure.name)
        is_late = before is not None and before.time > time
        if is_late or (self.ended is not None and time <= self.ended + END_SECONDS):
            return self
        gauge = Gauge(measure.labels, measure.value, time)
        return structs.replace(self, ended=None, gauges={**self.gauges, measure.name: gauge})


def combined(sessions: Iterable[Live]) -> dict[Key, float]:
    """The gauges of all sessions as series."""
    found: dict[Key, float] = {}
    for session in sessions:
        for name, gauge in session.gauges.items():
            if name not in MEASURES:
                continue  # noted by another release
            key = key_of(name, gauge.labels)
            if MEASURES[name].combine == "sum":
                found[key] = found.get(key, 0.0) + gauge.value
            else:
                found[key] = max(found.get(key, gauge.value), gauge.value)
    return found
