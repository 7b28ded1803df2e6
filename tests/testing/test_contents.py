"""The checks for authors of state files find what they promise to find: each broken source below breaks one promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from forwarder import BadRecord, Event, Expectation, Notification, Quiet, Record, Session, Source, Vanished
from forwarder.testing import check_source, read_contents

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
GONE = Vanished(NOON + timedelta(minutes=1))
SAMPLE: list[bytes | str | Vanished | Quiet] = [
    '{"pid": 7, "light": {"is": "red"}}',
    b'{"pid": 7, "light": {"is": "green"}}\n',
    '{"pid": 7, "light": {"is": "green"}, "ticks": 1}',
    Quiet(10, is_alive=True),
    GONE,
]


@dataclass
class Lamp:
    """The light as it was read last, how often it has changed, and where the file lies."""

    path: str
    light: str = ""
    changes: int = 0


@dataclass(frozen=True)
class Lamps(Source[Lamp]):
    """A state file tells each change of its light, and that it went out when the file is gone."""

    def patterns(self) -> list[str]:
        return ["~/.lamps/*.json"]

    def is_whole(self, path: Path) -> bool:
        return path.suffix == ".json"

    def new_state(self, path: Path) -> Lamp:
        return Lamp(str(path))

    def map(self, record: Record, state: Lamp) -> Iterator[Event]:
        match record.notice:
            case Vanished(at=at):
                yield from self.changed(state, "out", at)
            case Quiet():
                pass
            case None:
                yield from self.changed(state, record.json()["light"]["is"], record.read_at)

    def changed(self, state: Lamp, light: str, time: datetime) -> Iterator[Event]:
        if light != state.light:
            state.light, state.changes = light, state.changes + 1
            yield self.event(state, time)

    def event(self, state: Lamp, time: datetime) -> Event:
        return Notification(
            key=(state.changes,), time=time, session=Session(agent="lamps", id="s"), kind="light", message=state.light
        )

    def expects(self, state: Lamp) -> Expectation | None:
        return Expectation(quiet_seconds=10, pid=7) if state.light not in {"", "out"} else None


def told(events: Sequence[Event]) -> list[tuple[str, datetime]]:
    return [(event.message, event.time) for event in events if isinstance(event, Notification)]


def lights(events: Sequence[Event]) -> list[str]:
    return [message for message, _ in told(events)]


def test_contents_are_read_as_one_file() -> None:
    """One state over all of them, a second apart; notices tell of the file, not of what is in it."""
    events = read_contents(Lamps(), *SAMPLE)

    assert told(events) == [("red", NOON), ("green", NOON + timedelta(seconds=1)), ("out", GONE.at)]


def test_a_test_may_say_when_contents_were_read() -> None:
    """For sources that compare their agent's clock with ours."""
    times = [NOON, NOON + timedelta(hours=1)]

    assert told(read_contents(Lamps(), *SAMPLE[:2], read_at=times)) == [("red", times[0]), ("green", times[1])]


def test_what_map_raises_is_raised() -> None:
    """A test can ask for it."""
    with pytest.raises(BadRecord):
        read_contents(Lamps(), '{"pid": 7')


def test_a_sound_source_passes() -> None:
    """And its events are handed back."""
    assert lights(check_source(Lamps(), SAMPLE)) == ["red", "green", "out"]


def test_a_refused_content_costs_only_itself() -> None:
    """As in the engine, the state is put back and the next content is mapped."""
    assert lights(check_source(Lamps(), [*SAMPLE[:1], '{"lite": 1}', *SAMPLE[1:]])) == ["red", "green", "out"]


def test_a_sample_can_be_a_folder_or_a_single_file(tmp_path: Path) -> None:
    """A folder holds what was recorded of one file, in the order of the names."""
    for number, content in enumerate(('{"light": {"is": "red"}}', '{"light": {"is": "blue"}}')):
        (tmp_path / f"{number}.json").write_text(content)

    assert lights(check_source(Lamps(), tmp_path)) == ["red", "blue"]
    assert lights(check_source(Lamps(), tmp_path / "1.json")) == ["blue"]


@dataclass(frozen=True)
class Forgetful(Lamps):
    """Keeps the light where no checkpoint sees it."""

    last: list[str] = field(default_factory=list[str])

    def changed(self, state: Lamp, light: str, time: datetime) -> Iterator[Event]:
        if light not in self.last:
            self.last.append(light)
            yield self.event(state, time)


@dataclass(frozen=True)
class Lenient(Lamps):
    """Skips what it cannot read."""

    def map(self, record: Record, state: Lamp) -> Iterator[Event]:
        try:
            yield from super().map(record, state)
        except BadRecord:
            return


@dataclass(frozen=True)
class Repeating(Lamps):
    """Tells of every content as if it were a change."""

    def changed(self, state: Lamp, light: str, time: datetime) -> Iterator[Event]:
        state.light, state.changes = light, state.changes + 1
        yield self.event(state, time)


