"""Series in the text formats of metrics, made by the formats' own library."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from forwarder import MissingExtra
from forwarder_prometheus.metrics import HELP, bounds_of, type_of
from forwarder_prometheus.series import Key, Spread

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: Mapping[Format, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
_MEDIA: Mapping[str, Format] = {"text/plain": "text", "application/openmetrics-text": "openmetrics"}


def need_library() -> None:
    """Raises `MissingExtra` when the configuration is read, not at the first event."""
    if find_spec("prometheus_client") is None:
        raise MissingExtra("metrics for Prometheus", extra="prometheus")


def rendered(series: Mapping[Key, float | Spread], form: Format, *, without: Collection[str] = ()) -> bytes:
    """All series but those of the metrics left out. No timestamps, which a Pushgateway refuses, and no ``_created``,
    which would be a series beside each: what the counters begin with is what was noted, not a moment of this process.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    class Collected(Collector):
        def collect(self) -> Iterator[Metric]:
            return _families(item for item in sorted(series.items(), key=_by_key) if item[0][0] not in without)

    registry = CollectorRegistry()
    registry.register(Collected())
    encode, _ = choose_encoder(CONTENT_TYPES[form])
    return encode(registry)


def wanted(accept: str) -> Format:
    """The format that an ``Accept`` header prefers; the old one unless OpenMetrics is asked for by name."""
    weights: dict[Format, float] = {"openmetrics": 0.0, "text": 0.0}
    for one in accept.lower().split(","):
        media, *parameters = (part.strip() for part in one.split(";"))
        if form := _MEDIA.get(media):
            weights[form] = max(weights[form], _weight(parameters))
    return "openmetrics" if weights["openmetrics"] > 0 and weights["openmetrics"] >= weights["text"] else "text"


def _weight(parameters: Iterable[str]) -> float:
    for one in parameters:
        name, _, value = one.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _by_key(item: tuple[Key, float | Spread]) -> Key:
    return item[0]


def _families(series: Iterable[tuple[Key, float | Spread]]) -> Iterator[Metric]:
    from prometheus_client.core import Metric

    for name, items in groupby(series, key=lambda item: item[0][0]):
        kind = type_of(name)
        family = Metric(name.removesuffix("_total") if kind == "counter" else name, HELP[name], kind)
        for (_, labels), value in items:
            if isinstance(value, Spread):
                _add_spread(family, dict(labels), value)
            else:
                family.add_sample(name, dict(labels), value)
        yield family


def _add_spread(family: Metric, labels: dict[str, str], value: Spread) -> None:
    bounds = bounds_of(family.name)
    for bound in bounds:
        family.add_sample(
            f"{family.name}_bucket", {**labels, "le": "+Inf" if math.isinf(bound) else str(bound)}, value.up_to(bound)
        )
    family.add_sample(f"{family.name}_count", labels, value.up_to(bounds[-1]))
    family.add_sample(f"{family.name}_sum", labels, value.sum)
