"""Checks for whoever writes a source: lines in, events out, and the promises that every source must keep."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from forwarder.events import Event
from forwarder.source import Record, Source
from forwarder.tail.compression import plain_bytes
from forwarder.tail.reader import LineReader
from forwarder.testing.contents import STATE_FILE, Content, check_contents, content_records
from forwarder.testing.promises import check_cuts, check_elsewhere, check_events, copied, is_refused, mapped

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
    source: Source[Any],
    sample: Path | bytes | Sequence[Content],
    *,
    path: Path | None = None,
    stride: int = 1,
    read_at: Sequence[datetime] = (),
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

    Of a state file, of which the source's `is_whole` is true, `sample` may also be what it held one after the other,
    and what happened to it: a list of contents, `Vanished` and `Quiet`; or a folder with a file for each content, in
    the order of their names. `read_at` says when each was read, else a second lies between them. What is checked:

    - Stopped behind any of them and started again, with the state as the journal keeps it, it goes on the same; and the
      start itself, which every known file is told of as a `Quiet` of 0 seconds, tells nothing.
    - A content that is torn, or has the end of a longer one behind it, is refused.
    - A content that is read again tells nothing but facts that were told: events of the same keys.
    - Of contents in a row with one `gist` all but the first and the last may be left out: the events are the same.
    - `expects` answers for every state, also before the first content, the same each time, without changing it. What
      may be told while it wants to be told something is never refused; the sample holds nothing that is not expected.
    - Events and keys as above.
    """
    where = path or _path(sample)
    if source.is_whole(where):
        contents = _contents(sample)
        assert contents, "the sample holds no contents"
        return check_contents(source, content_records(contents, read_at), where)
    assert isinstance(sample, (Path, bytes)), f"`is_whole` is not true of {where}: its sample is a file or bytes"
    lines = records(_content(sample))
    assert lines, "the sample holds no records"
    events = check_cuts(source, lines, where, stride=stride, place=lambda number: f"byte {lines[number].offset}")
    check_events(events)
    _check_bad_lines(source, lines, where, stride)
    check_elsewhere(source, lines, where, events)
    return events


def _path(sample: Path | bytes | Sequence[Content]) -> Path:
    if isinstance(sample, Path):
        return min(sample.iterdir()) if sample.is_dir() else sample
    return SAMPLE if isinstance(sample, bytes) else STATE_FILE


def _contents(sample: Path | bytes | Sequence[Content]) -> Sequence[Content]:
    if isinstance(sample, Path):
        return [_content(file) for file in (sorted(sample.iterdir()) if sample.is_dir() else [sample])]
    return [sample] if isinstance(sample, (bytes, str)) else sample


def _content(sample: Path | bytes) -> bytes:
    if isinstance(sample, bytes):
        return sample
    with sample.open("rb") as file:
        plain, _ = plain_bytes(file, sample)
        return plain.read()


def _check_bad_lines(source: Source[State], lines: Sequence[Record], path: Path, stride: int) -> None:
    state = source.new_state(path)
    for position, record in enumerate(lines):
        if position % stride == 0:
            for name, line in _spoilt(record.line).items():
                bad = Record(line, record.offset, len(line), record.first_line)
                is_told = is_refused(source, bad, copied(state)) or (
                    line == record.line * 2 and _is_read_as_two(source, bad, record, state)
                )
                assert is_told, f"byte {record.offset}: {name} is skipped silently"
        _, state = mapped(source, [record], state)


def _spoilt(line: bytes) -> dict[str, bytes]:
    return {
        "the line without its last byte": line[:-1],
        "half of the line": line[: len(line) // 2],
        "the line twice without a newline between": line + line,
        "half of the line and then a whole one": line[: len(line) // 2] + line,
        "the line with NUL bytes behind": line + bytes(8),
        "a run of NUL bytes": bytes(64),
    }


def _is_read_as_two(source: Source[State], joined: Record, one: Record, state: State) -> bool:
    """Some agents end their records without a newline: then the records on a line are told like those on two."""
    events, after = mapped(source, [joined], copied(state))
    expected, expected_after = mapped(source, [one, one], copied(state))
    return events == expected and copied(after) == copied(expected_after)
