"""A scratch machine with everything that can go wrong at hand: the process, its limits, its disk, its destinations."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from tests.http_peer import Reply
from tests.process.faults.endpoint import Endpoint, fact_of
from tests.process.faults.home import Home, contents
from tests.process.machine import Machine

VICTIM = Path(__file__).with_name("victim.py")
DISK = "96m"  # of the small file system: more than an undisturbed round takes
PATIENCE_SECONDS = 60.0  # until everything has arrived once nothing is wrong any more
STOP_SECONDS = 30.0  # until a process that was asked to stop has ended; its drain is limited to 20

CONFIG = """\
start = "all"
sweep_seconds = "300ms"
drain_seconds = 20
[journal]
max_bytes = "1MiB"
[sources.codex]
home = "{home}"
[sinks.archive]
use = "jsonl"
path = "{archive}/{{date}}.jsonl"
rotate_bytes = "16KiB"
compress = "zstd"
[sinks.lines]
use = "http"
url = "{lines}"
batch_events = 40
timeout_seconds = 5.0
[sinks.arrays]
use = "http"
url = "{arrays}"
body = "json"
compress = "zstd"
timeout_seconds = 5.0
"""


class Broken(AssertionError):
    """A promise was not kept; the text says which and how."""


class World:
    """One forwarder with three sinks. `faults` counts what was done to it."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder)
        self.disk = folder / "disk"
        self.disk.mkdir()
        self.machine.state = self.disk / "state"
        self.archive = self.disk / "archive"
        self.home = Home(self.machine.home, self.machine.state / "journal.sqlite3")
        self.clock = folder / "clock"
        self.clock.write_text("0")
        self.lines, self.arrays = Endpoint(), Endpoint()
        self.faults: Counter[str] = Counter()
        self.process: Process | None = None
        self.is_small_disk = False
        self._is_doomed = False  # its death was arranged
        self._is_starved = False  # of room, so that it may refuse to start
        self._log_began = 0  # where the log of the present process begins

    # The process.

    @property
    def is_running(self) -> bool:
        """Also while it is suspended."""
        return self.process is not None and self.process.returncode is None

    @property
    def is_at_work(self) -> bool:
        """It has started: everything that it needs for itself is open."""
        return self.is_running and b"at work" in self.machine.log.read_bytes()[self._log_began :]

    async def start(self, step: str = "") -> None:
        """Start it unless it runs; with a `step` it will die there (victim.py)."""
        self.check_alive()
        if self.is_running:
            return
        machine = self.machine
        environment = machine.env() | {"FAULT_CLOCK": str(self.clock), "FAULT_STEP": step}
        # Under a limit on file sizes Python leaves half a compiled module behind, and does not start any more.
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        if found := os.environ.get("PYTHONPATH"):
            environment["PYTHONPATH"] = found
        self._is_doomed = bool(step)
        self._log_began = machine.log.stat().st_size
        with machine.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *[sys.executable, str(VICTIM), "run", "--config", str(machine.config)],
                *["--state-dir", str(machine.state)],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=machine.folder,
            )

    async def dies(self, write: Callable[[], None]) -> None:
        """Give a doomed process work until it is dead, or until it has had so much that its step does not come."""
        seconds_at_work, deadline = 1.0, time.monotonic() + STOP_SECONDS
        while self.is_running and seconds_at_work > 0 and time.monotonic() < deadline:
            if self.is_at_work:
                write()
                seconds_at_work -= 0.025
            await asyncio.sleep(0.025)

    def check_alive(self) -> None:
        """Raise `Broken` when it has ended without our doing."""
        process = self.process
        if process is None or process.returncode is None:
            return
        self.process = None
        if self._is_doomed and process.returncode in {-signal.SIGKILL, -signal.SIGXFSZ}:
            self.faults["kill at a named step"] += 1
        elif process.returncode == -signal.SIGTERM:
            pass  # it was asked to stop before it listened
        elif not (self._is_starved and process.returncode == 3):
            raise Broken(f"the forwarder ended by itself with {process.returncode}\n{self.tail_of_log()}")

    async def kill(self) -> None:
        """SIGKILL, as it may come at any moment."""
        self.check_alive()
        if self.process is not None:
            self.signal(signal.SIGKILL)
            await self.process.wait()
            self.process = None
            self.faults["kill"] += 1

    async def stop(self, *, is_final: bool = False) -> None:
        """SIGTERM, and wait for the end."""
        self.check_alive()
        if self.process is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                status = await self.process.wait()
        except TimeoutError:
            raise Broken(f"it did not stop within {STOP_SECONDS:g} s\n{self.tail_of_log()}") from None
        if self._is_doomed and status < 0:
            self.check_alive()
            return
        self.process = None
        if status not in ({0} if is_final else {0, 3, 4, -signal.SIGTERM}):  # the last: before it listened
            raise Broken(f"asked to stop, it ended with {status}\n{self.tail_of_log()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it runs.

        Not by `Process.send_signal`: that reaps a child which has just died, and its status would be unknown.
        """
        if self.is_running and self.process:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def limit(self, which: int, value: int | None) -> None:
        """Set one of the running process's limits; None takes the limit away again.

        Only once it is at work: without the descriptors for its own start it may end, a service manager tries again.
        """
        if self.is_at_work and self.process and not self._is_doomed:
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(self.process.pid, which)
                resource.prlimit(self.process.pid, which, (hard if value is None else value, hard))

    def open_files(self) -> int:
        """How many file descriptors the running process has."""
        with suppress(OSError):
            if self.process:
                return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return 20

    # Its surroundings.

    def fill_disk(self) -> bool:
        """Leave no room on the small disk; False where there is none."""
        if not self.is_small_disk:
            return False
        self._is_starved = True
        free = os.statvfs(self.disk)
        with suppress(OSError), (self.disk / "ballast").open("ab") as ballast:
            os.posix_fallocate(ballast.fileno(), ballast.tell(), max(1, free.f_bavail * free.f_frsize))
        return True

    def empty_disk(self) -> None:
        """Take the ballast away."""
        (self.disk / "ballast").unlink(missing_ok=True)

    def heal(self) -> None:
        """End everything that is wrong outside the process, and lift its limits."""
        self.empty_disk()
        self.limit(resource.RLIMIT_FSIZE, None)
        self.limit(resource.RLIMIT_NOFILE, None)
        self.signal(signal.SIGCONT)
        self.clock.write_text("0")
        for endpoint in (self.lines, self.arrays):
            endpoint.otherwise, endpoint.max_events = Reply(), 0
            endpoint.forget_script()
        self.home.bring_back()

    # The end of a round.

    async def settle(self) -> None:
        """Heal, start anew, let everything arrive, stop in order, and look. Raises `Broken`."""
        self.heal()
        await self.stop()
        self._is_starved = False
        self.home.finish()
        await self.start()
        self.check(self.home.owed(), await self.ended(has_all=await self.arrived()))

    async def arrived(self) -> bool:
        """Return once every destination has what it is owed, without a restart; False if that never happens."""
        owed, deadline = self.home.owed(), time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.is_at_work and all(owed <= facts.keys() for facts in (await self.found()).values()):
                return True
            await asyncio.sleep(0.1)
            self.check_alive()
        return False

    async def ended(self, *, has_all: bool) -> dict[str, Counter[str]]:
        """Stop it and return what is found then; it may be late only when something has not arrived."""
        await self.stop(is_final=has_all)
        return await self.found()

    async def found(self) -> dict[str, Counter[str]]:
        """Facts at each destination, as often as they are there."""
        archived = await asyncio.to_thread(self.archived)
        at_archive = Counter(fact for _, fact in archived if fact)
        return {"lines": self.lines.facts, "arrays": self.arrays.facts, "archive": at_archive}

    def archived(self) -> list[tuple[str, str | None]]:
        """Id and fact of every event in the archive."""
        found: list[tuple[str, str | None]] = []
        for path in sorted(self.archive.glob("2*.jsonl*")):  # hidden ones are being written
            is_double = path.suffix == ".zst" and path.with_suffix("").exists()
            with suppress(FileNotFoundError):  # renamed or removed at the moment
                content = b"" if is_double else contents(path)
                for line in content[: content.rfind(b"\n") + 1].splitlines():
                    event = json.loads(line)
                    found.append((event["id"], fact_of(event)))
        return found

    def check(self, owed: set[str], found: dict[str, Counter[str]]) -> None:
        """Every promise, after an orderly end. Raises `Broken` with all that is wrong."""
        allowed = owed | self.home.destroyed
        wrong = list[str]()
        for name, facts in found.items():
            wrong += _said(f"lost at {name}", owed - facts.keys())
            wrong += _said(f"doubled at {name}", {fact for fact, number in facts.items() if number > 1})
            wrong += _said(f"never written, at {name}", facts.keys() - allowed)
        ids = Counter(one for one, _ in self.archived())
        wrong += _said("ids twice in the archive", {one for one, number in ids.items() if number > 1})
        for name, endpoint in (("lines", self.lines), ("arrays", self.arrays)):
            wrong += _said(f"sent to {name} under two keys", set(endpoint.repeated))
            wrong += _said(f"keys with two bodies at {name}", set(endpoint.changed))
            if not wrong:
                wrong += _said(f"not the same at {name} and in the archive", endpoint.stored.keys() ^ ids.keys())
        wrong += _said("left behind in the archive", {path.name for path in self.archive.glob(".*")})
        wrong += self._wrong_in_journal()
        wrong += [f"in the log: {line[:500]}" for line in self.tail_of_log(1 << 30).splitlines() if "Traceback" in line]
        if wrong:
            raise Broken("\n".join(wrong) + f"\n{self.tail_of_log()}")

    def _wrong_in_journal(self) -> list[str]:
        # Empty is what a kill may leave of the very first start.
        if set_aside := [path.name for path in self.machine.state.glob("*damaged*") if path.stat().st_size]:
            return [f"the journal was set aside: {set_aside}"]
        with closing(sqlite3.connect(self.machine.state / "journal.sqlite3")) as connection:
            [(integrity,)] = connection.execute("PRAGMA integrity_check").fetchall()
            letters = connection.execute("SELECT file, offset, size, reason FROM dead_letters").fetchall()
        wrong = [f"dead letter: {letter}" for letter in letters]
        return wrong + ([f"the journal is damaged: {integrity}"] if integrity != "ok" else [])

    def tail_of_log(self, size: int = 3000) -> str:
        """The end of what the forwarder said."""
        return self.machine.log.read_text(errors="replace")[-size:]


def _said(what: str, which: set[str]) -> list[str]:
    return [f"{what}: {len(which)}, such as {sorted(which)[:5]}"] if which else []


@asynccontextmanager
async def world(folder: Path) -> AsyncGenerator[World]:
    """A new machine in `folder`, which is removed at the end; whatever still runs is killed."""
    folder.mkdir(parents=True)
    one = World(folder)
    one.is_small_disk = _mounted(one.disk)
    try:
        async with one.lines, one.arrays:
            text = CONFIG.format(home=one.machine.home, archive=one.archive, lines=one.lines.url, arrays=one.arrays.url)
            one.machine.config.write_text(text)
            yield one
    finally:
        if one.process is not None and one.process.returncode is None:
            one.signal(signal.SIGKILL)
            await one.process.wait()
        if one.is_small_disk:
            await asyncio.to_thread(subprocess.run, ["umount", "-l", str(one.disk)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def _mounted(disk: Path) -> bool:
    """Put a small file system there; only root can."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
