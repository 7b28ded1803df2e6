"""A stranger's package, built and installed like any other: its source needs nothing but what is public.

`fake/` is the package: an agent with logs that grow, are forked and repeat themselves, and a state file per process.
"""

from __future__ import annotations

import ast
import asyncio
import json
import platform
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import forwarder
from forwarder import Event, Quiet, SessionEnd, SessionState, Source, TokenUsage, Vanished
from forwarder.testing import check_source, read_contents, read_lines
from tests.process.machine import Machine, ids

pytestmark = pytest.mark.slow

FAKE = Path(__file__).parent / "fake"
LOG = Path("s1.acme.jsonl")
STATE = Path("7.acme.json")
GONE = Vanished(datetime(2026, 11, 21, 11, tzinfo=UTC))

# The agent's process: writes what it is told on its standard input, and says when it is done.
AGENT = """
import json, os, sys
for line in sys.stdin:
    path, mode, text = json.loads(line)
    if mode == "delete":
        os.unlink(path)
    else:
        with open(path, mode) as file:
            file.write(text)
    print("done", flush=True)
"""


def at(second: int) -> str:
    return f"2026-11-21T10:00:{second:02}Z"


def line(kind: str, second: int, session: str = "s1", **fields: object) -> str:
    return json.dumps({"type": kind, "session": session, "at": at(second)} | fields)


def content(state: str, second: int, *, pid: int = 7, session: str = "s1", began: int = 0) -> str:
    fields = {"pid": pid, "began": at(began), "session": session, "state": state, "at": at(second)}
    return json.dumps(fields | {"host": platform.node()})


