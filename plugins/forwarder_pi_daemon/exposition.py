"""Series in Prometheus' text format, version 0.0.4.

Written here, since names stay as they were posted: prometheus-client appends ``_total`` to a counter's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from forwarder_pi_daemon.posted import Kind, Labels
from forwarder_pi_daemon.series import BUCKETS, Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def family(name: str, kind: Kind, series: Iterable[Series], *, is_begun: bool = False) -> Iterator[str]:
    """All lines of a name; those of the samples alone where it is begun."""
    if not is_begun:
        yield f"# HELP {name} {kind.capitalize()} metric: {name}"
        yield f"# TYPE {name} {kind}"
    for one in series:
        yield from _samples(one)


def _samples(one: Series) -> Iterator[str]:
    if one.kind in ("counter", "gauge"):
        yield _sample(one.name, one.labels, one.value)
        return
    if one.kind == "histogram":
        for limit, count in zip(BUCKETS, accumulate(one.buckets), strict=True):
            yield _sample(f"{one.name}_bucket", one.labels, count, le=number(limit))
        yield _sample(f"{one.name}_bucket", one.labels, one.count, le="+Inf")
    yield _sample(f"{one.name}_sum", one.labels, one.value)
    yield _sample(f"{one.name}_count", one.labels, one.count)


def _sample(name: str, labels: Labels, value: float, **more: str) -> str:
    pairs = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in (*labels, *more.items()))
    return f"{name}{{{pairs}}} {number(value)}" if pairs else f"{name} {number(value)}"


def number(value: float) -> str:
    """Whole numbers without a point, as JavaScript writes them."""
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))


def text_of(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def counters(name: str, values: Mapping[Labels, float], kind: Kind = "counter") -> Iterator[str]:
    """The lines of a counter or gauge of our own."""
    yield from family(name, kind, (Series(name, kind, labels, value) for labels, value in sorted(values.items())))
