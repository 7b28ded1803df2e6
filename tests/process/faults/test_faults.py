"""A short run of the fault bench, and that it notices what it is there to notice."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from tests.process.faults.__main__ import Tally, one_round
from tests.process.faults.operations import BY_NAME, Operation, operations, play
from tests.process.faults.shrinking import shrunk
from tests.process.faults.world import Broken, World, world

ROUNDS = 2
QUIET = ["new", "write", "write_much", "start"]


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_whatever_happens(tmp_path: Path) -> None:
    """The short form of `make soak`: kills, rotations, full disks and broken connections out of a fixed seed."""
    tally = Tally()
    for turn in range(ROUNDS):
        await one_round(tmp_path / str(turn), operations(Random(f"short/{turn}"), 60), tally)

    assert tally.rounds == ROUNDS
    assert len(tally.faults) > 10


@pytest_asyncio.fixture
async def settled(tmp_path: Path) -> AsyncGenerator[World]:
    """A machine on which nothing went wrong."""
    async with world(tmp_path / "quiet") as one:
        for seed, name in enumerate(QUIET):
            await play(one, Operation(name, seed))
        await one.settle()
        yield one


@pytest.mark.slow
async def test_a_lost_event_is_noticed(settled: World) -> None:
    """A bench that cannot fail proves nothing: without one line of the archive it has to."""
    archive = sorted(settled.archive.glob("*.jsonl"))[-1]
    *kept, _ = archive.read_bytes().splitlines(keepends=True)
    archive.write_bytes(b"".join(kept))

    with pytest.raises(Broken, match="lost at archive: 1"):
        settled.check(settled.home.owed(), await settled.found())


@pytest.mark.slow
async def test_a_doubled_event_is_noticed(settled: World) -> None:
    """The same id once more is a repeat, the same fact under another id a doubling."""
    archive = sorted(settled.archive.glob("*.jsonl"))[-1]
    last = json.loads(archive.read_bytes().splitlines()[-1])
    with archive.open("a") as file:
        file.write(json.dumps({**last, "id": "0" * 32}) + "\n")

    with pytest.raises(Broken, match="doubled at archive: 1"):
        settled.check(settled.home.owed(), await settled.found())


@pytest.mark.slow
async def test_a_process_that_ends_by_itself_is_noticed(settled: World) -> None:
    """Also when everything has arrived before."""
    settled.machine.config.write_text("nonsense")
    await settled.start()
    assert settled.process
    await settled.process.wait()

    with pytest.raises(Broken, match="ended by itself with 2"):
        settled.check_alive()


def test_the_same_seed_gives_the_same_operations() -> None:
    """Otherwise a failing round could not be played again."""
    assert operations(Random("1/0"), 50) == operations(Random("1/0"), 50)
    assert {one.name for one in operations(Random("1/0"), 5000)} == set(BY_NAME)


async def test_a_failing_list_is_shrunk_to_what_it_needs() -> None:
    """Two operations that fail only together are left of a hundred."""

    async def fails(items: list[int]) -> bool:
        return {13, 77} <= set(items)

    assert await shrunk(range(100), fails) == [13, 77]