HEADER = line("session", 0)
WORK = [
    line("answer", 1, id="a1", total_input=100, total_output=10),
    line("call", 2, id="c1", tool="sh", input="make"),
    line("result", 3, id="c1", ok=True),
    line("answer", 4, id="a2", total_input=250, total_output=25),
]
MORE = line("answer", 5, id="a3", total_input=300, total_output=30)
FORK = [
    line("session", 6, "s2", parent="s1"),
    *WORK,
    line("answer", 7, "s2", id="a4", total_input=1250, total_output=30),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, as the package manager leaves it there."""
    folder = tmp_path_factory.mktemp("acme")
    shutil.copytree(FAKE, folder / "project")
    build = ["build", "--wheel", "--no-isolation", "--outdir", str(folder), str(folder / "project")]
    subprocess.run([sys.executable, "-m", *build], check=True, stdout=subprocess.DEVNULL)
    install = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder / "site")]
    subprocess.run([sys.executable, "-m", *install, *folder.glob("*.whl")], check=True)
    return folder / "site"


@pytest.fixture
def source(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source[Any]]:
    """The source by its entry point."""
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    [point] = entry_points(group="forwarder.sources", name="acme_agent")
    yield point.load()()
    for module in [name for name in sys.modules if name.startswith("acme_agent")]:
        del sys.modules[module]


def facts(events: list[Event]) -> set[tuple[str, tuple[object, ...]]]:
    return {(type(event).__name__, event.key) for event in events}


def output_tokens(events: list[Event]) -> list[tuple[str, int]]:
    return [(event.session.id, event.output_tokens) for event in events if isinstance(event, TokenUsage)]


def test_it_needs_only_what_is_public(site: Path) -> None:
    """What a plugin cannot do with these names the API lacks."""
    tree = ast.parse((site / "acme_agent" / "source.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    foreign = [node for node in imports if (node.module or "").partition(".")[0] not in sys.stdlib_module_names]
    names = {f"{node.module}.{alias.name}" for node in foreign for alias in node.names}

    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
    assert names <= {f"forwarder.{name}" for name in forwarder.__all__}


def test_its_log_passes_the_checks(source: Source[Any]) -> None:
    """Cut anywhere, with a kind of line that nobody knows in the middle."""
    lines = [HEADER, *WORK, line("weather", 4), MORE]
    events = check_source(source, "\n".join([*lines, ""]).encode(), path=LOG)

    assert output_tokens(events) == [("s1", 10), ("s1", 15), ("s1", 5)]


def test_its_fork_tells_only_what_is_new(source: Source[Any]) -> None:
    """The copied history has the keys of the original, and the running totals go on behind it."""
    parent = read_lines(source, HEADER, *WORK, MORE, path=LOG)
    fork = check_source(source, "\n".join([*FORK, ""]).encode(), path=Path("s2.acme.jsonl"))

    assert output_tokens([event for event in fork if not facts([event]) & facts(parent)]) == [("s2", 5)]


def test_its_state_file_passes_the_checks(source: Source[Any]) -> None:
    """Rewritten, taken over by another process of the same number, quiet, and deleted."""
    contents: list[str | Quiet | Vanished] = [content("busy", 1), content("busy", 2), Quiet(0.5, is_alive=True)]
    contents += [content("asking", 3), '{"new": "shape"}', content("ready", 20, session="s2", began=19), GONE]
    events = check_source(source, contents, path=STATE)

    assert [event.state for event in events if isinstance(event, SessionState)] == [
        *("working", "waiting_permission", "waiting_input")
    ]
    assert [(end.session.id, end.reason) for end in events if isinstance(end, SessionEnd)] == [
        ("s1", "killed"),
        ("s2", "exit"),
    ]


def test_its_process_that_died_was_killed(source: Source[Any]) -> None:
    """At the time of its last word."""
    [*_, end] = read_contents(source, content("busy", 1), Quiet(0.5, is_alive=False), path=STATE)

    assert isinstance(end, SessionEnd)
    assert (end.reason, end.inferred, end.time) == ("killed", True, datetime.fromisoformat(at(1)))


def test_its_types_are_strict(site: Path, tmp_path: Path) -> None:
    """What we export is typed well enough for whoever is strict."""
    pytest.importorskip("mypy")
    argv = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(tmp_path)]
    found = subprocess.run([*argv, "acme_agent"], cwd=site, text=True, stdout=subprocess.PIPE)

    assert found.stdout == "Success: no issues found in 2 source files\n"


class AcmeMachine(Machine):
    """A machine on which the package is installed, with the agent's folders."""

    def __init__(self, folder: Path, site: Path) -> None:
        super().__init__(folder)
        self._site = site
        (self.home / "sessions").mkdir()
        (self.home / "processes").mkdir()
        source = f'[sources.acme_agent]\nhome = "{self.home}"\n'
        self.config.write_text(f'start = "all"\nsweep_seconds = "500ms"\n{source}{self.archive_sink()}')

    def env(self) -> dict[str, str]:
        return super().env() | {"PYTHONPATH": str(self._site)}

    def told(self) -> list[tuple[str, ...]]:
        """What the journalled events tell, each with its session."""
        fields = ("session_id", "type", "state", "reason", "output_tokens")
        return [tuple(str(event[name]) for name in fields if name in event) for event in self.journalled()]


class Agent:
    """A running process of the agent, with one session."""

    def __init__(self, machine: Machine, session: str, process: Process) -> None:
        self.process = process
        self._session = session
        self._log = machine.home / "sessions" / f"{session}.acme.jsonl"
        self._state = machine.home / "processes" / f"{process.pid}.acme.json"

    async def log(self, *lines: str) -> None:
        """Append to the session's log."""
        await self._do(self._log, "a", "".join(f"{line}\n" for line in lines))

    async def enter(self, state: str, second: int) -> None:
        """Rewrite the state file in place."""
        await self._do(self._state, "w", content(state, second, pid=self.process.pid, session=self._session))

    async def leave(self) -> None:
        """Delete the state file, as at an exit."""
        await self._do(self._state, "delete", "")

    async def kill(self) -> None:
        """SIGKILL: the state file stays as it is."""
        self.process.kill()
        await self.process.wait()

    async def _do(self, path: Path, mode: str, text: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([str(path), mode, text]).encode() + b"\n")
        assert await self.process.stdout.readline() == b"done\n"


@asynccontextmanager
async def agent(machine: Machine, session: str) -> AsyncGenerator[Agent]:
    """A process that lives as long as the block, if it is not killed before."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", AGENT, stdin=PIPE, stdout=PIPE)
    try:
        yield Agent(machine, session, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_it_is_followed_live_and_through_a_kill(site: Path, tmp_path: Path) -> None:
    """Logs and state files, an exit and a death: each fact once, also those that happened while nobody looked."""
    machine = AcmeMachine(tmp_path, site)
    async with agent(machine, "s1") as first, agent(machine, "s2") as second:
        run = await machine.started()
        await first.log(HEADER, *WORK[:2])
        await first.enter("busy", 1)
        await machine.until(
            lambda: ("s1", "session_state", "working") in machine.told(), "the first state is told", process=run
        )
        await first.log(*WORK[2:])
        run.kill()
        await run.wait()
        await first.log(MORE)
        await first.enter("ready", 5)
        await second.log(*FORK)
        async with machine.running() as run:
            await second.enter("busy", 7)
            await machine.until(
                lambda: ("s2", "session_state", "working") in machine.told(), "the fork is seen", process=run
            )
            await first.leave()
            await second.kill()
            await machine.until(
                lambda: [one[1] for one in machine.told()].count("session_end") == 2, "both end", process=run
            )

    assert sorted(machine.told()) == [
        ("s1", "session_end", "exit"),
        ("s1", "session_start", "startup"),
        ("s1", "session_state", "waiting_input"),
        ("s1", "session_state", "working"),
        ("s1", "token_usage", "10"),
        ("s1", "token_usage", "15"),
        ("s1", "token_usage", "5"),
        ("s1", "tool_call_end"),
        ("s1", "tool_call_start"),
        ("s2", "session_end", "killed"),
        ("s2", "session_start", "fork"),
        ("s2", "session_state", "working"),
        ("s2", "token_usage", "5"),
    ]
    assert sorted(ids(machine.archived())) == sorted(set(ids(machine.journalled())))
