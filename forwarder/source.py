"""The contract of a source: which files are one agent's, and what one record of them means."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import msgspec

from forwarder.errors import BadRecord, RecordTooLong
from forwarder.events import Event

State = TypeVar("State")
T = TypeVar("T")

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class Vanished(msgspec.Struct, frozen=True):
    """The file is gone; `at` is when that was noticed, by the wall clock."""

    at: datetime


class Quiet(msgspec.Struct, frozen=True):
    """The file has not changed, or has been gone, for `seconds` of monotonic time.

    `is_alive` tells of the process that `Expectation` names: None if nobody can know.
    """

    seconds: float
    is_alive: bool | None = None


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """A file should change again: after `quiet_seconds` without a change its source gets a `Quiet`, and so on.

    `pid` is the process that writes the file, on the machine called `host` (None: on this one).
    """

    quiet_seconds: float
    pid: int | None = None
    host: str | None = None


class Record(msgspec.Struct, gc=False):
    """One line of a file, without its newline.

    `line` holds the bytes as the agent wrote them (a BOM and a carriage return are taken off). `offset` is the byte
    where the line begins, in the decompressed file; `size` its length in bytes. `first_line` is a 16-byte digest of the
    file's first line. `is_whole` is false for a line longer than `max_line_bytes`: then `line` is its first 4 KiB,
    and `size` still tells the true length. `time` is when the file had last been written to as the record was read: not
    before the record, and soon after it while the file is followed. It stands in where a record tells no time.

    Only of a file that is one record: `read_at` is our own clock as it was read. `notice`, where there is one, is no
    content but something that happened to the file, or did not; `line` is empty then.
    """

    line: bytes
    offset: int
    size: int
    first_line: bytes
    is_whole: bool = True
    lossy: bool = False
    time: datetime = UNKNOWN_TIME
    read_at: datetime = UNKNOWN_TIME
    notice: Vanished | Quiet | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """Identifies a record that carries no id of its own: the same line at the same place of the same file.

        Made of content only, so that a copy or a later replay of the file gives the same key.
        """
        return (self.first_line.hex(), self.offset, blake2b(self.line, digest_size=8).hexdigest())

    def json(self) -> Any:
        """The record as plain Python objects. Raises `BadRecord`, or `RecordTooLong` when only its head was read."""
        return self.decode(_ANY)

    def decode(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The record as the decoder's type; fields that the type does not name are skipped without being built.

        A line that strict JSON forbids but the agent's own language writes (a lone surrogate, NaN, broken UTF-8) is
        read tolerantly, and its events are marked `lossy`. Raises `BadRecord`, or `RecordTooLong`.
        """
        if not self.is_whole:
            raise RecordTooLong(f"the record has {self.size} bytes, more than max_line_bytes")
        try:
            return decoder.decode(self.line)
        except msgspec.ValidationError as error:
            raise BadRecord(f"unexpected shape: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            strict = error
        try:
            tolerant = _tolerant(self.line)
            result = tolerant if decoder is _ANY else msgspec.convert(tolerant, decoder.type)
        except (ValueError, RecursionError) as error:
            raise BadRecord(f"not JSON: {strict}") from error
        except msgspec.ValidationError as error:
            raise BadRecord(f"unexpected shape: {error}") from error
        self.lossy = True
        return result


class Source(ABC, Generic[State]):
    """One agent's files. Subclass as a frozen dataclass: its fields are the options of ``[sources.NAME]``.

    A source does no I/O, owns no clock and is not async. The engine promises: the records of a file come in order, one
    at a time; `state` is what the record before left behind, also after a restart; if `map` raises, the record goes to
    the dead letters with file and offset, none of its events count and `state` is put back.

    The state is saved together with the file's offset, so it must be a dataclass or `msgspec.Struct` of plain values
    (text, numbers, lists, dicts, sets, other such classes), and it must stay small: bound every collection in it.
    `map` must be deterministic: the same records from the same state give the same events and the same state.

    `environment` names, by option, the environment variable that the agent itself obeys: where it is set, it is the
    option's default (``{"home": "ACME_HOME"}``). A source never reads the environment itself.
    """

    environment: ClassVar[dict[str, str]] = {}

    @abstractmethod
    def patterns(self) -> list[str]:
        """Globs of the agent's files, ``~`` and ``**`` allowed; compressed files (`.zst`, `.gz`) may match too."""

    @abstractmethod
    def new_state(self, path: Path) -> State:
        """The state before the first record of the file at `path` (whose name may end in `.zst` or `.gz`)."""

    @abstractmethod
    def map(self, record: Record, state: State) -> Iterator[Event]:
        """Yield the events that the record tells of, and update `state` in place.

        Raise `UnknownRecord(kind)` for a kind of record never seen, any other exception for one that cannot be used.
        """

    def recognises(self, path: Path) -> bool:
        """Whether a file given to ``forwarder replay`` is this agent's, wherever it lies. Judge by the name alone."""
        return any(path.match(pattern.rpartition("/")[2]) for pattern in self.patterns())

    def rank(self, path: Path) -> int:
        """Of files that are waiting to be read, those of a lower rank come first. Judge by the name alone.

        For agents that tell the same fact in two files: the first record of a fact decides. Ranks order history and
        replays; of files that grow at the same time each is read when it grows.
        """
        return 0

    def is_whole(self, path: Path) -> bool:
        """Whether the file is one record, read whole each time its content has changed. Judge by the name alone.

        For files that are a state, or are rewritten in place. Such a file is known by its path, and `state` is what its
        content before left behind. A content that is no complete JSON is half-written and waits.
        """
        return False

    def is_spool(self, path: Path) -> bool:
        """Whether the file was written for the forwarder alone, which may delete it (`run` does, `replay` does not).

        A file that is one record is deleted once the journal holds it for good. One that grows is renamed first, to
        ``STEM.<nanoseconds>.SUFFIX`` in its folder, and deleted when nobody has written to it for some time. `patterns`
        must match the new name, and this must be true of it too. What the next file under the old name tells is mapped
        from the state that the renamed one has ended in. Writers must open the file for each record, and close it
        within five seconds.
        """
        return False

    def gist(self, record: Record) -> object:
        """Of a file that is one record: what matters of a content, to be compared; None if all of it does.

        For files that are rewritten every second to say the same: of contents in a row whose gists are equal only the
        first is a record at once, and the last as soon as something else happens. Called in a thread, so look at
        nothing but the record.
        """
        return None

    def expects(self, state: State) -> Expectation | None:
        """Of a file that is one record: whether its source wants to be told when it vanishes or stays as it is.

        Asked behind each of its records. While the answer is not None the file's stream gets records with a `notice`,
        also after a restart: a `Vanished` when the file is gone, a `Quiet` whenever it has been quiet for so long.
        """
        return None


def _tolerant(line: bytes) -> Any:
    """JSON with what strict JSON forbids: broken UTF-8 and lone surrogates become U+FFFD, NaN and Infinity null."""
    return _mend(json.loads(line.decode("utf-8", errors="replace"), parse_constant=lambda _: None, strict=False))


def _mend(value: Any) -> Any:
    match value:
        case str():
            return well_formed(value)
        case list():
            return [_mend(item) for item in cast("Iterable[Any]", value)]
        case dict():
            return {_mend(key): _mend(item) for key, item in cast("dict[str, Any]", value).items()}
        case _:
            return value


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced by U+FFFD, so that UTF-8 can carry it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
