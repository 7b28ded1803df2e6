"""A running `forwarder run` over a made-up Codex home: how soon a line arrives, and what waiting costs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.command import FORWARDER, cpu_seconds, resident_mib, running, scratch
from benchmarks.corpus import compact
from benchmarks.peer import Tally, serving
from benchmarks.table import quantile, table

SETTLED_CPU = 0.01  # of a core over one second: nothing but the sweep is going on
QUIET_SECONDS = 25.0  # after which a forwarder looks for file events less often
PATIENCE_SECONDS = 300


class Origin(msgspec.Struct):
    """Where an event's record begins."""

    file: str
    offset: int


class Arrived(msgspec.Struct):
    """What is read of an event that the endpoint got."""

    origin: Origin


_EVENT = msgspec.json.Decoder(Arrived)


class Home:
    """Sessions of an agent that is at work: one file each, under `folder`."""

    def __init__(self, folder: Path, sessions: int) -> None:
        self.folder = folder
        self.paths = [self._begin(number) for number in range(sessions)]

    def _begin(self, number: int) -> Path:
        # A hundred sessions a day, as busy people have: 15,000 files lie in 150 folders.
        day = self.folder / "sessions" / "2026" / f"{1 + number // 2_800:02}" / f"{1 + number // 100 % 28:02}"
        day.mkdir(parents=True, exist_ok=True)
        session = f"0beec0de-70a0-77a3-bf05-{number:012x}"
        path = day / f"rollout-2026-11-21T01-12-22-{session}.jsonl"
        meta = {"id": session, "timestamp": stamp(), "cwd": "/home/dev/shop", "cli_version": "0.58.0", "source": "cli"}
        path.write_text(compact({"timestamp": stamp(), "type": "session_meta", "payload": meta}) + "\n")
        return path

    def append(self, number: int, text: str) -> tuple[tuple[str, int], float]:
        """Write one line as the agent does. Returns file name and offset of the line, and when it was written."""
        path = self.paths[number]
        payload = {"type": "agent_message", "message": text}
        line = compact({"timestamp": stamp(), "type": "event_msg", "payload": payload}).encode() + b"\n"
        with path.open("ab", buffering=0) as file:
            offset = file.seek(0, os.SEEK_END)
            file.write(line)
            return (path.name, offset), time.monotonic()


def stamp() -> str:
    """The time now, as the agent writes it."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03}Z"


def latency() -> None:
    """From the write of a line to the acknowledgement of its event by a loopback HTTP endpoint."""
    rows = [
        asyncio.run(latencies("1 file, a line every 20 ms", sessions=1, burst=1, bursts=500, pause=0.02)),
        asyncio.run(latencies("20 files, a line every 5 ms", sessions=20, burst=1, bursts=2_000, pause=0.005)),
        asyncio.run(latencies("500 files, a line in each at once, every second", sessions=500, burst=500, bursts=10)),
    ]
    table("latency from write to acknowledgement, ms", ["case", "lines", "p50", "p99", "max"], rows)


async def latencies(name: str, *, sessions: int, burst: int, bursts: int, pause: float = 1.0) -> list[str]:
    """Append in bursts of single lines, one file after the other, and wait for all of them."""
    tally = Tally(keeps_bodies=True)
    with scratch() as folder:
        home = Home(folder / "home", sessions)
        async with serving(tally) as port:
            with running(run_command(folder, port), cwd=folder):
                await until(lambda: len(arrivals(tally)) >= sessions)
                written = await write(home, burst=burst, bursts=bursts, pause=pause)
                await until(lambda: written.keys() <= arrivals(tally).keys())
    arrived = arrivals(tally)
    taken = [(arrived[where] - when) * 1000 for where, when in written.items()]
    return [name, f"{len(taken):,}", f"{quantile(taken, 0.5):.1f}", f"{quantile(taken, 0.99):.1f}", f"{max(taken):.1f}"]


async def write(home: Home, *, burst: int, bursts: int, pause: float) -> dict[tuple[str, int], float]:
    """Append the bursts, a line to the next file each; returns when each line was written."""
    written: dict[tuple[str, int], float] = {}
    for number in range(burst * bursts):
        where, when = home.append(number % len(home.paths), f"line {number}")
        written[where] = when
        if (number + 1) % burst == 0:
            await asyncio.sleep(pause)
    return written


def arrivals(tally: Tally) -> dict[tuple[str, int], float]:
    """When the endpoint acknowledged the first event of each record."""
    found: dict[tuple[str, int], float] = {}
    for when, body in tally.bodies:
        for line in body.splitlines():
            origin = _EVENT.decode(line).origin
            found.setdefault((origin.file, origin.offset), when)
    return found


def idle(*, files: int = 15_000, seconds: float = 30.0) -> None:
    """What a forwarder costs that has nothing to do, over many finished sessions."""
    asyncio.run(_idle(files, seconds))


async def _idle(files: int, seconds: float) -> None:
    with scratch() as folder:
        home = Home(folder / "home", files)
        yesterday = time.time() - 7 * 86_400
        for path in home.paths:
            os.utime(path, (yesterday, yesterday))
        async with serving(Tally()) as port:
            with running(run_command(folder, port), cwd=folder) as process:
                start = time.monotonic()
                await settled(process.pid)
                ready = time.monotonic() - start
                await asyncio.sleep(QUIET_SECONDS)
                before = cpu_seconds(process.pid)
                await asyncio.sleep(seconds)
                used = (cpu_seconds(process.pid) - before) / seconds * 100
                row = [f"{files:,}", f"{ready:.1f}", f"{used:.2f}", f"{resident_mib(process.pid):.0f}"]
                row.append(f"{resident_mib(process.pid, 'VmHWM'):.0f}")
    table(f"idle for {seconds:.0f} s", ["files", "settled after s", "% of a core", "resident MiB", "peak MiB"], [row])


async def settled(pid: int) -> None:
    """Return when the process has used hardly any CPU for a second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    await asyncio.sleep(2)  # past the start-up
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        await asyncio.sleep(1)
        if cpu_seconds(pid) - before <= SETTLED_CPU:
            return
    raise TimeoutError(f"process {pid} is still busy")


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.05)


def run_command(folder: Path, port: int, *, journal_bytes: str = "1GiB") -> list[str | Path]:
    """`forwarder run` over `folder`/home with one HTTP sink, and its configuration written to `folder`."""
    config = folder / "config.toml"
    config.write_text(
        f'redaction = "preview"\n\n[journal]\nmax_bytes = "{journal_bytes}"\n\n'
        f'[sources.codex]\nhome = "{folder}/home"\n\n'
        f'[sinks.bench]\nuse = "http"\nurl = "http://127.0.0.1:{port}/"\n'
    )
    return [FORWARDER, "run", "--config", config, "--state-dir", folder / "state"]
