"""The checks for source authors find what they promise to find: each broken source below breaks one promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from forwarder import BadRecord, Event, Notification, Record, Session, Source
from forwarder.testing import check_source, read_lines

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SAMPLE = b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'


@dataclass
class Total:
    """The sum so far, and where the file lies."""

    value: int = 0
    path: str = ""


@dataclass(frozen=True)
class Adder(Source[Total]):
    """Each line holds a number, each event the sum so far."""

    def patterns(self) -> list[str]:
        return ["~/.adder/*.jsonl"]

    def new_state(self, path: Path) -> Total:
        return Total(path=str(path))

    def map(self, record: Record, state: Total) -> Iterator[Event]:
        state.value += record.json()["n"]
        yield self.event(record, state)

    def event(self, record: Record, state: Total) -> Event:
        return Notification(
            key=("adder", record.offset),
            time=NOON,
            session=Session(agent="adder", id="s"),
            kind="sum",
            message=str(state.value),
        )


def messages(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notification)]


def test_lines_are_read_as_one_file() -> None:
    """One state over all of them, and offsets as in the file."""
    events = read_lines(Adder(), '{"n": 1}', b'{"n": 2}')

    assert messages(events) == ["1", "3"]
    assert [event.key for event in events] == [("adder", 0), ("adder", 9)]


def test_what_map_raises_is_raised() -> None:
    """A test can ask for it."""
    with pytest.raises(BadRecord):
        read_lines(Adder(), "{")


def test_a_sound_source_passes() -> None:
    """And its events are handed back."""
    assert messages(check_source(Adder(), SAMPLE)) == ["1", "3", "6"]


@pytest.mark.parametrize("stride", [2, 3, 50])
def test_a_large_sample_can_be_cut_less_often(stride: int) -> None:
    """The events are the same."""
    assert messages(check_source(Adder(), SAMPLE, stride=stride)) == ["1", "3", "6"]


def test_a_sample_can_be_a_file(tmp_path: Path) -> None:
    """Its name is what the source is told; a last line without newline counts."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(SAMPLE.removesuffix(b"\n"))

    assert messages(check_source(Adder(), path)) == ["1", "3", "6"]


def test_a_refused_record_costs_only_itself() -> None:
    """As in the engine, the state is put back and the next record is mapped."""
    assert messages(check_source(Adder(), SAMPLE + b'{"m": 1}\n{"n": 4}\n')) == ["1", "3", "6", "10"]


@dataclass(frozen=True)
class Forgetful(Adder):
    """Keeps the sum where no checkpoint sees it."""

    sums: dict[str, int] = field(default_factory=dict[str, int])

    def map(self, record: Record, state: Total) -> Iterator[Event]:
        self.sums["now"] = self.sums.get("now", 0) + record.json()["n"]
        state.value = self.sums["now"]
        yield self.event(record, state)


@dataclass(frozen=True)
class Random(Adder):
    """Draws its keys."""

    numbers: count[int] = field(default_factory=count)

    def event(self, record: Record, state: Total) -> Event:
        return Notification(
            key=(next(self.numbers),), time=NOON, session=Session(agent="a", id="s"), kind="sum", message=""
        )


@dataclass(frozen=True)
class Lenient(Adder):
    """Skips what it cannot read."""

    def map(self, record: Record, state: Total) -> Iterator[Event]:
        try:
            yield from super().map(record, state)
        except BadRecord:
            return


@dataclass(frozen=True)
class Homely(Adder):
    """Puts the file's path into its keys."""

    def event(self, record: Record, state: Total) -> Event:
        session = Session(agent="adder", id="s")
        return Notification(key=(state.path, record.offset), time=NOON, session=session, kind="sum", message="")


@dataclass(frozen=True)
class Keyless(Adder):
    """Has no keys."""

    def event(self, record: Record, state: Total) -> Event:
        return Notification(key=(), time=NOON, session=Session(agent="adder", id="s"), kind="sum", message="")


@dataclass(frozen=True)
class Zoneless(Adder):
    """Has times that could be anywhere."""

    def event(self, record: Record, state: Total) -> Event:
        time = NOON.replace(tzinfo=None)
        return Notification(key=(1,), time=time, session=Session(agent="adder", id="s"), kind="sum", message="")


@dataclass(frozen=True)
class Amnesiac(Adder):
    """Tells one event less whenever it goes on from a checkpoint."""

    runs: dict[int, int] = field(default_factory=dict[int, int])

    def map(self, record: Record, state: Total) -> Iterator[Event]:
        record.json()
        self.runs[record.offset] = self.runs.get(record.offset, 0) + 1
        if self.runs[record.offset] == 1:
            yield self.event(record, state)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Forgetful, "cut at byte 0 the events are not the same"),
        (Random, "cut at byte 0 the events are not the same"),
        (Amnesiac, "1 events became 0"),
        (Lenient, "byte 0: the line without its last byte is skipped silently"),
        (Homely, "depend on the folder"),
        (Keyless, "empty key"),
        (Zoneless, "without a zone"),
    ],
)
def test_a_broken_promise_is_found(broken: Callable[[], Adder], complaint: str) -> None:
    """With the place where it was broken."""
    with pytest.raises(AssertionError, match=complaint):
        check_source(broken(), SAMPLE)


def test_a_sample_without_records_checks_nothing() -> None:
    """And says so."""
    with pytest.raises(AssertionError, match="no records"):
        check_source(Adder(), b"\n\n")
