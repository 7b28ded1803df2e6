"""Checks for sources of state files: contents and notices in, events out, and what `expects` promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from forwarder.events import Event
from forwarder.source import Expectation, Quiet, Record, Source, Vanished
from forwarder.testing.promises import check_cuts, check_elsewhere, check_events, copied, difference, is_refused, mapped

State = TypeVar("State")
Content = bytes | str | Vanished | Quiet

STATE_FILE = Path("sample.json")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Fact = tuple[type[Event], tuple[Any, ...]]


def read_contents(
    source: Source[State], *contents: Content, path: Path = STATE_FILE, read_at: Sequence[datetime] = ()
) -> list[Event]:
    """The events of a file at `path` that is one record, and held these contents one after the other.

    A `Vanished` or a `Quiet` among them is what the engine would tell at that moment. `read_at` says when each of them
    was read, by our own clock; without it they are read a second apart. What `map` raises is raised here.
    """
    state = source.new_state(path)
    return [event for record in content_records(contents, read_at) for event in source.map(record, state)]


def content_records(contents: Sequence[Content], read_at: Sequence[datetime] = ()) -> list[Record]:
    """The records of the contents as the engine makes them; of a notice, with the digest of the content before it."""
    records: list[Record] = []
    times = read_at or [NOON + timedelta(seconds=number) for number in range(len(contents))]
    for content, time in zip(contents, times, strict=True):
        first_line = records[-1].first_line if records else bytes(16)
        if isinstance(content, (Vanished, Quiet)):
            records.append(Record(b"", 0, 0, first_line, read_at=time, notice=content))
        else:
            records.append(_read(content.encode() if isinstance(content, str) else content, time))
    return records


def check_contents(source: Source[Any], records: Sequence[Record], path: Path) -> list[Event]:
    """What `check_source` does with a file that is one record; see there."""
    events = check_cuts(source, records, path, stride=1, place=lambda number: _place(records, number))
    check_events(events)
    state, told = source.new_state(path), set[Fact]()
    _check_expectation(source, state, "before the first content")
    for number, record in enumerate(records):
        place = _place(records, number)
        if record.notice is None:
            _check_torn(source, record, state, place)
        elif record.notice != _RESTART:
            is_expected = source.expects(copied(state)) is not None
            assert is_expected, f"{place} would never be told: `expects` says None there"
        piece, state = mapped(source, [record], state)
        told.update(map(_fact, piece))
        _check_expectation(source, state, f"behind {place}")
        _check_said_before(source, record, state, told, place)
        _check_notices(source, record, state, told, place)
    check_elsewhere(source, records, path, events)
    thinned, _ = mapped(source, list(_thinned(source, records)), source.new_state(path))
    assert thinned == events, f"contents of one gist are not the same: {difference(events, thinned)}"
    return events


def _thinned(source: Source[Any], records: Sequence[Record]) -> Iterator[Record]:
    """What is left for `map`: of contents that have one gist, with no notice between, the first and the last."""
    gist, kept = None, list[Record]()
    for record in records:
        before, gist = gist, _gist(source, record) if record.notice is None else None
        if gist is not None and gist == before:
            kept = [record]
            continue
        yield from (*kept, record)
        kept = []
    yield from kept


def _gist(source: Source[Any], record: Record) -> object:
    try:
        return source.gist(record)
    except Exception:  # noqa: BLE001 - as in the engine: `map` will say what is wrong with the record
        return None


_RESTART = Quiet(seconds=0.0)  # told of every known file when the forwarder starts


def _check_torn(source: Source[State], record: Record, state: State, place: str) -> None:
    for name, line in _torn(record.line.strip()).items():
        torn = _read(line, record.read_at)
        assert is_refused(source, torn, copied(state)), f"{place}: {name} is taken for a content"


def _torn(content: bytes) -> dict[str, bytes]:
    """What a writer that was interrupted, or does not cut the file, leaves. The engine waits only for a closed end."""
    half = len(content) // 2
    torn = {
        "the content without its last byte": content[:-1],
        "half of the content": content[:half],
        "the content with the end of a longer one behind": content + content[half:],
        "half of the content and NUL bytes": content[:half] + bytes(len(content) - half),
    }
    inner = content.rfind(content[-1:], 0, len(content) - 1)
    if inner > 0:
        torn["the content up to an inner bracket"] = content[: inner + 1]
    return torn


def _check_said_before(source: Source[State], record: Record, state: State, told: set[Fact], place: str) -> None:
    """A content that was read already may be read again, after the journal was lost: nothing is told a second time."""
    if record.notice is None:
        again, _ = mapped(source, [record], copied(state))
        new = [event for event in again if _fact(event) not in told]
        assert not new, f"{place}: read again it tells {new[0]}"


def _check_expectation(source: Source[State], state: State, place: str) -> None:
    before = copied(state)
    first = source.expects(state)
    assert copied(state) == before, f"{place} `expects` has changed the state"
    assert source.expects(before) == first, f"{place} `expects` does not say the same of the same state"
    seconds = first.quiet_seconds if first else 1.0
    assert seconds > 0, f"{place} `expects` wants to be told after {seconds} s of silence"


def _check_notices(source: Source[State], record: Record, state: State, told: set[Fact], place: str) -> None:
    """Whatever the engine may tell behind this record is taken; that it starts anew is no news of the agent."""
    if type(source).expects is Source[Any].expects:
        return
    for notice in _possible(source.expects(copied(state)), record.read_at):
        heard = Record(b"", 0, 0, record.first_line, read_at=record.read_at, notice=notice)
        assert not is_refused(source, heard, copied(state)), f"{place}: {notice} behind it is refused"
        events, after = mapped(source, [heard], copied(state))
        check_events(events)
        _check_expectation(source, after, f"behind {place} and {notice}")
        new = [event for event in events if notice == _RESTART and _fact(event) not in told]
        assert not new, f"{place}: a start of the forwarder behind it ({notice}) tells {new[0]}"


def _possible(expectation: Expectation | None, now: datetime) -> list[Vanished | Quiet]:
    if expectation is None:
        return [_RESTART]
    quiet = [Quiet(expectation.quiet_seconds, is_alive) for is_alive in (True, False, None)]
    return [_RESTART, Vanished(now), *quiet]


def _read(content: bytes, time: datetime) -> Record:
    digest = blake2b(content, digest_size=16).digest()
    return Record(content, 0, len(content), digest, time=time, read_at=time)


def _place(records: Sequence[Record], number: int) -> str:
    """`content 2`, `Vanished 3`: what it is, and its place in the sample, from 1."""
    notice = records[number].notice
    return f"{type(notice).__name__ if notice else 'content'} {number + 1}"


def _fact(event: Event) -> Fact:
    """What the engine makes the id of."""
    return type(event), (event.session.namespace or event.session.agent, *event.key)
