"""What goes into the journal and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from forwarder.journal.sessions import SessionRow
from forwarder.sink import Notes


class StreamRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A checkpoint: how far a stream was read, how to know it again, and what its mapper remembered there.

    `offset` stands after a newline, in bytes of the decompressed file; events of records that begin before `skip_until`
    are not wanted. `head` is the digest of the first `head_size` bytes, `tail` of the `tail_size` bytes before
    `offset`; `first_line` the 16-byte digest of the first line (empty before there is one). `state` is the mapper's
    state in MessagePack. `time` is the file's modification time when it was last read, in seconds. `seen` is its size
    then, 0 if that is not known: what lies between `offset` and there was seen, and not read.
    """

    id: int
    source: str
    path: str
    device: int
    inode: int
    generation: int = 0
    offset: int = 0
    skip_until: int = 0
    first_line: bytes = b""
    head_size: int = 0
    head: bytes = b""
    tail_size: int = 0
    tail: bytes = b""
    state: bytes = b""
    time: float = 0.0
    seen: int = 0


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A record that could not be mapped (`source`, `file`, `offset`, `size`) or an event that a sink refused (`sink`).

    `body` is scrubbed and cut like everything else in the journal. `event` is the refused event's sequence number; so
    often was it tried in vain: `attempts`.
    """

    time: float
    reason: str
    body: bytes
    source: str | None = None
    sink: str | None = None
    file: str | None = None
    offset: int | None = None
    size: int | None = None
    event: int | None = None
    attempts: int = 1


class StoredLetter(NamedTuple):
    """A dead letter under its number in the journal; `is_asked`: somebody wants it to be tried again."""

    id: int
    letter: DeadLetter
    is_asked: bool = False


class Noted(NamedTuple):
    """What a plugin wants to have kept. `owner` is the table of the configuration that it stands for, and its name."""

    owner: str
    notes: Notes


@dataclass
class Changes:
    """What one commit adds: events in their wire form, the fact of each, and the checkpoints read up to there.

    A line may be empty: then its fact counts as seen from there on, and there is no event.

    `settled` are the numbers of dead letters that are none any more if all of the events are new, `sessions` what the
    events tell of their sessions, in order, those whose facts have been seen before included. `noted` is kept whether
    any event is new or not.
    """

    lines: list[bytes] = field(default_factory=list[bytes])
    facts: list[bytes] = field(default_factory=list[bytes])
    checkpoints: dict[int, StreamRow] = field(default_factory=dict[int, StreamRow])
    dead_letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    settled: list[int] = field(default_factory=list[int])
    sessions: list[SessionRow] = field(default_factory=list[SessionRow])
    noted: list[Noted] = field(default_factory=list[Noted])
    is_sole_copy: bool = False  # the source may be gone after this: the commit must reach the disk

    def __bool__(self) -> bool:
        return bool(self.lines or self.checkpoints or self.dead_letters or self.settled or self.noted)


class Block(NamedTuple):
    """Consecutive events: `lines[i]` has the sequence number `first` + i."""

    first: int
    lines: tuple[bytes, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.lines) - 1


class Cursor(NamedTuple):
    """A sink's place: everything up to `acked` was delivered; up to `in_flight` may have been sent, outcome unknown."""

    acked: int
    in_flight: int
