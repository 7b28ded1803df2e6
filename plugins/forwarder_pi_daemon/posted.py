"""What one posted metric says, checked: names, labels, values and times."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from forwarder_pi_daemon.refusals import invalid, not_ingested
from forwarder_pi_daemon.settings import parted

Kind = Literal["counter", "gauge", "histogram", "summary"]
Op = Literal["increment", "set", "delta", "observe"]
Labels = tuple[tuple[str, str], ...]

OPS: Mapping[Kind, tuple[Op, ...]] = {
    "counter": ("increment",),
    "gauge": ("set", "delta"),
    "histogram": ("observe",),
    "summary": ("observe",),
}
RESERVED_LABEL = {"histogram": "le", "summary": "quantile"}  # the exposition's own

LONGEST_NAME = 200  # characters of a metric's or a label's name; those of the extension have at most 30
LONGEST_VALUE = 1000  # characters of a label's value: an id or a path, not a text
KNOWN = 4096  # names, and sets of labels, that are remembered
LATEST_MS = 253402300799999  # the end of the year 9999, after which no calendar here goes on

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z0-9_]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Milliseconds = Annotated[float, Meta(ge=0, le=LATEST_MS)]


class Posted(Struct):
    """One metric as it is posted. All four values are known of every type, so that a wrong one can be named."""

    name: str
    type: Kind
    labels: dict[str, str] | UnsetType = UNSET
    timestamp: Milliseconds | UnsetType = UNSET
    increment: float | UnsetType = UNSET
    set: float | UnsetType = UNSET
    delta: float | UnsetType = UNSET
    observe: float | UnsetType = UNSET


class Observation(NamedTuple):
    """One metric that can be counted. `told` are its labels as they came, `labels` such as they may be kept, by name.

    `time` is None where the client told none.
    """

    name: str
    kind: Kind
    op: Op
    value: float
    told: dict[str, str]
    labels: Labels
    time: datetime | None


class _LabelSet(NamedTuple):
    """Labels as they came, and, sorted by name, such as they may be kept."""

    told: dict[str, str]
    kept: Labels


NO_LABELS = _LabelSet({}, ())


@dataclass
class Reader:
    """Reads metrics. Names and labels come again and again: those that were looked at are known."""

    _names: set[str] = field(default_factory=set[str])
    _labels: dict[tuple[Kind, Labels], _LabelSet] = field(default_factory=dict[tuple[Kind, Labels], _LabelSet])

    def read(self, metric: object, clean: Callable[[str], str]) -> Observation:
        """What a metric says; `clean` makes a text such as it may be kept. Raises `Problem`."""
        try:
            posted = msgspec.convert(metric, Posted)
        except msgspec.ValidationError as error:
            problem, where = parted(error)
            raise invalid(f"{where or 'the metric'}: {problem}", field=where) from error
        if posted.name not in self._names:
            self._look_at_name(posted.name, clean)
        op, value = _value(posted)
        labels = self._label_set(posted, clean)
        time = None if posted.timestamp is UNSET else _EPOCH + timedelta(milliseconds=posted.timestamp)
        return Observation(posted.name, posted.type, op, value, labels.told, labels.kept, time)

    def _look_at_name(self, name: str, clean: Callable[[str], str]) -> None:
        if len(name) > LONGEST_NAME:
            raise not_ingested(f"name has {len(name)} characters, more than {LONGEST_NAME}", field="name")
        if not _NAME.fullmatch(name):
            raise invalid("name wants letters, digits, _ and :, and no digit at its beginning", field="name")
        if clean(name) != name:
            raise invalid("name holds a secret, or what is never shown", field="name")
        if len(self._names) >= KNOWN:
            self._names.clear()
        self._names.add(name)

    def _label_set(self, posted: Posted, clean: Callable[[str], str]) -> _LabelSet:
        if posted.labels is UNSET:
            return NO_LABELS
        key = (posted.type, tuple(posted.labels.items()))
        if (known := self._labels.get(key)) is not None:
            return known
        told = _labels(posted.labels, posted.type, clean)
        labels = _LabelSet(told, tuple(sorted((name, _kept(name, text, clean)) for name, text in told.items())))
        if len(self._labels) >= KNOWN:
            self._labels.clear()
        if sum(map(len, told.values())) <= LONGEST_VALUE:
            self._labels[key] = labels
        return labels


def name_of(metric: object, clean: Callable[[str], str]) -> str:
    """The name of a metric that may be anything, for the list of those that were refused."""
    name = metric.get("name") if isinstance(metric, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return clean(name)[:LONGEST_NAME] if isinstance(name, str) else ""


def _kept(name: str, text: str, clean: Callable[[str], str]) -> str:
    """A label's value such as it may be kept; its name may be what says that it is a secret, like ``password``."""
    before, cleaned = f'{name}="', clean(text)
    pair = clean(f'{before}{cleaned}"')
    return cleaned if pair == f'{before}{cleaned}"' else pair.removeprefix(before).removesuffix('"')


def _value(posted: Posted) -> tuple[Op, float]:
    allowed = OPS[posted.type]
    told: list[tuple[Op, float]] = [(op, value) for op, value in _values(posted) if value is not UNSET]
    if foreign := [op for op, _ in told if op not in allowed]:
        raise invalid(f"a {posted.type} takes {' or '.join(allowed)}, not {foreign[0]}", field=foreign[0])
    if len(told) > 1:
        raise invalid("a gauge takes set or delta, not both", field="delta")
    if not told and posted.type != "counter":
        raise invalid(f"a {posted.type} wants {' or '.join(allowed)}", field=allowed[0])
    op, value = told[0] if told else ("increment", 1.0)
    if op == "increment" and value < 0:
        raise invalid("a counter never falls: increment wants 0 or more", field=op)
    return op, value


def _values(posted: Posted) -> tuple[tuple[Op, float | UnsetType], ...]:
    return (
        ("increment", posted.increment),
        ("set", posted.set),
        ("delta", posted.delta),
        ("observe", posted.observe),
    )


def _labels(labels: Mapping[str, str], kind: Kind, clean: Callable[[str], str]) -> dict[str, str]:
    """The labels under names that can be exposed: one that begins with a digit gets an underscore before it."""
    told: dict[str, str] = {}
    for name, value in labels.items():
        if len(name) <= LONGEST_NAME and clean(name) != name:
            raise invalid("a label's name holds a secret, or what is never shown", field="labels")
        _check_label(name, value, kind)
        shown = f"_{name}" if name[0].isdigit() else name
        if shown in told:
            raise invalid(f"two labels would be {shown}", field="labels")
        told[shown] = value
    return told


def _check_label(name: str, value: str, kind: Kind) -> None:
    if len(name) > LONGEST_NAME:
        raise not_ingested(f"a label's name has {len(name)} characters, more than {LONGEST_NAME}", field="labels")
    if not _LABEL_NAME.fullmatch(name):
        raise invalid("a label's name wants letters, digits and _", field="labels")
    if name.startswith("__") or name == RESERVED_LABEL.get(kind):
        raise invalid(f"the label {name} is reserved for Prometheus itself", field=f"labels.{name}")
    if len(value) > LONGEST_VALUE:
        raise not_ingested(
            f"the label {name} has {len(value)} characters, more than {LONGEST_VALUE}", field=f"labels.{name}"
        )
