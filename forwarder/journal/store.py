"""The journal as the event loop sees it: what is new goes in, each sink reads from its own cursor.

Events, stream positions and mapper states commit together, so a crash can neither lose nor repeat a line. The size
limit is the backpressure: while the journal is full of what some sink has not taken yet, `room` waits and nobody reads.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from forwarder.clock import Clock
from forwarder.journal.file import JournalFile
from forwarder.journal.rows import Block, Changes, Cursor, DeadLetter, Noted, StoredLetter, StreamRow
from forwarder.journal.sessions import LIVE_SECONDS, SessionRow

T = TypeVar("T")

RECENT_BYTES = 2 << 20  # sinks that are caught up are served from memory
READ_BYTES = 2 << 20  # what one read of the file hands to a sink that is behind


class Journal:
    """Use as ``async with Journal(folder, ...) as journal``. All methods belong to one event loop.

    `sinks` are the names of the sinks that events are kept for; `keep_seconds` is how long delivered events stay,
    `remember_seconds` how long a fact is known (between half of it and all of it).
    """

    def __init__(
        self,
        folder: Path,
        *,
        sinks: Collection[str],
        max_bytes: int,
        keep_seconds: float,
        remember_seconds: float,
        clock: Clock,
        path_of: Callable[[str], str] = str,
        has_secret: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`path_of` makes a file's path such as it may be kept; a note that `has_secret` is not."""
        self._path_of = path_of
        self._has_secret = has_secret
        self.max_bytes = max_bytes
        self.bytes = 0
        self.last = 0  # the sequence number of the newest event; the first has 1
        self.folder = folder
        self._keep_seconds = keep_seconds
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "journal")
        self._file: JournalFile
        self._sizes: deque[tuple[int, int, int]] = deque()  # first, count and bytes of each batch
        self._recent: deque[Block] = deque()
        self._recent_bytes = 0
        self._grown = asyncio.Event()
        self._drained = asyncio.Event()
        self._cursors: dict[str, Cursor] = dict.fromkeys(sinks, Cursor(0, 0))
        self._next_stream = 1

    async def __aenter__(self) -> Journal:
        """Raises `JournalTooNew`, `JournalDamaged` or `StateError`."""
        try:
            await self._run(self._open)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._run(self._file.close)
        finally:
            self._thread.shutdown()

    def _open(self) -> None:
        self._file = JournalFile(self.folder, self._path_of, self._has_secret)
        try:
            self._load()
        except BaseException:
            self._file.close()  # a connection that lives on would delete the next journal's write-ahead log, by name
            raise

    def _load(self) -> None:
        self._sizes.extend(self._file.sizes())
        self.bytes = sum(size for _, _, size in self._sizes)
        self.last = self._file.last
        oldest = self._sizes[0][0] if self._sizes else self.last + 1
        known = self._file.cursors()
        for sink in self._cursors:
            # Events may have been dropped that only a sink missing from the configuration had still to take.
            acked, in_flight = known.get(sink, (0, 0))
            self._cursors[sink] = Cursor(max(acked, oldest - 1), max(in_flight, oldest - 1))
        self._next_stream = max((row.id for row in self._file.streams()), default=0) + 1

    # What the tail needs.

    async def streams(self) -> list[StreamRow]:
        """All checkpoints, without their states."""
        return await self._run(self._file.streams)

    async def checkpoints(self, ids: Sequence[int]) -> list[StreamRow]:
        """The checkpoints of these streams as they are committed, without their states."""
        return await self._run(lambda: self._file.checkpoints(ids))

    async def stream_state(self, stream: int) -> bytes:
        """The mapper's state at the stream's checkpoint; empty if there is none."""
        return await self._run(lambda: self._file.stream_state(stream))

    def new_stream_id(self) -> int:
        """An id for a stream that has no checkpoint yet."""
        self._next_stream += 1
        return self._next_stream - 1

    async def forget_streams(self, ids: Sequence[int]) -> None:
        """Drop the checkpoints of files that are gone for good."""
        await self._run(lambda: self._file.forget_streams(ids))

    async def sync(self) -> None:
        """Return when all that was committed so far is on the disk. Raises `sqlite3.OperationalError`."""
        await self._run(self._file.sync)

    async def commit(self, changes: Changes) -> Block:
        """Make the changes durable in one transaction and return the events that were new, in order.

        Facts seen before are left out. Raises `sqlite3.OperationalError` when the disk is full (nothing is changed, and
        the same changes can be given again) and `JournalDamaged`.
        """
        now = self._clock.now().timestamp()
        return await self._run(lambda: self._file.add(changes, now=now), then=self._grow)

    def _grow(self, block: Block) -> None:
        if not block.lines:
            return
        size = sum(map(len, block.lines)) + len(block.lines)
        self._sizes.append((block.first, len(block.lines), size))
        self.bytes += size
        self.last = block.last
        self._remember(block, size)
        self._grown.set()
        self._grown = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self.bytes >= self.max_bytes

    async def room(self) -> None:
        """Return when the journal may grow; until then every delivered event is dropped early to make room."""
        while self.is_full:
            drained = self._drained
            await self._drop(min(self._oldest_quarter(), self.delivered))
            if self.is_full:
                await drained.wait()

    async def give_up_oldest(self) -> int:
        """Drop the oldest quarter of the journal, delivered or not; returns how many events some sink never got."""
        upto = self._oldest_quarter()
        given_up_before = self._sizes[0][0] - 1 if self._sizes else upto
        lost = max(0, upto - max(self.delivered, given_up_before))
        await self._drop(upto)
        return lost

    def _oldest_quarter(self) -> int:
        """The sequence number up to which events must go for the journal to be three quarters full."""
        excess, upto = self.bytes - self.max_bytes * 3 // 4, 0
        for first, count, size in self._sizes:
            if excess <= 0:
                break
            excess, upto = excess - size, first + count - 1
        return upto

    async def _drop(self, upto: int, *, older_than: float = math.inf) -> None:
        oldest = await self._run(lambda: self._file.prune(upto=upto, older_than=older_than))
        while self._sizes and (oldest is None or self._sizes[0][0] < oldest):
            self.bytes -= self._sizes.popleft()[2]

    # What delivery needs.

    def cursor(self, sink: str) -> Cursor:
        """The place of a configured sink. Raises KeyError for another name."""
        return self._cursors[sink]

    async def grown(self, after: int) -> None:
        """Return when there is an event behind the sequence number `after`."""
        while self.last <= after:
            await self._grown.wait()

    async def events_after(self, after: int) -> list[Block]:
        """Events behind the sequence number `after`, in order and without a hole; waits until there is one."""
        await self.grown(after)
        if self._recent and self._recent[0].first <= after + 1:
            # From the newest end: a sink that is caught up wants the last of what may be thousands of small blocks.
            blocks = list(takewhile(lambda block: block.last > after, reversed(self._recent)))[::-1]
            skip = after + 1 - blocks[0].first
            return [Block(after + 1, blocks[0].lines[skip:]), *blocks[1:]]
        return await self._run(lambda: self._file.read(after, READ_BYTES))

    async def move(
        self, sink: str, cursor: Cursor, dead_letters: Sequence[DeadLetter] = (), noting: Sequence[Noted] = ()
    ) -> None:
        """Save a sink's place, together with the events that it refused and with what it noted up to there."""
        now = self._clock.now().timestamp()
        await self._run(
            lambda: self._file.save_cursor(sink, cursor, dead_letters, noting, now=now),
            then=lambda _: self._place(sink, cursor),
        )

    def _place(self, sink: str, cursor: Cursor) -> None:
        has_acked = cursor.acked > self._cursors[sink].acked
        self._cursors[sink] = cursor
        if has_acked:
            self._drained.set()
            self._drained = asyncio.Event()

    async def event(self, number: int) -> bytes | None:
        """The line of the event with this sequence number, if the journal still has it."""
        blocks = await self._run(lambda: self._file.read(number - 1, 1)) if 0 < number <= self.last else []
        return blocks[0].lines[0] if blocks and blocks[0].first == number else None

    async def asked_letters(self) -> list[StoredLetter]:
        """The dead letters that somebody wants to have tried again, in the order of asking."""
        return await self._run(self._file.asked_letters)

    async def settle_letter(self, letter: int, *, refusal: str | None = None, noting: Sequence[Noted] = ()) -> None:
        """A letter was tried again: it is none any more, or was refused with these words."""
        now = self._clock.now().timestamp()
        await self._run(lambda: self._file.settle_letter(letter, refusal=refusal, noting=noting, now=now))

    async def outside_version(self) -> int:
        """A number that changes whenever another process has written to the file."""
        return await self._run(self._file.outside_version)

    @property
    def delivered(self) -> int:
        """Every configured sink has taken the events up to this sequence number."""
        return min((cursor.acked for cursor in self._cursors.values()), default=self.last)

    # Housekeeping.

    async def prune(self) -> None:
        """Drop delivered batches and sessions older than `keep_seconds`, and facts older than `remember_seconds`."""
        now = self._clock.now().timestamp()
        await self._drop(self.delivered, older_than=now - self._keep_seconds)
        silent_since = now - max(self._keep_seconds, LIVE_SECONDS)
        await self._run(lambda: self._file.forget_sessions(older_than=silent_since))
        await self._turn_over(now)

    async def _turn_over(self, now: float) -> None:
        since = float((await self._run(self._file.notes)).get("seen_since", 0))
        if since and now - since > self._remember_seconds / 2:
            await self._run(self._file.turn_over_seen)
            since = 0
        if not since:
            await self.note("seen_since", repr(now).encode())

    async def live_sessions(self) -> list[SessionRow]:
        """The sessions that have not ended and in which something happened lately."""
        now = self._clock.now().timestamp()
        return await self._run(lambda: self._file.live_sessions(now))

    async def notes(self) -> dict[str, bytes]:
        """All small facts by their names."""
        return await self._run(self._file.notes)

    async def plugin_notes(self, owner: str) -> dict[str, bytes]:
        """What a plugin has noted, by key."""
        return await self._run(lambda: self._file.plugin_notes(owner))

    async def note(self, name: str, value: bytes) -> None:
        """Keep a small fact under a name, for other processes to read."""
        await self._run(lambda: self._file.save_note(name, value))

    def _remember(self, block: Block, size: int) -> None:
        self._recent.append(block)
        self._recent_bytes += size
        while self._recent_bytes > RECENT_BYTES and len(self._recent) > 1:
            dropped = self._recent.popleft()
            self._recent_bytes -= sum(map(len, dropped.lines)) + len(dropped.lines)

    async def _run(self, call: Callable[[], T], *, then: Callable[[T], None] | None = None) -> T:
        """`then` takes the result on the event loop.

        The thread cannot be stopped, so a cancellation waits until it is through and `then` has been called: what this
        object says and what the file holds never differ.
        """
        future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        if then is not None:
            future.add_done_callback(lambda done: None if done.exception() else then(done.result()))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise
