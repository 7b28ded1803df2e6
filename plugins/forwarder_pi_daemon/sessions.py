"""Gauges of which every session has its own value, such as what it does: the daemon is told what they come to.

It knows only sets and deltas of one number, so what each session said last is kept here, and in the sink's notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from forwarder import MEASURES, Measure, Notes, ends_session

# Nobody writes down that a session ended when its window is closed or its process is killed. One that was not heard of
# for this time (from an evening to the next morning) is not counted any longer; it is again with its next event.
SILENT_SECONDS = 16 * 3600.0
END_SECONDS = 1.0  # a clock without fractions tells an end up to a second before what preceded it
MAX_SESSIONS = 10_000  # so many in 16 hours are no people's; those that were silent longest make room

Labels = tuple[tuple[str, str], ...]  # sorted
Series = tuple[str, Labels]


_log = structlog.get_logger("forwarder_pi_daemon")


class _Gauge(Struct, array_like=True):
    labels: Labels
    value: float
    time: float


class _Live(Struct, array_like=True):
    """When a session was last heard of, when it ended if it did, and its gauges by name. Times are Unix time."""

    heard: float
    ended: float | None = None
    gauges: dict[str, _Gauge] = {}


class Sessions:
    """What each session said last, and which series have changed by it since the daemon was told."""

    def __init__(self, notes: Mapping[str, bytes]) -> None:
        self._live = {key: live for key, body in notes.items() if (live := _live(body)) is not None}
        self._touched: dict[Series, None] = {}
        self._changed: set[str] = set()

    def tell(self, event: Mapping[str, Any], measures: Iterable[Measure], *, time: float) -> None:
        """Take in what an event says of its session; what is older than what is known changes nothing."""
        key = _digest(event["agent"], event.get("session_id", ""))
        found, is_end = list(measures), ends_session(event)
        if not (found or is_end or key in self._live):
            return
        live = self._live.setdefault(key, _Live(time))
        live.heard = max(live.heard, time)
        self._changed.add(key)
        if is_end:
            self._end(live, time)
        for measure in found:
            self._set(live, measure, time)

    def forget_silent(self, now: float) -> None:
        """Drop those not heard of for long, and those beyond what can be kept; `now` is Unix time."""
        by_age = sorted(((one.heard, key) for key, one in self._live.items()), reverse=True)
        for place, (heard, key) in enumerate(by_age):
            if place >= MAX_SESSIONS or heard < now - SILENT_SECONDS:
                self._touch(self._live.pop(key).gauges)
                self._changed.add(key)

    def touched(self) -> Iterator[tuple[Series, float]]:
        """What the series have come to that have changed; 0 where no session is left."""
        values: dict[Series, list[float]] = {series: [] for series in self._touched}
        for live in self._live.values() if values else ():
            for name, gauge in live.gauges.items():
                if (name, gauge.labels) in values:
                    values[name, gauge.labels].append(gauge.value)
        for series, all_of_it in values.items():
            combine = sum if MEASURES[series[0]].combine == "sum" else max
            yield series, combine(all_of_it) if all_of_it else 0.0

    def are_told(self) -> None:
        """The daemon has the series."""
        self._touched.clear()

    def notes(self) -> Notes:
        """The sessions that have changed since this was asked for; None for those that are gone."""
        changed, self._changed = self._changed, set()
        return {key: msgspec.msgpack.encode(self._live[key]) if key in self._live else None for key in changed}

    def _end(self, live: _Live, time: float) -> None:
        over = {name: one for name, one in live.gauges.items() if one.time <= time + END_SECONDS}
        self._touch(over)
        live.gauges = {name: one for name, one in live.gauges.items() if name not in over}
        live.ended = None if live.gauges else max(time, live.ended or time)

    def _set(self, live: _Live, measure: Measure, time: float) -> None:
        before = live.gauges.get(measure.name)
        is_late = before is not None and before.time > time
        if is_late or (live.ended is not None and time <= live.ended + END_SECONDS):
            return
        if before is not None:
            self._touch({measure.name: before})
        gauge = _Gauge(tuple(sorted(measure.labels.items())), measure.value, time)
        live.gauges = {**live.gauges, measure.name: gauge}
        live.ended = None
        self._touch({measure.name: gauge})

    def _touch(self, gauges: Mapping[str, _Gauge]) -> None:
        self._touched.update(dict.fromkeys((name, one.labels) for name, one in gauges.items()))


def _live(body: bytes) -> _Live | None:
    """What was noted, as far as this release knows it; None costs a session's gauges until it says something."""
    try:
        live = msgspec.msgpack.decode(body, type=_Live)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warning(f"the notes of another release cannot be read: {error}", limited="notes of pi_daemon")
        return None
    live.gauges = {name: one for name, one in live.gauges.items() if name in MEASURES}
    return live


def _digest(agent: str, session: str) -> str:
    return blake2b(f"{agent}\n{session}".encode(), digest_size=16).hexdigest()
