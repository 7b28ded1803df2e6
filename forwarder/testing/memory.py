"""A sink to watch: what arrives stays in memory, and the test says what is answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from forwarder.errors import Rejected
from forwarder.sink import Batch, Sink


@dataclass
class MemorySink(Sink):
    """Takes everything, apart from events of `poison` (ids): names them and takes the rest, or rejects the batch.

    `answers` are given to the coming requests, one each: an exception is raised, None takes the batch. `requests` are
    all batches that came, `taken` the lines that were. While `is_open` is cleared, every request hangs.
    """

    poison: Collection[str] = ()
    names_poison: bool = False
    answers: deque[Exception | None] = field(default_factory=deque[Exception | None], init=False)
    requests: list[Batch] = field(default_factory=list[Batch], init=False)
    taken: list[bytes] = field(default_factory=list[bytes], init=False)
    is_open: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self.is_open.set()

    async def send(self, batch: Batch) -> None:
        self.requests.append(batch)
        self._changed.set()
        await self.is_open.wait()
        answer = self.answers.popleft() if self.answers else None
        if answer is not None:
            raise answer
        if poison := set(self.poison).intersection(batch.ids()):
            if self.names_poison:
                self.taken.extend(line for line, id in zip(batch.lines, batch.ids(), strict=True) if id not in poison)
            raise Rejected("no such field: colour", refused=poison if self.names_poison else ())
        self.taken.extend(batch.lines)

    async def requested(self, count: int) -> Batch:
        """Wait until `count` requests have come, and return the last of them."""
        while len(self.requests) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.requests[count - 1]
