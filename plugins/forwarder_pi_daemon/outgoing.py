"""Which metrics a batch of events comes to, in the daemon's own form."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from forwarder import Measure, measures
from forwarder_pi_daemon.sessions import Sessions

MAX_LABELS = 9  # the daemon's `maxLabelCount` is 10, and does not say whether that many are too many
MAX_NAMES = 1000  # the daemon's `maxMetricNames`

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z0-9_]+")
_FIELDS = {"counter": "increment", "gauge": "set", "histogram": "observe"}


class Outgoing(NamedTuple):
    """One metric as it is posted; `event` is the id of the event that it comes from."""

    event: str
    form: dict[str, Any]


@dataclass
class Told:
    """What a batch comes to. `refused` are the events that no metric can be made of, each with the reason."""

    metrics: list[Outgoing] = field(default_factory=list[Outgoing])
    refused: dict[str, str] = field(default_factory=dict[str, str])


class Teller:
    """Makes metrics of events. `names` are those that were made since the start."""

    def __init__(self, sessions: Sessions, *, has_session_label: bool, has_posted_metrics: bool) -> None:
        """With `has_posted_metrics` those that receivers took are posted on."""
        self._sessions = sessions
        self._has_posted_metrics = has_posted_metrics
        self._has_session_label = has_session_label
        self.names: set[str] = set()

    def tell(self, events: Iterable[Mapping[str, Any]], *, now: float) -> Told:
        """Counters and observations in the order of their events, then what the gauges have come to."""
        told, gauges, last = Told(), dict[tuple[str, str], Outgoing](), ""
        for event in events:
            last = event["id"]
            try:
                found = list(self._of(event, now))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                told.refused[last] = f"no metric can be made of it: {type(error).__name__}: {error}"
                continue
            for one in found:
                if "set" in one and event["type"] != "metric":  # those may be told by deltas between
                    gauges[one["name"], repr(sorted(one["labels"].items()))] = Outgoing(last, one)
                else:
                    told.metrics.append(Outgoing(last, one))
        if last:
            self._sessions.forget_silent(now)
            for (name, labels), value in self._sessions.touched():
                form = {"name": name, "type": "gauge", "labels": dict(labels), "set": value}
                gauges[name, repr(list(labels))] = Outgoing(last, form)
        told.metrics += gauges.values()
        return told

    def _of(self, event: Mapping[str, Any], now: float) -> Iterator[dict[str, Any]]:
        if event["type"] == "metric":
            if self._has_posted_metrics:
                yield self._checked(_as_it_came(event))
            return
        found = [self._labelled(one) for one in measures(event)]
        for one in found:
            if one.combine == "last":
                form = {"name": one.name, "type": one.kind, "labels": one.labels, _FIELDS[one.kind]: one.value}
                yield self._checked(form)
        # A clock that is ahead may not make its value the newest for ever.
        time = min(datetime.fromisoformat(event["time"]).timestamp(), now)
        self._sessions.tell(event, [one for one in found if one.combine != "last"], time=time)

    def _labelled(self, measure: Measure) -> Measure:
        if not (self._has_session_label and measure.session):
            return measure
        return measure._replace(labels={**measure.labels, "session": measure.session})

    def _checked(self, form: dict[str, Any]) -> dict[str, Any]:
        """Raises ValueError for what the daemon refuses."""
        value = next(form[name] for name in ("increment", "set", "delta", "observe") if name in form)
        if not math.isfinite(value) or ("increment" in form and value < 0):
            raise ValueError(f"{form['name']} cannot take {value!r}")
        if len(form["labels"]) > MAX_LABELS:
            raise ValueError(f"{form['name']} has {len(form['labels'])} labels, more than {MAX_LABELS}")
        if form["name"] not in self.names and len(self.names) >= MAX_NAMES:
            raise ValueError(f"{form['name']} is one name more than the {MAX_NAMES} that a daemon takes")
        self.names.add(form["name"])
        return form


def _as_it_came(event: Mapping[str, Any]) -> dict[str, Any]:
    """What was posted to a receiver as a metric, such as the daemon takes it."""
    name, labels = event["name"], {_label(key): value for key, value in event["labels"].items()}
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a metric")
    return {"name": name, "type": event["kind"], "labels": labels, event["op"]: event["value"]}


def _label(key: str) -> str:
    """The daemon allows a digit in front, Prometheus, which reads the daemon, does not."""
    if not _LABEL.fullmatch(key):
        raise ValueError(f"{key!r} is no name of a label")
    return f"_{key}" if key[0].isdigit() else key
