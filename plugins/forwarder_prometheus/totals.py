"""Every series as it stands, and what a batch changes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from forwarder import Measure, ends_session
from forwarder_prometheus.metrics import OVERFLOW, bounds_of, measured, type_of
from forwarder_prometheus.series import Key, Newest, Spread, Total, Value, key_of, other
from forwarder_prometheus.sessions import MAX_SESSIONS, SILENT_SECONDS, Live, combined


@dataclass(frozen=True)
class Limits:
    """`series`: of all metrics, as the server counts them (each bucket is one); `per_metric`: sets of labels."""

    series: int
    per_metric: int


class Totals:
    """What has been counted. Sessions are known by a digest, never by their id."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.series: dict[Key, Value] = {}
        self.sessions: dict[str, Live] = {}
        self.sets: Counter[str] = Counter()
        self.size = 0

    def apply(self, changes: Changes) -> None:
        """From now on these are the values."""
        self._keep(changes.series)
        for name, session in changes.sessions.items():
            if session is None:
                self.sessions.pop(name, None)
            else:
                self.sessions[name] = session

    def restore(self, series: Mapping[Key, Value], sessions: Mapping[str, Live]) -> None:
        """Forget everything else, and go on from these."""
        self.series, self.sessions, self.sets, self.size = {}, dict(sessions), Counter(), 0
        self._keep(series)

    def _keep(self, series: Mapping[Key, Value]) -> None:
        for key, value in series.items():
            if key not in self.series:
                self.sets[key[0]] += 1
                self.size += samples_of(key)
            self.series[key] = value


class Changes:
    """What some events add to the totals, beside them until they are applied. `now` is Unix time."""

    def __init__(self, totals: Totals, now: float) -> None:
        self.series: dict[Key, Value] = {}
        self.sessions: dict[str, Live | None] = {}
        self._totals = totals
        self._now = now
        self._sets: Counter[str] = Counter()
        self._size = 0

    def count(self, event: Mapping[str, Any]) -> None:
        """Take one event in, or nothing of it. Raises as `measured` does."""
        found = measured(event)
        moment = datetime.fromisoformat(event["time"]).timestamp()
        time = min(moment, self._now)  # a clock that is ahead may not make its value the newest for ever
        for measure in found:
            if measure.combine == "last":
                self._add(measure, time)
        self._tell(event, [one for one in found if one.combine != "last"], time)

    def forget_silent(self, most: int = MAX_SESSIONS) -> None:
        """Drop the sessions that were not heard of for long, and all but the `most` that were heard of last."""
        known = {**self._totals.sessions, **self.sessions}
        by_age = sorted(((one.heard, name) for name, one in known.items() if one is not None), reverse=True)
        for place, (heard, name) in enumerate(by_age):
            if place >= most or heard < self._now - SILENT_SECONDS:
                self.sessions[name] = None

    def snapshot(self) -> dict[Key, float | Spread]:
        """All series as they are when the changes are applied."""
        sessions = {**self._totals.sessions, **self.sessions}
        return exposed({**self._totals.series, **self.series}, sessions.values(), self._totals.limits, self._now)

    def _tell(self, event: Mapping[str, Any], found: list[Measure], time: float) -> None:
        is_end = ends_session(event)
        name = _digest(event["agent"], event.get("session_id", ""))
        session = self.sessions.get(name, self._totals.sessions.get(name))
        if session is None:
            if time < self._now - SILENT_SECONDS or not (found or is_end):
                return
            session = Live(time)
        self.sessions[name] = session.told(event, found, time=time, is_end=is_end)

    def _add(self, measure: Measure, time: float) -> None:
        key = self._room_for(key_of(measure.name, measure.labels))
        if measure.kind == "counter":
            self._set(key, _total(self._get(key)).plus(measure.value))
        elif measure.kind == "histogram":
            self._set(key, _spread(self._get(key)).plus(measure.value, bounds_of(measure.name)))
        else:
            before = self._get(key)
            if not (isinstance(before, Newest) and before.time > time):
                self._set(key, Newest(measure.value, time))

    def _room_for(self, key: Key) -> Key:
        """The key, or that of the series `other` where the limits are reached; that is counted."""
        if self._get(key) is not None or key == other(key):
            return key
        limits, totals = self._totals.limits, self._totals
        sets = totals.sets[key[0]] + self._sets[key[0]]
        if sets < limits.per_metric and totals.size + self._size + samples_of(key) <= limits.series:
            return key
        overflow = key_of(OVERFLOW, {"metric": key[0]})
        self._set(overflow, _total(self._get(overflow)).plus(1))
        return other(key)

    def _get(self, key: Key) -> Value | None:
        return self.series.get(key, self._totals.series.get(key))

    def _set(self, key: Key, value: Value) -> None:
        if self._get(key) is None:
            self._sets[key[0]] += 1
            self._size += samples_of(key)
        self.series[key] = value


def exposed(
    series: Mapping[Key, Value], sessions: Iterable[Live | None], limits: Limits, now: float
) -> dict[Key, float | Spread]:
    """The series with the gauges of the sessions that are live at `now`; those share the limit of a metric, too."""
    found: dict[Key, float | Spread] = {
        key: value if isinstance(value, Spread) else value.value for key, value in series.items()
    }
    live = (one for one in sessions if one is not None and one.heard >= now - SILENT_SECONDS)
    sets: Counter[str] = Counter()
    for key, value in sorted(combined(live).items()):
        sets[key[0]] += 1
        place = key if sets[key[0]] <= limits.per_metric else other(key)
        before = found.get(place, 0.0)
        found[place] = value if place == key or isinstance(before, Spread) else before + value
    return found


def samples_of(key: Key) -> int:
    """How many time series it is to the server: of a histogram each bucket, the sum and the count."""
    return len(bounds_of(key[0])) + 2 if type_of(key[0]) == "histogram" else 1


def _total(value: Value | None) -> Total:
    return value if isinstance(value, Total) else Total()


def _spread(value: Value | None) -> Spread:
    return value if isinstance(value, Spread) else Spread()


def _digest(agent: str, session: str) -> str:
    return blake2b(f"{agent}\n{session}".encode(), digest_size=16).hexdigest()
