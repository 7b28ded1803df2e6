"""Nothing leaks: of secrets planted wherever an agent can write, none is in anything that the process wrote."""

from __future__ import annotations

import asyncio
import json
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket

import pytest
from websockets.asyncio.client import connect

from tests.fuzz.posting import free_port
from tests.process.leaky_agents import write_homes
from tests.process.leaky_peers import Peers, tokens
from tests.process.leaky_posts import RECEIVERS, Post, frames, pages, posts
from tests.process.machine import Machine
from tests.process.planted import KINDS, SPELLED, Planted, Search, planted, written
from tests.raw_http import exchange, request

pytestmark = pytest.mark.slow

SINKS = ("lines", "usage", "team", "air", "seed", "server", "daemon", "gateway", "prometheus")
LOOKS = (("status",), ("status", "--json"), ("sessions",), ("dead-letters", "list"), ("report", "secrets"))
ALL_LOOKS = (*LOOKS, ("journal", "stats"), ("journal", "verify"), ("report", "tools"))
PLANS = (("check",), ("openapi",), *(("egress", sink) for sink in SINKS))  # need no journal, and depend on no level
CLIENTS = 30  # that post at the same time: what waits for one commit goes into the next together
AT_ONCE = 2  # commands that look, as many as small machines have cores


@dataclass
class Run:
    """What one life of a machine left behind: names and bytes of everything, to be searched."""

    folder: Path
    search: Search
    texts: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    leaks: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict[tuple[str, str], tuple[str, str]])
    events: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])  # by agent and type
    refusing: set[str | None] = field(default_factory=set[str | None])  # sinks whose destinations refused something

    def look_through(self, texts: Iterable[tuple[str, bytes]]) -> None:
        """Keep a leak of each kind and spelling, with where it is and what is around it."""
        for name, data in texts:
            self.leaks |= {one[:2]: (name, one[2]) for one in self.search.found(data)}

    def written(self) -> Iterator[tuple[str, bytes]]:
        for name in ("state", "archive", "replayed"):
            yield from written(self.folder / name)
        yield "log", (self.folder / "log").read_bytes()


@dataclass(frozen=True)
class Ports:
    """Where the forwarder listens: the receivers by name, the scraped page and the forwarder's own."""

    receivers: dict[str, int]
    prometheus: int
    own: int

    def are_open(self) -> bool:
        """The last to listen is the forwarder's own."""
        with socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.own)) == 0

    def tables(self, folder: Path) -> list[str]:
        (folder / "daemon.json").write_text("{}")
        more = {"pi_daemon": f'config = "{folder}/daemon.json"\n'}
        listening = [
            f'[receivers.{name}]\nlisten = "127.0.0.1:{port}"\n{more.get(name, "")}'
            for name, port in self.receivers.items()
        ]
        return [*listening, f'[server]\nlisten = "127.0.0.1:{self.own}"\n']


def configure(machine: Machine, peers: Peers, ports: Ports, level: str) -> None:
    sources = [
        f'[sources.codex]\nhome = "{machine.home}/codex"\n',
        f'[sources.claude_code]\nhome = "{machine.home}/claude"\n',
        f'[sources.pi]\nhome = "{machine.home}/pi"\ntelemetry = "{machine.home}/pi/telemetry/instances"\n',
    ]
    head = f'start = "all"\nsweep_seconds = "500ms"\nredaction = "{level}"\n'
    tables = [*sources, *peers.sinks(machine.folder, ports.prometheus), *ports.tables(machine.folder)]
    machine.config.write_text("\n".join([head, *tables]))


async def lived(machine: Machine, level: str, secrets: list[Planted], spelled: tuple[str, ...]) -> Run:
    """Run, abort, run to the end, look with every command, replay. Secrets that are `spelled` so are also posted."""
    run = Run(machine.folder, Search([*secrets, *tokens()]))
    write_homes(machine.home, secrets)
    ports = Ports({name: free_port() for name in RECEIVERS}, free_port(), free_port())
    async with Peers.listening() as peers:
        configure(machine, peers, ports, level)
        await aborted(machine)
        async with running(machine) as process:
            await machine.until(ports.are_open, "it listens", process=process)
            plans = asyncio.create_task(looked(machine, PLANS if level == "none" else ()))
            run.texts += await posted(ports, [one for one in secrets if one.spelling in spelled])
            is_read = Reading(machine)
            await machine.until(is_read, "all is read", process=process)
            await machine.until(lambda: is_delivered(machine), "all is delivered", process=process)
            run.texts += await looked(machine, looks(machine, ALL_LOOKS if level == "none" else LOOKS))
            run.texts += [*await asked(ports, secrets), *await plans]
            run.texts += written(machine.state)
        replay = await machine.started("replay", machine.home, "--log-level", "debug", "--to", "archive")
        run.look_through([*run.texts, *peers.sent()])  # while it works
        assert await replay.wait() in (0, 1), machine.log.read_text()[-2000:]
    run.look_through(run.written())
    run.refusing = {sink for (sink,) in machine.rows("SELECT DISTINCT sink FROM dead_letters")}
    run.events = Counter((event["agent"], event["type"]) for event in machine.journalled())
    return run


