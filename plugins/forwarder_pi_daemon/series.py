"""The values of all series: what was told so far, within limits, until nobody tells anything any more.

A series never changes: it is replaced once what changes it is on the disk. So a `Draft` costs nothing if it is not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from forwarder_pi_daemon.posted import Kind, Labels, Observation
from forwarder_pi_daemon.refusals import not_ingested

# Seconds, like those of the client libraries, and further: what agents wait for takes minutes.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

FORGOTTEN_AT_ONCE = 1000  # notes that one commit takes out; the next one goes on

OWN_FAMILIES: Mapping[str, Kind] = {
    "pi_daemon_requests_total": "counter",
    "pi_daemon_request_duration_seconds": "histogram",
    "pi_daemon_uptime_seconds": "gauge",
    "pi_daemon_memory_usage_bytes": "gauge",
}

Identity = tuple[str, Labels]


class Series(Struct, frozen=True, array_like=True, gc=False):
    """One name with one set of labels. `value` is the total, the level or the sum; `buckets` are not cumulative.

    `updated` is in seconds since 1970.
    """

    name: str
    kind: Kind
    labels: Labels
    value: float = 0.0
    count: int = 0
    buckets: tuple[int, ...] = ()
    updated: float = 0.0

    @property
    def identity(self) -> Identity:
        return self.name, self.labels

    @property
    def note_key(self) -> str:
        """Where it is noted: as short for many long labels as for none."""
        return blake2b(msgspec.json.encode(self.identity), digest_size=16).hexdigest()

    def told(self, one: Observation, now: float) -> Series:
        """The series after one more observation. Raises `Problem` where no number could say it."""
        value = one.value if one.op == "set" else self.value + one.value
        if not math.isfinite(value):
            raise not_ingested(f"{one.name} would be larger than any number", field=one.op)
        if self.kind in ("counter", "gauge"):
            return replace(self, value=value, updated=now)
        return replace(self, value=value, count=self.count + 1, buckets=self._with(one.value), updated=now)

    def _with(self, value: float) -> tuple[int, ...]:
        if self.kind != "histogram":
            return ()
        counts = list(self.buckets or (0,) * len(BUCKETS))
        if value <= BUCKETS[-1]:
            counts[bisect_left(BUCKETS, value)] += 1
        return tuple(counts)


def series_of(note: bytes) -> Series:
    """A series as it was noted. Raises ValueError for one that cannot go on."""
    series = msgspec.json.decode(note, type=Series)
    if series.kind == "histogram" and len(series.buckets) != len(BUCKETS):
        raise ValueError(f"{series.name} was counted in other buckets")
    return series


@dataclass(frozen=True)
class Limits:
    """How much there may be of everything."""

    max_names: int = 1000
    max_labels: int = 10
    max_series: int = 10_000
    retention_seconds: float = 3600.0


@dataclass
class Registry:
    """All series, those that were not told anything for the longest time first."""

    limits: Limits
    kinds: dict[str, Kind] = field(default_factory=dict[str, Kind])
    _series: OrderedDict[Identity, Series] = field(default_factory=OrderedDict[Identity, Series])
    _of_name: Counter[str] = field(default_factory=Counter[str])
    _shown: dict[str, str] = field(default_factory=dict[str, str])  # what samples are called, to whose they are
    _forgotten: dict[str, None] = field(default_factory=dict[str, None])  # keys of notes that are still on the disk

    def __post_init__(self) -> None:
        for name, kind in OWN_FAMILIES.items():
            self._shown |= dict.fromkeys(shown_as(name, kind), name)

    def __len__(self) -> int:
        return len(self._series)

    def get(self, identity: Identity) -> Series | None:
        return self._series.get(identity)

    def owner_of(self, shown: str) -> str | None:
        """The name whose samples are called so."""
        return self._shown.get(shown)

    def families(self) -> dict[str, list[Series]]:
        """All series by name, names and labels in order."""
        families: dict[str, list[Series]] = {name: [] for name in sorted(self.kinds)}
        for identity in sorted(self._series):
            families[identity[0]].append(self._series[identity])
        return families

    def keep(self, series: Series) -> None:
        """Replace a series by what it has become, or begin it."""
        identity = series.identity
        if identity not in self._series:
            self._of_name[series.name] += 1
            self.kinds[series.name] = series.kind
            self._shown |= dict.fromkeys(shown_as(series.name, series.kind), series.name)
        self._series[identity] = series
        self._series.move_to_end(identity)
        if self._forgotten:
            self._forgotten.pop(series.note_key, None)

    def expire(self, now: float) -> None:
        """Forget the series that were not told anything for too long."""
        while self._series:
            series = next(iter(self._series.values()))
            if now - series.updated < self.limits.retention_seconds:
                return
            self._drop(series)

    def forgotten(self) -> list[str]:
        """Keys of notes to be taken out with the next commit."""
        return list(islice(self._forgotten, FORGOTTEN_AT_ONCE))

    def are_forgotten(self, keys: list[str]) -> None:
        """The notes of these keys are gone."""
        for key in keys:
            self._forgotten.pop(key, None)

    def _drop(self, series: Series) -> None:
        del self._series[series.identity]
        self._forgotten[series.note_key] = None
        self._of_name[series.name] -= 1
        if not self._of_name[series.name]:
            del self._of_name[series.name], self.kinds[series.name]
            for shown in shown_as(series.name, series.kind):
                del self._shown[shown]


class Draft:
    """What a registry would become; `keep` makes it so."""

    def __init__(self, registry: Registry, now: float) -> None:
        self._registry = registry
        self._now = now
        self._changed: dict[Identity, Series] = {}
        self._kinds: dict[str, Kind] = {}
        self._shown: dict[str, str] = {}
        self._added = 0

    def add(self, one: Observation) -> None:
        """Take an observation in. Raises `Problem` where there is no place for it."""
        identity = (one.name, one.labels)
        series = self._changed.get(identity) or self._registry.get(identity)
        if series is not None and series.kind == one.kind:
            self._changed[identity] = series.told(one, self._now)
            return
        self._check(one)
        self._changed[identity] = Series(one.name, one.kind, one.labels).told(one, self._now)
        self._kinds.setdefault(one.name, one.kind)
        self._shown |= dict.fromkeys(shown_as(one.name, one.kind), one.name)
        self._added += 1

    def changed(self) -> Iterator[Series]:
        yield from self._changed.values()

    def keep(self) -> None:
        for series in self._changed.values():
            self._registry.keep(series)

    def _check(self, one: Observation) -> None:
        """Whether there is room for a series that nobody has told of."""
        limits, known = self._registry.limits, self._kind_of(one.name)
        if known not in (None, one.kind):
            raise not_ingested(f"{one.name} is a {known}, not a {one.kind}", field="type")
        if len(one.labels) > limits.max_labels:
            raise not_ingested(f"{len(one.labels)} labels, more than {limits.max_labels}", field="labels")
        if known is None:
            self._check_name(one)
        if len(self._registry) + self._added >= limits.max_series:
            raise not_ingested(f"there are {limits.max_series} series already: use fewer values of labels")

    def _check_name(self, one: Observation) -> None:
        for shown in shown_as(one.name, one.kind):
            owner = self._registry.owner_of(shown) or self._shown.get(shown)
            if owner is not None:
                raise not_ingested(f"{one.name} cannot be told beside {owner}: both have {shown}", field="name")
        new = sum(name not in self._registry.kinds for name in self._kinds)
        if len(self._registry.kinds) + new >= self._registry.limits.max_names:
            raise not_ingested(f"there are {self._registry.limits.max_names} names already", field="name")

    def _kind_of(self, name: str) -> Kind | None:
        return self._registry.kinds.get(name) or self._kinds.get(name)


def shown_as(name: str, kind: Kind) -> tuple[str, ...]:
    """What the samples of a name are called in the exposition, the name itself included."""
    match kind:
        case "histogram":
            return name, f"{name}_bucket", f"{name}_sum", f"{name}_count"
        case "summary":
            return name, f"{name}_sum", f"{name}_count"
        case _:
            return (name,)
