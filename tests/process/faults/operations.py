"""What the driver may do, each operation by a name and a seed, so that any part of a list can be played again."""

from __future__ import annotations

import asyncio
import resource
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.http_peer import Reply, Trouble
from tests.process.faults.home import DAYS
from tests.process.faults.world import World

STEPS = ("before_commit", "after_commit", "write", "rename", "unlink", "fsync", "fdatasync", "ftruncate", "mkdir")
TROUBLES: tuple[Trouble, ...] = (
    "reset_before_body", "reset_in_body", "reset_after_body", "half_answer", "wrong_length", "slow_reading", "silence",
)  # fmt: skip
DAY_SECONDS = 86_400
MAX_FILES = 400  # in one round; bursts add no more


class Operation(NamedTuple):
    """`seed` decides everything that is left open in it."""

    name: str
    seed: int


Do = Callable[[World, Random], Awaitable[None] | None]


def _file(world: World, random: Random) -> Path | None:
    """One of the plain files, mostly one of a few, so that the same file goes through much."""
    files = world.home.files(".jsonl")
    if not files:
        return None
    return random.choice(files[:4] if random.random() < 0.7 else files)


async def _may_be_read_first(world: World, path: Path, random: Random) -> None:
    """Half of the destroyers wait, a little, until the journal has what they destroy."""
    if random.random() < 0.5 and world.is_running:
        for _ in range(40):
            if world.home.is_committed(path):
                return
            await asyncio.sleep(0.02)


# Writing.


def new(world: World, random: Random) -> None:
    home = world.home
    path = home.new_name(random)
    path.touch()
    home.append(path, home.header() + home.lines(random, random.randint(0, 5)), random)


def write(world: World, random: Random) -> None:
    if path := _file(world, random):
        world.home.append(path, world.home.lines(random, random.randint(1, 20)), random)


def write_much(world: World, random: Random) -> None:
    if path := _file(world, random):
        world.home.append(path, world.home.lines(random, random.randint(100, 1000)), random)


def burst(world: World, random: Random) -> None:
    for _ in range(min(random.randint(10, 80), MAX_FILES - len(world.home.files()))):
        new(world, random)


async def pause(world: World, random: Random) -> None:
    await asyncio.sleep(random.random() ** 2 * 0.6)


# What agents, people and other programs do to files.


def rename(world: World, random: Random) -> None:
    if path := _file(world, random):
        target = world.home.new_name(random)
        path.rename(target if random.random() < 0.5 else target.with_name(path.name))


def rotate(world: World, random: Random) -> None:
    """By rename, up to three times in a row, with a new file at the old path each time."""
    if path := _file(world, random):
        for _ in range(random.choice([1, 1, 3])):
            path.rename(world.home.new_name(random))
            path.touch()
            world.home.append(path, world.home.header() + world.home.lines(random, random.randint(0, 4)), random)


async def copy_truncate(world: World, random: Random) -> None:
    """Rotation as for writers that keep their file open. What is written between the two steps would be lost."""
    if path := _file(world, random):
        world.home.copy(path, world.home.new_name(random))
        await _may_be_read_first(world, path, random)
        world.home.give_up(path)
        with path.open("r+b") as file:
            file.truncate()
            file.write(world.home.header())


async def rewrite(world: World, random: Random) -> None:
    """Truncate and write again in the same file, with the same first line or another one, less or more."""
    if path := _file(world, random):
        await _may_be_read_first(world, path, random)
        first, newline, _ = path.read_bytes().partition(b"\n")
        content = first + newline if newline and random.random() < 0.5 else world.home.header()
        world.home.give_up(path)
        with path.open("r+b") as file:
            file.truncate()
        world.home.append(path, content + world.home.lines(random, random.choice([0, 2, 30, 300])), random)


async def cut(world: World, random: Random) -> None:
    """Take the last lines away, and write others in their place."""
    if path := _file(world, random):
        await _may_be_read_first(world, path, random)
        content = path.read_bytes()
        ends = [at + 1 for at, byte in enumerate(content) if byte == 10]
        if ends:
            end = random.choice(ends)
            world.home.give_up(path, behind=end)
            with path.open("r+b") as file:
                file.truncate(end)
            world.home.append(path, world.home.lines(random, random.randint(0, 20)), random)


async def replace(world: World, random: Random) -> None:
    """Another file under the same name: the old content and more, or something else."""
    if path := _file(world, random):
        await _may_be_read_first(world, path, random)
        whole = path.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        content = whole if whole and random.random() < 0.5 else world.home.header()
        world.home.put_in_place(path, content + world.home.lines(random, random.randint(0, 30)))


async def delete(world: World, random: Random) -> None:
    if path := _file(world, random):
        await _may_be_read_first(world, path, random)
        world.home.let_go(path)
        path.unlink()


def compress(world: World, random: Random) -> None:
    path = _file(world, random)
    if path and path.stat().st_nlink == 1:
        world.home.pack(path, suffix=".zst", in_pieces=random.random() < 0.5)


def decompress(world: World, random: Random) -> None:
    if packed := world.home.files(".zst"):
        world.home.unpack(random.choice(packed), in_pieces=random.random() < 0.5)


def hard_link(world: World, random: Random) -> None:
    if path := _file(world, random):
        world.home.new_name(random).hardlink_to(path)


def symlink_loop(world: World, random: Random) -> None:
    link = world.home.day(random.choice(DAYS)) / f"loop-{random.randrange(4)}"
    if link.parent.exists() and not link.is_symlink():
        link.symlink_to(world.home.folder / "sessions")


def folder_goes(world: World, random: Random) -> None:
    """Moved aside with everything in it, as an unmounted disk takes it away."""
    world.home.put_aside(random.choice(DAYS))