@dataclass(frozen=True)
class Homely(Lamps):
    """Puts the file's path into its keys."""

    def event(self, state: Lamp, time: datetime) -> Event:
        session = Session(agent="lamps", id="s")
        return Notification(
            key=(state.path, state.changes), time=time, session=session, kind="light", message=state.light
        )


@dataclass(frozen=True)
class Counting(Lamps):
    """Counts in its state how often it is asked."""

    def expects(self, state: Lamp) -> Expectation | None:
        state.changes += 1
        return None


@dataclass(frozen=True)
class Moody(Lamps):
    """Expects something else each time."""

    numbers: count[int] = field(default_factory=lambda: count(1))

    def expects(self, state: Lamp) -> Expectation | None:
        return Expectation(quiet_seconds=next(self.numbers))


@dataclass(frozen=True)
class Impatient(Lamps):
    """Wants to be told without a pause."""

    def expects(self, state: Lamp) -> Expectation | None:
        return Expectation(quiet_seconds=0)


@dataclass(frozen=True)
class Hasty(Lamps):
    """Takes every silence for the end, that of a forwarder which has just started too."""

    def map(self, record: Record, state: Lamp) -> Iterator[Event]:
        if isinstance(record.notice, Quiet):
            yield from self.changed(state, "out", record.read_at)
        else:
            yield from super().map(record, state)


@dataclass(frozen=True)
class Trusting(Lamps):
    """Believes that somebody always knows whether a process lives."""

    def map(self, record: Record, state: Lamp) -> Iterator[Event]:
        if isinstance(record.notice, Quiet) and record.notice.seconds:
            assert record.notice.is_alive is not None
        yield from super().map(record, state)


@dataclass(frozen=True)
class Unasking(Lamps):
    """Knows what a notice means, and never says that it wants any."""

    def expects(self, state: Lamp) -> Expectation | None:
        return None


@dataclass(frozen=True)
class Coarse(Lamps):
    """Takes all that one process says for the same."""

    def gist(self, record: Record) -> object:
        return record.json()["pid"]


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Forgetful, "cut at content 1 the events are not the same"),
        (Lenient, "content 1: the content without its last byte is taken for a content"),
        (Repeating, "content 1: read again it tells"),
        (Homely, "depend on the folder"),
        (Counting, "before the first content `expects` has changed the state"),
        (Moody, "`expects` does not say the same"),
        (Impatient, "after 0 s of silence"),
        (Hasty, r"content 1: a start of the forwarder behind it .* tells"),
        (Trusting, r"content 1: Quiet\(seconds=10, is_alive=None\) behind it is refused"),
        (Coarse, "contents of one gist are not the same"),
        (Unasking, "Quiet 4 would never be told"),
    ],
)
def test_a_broken_promise_is_found(broken: Callable[[], Lamps], complaint: str) -> None:
    """With the content behind which it was broken."""
    with pytest.raises(AssertionError, match=complaint):
        check_source(broken(), SAMPLE)


@dataclass(frozen=True)
class Terse(Lamps):
    """Its gist is the light; what has none is not compared."""

    def gist(self, record: Record) -> object:
        return record.json()["light"]["is"]


def test_a_gist_that_holds_all_that_matters_passes() -> None:
    """Whatever else changes; a content that is refused has none."""
    sample = [*SAMPLE[:3], '{"lite": 1}', SAMPLE[2], *SAMPLE[3:4], *SAMPLE[1:3], GONE]

    assert lights(check_source(Terse(), sample)) == ["red", "green", "out"]


@dataclass(frozen=True)
class Nesting(Lamps):
    """Mends what looks cut, and so takes an older or a shorter content for the file's."""

    def map(self, record: Record, state: Lamp) -> Iterator[Event]:
        inner = record.line.count(b"{") - record.line.count(b"}")
        if record.line.endswith(b"}") and inner == 1:
            record.line += b"}"
        yield from super().map(record, state)


def test_a_content_that_was_cut_behind_a_bracket_is_torn() -> None:
    """The engine waits for a closing bracket, and cannot know which one it is."""
    with pytest.raises(AssertionError, match="the content up to an inner bracket is taken"):
        check_source(Nesting(), ['{"light": {"is": "red"}, "pid": 7}'])


@pytest.mark.parametrize(
    ("sample", "complaint"), [([], "no contents"), (["{}", "{}"], "`is_whole` is not true of a.jsonl")]
)
def test_a_sample_that_cannot_be_checked_is_no_success(sample: list[str], complaint: str) -> None:
    """And says why."""
    with pytest.raises(AssertionError, match=complaint):
        check_source(Lamps(), sample, path=Path("a.json" if not sample else "a.jsonl"))
