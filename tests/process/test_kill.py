"""Killed at any moment, as often as one likes: nothing is lost and nothing doubled."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.process.machine import Machine, ids, totals
from tests.process.writing import Pieces, answering, sessions

pytestmark = pytest.mark.slow

ROUNDS = 50
PIECES = 2_500  # about as many as the rounds write, so that the files are never quiet for long


async def test_fifty_kills_lose_and_double_nothing(machine: Machine) -> None:
    """SIGKILL while lines are written, read, journalled and archived; the last start has to put everything right."""
    random = Random(4)
    contents = sessions(machine.home) | answering(machine.home, files=10, answers=2_000)
    pieces = Pieces(contents, random, largest=2 * sum(map(len, contents.values())) // PIECES)
    machine.configure(machine.archive_sink())

    for _ in range(ROUNDS):
        await one_life(machine, pieces, random)
    while not pieces.is_done:
        pieces.write(100)
    async with machine.running() as process:
        await machine.until(machine.is_read, "everything is read", process=process)

    expected = await machine.replay(machine.home)
    assert sorted(ids(machine.journalled())) == sorted(ids(expected))
    assert sorted(ids(machine.archived())) == sorted(ids(expected))
    assert totals(machine.archived()) == totals(expected)


async def test_a_killed_replay_goes_on_where_it_was(machine: Machine) -> None:
    """Started again with the same words it sends the rest, and an archive holds each event once."""
    for path, content in answering(machine.home, files=20, answers=1_000).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    machine.configure(machine.archive_sink())

    for _ in range(6):
        before = len(machine.archived_lines())
        replay = await machine.started("replay", "--to", "archive", machine.home)
        while replay.returncode is None and len(machine.archived_lines()) == before:
            await asyncio.sleep(0.005)
        if replay.returncode is not None:
            break
        replay.kill()
        await replay.wait()
    else:
        replay = await machine.started("replay", "--to", "archive", machine.home)

    assert await replay.wait() == 0
    assert sorted(ids(machine.archived())) == sorted(ids(await machine.replay(machine.home)))


async def one_life(machine: Machine, pieces: Pieces, random: Random) -> None:
    """Start and kill: now and then during the start, mostly in the middle of the work, which goes on all the time."""
    pieces.write(5)
    process = await machine.started()
    if random.random() < 0.8:
        journal = machine.state / "journal.sqlite3-wal"
        before = journal.stat().st_mtime_ns if journal.exists() else 0
        await machine.until(
            lambda: journal.exists() and journal.stat().st_mtime_ns != before, "it has begun to work", process=process
        )
    for _ in range(random.randrange(40)):
        pieces.write(2)
        await asyncio.sleep(random.random() * 0.01)
    process.kill()
    await process.wait()
