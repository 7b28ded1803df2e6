"""Whatever a destination answers and wherever the process dies: every event once, or a dead letter once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forwarder import Batch, Batching, Notes, Rejected, Sink, Unavailable
from forwarder.delivery import Sender, list_dead_letters
from forwarder.journal import Changes, Journal, connect_to_read
from forwarder.testing import ManualClock

ANSWERS = ["take", "busy", "not let in", "bug", "reject", "lose the answer", "crash before", "crash after"]


class Destination(Sink):
    """Follows a script of answers, then takes everything; never takes the poison. Notes what it has counted."""

    def __init__(self, script: list[str], poison: set[str], *, names_poison: bool) -> None:
        self.script = script
        self.taken: list[tuple[str, str]] = []  # batch id, event id
        self.counted: list[str] = []  # event ids: what the process knows, which dies with it
        self.crashed = asyncio.Event()
        self._poison = poison
        self._names_poison = names_poison

    def recall(self, notes: Mapping[str, bytes]) -> None:
        self.counted = notes.get("counted", b"").decode().split()

    def notes(self) -> Notes:
        return {"counted": " ".join(self.counted).encode()}

    async def send(self, batch: Batch) -> None:
        answer = self.script.pop(0) if self.script else "take"
        if answer == "crash before":
            await self._crash()
        self._judge(answer, batch)
        self.taken += [(batch.id, id) for id in batch.ids()]
        if answer == "crash after":
            await self._crash()
        if answer == "lose the answer":
            raise Unavailable("read timeout")
        self.counted += batch.ids()

    def _judge(self, answer: str, batch: Batch) -> None:
        match answer:
            case "busy":
                raise Unavailable("503", after=1.0)
            case "not let in":
                raise Unavailable("401", is_refused=True)
            case "bug":
                raise ZeroDivisionError
            case _ if poison := self._poison.intersection(batch.ids()):
                if self._names_poison:
                    self.taken += [(batch.id, id) for id in batch.ids() if id not in poison]
                    self.counted += [id for id in batch.ids() if id not in poison]
                raise Rejected("400", refused=poison if self._names_poison else ())
            case "reject" if len(batch) > 1 and batch.id not in dict(self.taken):
                raise Rejected("413")
            case _:
                pass

    async def _crash(self) -> None:
        self.crashed.set()
        await asyncio.Event().wait()


async def deliver(folder: Path, commits: list[list[bytes]], sink: Destination, max_events: int) -> None:
    """Journals the commits and delivers them, going on with a copy of the folder after each crash."""
    clock = ManualClock()
    runs = 0
    while commits or runs == 0 or sink.crashed.is_set():
        sink.crashed.clear()
        runs += 1
        opened = Journal(folder, sinks=["a"], max_bytes=1 << 30, keep_seconds=60, remember_seconds=60, clock=clock)
        async with opened as journal:
            sink.recall(await journal.plugin_notes("a"))
            sender = Sender(
                "a", sink, journal, clock=clock, batching=Batching(max_events=max_events + runs), random=Random(0)
            )
            delivery = asyncio.create_task(sender.run())
            time = asyncio.create_task(always(clock))
            crash = asyncio.create_task(sink.crashed.wait())
            while commits and not sink.crashed.is_set():
                await journal.commit(Changes(lines=commits.pop(0)))
            done = asyncio.create_task(sender.caught_up(journal.last))
            await asyncio.wait([done, crash, delivery], return_when=asyncio.FIRST_COMPLETED)
            if sink.crashed.is_set():
                folder = Path(shutil.copytree(folder, folder.with_name(f"run{runs}")))
            for task in (delivery, time, crash, done):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
    folder.rename(folder.with_name("end"))


async def always(clock: ManualClock) -> None:
    while True:
        await clock.skip()


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    script=st.lists(st.sampled_from(ANSWERS), max_size=10),
    poison=st.sets(st.integers(1, 24), max_size=3),
    names_poison=st.booleans(),
    max_events=st.integers(1, 8),
)
def test_every_event_is_delivered_once_or_a_dead_letter(
    event: Callable[..., bytes],
    *,
    sizes: list[int],
    script: list[str],
    poison: set[int],
    names_poison: bool,
    max_events: int,
) -> None:
    """In order, and what comes twice (a lost answer, a crash) comes in a batch with the same id.

    A sink that counts in its notes has counted each once, whatever came twice.
    """
    numbers = list(range(1, sum(sizes) + 1))
    lines = iter([event(number) for number in numbers])
    commits = [[next(lines) for _ in range(size)] for size in sizes]
    with TemporaryDirectory() as scratch:
        sink = Destination(list(script), {f"{n:032x}" for n in poison}, names_poison=names_poison)
        folder = Path(scratch, "run0")
        folder.mkdir()
        asyncio.run(deliver(folder, commits, sink, max_events))
        connection = connect_to_read(Path(scratch, "end"))
        dead = [stored.letter.body for stored in list_dead_letters(connection)]
        connection.close()

    assert sink.counted == [f"{n:032x}" for n in numbers if n not in poison]
    assert list(dict.fromkeys(id for _, id in sink.taken)) == [f"{n:032x}" for n in numbers if n not in poison]
    assert len(set(sink.taken)) == len({id for _, id in sink.taken})
    assert dead == [event(n) for n in numbers if n in poison]
    if not {"lose the answer", "crash after"}.intersection(script):
        assert len(sink.taken) == len(set(sink.taken))