async def aborted(machine: Machine) -> None:
    """A run that crashes in the middle of its work."""
    process = await machine.started("run", "--log-level", "debug")
    await machine.until(lambda: machine.last_event() > 0, "something is read", process=process)
    process.send_signal(signal.SIGABRT)
    assert await process.wait() == -signal.SIGABRT


@asynccontextmanager
async def running(machine: Machine) -> AsyncGenerator[Process]:
    process = await machine.started("run", "--log-level", "debug")
    try:
        yield process
        await machine.stopped(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def posted(ports: Ports, secrets: list[Planted]) -> list[tuple[str, bytes]]:
    """What clients were answered, but for the answers that have to repeat their words."""
    turns = asyncio.Semaphore(CLIENTS)

    async def answered(post: Post) -> tuple[str, bytes]:
        async with turns:
            answer = await exchange(ports.receivers[post.receiver], post.raw)
        said = repr(answer.headers).encode() + answer.body
        return f"answer of {post.receiver} to {post.raw[:300]!r}", b"" if post.is_repeated else said

    answers = await asyncio.gather(*map(answered, posts(secrets)))
    url = f"ws://127.0.0.1:{ports.receivers['air']}/ws/collector"
    async with connect(url, proxy=None) as socket:
        for frame in frames(secrets):
            await socket.send(frame)
    return answers


async def asked(ports: Ports, secrets: list[Planted]) -> list[tuple[str, bytes]]:
    """All pages that others may see."""
    openmetrics = request("GET", "/metrics", Accept="application/openmetrics-text")
    wanted = [(ports.own, request("GET", path)) for path in ("/health", "/metrics")]
    wanted += [(ports.prometheus, page) for page in (request("GET", "/metrics"), openmetrics)]
    wanted += [(port, page) for name, port in ports.receivers.items() for page in pages(name, secrets)]
    return [(repr(page[:80]), (await exchange(port, page)).body) for port, page in wanted]


async def looked(machine: Machine, commands: Iterable[tuple[str, ...]]) -> list[tuple[str, bytes]]:
    """What the commands say."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def said(command: tuple[str, ...]) -> tuple[str, bytes]:
        async with turns:
            return " ".join(command), (await machine.said(*command))[1].encode()

    return await asyncio.gather(*map(said, commands))


def looks(machine: Machine, commands: tuple[tuple[str, ...], ...]) -> list[tuple[str, ...]]:
    """The commands, and some of the dead letters and events."""
    letters = dict(machine.rows("SELECT sink, max(id) FROM dead_letters GROUP BY sink, source"))
    events = machine.journalled()
    shown = [("dead-letters", "show", str(one)) for one in letters.values()]
    return [*commands, *shown, *(("why", event["id"]) for event in events[:: len(events) // 2])]


def is_delivered(machine: Machine) -> bool:
    cursors = [acked for (acked,) in machine.rows("SELECT acked FROM cursors")]
    return min(cursors, default=-1) >= machine.last_event()


class Reading:
    """Whether everything is read. The paths of files with a secret in their name are not in the journal as they are."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._files = list(machine.home.rglob("*.jsonl"))
        self._plain = [path for path in self._files if path.parent.name in ("01", "-home-dev", "--home-dev--")]

    def __call__(self) -> bool:
        (count,) = self._machine.rows("SELECT count(*) FROM streams")[0]
        return count >= len(self._files) and self._machine.has_read(*self._plain)


@pytest.mark.parametrize(
    ("level", "spellings", "spelled"),
    [
        ("none", list(SPELLED), ("plain", "json")),
        ("preview", ["plain", "json"], ("plain",)),
        ("full", ["plain"], ("plain",)),
    ],
    ids=["none", "preview", "full"],
)
async def test_no_planted_secret_is_in_any_byte_that_was_written(
    machine: Machine, level: str, spellings: list[str], spelled: tuple[str, ...]
) -> None:
    """33 kinds at a level, in every sink, the journal, its notes, the log, what commands print and pages show."""
    secrets = planted(spellings)
    run = await lived(machine, level, secrets, spelled)

    assert len(KINDS) >= 26
    assert run.events["codex", "tool_call_end"] > len(secrets)
    assert {agent for agent, _ in run.events} >= {"codex", "claude-code", "pi", "pai", "air", "pi-daemon"}
    assert {"refusing", "air", "server", "daemon"} <= run.refusing
    assert run.leaks == {}


def test_the_search_finds_what_it_is_asked_to_find() -> None:
    """In every spelling, and also a part of a secret."""
    missed = [
        (one.kind, one.spelling)
        for one in planted()
        if not list(Search([one]).found(json.dumps({"text": f"see {one.text}"}).encode()))
    ]

    assert missed == []
    assert list(Search(planted()[:1]).found(b"x" + planted()[0].values[0][2:].encode()))
