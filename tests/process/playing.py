"""What several agents do at once: acts one after another in a lane, lanes side by side, one scene after another."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Protocol

Lane = Sequence["Act"]
Scene = Sequence[Lane]


class Act(Protocol):
    """One thing that an agent does to its files."""

    async def done(self) -> bool:
        """Do it and return true, or return false: its time has not come."""
        ...


@dataclass(frozen=True)
class Append:
    """A piece, which may end anywhere."""

    path: Path
    content: bytes

    async def done(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            file.write(self.content)
        return True


@dataclass(frozen=True)
class Rewrite:
    """Truncated and written again in the same inode."""

    path: Path
    content: bytes

    async def done(self) -> bool:
        self.path.write_bytes(self.content)
        return True


@dataclass(frozen=True)
class Replace:
    """Written beside and renamed over `path`; what it stands in for is gone then."""

    path: Path
    content: bytes
    instead_of: Path

    async def done(self) -> bool:
        beside = self.path.with_name(".new")
        beside.write_bytes(self.content)
        beside.rename(self.path)
        if self.instead_of != self.path:
            self.instead_of.unlink()
        return True


@dataclass(frozen=True)
class Move:
    """Renamed into another folder."""

    path: Path
    target: Path

    async def done(self) -> bool:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.path.rename(self.target)
        return True


@dataclass(frozen=True)
class Hook:
    """A hook's script, run with a payload as an agent runs it: nothing else happens in the lane until it ends."""

    script: Path
    payload: bytes

    async def done(self) -> bool:
        process = await asyncio.create_subprocess_exec(self.script, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)
        await process.communicate(self.payload)
        assert process.returncode == 0, f"{self.script} ended with {process.returncode}"
        return True


@dataclass(frozen=True)
class Until:
    """Goes on when the condition holds."""

    condition: Callable[[], bool]

    async def done(self) -> bool:
        return self.condition()


class Play:
    """Each scene begins when the one before has been played to its end."""

    def __init__(self, scenes: Sequence[Scene], random: Random) -> None:
        self._scenes = [[list(reversed(lane)) for lane in scene if lane] for scene in scenes]
        self._random = random

    @property
    def is_done(self) -> bool:
        return not self._scenes

    async def go_on(self) -> None:
        """The next act of the longest lanes, and of each other one as often as makes all end together, all at once."""
        if self._scenes:
            lanes = self._scenes[0]
            longest = max(map(len, lanes))
            turns = [lane for lane in lanes if self._random.random() * longest < len(lane)]
            done = await asyncio.gather(*(_act(lane) for lane in turns))
            self._scenes[0] = [lane for lane in lanes if lane]
            if not any(done):
                await asyncio.sleep(0.02)
        while self._scenes and not self._scenes[0]:
            del self._scenes[0]


async def _act(lane: list[Act]) -> bool:
    is_done = await lane[-1].done()
    if is_done:
        lane.pop()
    return is_done


def pieces(path: Path, content: bytes, random: Random, *, count: int) -> list[Act]:
    """`content` in about so many appends, cut anywhere, also inside a character."""
    cuts = sorted({0, len(content), *(random.randrange(len(content) + 1) for _ in range(count))})
    return [Append(path, content[start:end]) for start, end in pairwise(cuts)]
