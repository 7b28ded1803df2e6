"""Checks for whoever writes a source: lines in, events out, and the promises that every source must keep."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from forwarder.events import Event
from forwarder.source import Record, Source
from forwarder.tail.compression import plain_bytes
from forwarder.tail.reader import LineReader

State = TypeVar("State")

SAMPLE = Path("sample.jsonl")
MAX_LINE_BYTES = 1 << 40  # a sample is read whole, however long its lines are


def read_lines(source: Source[State], *lines: bytes | str, path: Path = SAMPLE) -> list[Event]:
    """The events of a file at `path` that holds the lines (without their newlines), read from its beginning.

    Only the path's name and folder matter, nothing is opened. What `map` raises is raised here.
    """
    content = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    state = source.new_state(path)
    return [event for record in records(content) for event in source.map(record, state)]


def records(content: bytes) -> list[Record]:
    """The records of a file with this content, as the engine reads them; also a last line without its newline."""
    reader = LineReader(io.BytesIO(content), offset=0, max_line_bytes=MAX_LINE_BYTES)
    found: list[Record] = []
    while not reader.is_at_end:
        found += reader.read()
    return found + reader.read_last()


def check_source(
    source: Source[Any], sample: Path | bytes, *, path: Path | None = None, stride: int = 1
) -> list[Event]:
    """Read the sample in one go and in pieces, want the same events, and return them. Raises `AssertionError`.

    `sample` is a file (its name is what `new_state` gets, or `path`) or its content. A record that `map` refuses costs
    itself only, as in the engine. What is checked:

    - Cut at every byte. The engine hands out whole lines and stands behind newlines, so a cut inside a line reads on
      at that line's start: cuts at every start of a line are all the cuts there are. At each one the state goes through
      MessagePack, as in the journal; the rest must follow as if nothing had happened. That the next `stride` lines
      give the same events and leave the same state shows it for all of the rest. Large samples take a larger stride.
    - The same record from the same state gives the same events: `map` is deterministic.
    - A line that is torn, followed by another on the same line, or only NUL bytes is refused, never skipped silently;
      two whole records on one line may also be read as the two that they are.
    - Events can be encoded, have a time zone, and keys that are the same wherever the file lies.
    """
    where = path or (sample if isinstance(sample, Path) else SAMPLE)
    lines = records(_content(sample))
    assert lines, "the sample holds no records"
    events = _check_cuts(source, lines, where, stride)
    for event in events:
        _check_event(event)
    _check_bad_lines(source, lines, where, stride)
    elsewhere, _ = _map(source, lines, source.new_state(Path("/another/place", where.name)))
    assert elsewhere == events, f"the events depend on the folder of the file: {_difference(events, elsewhere)}"
    return events


def _content(sample: Path | bytes) -> bytes:
    if isinstance(sample, bytes):
        return sample
    with sample.open("rb") as file:
        plain, _ = plain_bytes(file, sample)
        return plain.read()


def _map(source: Source[State], lines: Sequence[Record], state: State) -> tuple[list[Event], State]:
    """The events of the lines and the state behind them; a refused record is undone, as the engine does it."""
    events: list[Event] = []
    for record in lines:
        before = msgspec.msgpack.encode(state)
        try:
            events += list(source.map(record, state))
        except Exception:  # noqa: BLE001 - stands for the engine's own edge: one record is lost, whatever was raised
            state = msgspec.msgpack.decode(before, type=type(state))
    return events, state


def _check_cuts(source: Source[State], lines: Sequence[Record], path: Path, stride: int) -> list[Event]:
    state, all_events = source.new_state(path), list[Event]()
    for start in range(0, len(lines), stride):
        piece, saved = lines[start : start + stride], _copy(state)
        events, state = _map(source, piece, state)
        resumed, resumed_state = _map(source, piece, saved)
        place = f"cut at byte {lines[start].offset}"
        assert resumed == events, f"{place} the events are not the same: {_difference(events, resumed)}"
        assert _copy(resumed_state) == _copy(state), f"{place} the state is not the same after the next {stride} lines"
        all_events += events
    return all_events


def _check_bad_lines(source: Source[State], lines: Sequence[Record], path: Path, stride: int) -> None:
    state = source.new_state(path)
    for position, record in enumerate(lines):
        if position % stride == 0:
            for name, line in _spoilt(record.line).items():
                bad = Record(line, record.offset, len(line), record.first_line)
                is_told = _is_refused(source, bad, _copy(state)) or (
                    line == record.line * 2 and _is_read_as_two(source, bad, record, state)
                )
                assert is_told, f"byte {record.offset}: {name} is skipped silently"
        _, state = _map(source, [record], state)


def _spoilt(line: bytes) -> dict[str, bytes]:
    return {
        "the line without its last byte": line[:-1],
        "half of the line": line[: len(line) // 2],
        "the line twice without a newline between": line + line,
        "half of the line and then a whole one": line[: len(line) // 2] + line,
        "the line with NUL bytes behind": line + bytes(8),
        "a run of NUL bytes": bytes(64),
    }


def _is_refused(source: Source[State], record: Record, state: State) -> bool:
    try:
        list(source.map(record, state))
    except Exception:  # noqa: BLE001 - any exception sends the record to the dead letters
        return True
    return False


def _is_read_as_two(source: Source[State], joined: Record, one: Record, state: State) -> bool:
    """Some agents end their records without a newline: then the records on a line are told like those on two."""
    events, after = _map(source, [joined], _copy(state))
    expected, expected_after = _map(source, [one, one], _copy(state))
    return events == expected and _copy(after) == _copy(expected_after)


def _check_event(event: Event) -> None:
    assert event.key, f"{event} has an empty key"
    assert event.time.tzinfo is not None, f"{event} has a time without a zone"
    msgspec.json.encode(event)


def _copy(state: State) -> State:
    """What the journal gives back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=type(state))


def _difference(wanted: Sequence[Event], got: Sequence[Event]) -> str:
    for one, other in zip(wanted, got, strict=False):
        if one != other:
            return f"{one} became {other}"
    return f"{len(wanted)} events became {len(got)}"
