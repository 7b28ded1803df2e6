"""Journalled events grouped by count, bytes and age."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from forwarder.clock import Clock
from forwarder.delivery.selection import Selection
from forwarder.delivery.waiting import first_of
from forwarder.journal import Block, Cursor, Journal
from forwarder.sink import Batch, Batching

Transform = Callable[[bytes], bytes]

SPAN_EVENTS = 50_000  # what one stretch may look through: bounds what a sink that takes little must read again
SPAN_SECONDS = 1.0  # a sink that takes nothing of what happens moves its cursor no more often than this
PIECE_EVENTS = 128  # lines looked through or transformed at a time: about a millisecond between two turns of the loop


@dataclass(frozen=True)
class Stretch:
    """What a sink takes of the events behind `after` up to `end`; nothing, maybe.

    The event in line i of the batch has the sequence number `numbers[i]`.
    """

    after: int
    end: int
    numbers: Sequence[int]
    batch: Batch

    def halves(self) -> tuple[Stretch, Stretch]:
        """The same events in two stretches, neither of them empty when there are two events or more."""
        middle = len(self.numbers) // 2
        cut = self.numbers[middle] - 1
        lines = self.batch.lines
        return (
            Stretch(self.after, cut, self.numbers[:middle], Batch(lines[:middle])),
            Stretch(cut, self.end, self.numbers[middle:], Batch(lines[middle:])),
        )


class Batcher:
    """Reads the journal from a sink's cursor on. If a batch was in flight there, the first is exactly that one again.

    `transform` turns an event's line into the one that this sink gets; it must be deterministic and keep the id.
    """

    def __init__(
        self,
        journal: Journal,
        cursor: Cursor,
        *,
        batching: Batching,
        clock: Clock,
        selection: Selection,
        transform: Transform | None,
    ) -> None:
        self._journal = journal
        self._interrupted = min(cursor.in_flight, journal.last)
        self._batching = batching
        self._clock = clock
        self._selection = selection
        self._transform = transform
        self._is_plain = selection.takes_all and transform is None
        self._hurried = asyncio.Event()
        self._read: deque[Block] = deque()
        self._after = self._position = cursor.acked
        self._since = 0.0  # when the first event was taken, or the first left out while there is none to take
        self._numbers: list[int] = []
        self._lines: list[bytes] = []
        self._bytes = 0

    def hurry(self) -> None:
        """From now on no event waits for company."""
        self._hurried.set()

    async def available(self) -> Stretch | None:
        """The next stretch, if it is complete with what the journal holds now."""
        is_complete = await self._gather()
        if is_complete or (self._lines and self._patience() <= 0):
            return self._close()
        return None

    async def next(self) -> Stretch:
        """The next stretch; waits for its first event, and for company as long as `max_wait_seconds` allows."""
        while (stretch := await self.available()) is None:
            if self._position == self._after:
                await self._journal.grown(self._position)
            elif (patience := self._patience()) > 0:
                await first_of(self._journal.grown(self._position), self._clock.sleep(patience), self._hurried.wait())
            else:
                return self._close()
        return stretch

    def _patience(self) -> float:
        """Seconds that what has been gathered may still wait for more."""
        if self._hurried.is_set():
            return 0.0
        allowed = self._batching.max_wait_seconds if self._lines else SPAN_SECONDS
        return self._since + allowed - self._clock.monotonic()

    async def _gather(self) -> bool:
        """Take what the journal has; returns whether the stretch is complete."""
        while not self._is_complete():
            if not self._read:
                if self._journal.last <= self._position:
                    return False
                newest = self._journal.last
                self._read.extend(self._pieces(await self._journal.events_after(self._position)))
                if not self._read:  # given up by the journal, which was full
                    self._position = newest
                    continue
            block = self._read.popleft()
            taken = self._take(block)
            if taken < len(block.lines):
                self._read.appendleft(Block(block.first + taken, block.lines[taken:]))
                return True
            if not self._is_plain:
                await asyncio.sleep(0)
        return True

    def _is_complete(self) -> bool:
        if self._after < self._interrupted:
            return self._position >= self._interrupted
        limits = self._batching
        return (
            len(self._lines) >= limits.max_events
            or self._bytes >= limits.max_bytes
            or self._position - self._after >= max(SPAN_EVENTS, limits.max_events)
        )

    def _pieces(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            if self._is_plain:
                yield block
                continue
            for start in range(0, len(block.lines), PIECE_EVENTS):
                yield Block(block.first + start, block.lines[start : start + PIECE_EVENTS])

    def _take(self, block: Block) -> int:
        """Add what fits of the block to the stretch; returns how many of its events are dealt with."""
        max_events, max_bytes = self._batching.max_events, float(self._batching.max_bytes)
        lines: Sequence[bytes] = block.lines
        if self._after < self._interrupted:
            lines = lines[: max(0, self._interrupted - block.first + 1)]
            max_events, max_bytes = len(self._lines) + len(lines), math.inf
        dealt_with = len(lines)
        numbers: Sequence[int] = range(block.first, block.first + len(lines))
        if not self._is_plain:
            numbers, lines = self._chosen(numbers, lines)

        fitting = _fitting(lines, max_bytes - self._bytes, or_one=not self._lines)
        fitting = min(fitting, max_events - len(self._lines))
        if fitting < len(lines):
            dealt_with = numbers[fitting] - block.first
            numbers, lines = numbers[:fitting], lines[:fitting]
        if self._position == self._after or (lines and not self._lines):
            self._since = self._clock.monotonic()
        self._numbers.extend(numbers)
        self._lines.extend(lines)
        self._bytes += sum(map(len, lines)) + len(lines)
        self._position = block.first + dealt_with - 1
        return dealt_with

    def _chosen(self, numbers: Sequence[int], lines: Sequence[bytes]) -> tuple[Sequence[int], Sequence[bytes]]:
        if not self._selection.takes_all:
            chosen = [pair for pair in zip(numbers, lines, strict=True) if self._selection.accepts(pair[1])]
            numbers, lines = [number for number, _ in chosen], [line for _, line in chosen]
        if self._transform is not None:
            lines = [self._transform(line) for line in lines]
        return numbers, lines

    def _close(self) -> Stretch:
        stretch = Stretch(self._after, self._position, self._numbers, Batch(tuple(self._lines)))
        self._after = self._position
        self._numbers, self._lines, self._bytes = [], [], 0
        return stretch


def _fitting(lines: Sequence[bytes], room: float, *, or_one: bool) -> int:
    """How many of the lines, with a newline each, are within `room` bytes."""
    if sum(map(len, lines)) + len(lines) <= room:
        return len(lines)
    ends = list(accumulate(map(len, lines)))
    fitting = bisect_right(range(len(ends)), room, key=lambda i: ends[i] + i + 1)
    return max(fitting, 1) if or_one else fitting
