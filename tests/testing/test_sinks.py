"""`check_sink` must pass a right sink and find each way in which one can be wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from forwarder import Batch, Notes, Rejected, Sink, Unavailable
from forwarder.testing import Destination, check_sink


class Shelf(Destination):
    """Lines in memory; its mood decides what happens to the next batch."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.mood = "well"
        self.hanging = asyncio.Event()

    async def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @asynccontextmanager
    async def _in(self, mood: str) -> AsyncGenerator[None]:
        self.mood = mood
        yield
        self.mood = "well"

    def unavailable(self) -> Any:
        return self._in("unavailable")

    def refusing(self) -> Any:
        return self._in("refusing")

    @asynccontextmanager
    async def silent(self) -> AsyncGenerator[Callable[[], Awaitable[Any]]]:
        async with self._in("silent"):
            yield self.hanging.wait


@dataclass
class Right(Sink):
    """Keeps every promise."""

    shelf: Shelf
    _is_open: bool = field(default=False, init=False)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self._is_open = True
        yield
        self._is_open = False

    async def send(self, batch: Batch) -> None:
        assert self._is_open
        match self.shelf.mood:
            case "unavailable":
                raise Unavailable("down")
            case "refusing":
                raise Rejected("no")
            case "silent":
                self.shelf.hanging.set()
                await asyncio.Event().wait()
            case _:
                await self.take(batch)

    async def take(self, batch: Batch) -> None:
        held = set(self.shelf.lines)
        self.shelf.lines += [line for line in batch.lines if line not in held]


class Repeats(Right):
    async def take(self, batch: Batch) -> None:
        self.shelf.lines += batch.lines


class Forgets(Right):
    async def take(self, batch: Batch) -> None:
        self.shelf.lines += batch.lines[:500]


class Changes(Right):
    async def take(self, batch: Batch) -> None:
        self.shelf.lines += [line.replace(b"plain", b"fancy") for line in batch.lines]


class Invents(Right):
    async def take(self, batch: Batch) -> None:
        self.shelf.lines += [*batch.lines, b'{"id":"made up"}']


class AltersTheBatch(Right):
    async def take(self, batch: Batch) -> None:
        await super().take(batch)
        batch.lines = batch.lines[1:]


class LiesWhenDown(Right):
    async def send(self, batch: Batch) -> None:
        if self.shelf.mood != "unavailable":
            await super().send(batch)


class RejectsWhenDown(Right):
    async def send(self, batch: Batch) -> None:
        try:
            await super().send(batch)
        except Unavailable as error:
            raise Rejected("down") from error


class RetriesRefusals(Right):
    async def send(self, batch: Batch) -> None:
        try:
            await super().send(batch)
        except Rejected as error:
            raise Unavailable("no") from error


class NamesStrangers(Right):
    async def send(self, batch: Batch) -> None:
        try:
            await super().send(batch)
        except Rejected as error:
            raise Rejected("no", refused=["somebody"]) from error


class SwallowsCancellation(Right):
    async def send(self, batch: Batch) -> None:
        try:
            await super().send(batch)
        except asyncio.CancelledError:
            return


class Crashes(Right):
    async def send(self, batch: Batch) -> None:
        if self.shelf.mood == "unavailable":
            raise OSError("down")
        await super().send(batch)


class HangsWhenDown(Right):
    async def send(self, batch: Batch) -> None:
        if self.shelf.mood == "unavailable":
            await asyncio.Event().wait()
        await super().send(batch)


class WorksOnce(Right):
    _uses: int = 0

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        self._uses += 1
        async with super().lifespan():
            self._is_open = self._uses == 1
            yield


class Remembers(Right):
    """Counts what it has taken: its shelf stands for totals in memory, which its notes bring back."""

    counts = True

    def recall(self, notes: Mapping[str, bytes]) -> None:
        self.shelf.lines = [notes[key] for key in sorted(notes)]

    def notes(self) -> Notes:
        return {f"{number:06}": line for number, line in enumerate(self.shelf.lines)}

    async def take(self, batch: Batch) -> None:
        self.shelf.lines += batch.lines


class RecallsNothing(Remembers):
    def recall(self, notes: Mapping[str, bytes]) -> None:
        self.shelf.lines = []


class RecallsOnTop(Remembers):
    def recall(self, notes: Mapping[str, bytes]) -> None:
        self.shelf.lines += [notes[key] for key in sorted(notes)]


class NotesTooEarly(Remembers):
    """Of the batch before only."""

    _noted: int = 0

    def notes(self) -> Notes:
        noted, self._noted = self._noted, len(self.shelf.lines)
        return {key: line for key, line in super().notes().items() if int(key) < noted}


async def test_a_sink_that_counts_passes() -> None:
    """Killed before an acknowledgement it gets the batch again, with the notes from before."""
    shelf = Shelf()
    await check_sink(lambda: Remembers(shelf), shelf, is_idempotent=True)

    assert len(shelf.lines) > 900


async def test_a_right_sink_passes() -> None:
    """The promises can be kept, all troubles played."""
    shelf = Shelf()
    await check_sink(lambda: Right(shelf), shelf, is_idempotent=True)

    assert len(shelf.lines) > 900


async def test_a_destination_without_troubles_is_enough() -> None:
    """A sink whose author can only look at the destination is checked as far as that goes."""

    class Plain(Destination):
        async def events(self) -> list[dict[str, Any]]:
            return [json.loads(line) for line in shelf.lines]

    shelf = Shelf()
    await check_sink(lambda: Right(shelf), Plain())

    assert not shelf.hanging.is_set()


async def test_repeats_are_allowed_to_an_at_least_once_sink() -> None:
    """Not every destination can tell that it has an event already."""
    shelf = Shelf()
    await check_sink(lambda: Repeats(shelf), shelf)

    assert len(shelf.lines) > len(set(shelf.lines))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Repeats, "held twice"),
        (Forgets, "acknowledged but have not arrived"),
        (Changes, "changed on its way"),
        (Invents, "nobody sent"),
        (AltersTheBatch, "changed a batch"),
        (LiesWhenDown, "must be `Unavailable`: returned"),
        (RejectsWhenDown, "must be `Unavailable`: down"),
        (RetriesRefusals, "must be `Rejected`"),
        (NamesStrangers, "not in the batch"),
        (SwallowsCancellation, "let the cancellation through"),
        (Crashes, "neither `Unavailable` nor `Rejected`"),
        (HangsWhenDown, "has not ended after"),
        (WorksOnce, "AssertionError"),
        (RecallsNothing, "acknowledged but have not arrived"),
        (RecallsOnTop, "held twice"),
        (NotesTooEarly, "acknowledged but have not arrived"),
    ],
)
async def test_a_wrong_sink_is_found(wrong: type[Right], words: str) -> None:
    """Each breaks one promise, and the message says which."""
    shelf = Shelf()
    with pytest.raises(AssertionError, match=words):
        await check_sink(lambda: wrong(shelf), shelf, is_idempotent=True, seconds=0.1)
