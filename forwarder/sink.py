"""The contract of a sink: one destination that events are delivered to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec

Notes = Mapping[str, bytes | None]
"""What a plugin must still know after a restart, by key; None forgets the key. The journal keeps it in small rows.

A note holds no content: what identifies a thing, counts and sums. A key that comes from outside is to be hashed. A note
in which the redaction rules find a secret is forgotten, and logged as a bug of its plugin; in MessagePack there are no
quotes and colons that would make two words look like a password and its name.
"""

NO_NOTES: Notes = MappingProxyType({})


class Secret:
    """A password or token of a sink; shown nowhere, not even in a traceback, unless `reveal` is called."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself: hand it to the destination, never to a log or a message."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Batch:
    """Events that travel together, immutable and shared with the other sinks.

    `lines` are the events in order, each one JSON object in UTF-8 without a newline, as EVENTS.md defines them. They
    were encoded once; a sink that speaks JSON joins them and never decodes them.
    """

    __slots__ = ("__dict__", "lines")

    def __init__(self, lines: tuple[bytes, ...], *, body: bytes | None = None) -> None:
        """`body` is ``b"\\n".join(lines) + b"\\n"`` when the caller has it already."""
        self.lines = lines
        if body is not None:
            self.__dict__["_body"] = body

    @cached_property
    def id(self) -> str:
        """32 hex digits that follow from the events alone: a retry brings the same id, also after a restart."""
        digest = blake2b(digest_size=16)
        for line in self.lines:
            digest.update(line[:ID_END])
        return digest.hexdigest()

    @cached_property
    def _body(self) -> bytes:
        return b"\n".join(self.lines) + b"\n"

    def jsonl(self) -> bytes:
        """One event a line, each line ended by a newline."""
        return self._body

    def json_array(self) -> bytes:
        """One JSON array of all events."""
        return b"[" + b",".join(self.lines) + b"]"

    def ids(self) -> list[str]:
        """The events' ids, in order."""
        return [line[ID_START:ID_END].decode() for line in self.lines]

    def events(self) -> list[dict[str, Any]]:
        """The events as dictionaries, for sinks that do not speak JSON; decoded at each call."""
        return [_DECODER.decode(line) for line in self.lines]

    def __len__(self) -> int:
        return len(self.lines)


@dataclass(frozen=True)
class Batching:
    """How many events travel together: whichever limit is reached first closes the batch.

    `max_bytes` counts the encoded lines with their newlines; a single larger event travels alone. `max_wait_seconds` is
    how long the first event of a batch may wait for company.
    """

    max_events: int = 5_000
    max_bytes: int = 1 << 20  # nginx and many collectors refuse bodies above 1 MiB unless told otherwise
    max_wait_seconds: float = 0.0


class Sink(ABC):
    """One destination. Subclass as a dataclass: its fields are the options of ``[sinks.NAME]``.

    Only `send` is required. The engine promises: one batch at a time, in order; a retry brings the same batch with the
    same id; nothing is changed in a batch that another sink sees too.

    `batching` is the class's own default; the user can change it in the sink's table (`batch_events`, `batch_bytes`,
    `batch_wait_seconds`).

    A sink whose totals move when an event comes a second time in another batch sets `counts`: `forwarder replay` does
    not deliver to it. A sink that is asked rather than sends is a `Listening` as well; its table then says where.
    """

    batching: ClassVar[Batching] = Batching()
    counts: ClassVar[bool] = False

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold connections and files open around the whole run; entered once before the first `send`."""
        yield

    def recall(self, notes: Mapping[str, bytes]) -> None:  # noqa: B027 - most sinks have nothing to remember
        """What was noted before, all of it; called once before `lifespan` is entered.

        Whatever else the sink remembers from an earlier lifespan is to be forgotten: after a damaged journal everything
        is delivered anew, and there are no notes. Notes stay as long as the journal, like the sink's place in it: a
        sink that was taken out of the configuration finds both when it comes back under its name, with the same `use`.
        """

    def notes(self) -> Notes:
        """What to keep from now on; asked for once behind each `send` that dealt with its batch.

        That is one that returned, or raised `Rejected` for all that is left of the batch. The notes are on the disk
        together with the acknowledgement, or neither is: after a crash between the two the batch comes again, with the
        notes from before it. Keys that are not named stay as they are.
        """
        return NO_NOTES

    @abstractmethod
    async def send(self, batch: Batch) -> None:
        """Deliver the batch. To return is to acknowledge all of it.

        Raise `Unavailable` to get the same batch again, `Rejected` to send it to the dead letters. When in doubt raise
        `Unavailable`: a wrong password must not cost data. Any other exception is a bug in the sink: retried, and
        logged as one. `send` may be cancelled at the drain deadline; let the cancellation through.
        """


# Every encoded event begins `{"id":"<32 hex>","type":"…","time":"…"` (forwarder/pipeline/encoding.py).
ID_START = len(b'{"id":"')
ID_END = ID_START + 32
_DECODER: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
