"""The hardest cases of trouble around a collector, each with a real process, real limits and real sockets."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.http_peer import Reply, Request
from tests.process.faults.home import Home
from tests.process.faults.operations import Operation, play
from tests.process.faults.world import World
from tests.process.machine import FORWARDER, PATIENCE_SECONDS, Machine

pytestmark = pytest.mark.slow

RANDOM = Random(1)
KILLS = 8


async def right(bench: World) -> bool:
    """Whether, without a restart, everything owed arrives, nothing twice, and nothing else."""
    has_all = await bench.arrived()
    bench.check(bench.home.owed(), await bench.ended(has_all=has_all))
    return has_all


def written(bench: World, name: str, number: int = 20) -> Path:
    """A session of so many lines below the name."""
    path = bench.home.day("21") / f"rollout-{name}.jsonl"
    append(bench.home, path, number)
    return path


def append(home: Home, path: Path, number: int = 1) -> None:
    with path.open("ab", buffering=0) as file:
        if not file.tell():
            file.write(home.header())
        file.write(home.lines(RANDOM, number))


async def test_kill_9_at_random_moments_under_load_with_three_sinks(bench: World) -> None:
    """Nothing is lost at any sink, and what was in flight comes again under its old key and ids."""
    paths = [written(bench, f"a{number}") for number in range(3)]
    for _ in range(KILLS):
        await bench.start()
        for _ in range(RANDOM.randrange(10, 60)):
            append(bench.home, RANDOM.choice(paths), RANDOM.randrange(1, 30))
            await asyncio.sleep(0.01)
        await bench.kill()
    await bench.start()

    assert await right(bench)


async def test_kill_at_every_step_of_a_commit_and_of_the_archives_rotation(bench: World) -> None:
    """Before and behind SQLite's commit, between two bytes of a page, and at each call that changes the archive."""
    path = written(bench, "a", 200)
    steps = [f"{name}:{turn}" for name in ("before_commit", "after_commit") for turn in (1, 3)]
    steps += [f"{name}:{turn}" for name in ("write", "rename", "fdatasync", "fsync", "unlink") for turn in (1, 2)]
    steps += [f"byte:{size}" for size in (20_000, 70_000, 150_000)]
    for step in steps:
        append(bench.home, path, 100)
        await bench.start(step)
        await bench.dies(lambda: append(bench.home, path, 5))
        await bench.kill()
    await bench.start()

    assert await right(bench)
    assert bench.faults["kill at a named step"] > len(steps) / 2


def empty(path: Path) -> None:
    path.write_bytes(b"")


def torn(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 - 100)


def zero_filled(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [empty, torn, zero_filled])
async def test_a_checkpoint_store_that_is_empty_torn_or_zero_filled(
    bench: World, damage: Callable[[Path], None]
) -> None:
    """The forwarder starts, says so, keeps the file aside, and reads again by its start policy with the same ids."""
    path = written(bench, "a", 300)
    await bench.start()
    await bench.arrived()
    await bench.stop()
    known = set(bench.lines.stored)
    damage(bench.machine.state / "journal.sqlite3")
    append(bench.home, path, 5)
    await bench.start()
    assert await bench.arrived()

    assert "set aside as journal.sqlite3.damaged-" in bench.tail_of_log()
    assert list(bench.machine.state.glob("journal.sqlite3.damaged-*"))
    assert len(bench.lines.stored.keys() - known) == 5


async def test_one_of_three_sinks_hangs(bench: World) -> None:
    """The other two get everything meanwhile, memory stays as it was, and the third catches up whole."""
    path = written(bench, "a")
    bench.arrays.otherwise = Reply(trouble="silence")
    await bench.start()
    for _ in range(20):
        append(bench.home, path, 50)
        await asyncio.sleep(0.02)
    assert bench.process
    owed = bench.home.owed()
    await bench.machine.until(lambda: owed <= bench.lines.facts.keys(), "the others have all", process=bench.process)
    while owed - (await bench.found())["archive"].keys():
        await asyncio.sleep(0.05)
    was_without = not bench.arrays.facts.keys() - {fact for fact in bench.arrays.facts if fact in owed}
    bench.arrays.otherwise = Reply()

    assert await right(bench)
    assert was_without


async def test_no_watches_left(tmp_path: Path) -> None:
    """In a user namespace that may watch nothing: it looks every second, says so, and every line arrives."""
    machine = Machine(tmp_path)
    home = Home(machine.home, machine.state / "journal.sqlite3")
    path = home.day("21") / "rollout-a.jsonl"
    append(home, path)
    machine.configure(machine.archive_sink())
    process = await unwatched(machine)
    try:
        await machine.until(lambda: len(machine.archived()) == 2, "what was there", process=process)
        append(home, path, 3)
        await machine.until(lambda: len(machine.archived()) == 5, "what came later", process=process)
        status = ""
        while "no file events, looking every 1 s instead" not in status:
            status = await said(machine, "status")
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()

    assert "no file events, looking every 1 s instead" in status


