"""Nothing leaks: of secrets planted wherever an agent can write, none is in anything that the process wrote."""

from __future__ import annotations

import json
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.http_peer import HttpPeer, Reply, Request
from tests.process.leaky_agents import write_homes
from tests.process.machine import Machine
from tests.process.planted import KINDS, SPELLED, Planted, Search, planted, written

pytestmark = pytest.mark.slow

LOOKS = (
    ("status",),
    ("status", "--json"),
    ("sessions",),
    ("journal", "stats"),
    ("journal", "verify"),
    ("dead-letters", "list"),
    ("egress", "team"),
    ("check",),
)


class Repeating(HttpPeer):
    """Takes all, or refuses some events with an answer that repeats what it was sent, credentials included."""

    def judge(self, request: Request, reply: Reply) -> Reply:
        if request.path != "/refusing" or b'"session_start"' not in request.body:
            return reply
        said = " ".join(request.headers.values()).encode() + b" " + request.body
        return Reply(status=422, body=said[:5000])


@dataclass
class Run:
    """What one life of a machine left behind: names and bytes of everything, to be searched."""

    folder: Path
    texts: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    events: Counter[str] = field(default_factory=Counter[str])

    def everything(self) -> Iterator[tuple[str, bytes]]:
        yield from self.texts
        for name in ("state", "archive", "replayed"):
            yield from written(self.folder / name)
        yield "log", (self.folder / "log").read_bytes()


def sinks(machine: Machine, peer: HttpPeer) -> list[str]:
    url = peer.url.removesuffix("/v1/events")
    archive = f'use = "jsonl"\npath = "{machine.folder}/archive'
    return [
        '[sinks.lines]\nuse = "stdout"\nformat = "json"\n',
        '[sinks.feed]\nuse = "stdout"\nformat = "pretty"\n',
        f'[sinks.archive]\n{archive}/{{agent}}/{{project}}/{{date}}.jsonl"\n',
        f'[sinks.packed]\n{archive}/packed/{{date}}.jsonl"\ncompress = "zstd"\nrotate_bytes = "64KiB"\n',
        f'[sinks.team]\nuse = "http"\nurl = "{url}/taking"\n',
        f'[sinks.gzip]\nuse = "http"\nurl = "{url}/gzip"\ncompress = "gzip"\nbody = "json"\n',
        f'[sinks.refusing]\nuse = "http"\nurl = "{url}/refusing"\ntypes = ["session_start"]\nagents = ["codex"]\n',
    ]


def configure(machine: Machine, peer: HttpPeer, level: str) -> None:
    sources = [
        f'[sources.codex]\nhome = "{machine.home}/codex"\n',
        f'[sources.claude_code]\nhome = "{machine.home}/claude"\n',
        f'[sources.pi]\nhome = "{machine.home}/pi"\ntelemetry = "{machine.home}/pi/telemetry/instances"\n',
    ]
    head = f'start = "all"\nsweep_seconds = "500ms"\nredaction = "{level}"\n'
    machine.config.write_text("\n".join([head, *sources, *sinks(machine, peer)]))


async def lived(machine: Machine, level: str, secrets: list[Planted]) -> Run:
    """Run, abort, run to the end, look with every command, replay."""
    run = Run(machine.folder)
    write_homes(machine.home, secrets)
    async with Repeating() as peer:
        configure(machine, peer, level)
        await aborted(machine)
        async with running(machine) as process:
            await machine.until(lambda: is_read(machine), "all is read", process=process)
            await machine.until(lambda: is_delivered(machine), "all is delivered", process=process)
            for look in looks(machine):
                run.texts.append((" ".join(look), (await machine.said(*look))[1].encode()))
            run.texts += written(machine.state)
        replay = await machine.started("replay", machine.home, "--log-level", "debug", "--to", "archive")
        assert await replay.wait() in (0, 1), machine.log.read_text()[-2000:]
        for request in peer.requests:
            run.texts += [("request", repr(request.headers).encode()), ("request", request.content())]
    run.events = Counter(event["type"] for event in machine.journalled())
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


def looks(machine: Machine) -> list[tuple[str, ...]]:
    numbers = [str(row[0]) for row in machine.rows("SELECT id FROM dead_letters")]
    ids = [event["id"] for event in machine.journalled()[:: len(machine.journalled()) // 5]]
    shown = [("dead-letters", "show", one) for one in numbers[:: len(numbers) // 8]]
    return [*LOOKS, *shown, *(("why", one) for one in ids)]


def is_delivered(machine: Machine) -> bool:
    cursors = [acked for (acked,) in machine.rows("SELECT acked FROM cursors")]
    return is_read(machine) and min(cursors, default=-1) >= machine.last_event()


def is_read(machine: Machine) -> bool:
    """The paths of files with a secret in their name are not in the journal as they are."""
    files = list(machine.home.rglob("*.jsonl"))
    plain = [path for path in files if path.parent.name in ("01", "-home-dev", "--home-dev--")]
    return machine.has_read(*plain) and machine.rows("SELECT count(*) FROM streams")[0][0] >= len(files)


@pytest.mark.parametrize(
    ("level", "spellings"),
    [("none", list(SPELLED)), ("preview", ["plain", "json"]), ("full", ["plain", "url"])],
    ids=["none", "preview", "full"],
)
async def test_no_planted_secret_is_in_any_byte_that_was_written(
    machine: Machine, level: str, spellings: list[str]
) -> None:
    """33 kinds at a level, in every sink, the journal, its notes, the log and what all commands print."""
    secrets = planted(spellings)
    run = await lived(machine, level, secrets)

    search = Search(secrets)
    leaks = {one[:2]: (name, one[2]) for name, data in run.everything() for one in search.found(data)}
    assert len(KINDS) >= 26
    assert run.events["tool_call_end"] > len(secrets)
    assert leaks == {}


def test_the_search_finds_what_it_is_asked_to_find() -> None:
    """In every spelling, and also a part of a secret."""
    missed = [
        (one.kind, one.spelling)
        for one in planted()
        if not list(Search([one]).found(json.dumps({"text": f"see {one.text}"}).encode()))
    ]

    assert missed == []
    assert list(Search(planted()[:1]).found(b"x" + planted()[0].values[0][2:].encode()))