def folder_comes(world: World, random: Random) -> None:
    world.home.bring_back()


async def folder_again(world: World, random: Random) -> None:
    """Removed with its files, and made again at once."""
    day = world.home.day(random.choice(DAYS))
    for path in [one for one in world.home.files() if one.parent == day]:
        world.home.let_go(path)
        path.unlink()
    shutil.rmtree(day, ignore_errors=True)
    day.mkdir()


# What happens to the process.


async def start(world: World, random: Random) -> None:
    await world.start()


async def start_doomed(world: World, random: Random) -> None:
    """It dies at a named step: of a commit, of the archive's rotation, or between two bytes of a page."""
    await world.kill()
    if random.random() < 0.4:
        step = f"byte:{random.randrange(4096, 400_000)}"
    else:
        step = f"{random.choice(STEPS)}:{random.choice([1, 2, 3, 4, 6, 9])}"
    await world.start(step)
    await world.dies(lambda: write(world, random))


async def kill(world: World, random: Random) -> None:
    await world.kill()


async def stop(world: World, random: Random) -> None:
    await world.stop()


async def kill_while_stopping(world: World, random: Random) -> None:
    """In the middle of draining, or of closing the journal."""
    world.signal(signal.SIGTERM)
    await asyncio.sleep(random.random() * 0.2)
    if world.process and world.process.returncode is None:
        await world.kill()
    elif world.process and world.process.returncode in {0, 4}:
        world.process = None


async def suspend(world: World, random: Random) -> None:
    """As a laptop that is closed: the files go on meanwhile, seen by nobody."""
    world.signal(signal.SIGSTOP)
    world.faults["suspend"] += 1


async def resume(world: World, random: Random) -> None:
    world.signal(signal.SIGCONT)


def move_clock(world: World, random: Random) -> None:
    world.clock.write_text(str(random.choice([-1, 1]) * random.choice([1, 90, 4000, DAY_SECONDS, 9 * DAY_SECONDS])))


# What becomes scarce.


def fill_disk(world: World, random: Random) -> None:
    if not world.fill_disk():
        quota(world, random)


def empty_disk(world: World, random: Random) -> None:
    world.empty_disk()


def quota(world: World, random: Random) -> None:
    """No file may grow beyond some size that the journal's log reaches soon."""
    world.limit(resource.RLIMIT_FSIZE, random.randrange(4096, 300_000))


def few_descriptors(world: World, random: Random) -> None:
    world.limit(resource.RLIMIT_NOFILE, world.open_files() + random.randrange(3))


def plenty(world: World, random: Random) -> None:
    world.limit(resource.RLIMIT_FSIZE, None)
    world.limit(resource.RLIMIT_NOFILE, None)
    world.empty_disk()


# What destinations do.


def trouble(world: World, random: Random) -> None:
    """Some requests end in an error or in a broken connection."""
    endpoint = random.choice([world.lines, world.arrays])
    for _ in range(random.randint(1, 4)):
        if random.random() < 0.4:
            status = random.choice([429, 500, 502, 503, 503, 504, 408])
            endpoint.script(Reply(status, headers={"Retry-After": "0"} if status in {429, 503} else {}))
        else:
            endpoint.script(Reply(trouble=random.choice(TROUBLES), delay_seconds=0.02))


def outage(world: World, random: Random) -> None:
    endpoint = random.choice([world.lines, world.arrays])
    endpoint.otherwise = random.choice([Reply(503), Reply(401), Reply(404), Reply(trouble="silence"), Reply(500)])


def back(world: World, random: Random) -> None:
    for endpoint in (world.lines, world.arrays):
        endpoint.otherwise, endpoint.max_events = Reply(delay_seconds=random.choice([0, 0, 0.03])), 0


def too_large(world: World, random: Random) -> None:
    random.choice([world.lines, world.arrays]).max_events = random.choice([1, 3, 10])


WEIGHTS: dict[Do, int] = {
    new: 8, write: 40, write_much: 3, burst: 1, pause: 22,
    rename: 5, rotate: 5, copy_truncate: 4, rewrite: 6, cut: 5, replace: 5, delete: 3, compress: 6, decompress: 5,
    hard_link: 2, symlink_loop: 1, folder_goes: 2, folder_comes: 6, folder_again: 1,
    start: 30, start_doomed: 9, kill: 7, stop: 2, kill_while_stopping: 2, suspend: 2, resume: 6, move_clock: 3,
    fill_disk: 2, empty_disk: 4, quota: 2, few_descriptors: 2, plenty: 8,
    trouble: 6, outage: 2, back: 6, too_large: 2,
}  # fmt: skip
BY_NAME: dict[str, Do] = {do.__name__: do for do in WEIGHTS}
COUNTED = {
    "rename", "rotate", "copy_truncate", "rewrite", "cut", "replace", "delete", "compress", "decompress", "hard_link",
    "symlink_loop", "folder_goes", "folder_again", "stop", "move_clock", "fill_disk", "quota", "few_descriptors",
    "trouble", "outage", "too_large",
}  # fmt: skip


def operations(random: Random, number: int) -> list[Operation]:
    """So many, after the few that give the others something to work on."""
    drawn = random.choices([do.__name__ for do in WEIGHTS], list(WEIGHTS.values()), k=number)
    return [Operation(name, random.randrange(1 << 32)) for name in ["new", "new", "write", "start", *drawn]]


async def play(world: World, one: Operation) -> None:
    """Do it. Raises `Broken` when the forwarder has ended by itself."""
    if one.name in COUNTED:
        world.faults[one.name.replace("_", " ")] += 1
    done = BY_NAME[one.name](world, Random(one.seed))
    if done is not None:
        await done
    await asyncio.sleep(0)
