"""Which batches were taken in the last five minutes, by their requestId."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice, takewhile
from typing import NamedTuple

from msgspec import Struct

from forwarder_pi_daemon.refusals import Problem

REMEMBERED_SECONDS = 300.0  # the documentation's five minutes
LONGEST_ID = 500  # characters of a requestId; UUIDs have 36
FORGOTTEN_AT_ONCE = 1000  # notes that one commit takes out; the next one goes on


class Identity(NamedTuple):
    """A batch with a requestId, as digests of the id and of the whole body."""

    key: str
    body: str

    @classmethod
    def of(cls, request_id: str, body: bytes) -> Identity:
        return cls(_digest(request_id.encode()), _digest(body))


class Taken(Struct, frozen=True, array_like=True, gc=False):
    """A batch that is on the disk. `time` is in seconds since 1970."""

    time: float
    body: str


class _Try(NamedTuple):
    """When a batch that was refused came first, and when it came last: microseconds since 1970."""

    first: int
    last: int


@dataclass
class Requests:
    """Those that were taken, the oldest first; `tries` says since when the others are tried."""

    _taken: OrderedDict[str, Taken] = field(default_factory=OrderedDict[str, Taken])
    _tries: OrderedDict[Identity, _Try] = field(default_factory=OrderedDict[Identity, _Try])

    def __len__(self) -> int:
        return len(self._taken)

    def repeated(self, identity: Identity, now: float) -> Taken | None:
        """The batch that had this requestId less than five minutes ago."""
        taken = self._taken.get(identity.key)
        return taken if taken is not None and now - taken.time < REMEMBERED_SECONDS else None

    def keep(self, key: str, taken: Taken) -> None:
        """Remember what is on the disk."""
        self._taken[key] = taken
        self._taken.move_to_end(key)

    def since(self, identity: Identity, microseconds: int) -> int:
        """When this batch came for the first time, if it was refused then, else now.

        A refused batch may reach the disk all the same, late. It comes again as the same facts, which count once.
        """
        while self._tries and next(iter(self._tries.values())).last < microseconds - REMEMBERED_SECONDS * 1e6:
            self._tries.popitem(last=False)
        return self._tries[identity].first if identity in self._tries else microseconds

    def failed(self, identity: Identity, microseconds: int) -> None:
        """The batch was refused, and may come again."""
        self._tries[identity] = _Try(self.since(identity, microseconds), microseconds)
        self._tries.move_to_end(identity)

    def succeeded(self, identity: Identity) -> None:
        """The batch need not come again."""
        self._tries.pop(identity, None)

    def expired(self, now: float) -> list[str]:
        """Keys of notes to be taken out with the next commit."""
        old = takewhile(lambda item: now - item[1].time >= REMEMBERED_SECONDS, self._taken.items())
        return [key for key, _ in islice(old, FORGOTTEN_AT_ONCE)]

    def are_forgotten(self, keys: list[str]) -> None:
        """The notes of these keys are gone."""
        for key in keys:
            self._taken.pop(key, None)


def duplicate(identity: Identity, taken: Taken, now: float) -> Problem:
    """What a repeated batch is told; whether it was the same decides nothing, but a client will want to know."""
    same = taken.body == identity.body
    beside = "" if same else ", in another body: give every batch a requestId of its own"
    ago = max(0.0, round(now - taken.time, 1))
    message = f"a batch with this requestId was taken {ago:g} s ago{beside}"
    return Problem(message, code="DUPLICATE_REQUEST", status=409, details={"ageSeconds": ago, "sameBody": same})


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
