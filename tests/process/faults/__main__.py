"""Breaks a running forwarder for as long as one likes: ``python -m tests.process.faults --seconds 1800 --seed 1``.

Each round is a machine of its own with 100 operations out of a seed (operations.py), after which everything that is
owed has to be at every sink, once. A round that fails is played again with fewer and fewer operations, and the shortest
list that still fails is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from tests.process.faults.operations import Operation, operations, play
from tests.process.faults.shrinking import shrunk
from tests.process.faults.world import Broken, world

OPERATIONS = 100  # in a round
SHRINK_SECONDS = 900.0


@dataclass
class Tally:
    """What a soak has done so far."""

    rounds: int = 0
    written: int = 0
    delivered: int = 0
    destroyed: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])

    def line(self, seed: str, seconds: float, lost: int, doubled: int) -> str:
        """One row of the table in docs/reliability.md, and the faults by kind below."""
        kills = sum(number for name, number in self.faults.items() if name.startswith("kill"))
        kinds = ", ".join(f"{name} {number}" for name, number in sorted(self.faults.items()))
        return (
            f"seed {seed}: {seconds:.0f} s, {self.rounds} rounds, {kills} kills, {sum(self.faults.values())} faults, "
            f"{self.written} facts written, {self.delivered} owed, {self.destroyed} destroyed unread, "
            f"lost {lost}, doubled {doubled}\n{kinds}"
        )


async def one_round(folder: Path, listed: list[Operation], tally: Tally) -> None:
    """Play the list on a new machine and look at the result. Raises `Broken`."""
    async with world(folder) as one:
        for operation in listed:
            await play(one, operation)
        await one.settle()
        tally.rounds += 1
        tally.written += one.home.written
        tally.delivered += len(one.home.owed())
        tally.destroyed += len(one.home.destroyed - one.home.owed())
        tally.faults += one.faults


async def soak(folder: Path, *, seed: str, seconds: float, number: int, rounds: int | None = None) -> int:
    """Rounds until the time is over; returns the exit status. `number` operations each."""
    tally, started = Tally(), time.monotonic()
    for turn in count():
        if (time.monotonic() - started > seconds and turn) or turn == rounds:
            break
        name = f"{seed}/{turn}"
        listed = operations(Random(name), number)
        try:
            await one_round(folder / str(turn), listed, tally)
        except Broken as broken:
            print(f"round {name} broke a promise:\n{broken}\n", flush=True)
            await _report_shortest(folder, listed)
            return 1
        if turn % 10 == 9:
            print(tally.line(seed, time.monotonic() - started, 0, 0).partition("\n")[0], flush=True)
    print(tally.line(seed, time.monotonic() - started, 0, 0), flush=True)
    return 0


async def _report_shortest(folder: Path, listed: list[Operation]) -> None:
    numbers, deadline = count(), time.monotonic() + SHRINK_SECONDS

    async def fails(shorter: list[Operation]) -> bool:
        if time.monotonic() > deadline:
            return False
        try:
            await one_round(folder / f"shrink-{next(numbers)}", shorter, Tally())
        except Broken as broken:
            print(f"{len(shorter)} operations: {str(broken).splitlines()[0]}", flush=True)
            return True
        return False

    shortest = await shrunk(listed, fails)
    print("the shortest list that failed:")
    print("\n".join(f"    Operation({one.name!r}, {one.seed})," for one in shortest), flush=True)


async def _main(chosen: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="forwarder-soak-") as folder:
        return await soak(
            Path(folder), seed=chosen.seed, seconds=chosen.seconds, number=chosen.operations, rounds=chosen.rounds
        )


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Break a running forwarder, and count what is lost.")
    parser.add_argument("--seconds", type=float, default=1800, help="how long (default 1800)")
    parser.add_argument("--seed", default="1", help="any text (default 1); NAME/3 --rounds 1 is not round 3 of NAME")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="in a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, help="stop after so many")
    sys.exit(asyncio.run(_main(parser.parse_args())))


if __name__ == "__main__":
    main()
