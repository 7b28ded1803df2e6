"""The values that series have, and how they grow. All are immutable: what is exposed may be read beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct, field

MAX_LABEL_CHARS = 120  # names of models and tools are shorter; of a label bomb this is what is left
OTHER = "other"
EMPTY = "unknown"
PLACES = 9  # decimals of money and durations: rounding to them takes the error out that adding floats up leaves

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name, then its labels, sorted."""


class Total(Struct, frozen=True, tag=True, gc=False):
    """A counter."""

    value: float = 0.0

    def plus(self, amount: float) -> Total:
        return Total(round(self.value + amount, PLACES))


class Newest(Struct, frozen=True, tag=True, gc=False):
    """A gauge, and when it was read, in Unix time."""

    value: float
    time: float


class Spread(Struct, frozen=True, tag=True):
    """A histogram; `counts` by the upper bound of the bucket, as text, each without those below, the empty left out."""

    sum: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict[str, int])

    def plus(self, amount: float, bounds: tuple[float, ...]) -> Spread:
        bound = str(next(bound for bound in bounds if amount <= bound))
        counts = {**self.counts, bound: self.counts.get(bound, 0) + 1}
        return Spread(round(self.sum + amount, PLACES), counts)

    def up_to(self, bound: float) -> int:
        """How many were at most that; right for bounds of an earlier release, too, as far as those can tell."""
        return sum(count for upper, count in self.counts.items() if float(upper) <= bound or math.isinf(bound))


Value = Total | Newest | Spread


def label_value(text: str) -> str:
    """What may stand in a label: one line that can be shown, not empty, not long."""
    shown = text.strip()
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else "\ufffd" for char in shown)
    if len(shown) > MAX_LABEL_CHARS:
        return shown[: MAX_LABEL_CHARS - 1] + "…"
    return shown or EMPTY


def key_of(name: str, labels: Mapping[str, str]) -> Key:
    return name, tuple(sorted((label, label_value(value)) for label, value in labels.items()))


def other(key: Key) -> Key:
    """The series that takes what a metric has no room for."""
    name, labels = key
    return name, tuple((label, OTHER) for label, _ in labels)