async def unwatched(machine: Machine) -> Process:
    """`forwarder run` where the kernel allows no inotify watch. Skips where there are no user namespaces."""
    limit = "echo 0 > /proc/sys/user/max_inotify_watches"
    unshare = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, limit], capture_output=True).returncode:  # noqa: ASYNC221
        pytest.skip("this kernel gives no user namespaces")
    command = f'{limit}; exec "$0" run --config "$1" --state-dir "$2"'
    with machine.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *[*unshare, command, FORWARDER, str(machine.config), str(machine.state)],
            stdout=log,
            stderr=log,
            env=machine.env(),
        )


async def said(machine: Machine, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *[FORWARDER, *command, "--config", str(machine.config), "--state-dir", str(machine.state)],
        stdout=asyncio.subprocess.PIPE,
        env=machine.env(),
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_inotify_overflow(bench: World) -> None:
    """More events than the kernel's queue holds while the process is suspended: a sweep finds what they told of."""
    paths = [written(bench, f"a{number}", 1) for number in range(50)]
    await bench.start()
    assert await bench.arrived()
    bench.signal(signal.SIGSTOP)
    for _ in range(10_000):  # two events each, of which 16,384 are kept
        (bench.home.day("20") / "rollout-noise.tmp").touch()
        (bench.home.day("20") / "rollout-noise.tmp").unlink()
    for path in paths:
        append(bench.home, path, 2)
    bench.signal(signal.SIGCONT)

    assert await right(bench)


async def test_emfile(bench: World) -> None:
    """Files that could not be opened arrive soon after descriptors are there again, without being touched."""
    await bench.start()
    assert await bench.arrived()
    for descriptor in range(3):
        bench.limit(resource.RLIMIT_NOFILE, bench.open_files() + descriptor)
        for number in range(20):
            written(bench, f"a{descriptor}-{number}", 3)
        await asyncio.sleep(1)
    bench.limit(resource.RLIMIT_NOFILE, None)

    assert await right(bench)


async def test_twenty_thousand_files_in_a_minute(tmp_path: Path) -> None:
    """A tool unpacks an archive of sessions: each file's lines arrive once, and nothing is watched for ever."""
    machine = Machine(tmp_path)
    home = Home(machine.home, machine.state / "journal.sqlite3")
    machine.configure(machine.archive_sink())
    async with machine.running() as process:
        for number in range(20_000):
            path = home.day(str(19 + number % 3)) / f"rollout-{number}.jsonl"
            path.write_bytes(home.header())
            if number % 200 == 0:
                await asyncio.sleep(0)
        await machine.until(
            lambda: len(machine.archived_lines()) >= 20_000,
            "all of them",
            process=process,
            seconds=3 * PATIENCE_SECONDS,
        )

    assert len({event["session_id"] for event in machine.archived()}) == len(machine.archived()) == 20_000


async def test_read_only_folders(bench: World) -> None:
    """An archive on a disk that became read-only waits and says why; once it can be written it lacks nothing."""
    if not bench.is_small_disk:
        pytest.skip("only root can make a disk read-only")
    path = written(bench, "a")
    await bench.start()
    assert await bench.arrived()
    bench.archive.mkdir(exist_ok=True)
    mount = ["mount", "--bind", str(bench.archive), str(bench.archive)]
    await asyncio.to_thread(subprocess.run, mount, check=True)
    try:
        remount = ["mount", "-o", "remount,bind,ro", str(bench.archive)]
        await asyncio.to_thread(subprocess.run, remount, check=True)
        await bench.kill()
        await bench.start()
        append(bench.home, path, 30)
        assert bench.process
        said = "the file system is read-only"
        await bench.machine.until(lambda: said in bench.tail_of_log(), "it says why", process=bench.process)
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", "-l", str(bench.archive)], check=True)
    await bench.stop()
    await bench.start()

    assert await right(bench)


async def test_clock_jumps_both_ways(bench: World) -> None:
    """By seconds and by days, while lines are written: ages are wrong for a while, nothing is lost."""
    path = written(bench, "a")
    await bench.start()
    for seed in range(8):
        await play(bench, Operation("move_clock", seed))
        append(bench.home, path, 30)
        await asyncio.sleep(0.3)

    assert await right(bench)


async def test_a_sink_that_rejects_one_event_in_ten_thousand(bench: World) -> None:
    """The culprits are dead letters with the destination's words, everything else arrives."""
    poison = bench.home.lines(RANDOM, 1)
    path = written(bench, "a", 5_000)
    with path.open("ab") as file:
        file.write(poison)
    append(bench.home, path, 5_000)
    word = next(iter(bench.home.owed() & {line.decode() for line in poison.split(b'"') if line.startswith(b"f")}))
    refuse(bench, word)
    await bench.start()
    assert bench.process
    owed = bench.home.owed() - {word}
    await bench.machine.until(lambda: owed <= bench.lines.facts.keys(), "the others arrive", process=bench.process)
    letters = await said(bench.machine, "dead-letters", "list")
    await bench.stop()

    assert bench.lines.facts.keys() == owed
    assert "spoilt" in letters


def refuse(bench: World, word: str) -> None:
    """Let the endpoint answer 400 to every batch with this fact."""

    def judge(request: Request, reply: Reply) -> Reply:
        is_spoilt = any(str(event.get("input", "")).startswith(f"{word} ") for event in request.events())
        return Reply(400, body=b"spoilt") if is_spoilt else reply

    bench.lines.judge = judge  # type: ignore[method-assign]
