"""A scratch machine: an agent's home, a configuration, a state folder, and the installed command run over them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

FORWARDER = str(Path(sys.executable).with_name("forwarder"))
PATIENCE_SECONDS = 60.0  # of a condition that must come true: only a failing test waits as long

Event = dict[str, Any]


class Failed(AssertionError):
    """The command ended with another status than it should; the text is its standard error."""


class Machine:
    """`home` is the agent's folder. Every command runs with an environment of its own, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.state = folder / "state"
        self.config = folder / "config.toml"
        self.log = folder / "log"
        self.home.mkdir()
        self.log.touch()

    def configure(self, *sinks: str) -> None:
        """One source over `home`, read from its beginning, and these sinks: each a table in TOML."""
        source = f'[sources.codex]\nhome = "{self.home}"\n'
        self.config.write_text("\n".join(['start = "all"\nsweep_seconds = "500ms"\n', source, *sinks]))

    def archive_sink(self) -> str:
        """A table for `configure`: one archive file a day, under `folder`/archive."""
        return f'[sinks.archive]\nuse = "jsonl"\npath = "{self.folder}/archive/{{date}}.jsonl"\n'

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Process]:
        """`forwarder run` beside the block; then stopped with SIGTERM, after which it has to end with status 0."""
        process = await self.started()
        try:
            yield process
            await self.stopped(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def started(self, *arguments: str | Path) -> Process:
        """The command with these arguments, `run` without any; output and log go to `log`."""
        command, *rest = arguments or ("run",)
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *[FORWARDER, command, "--config", self.config, "--state-dir", self.state, *rest],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env(),
                cwd=self.folder,
            )

    async def until(
        self, condition: Callable[[], bool], what: str, *, process: Process, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Return when the condition holds; fail with `what` when it never does, or when the process has ended."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    if process.returncode is not None:
                        raise Failed(f"ended with {process.returncode}: {self.log.read_text()[-2000:]}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            log = self.log.read_text()[-2000:]
            raise Failed(f"not within {seconds:.0f} s: {what}\n{log}") from None

    async def stopped(self, process: Process) -> None:
        """End it as a service manager does, and let it drain."""
        assert process.returncode is None, self.log.read_text()[-2000:]
        process.send_signal(signal.SIGTERM)
        if await process.wait():
            raise Failed(f"ended with {process.returncode}: {self.log.read_text()[-2000:]}")

    async def replay(self, *paths: Path, state: str = "replay") -> list[Event]:
        """The events of `forwarder replay PATHS --to stdout`, with a state folder of that name."""
        process = await asyncio.create_subprocess_exec(
            *[FORWARDER, "replay", "--no-config", "--state-dir", str(self.folder / state)],
            *["--to", "stdout", *map(str, paths)],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.env(),
        )
        out, err = await process.communicate()
        if process.returncode not in (0, 1):  # 1: some records are in the dead letters, as the recordings want it
            raise Failed(f"ended with {process.returncode}: {err.decode()[-2000:]}")
        return [json.loads(line) for line in out.splitlines()]

    async def said(self, *arguments: str) -> tuple[int, str]:
        """Exit status and both outputs of a command that looks at this machine's state folder."""
        process = await asyncio.create_subprocess_exec(
            *[FORWARDER, *arguments, "--config", str(self.config), "--state-dir", str(self.state)],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.env(),
            cwd=self.folder,
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    def env(self) -> dict[str, str]:
        """A home of its own, so that nothing of the developer's configuration is found."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def journalled(self) -> list[Event]:
        """All events in the journal, in order."""
        bodies = [row[0] for row in self.rows("SELECT body FROM batches ORDER BY first")]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    def is_read(self) -> bool:
        """Whether the journal's checkpoints stand at the ends of all of the agent's files."""
        return self.has_read(*self.home.rglob("rollout-*.jsonl"))

    def has_read(self, *paths: Path) -> bool:
        """Whether the journal's checkpoints stand behind the last whole lines of these files; in a compressed one,
        whether there is any.
        """
        offsets = dict(self.rows("SELECT path, offset FROM streams"))
        return all(_is_at_end(path, offsets.get(str(path))) for path in paths)

    def last_event(self) -> int:
        """The number of the last event in the journal."""
        return max((first + count - 1 for first, count in self.rows("SELECT first, count FROM batches")), default=0)

    def rows(self, query: str) -> list[Any]:
        """What the journal answers; nothing while there is none."""
        path = self.state / "journal.sqlite3"
        if not path.exists():
            return []
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            has_tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchone()
            return connection.execute(query).fetchall() if has_tables else []

    def archived(self) -> list[Event]:
        """All events in the archive."""
        return [json.loads(line) for line in self.archived_lines()]

    def archived_lines(self) -> list[bytes]:
        """The lines of the archive, of which a kill may have left the last one half."""
        files = sorted((self.folder / "archive").glob("*.jsonl"))
        return [line for path in files for line in path.read_bytes().splitlines()]


def _is_at_end(path: Path, offset: int | None) -> bool:
    try:
        if offset == path.stat().st_size or path.suffix == ".zst":
            return offset is not None
        return (offset or 0) == path.read_bytes().rfind(b"\n") + 1
    except FileNotFoundError:
        return True  # a spool that was emptied, which nothing does before the journal has what was in it


def ids(events: Iterable[Event]) -> list[str]:
    """The ids in order, as often as they occur."""
    return [event["id"] for event in events]


def totals(events: Iterable[Event]) -> dict[tuple[str, str], int]:
    """Tokens by session and kind, added up."""
    found: dict[tuple[str, str], int] = {}
    for event in events:
        if event["type"] == "token_usage":
            for name in ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"):
                key = (event["session_id"], name)
                found[key] = found.get(key, 0) + event.get(name, 0)
    return found
