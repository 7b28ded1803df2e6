"""The installed command follows sessions that grow, are forked and are rewritten in place: each fact arrives once."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections import Counter
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.process.machine import Event, Machine, ids
from tests.process.writing import Pieces

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    source = f'[sources.pi]\nhome = "{made.home}"\ntelemetry = "{made.home}/instances"\n'
    made.config.write_text("\n".join(['start = "all"\nsweep_seconds = "500ms"\n', source, made.archive_sink()]))
    return made


def contents(machine: Machine, scenario: str, folder: str = "sessions") -> dict[Path, bytes]:
    """The recorded session files, as they would lie in the machine's home."""
    root = SAMPLES / scenario / folder
    return {machine.home / "sessions" / path.relative_to(root): path.read_bytes() for path in root.rglob("*.jsonl")}


def unique_usage(scenario: str) -> dict[str, Any]:
    expected = json.loads((SAMPLES / scenario / "expected.json").read_text())
    found: dict[str, Any] = expected["usage_unique_entries_over_all_sessions"]
    return found


def spent(events: list[Event]) -> tuple[int, int, Decimal]:
    """Uncached input, output and dollars of all usage."""
    used = [event for event in events if event["type"] == "token_usage"]
    fresh = sum(e["input_tokens"] - e["cached_input_tokens"] - e["cache_write_tokens"] for e in used)
    return fresh, sum(e["output_tokens"] for e in used), sum((Decimal(str(e["cost_usd"])) for e in used), Decimal(0))


def wanted(usage: dict[str, Any]) -> tuple[int, int, Decimal]:
    return usage["input"], usage["output"], Decimal(str(usage["cost"]))


def has_read(machine: Machine, least: int) -> bool:
    """Whether so many events have been journalled."""
    return len(machine.journalled()) >= least


def answers(machine: Machine) -> int:
    """How many have been journalled."""
    return len([event for event in machine.journalled() if event["type"] == "response"])


async def test_a_session_rewritten_in_place_is_counted_once(machine: Machine) -> None:
    """A newer pi truncates the file and writes it again with new ids, and longer, in the same inode."""
    [(path, before)] = contents(machine, "legacy-0.27.9", "sessions-before-migration").items()
    [after] = contents(machine, "legacy-0.27.9").values()
    usage = unique_usage("legacy-0.27.9")
    path.parent.mkdir(parents=True)
    path.write_bytes(before)
    async with machine.running() as process:
        await machine.until(lambda: answers(machine) == 4, "the old file has been read", process=process)
        path.write_bytes(after)
        await machine.until(lambda: answers(machine) == 5, "what came after is there", process=process)

    events = machine.archived()
    assert len(ids(events)) == len(set(ids(events)))
    assert spent(events) == wanted(usage)


async def test_forks_that_grow_together_are_counted_once_through_kills(machine: Machine) -> None:
    """In pieces that end anywhere, the forks before or after their parent, with three kills in the middle."""
    pieces = Pieces(contents(machine, "rpc-main-0.87.1"), Random(3), largest=3_000)
    for least in (4, 8, 12):
        process = await machine.started()
        pieces.write(8)
        await machine.until(partial(has_read, machine, least), "some is read", process=process)
        process.kill()
        await process.wait()
    while not pieces.is_done:
        pieces.write(10)
    usage = unique_usage("rpc-main-0.87.1")
    async with machine.running() as process:
        await machine.until(lambda: spent(machine.journalled()) == wanted(usage), "all is read", process=process)

    events = machine.archived()
    assert len(ids(events)) == len(set(ids(events)))
    assert spent(events) == wanted(usage)


async def test_history_is_billed_to_the_sessions_that_wrote_it(machine: Machine) -> None:
    """A fork of a fork does not take over what it copied, though its file is the oldest: they came out of a backup."""
    for age, (path, content) in enumerate(sorted(contents(machine, "rpc-main-0.87.1").items())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (time.time() - age, time.time() - age))
    usage = unique_usage("rpc-main-0.87.1")
    async with machine.running() as process:
        await machine.until(lambda: spent(machine.journalled()) == wanted(usage), "all is read", process=process)

    used = [event for event in machine.archived() if event["type"] == "token_usage"]
    billed = Counter[str]()
    for event in used:
        billed[event["session_id"]] += event["input_tokens"]
    assert sorted(billed.values()) == [900, 2300, 2400, 72430]


class Running:
    """A real process, and the heartbeats that it would write; `number` tells the sessions apart."""

    def __init__(self, machine: Machine, number: int) -> None:
        self.session = f"session-{number}"
        self.process = subprocess.Popen(["sleep", "600"])
        folder = machine.home / "instances"
        folder.mkdir(exist_ok=True)
        self.path = folder / f"{self.process.pid}.json"
        self._started, self._count = int(time.time() * 1000), 0

    def beat(self, event: str) -> None:
        """Another heartbeat, now."""
        self._count += 1
        now = int(time.time() * 1000)
        process = {"pid": self.process.pid, "startedAt": self._started, "updatedAt": now, "heartbeatMs": 1500}
        process |= {"heartbeatSeq": self._count, "uptimeMs": now - self._started}
        document = {"schemaVersion": 2, "process": process, "session": {"id": self.session}, "lastEvent": event}
        document |= {"system": {"host": platform.node()}, "state": {"activity": "working"}}
        temporary = self.path.with_name(f"{self.path.name}.tmp-1")
        temporary.write_text(json.dumps(document))
        temporary.rename(self.path)


def told(machine: Machine, session: str) -> list[str]:
    """States and ends of a session, in order."""
    events = [event for event in machine.journalled() if event["session_id"] == session]
    return [e.get("state") or e["reason"] for e in events if e["type"] in {"session_state", "session_end"}]


def are_all(machine: Machine, agents: list[Running], state: str) -> bool:
    """Whether this is what was told of each of them last."""
    return all(told(machine, agent.session)[-1:] == [state] for agent in agents)


async def test_real_processes_end_as_they_did(machine: Machine) -> None:
    """One is killed, one leaves while nobody looks, one stops: told once each, though the forwarder is killed too."""
    killed, left, stopped = agents = [Running(machine, number) for number in range(3)]
    try:
        process = await machine.started()
        for event in ("before_agent_start", "agent_end"):
            for agent in agents:
                agent.beat(event)
            state = {"before_agent_start": "working", "agent_end": "waiting_input"}[event]
            await machine.until(partial(are_all, machine, agents, state), f"all are {state}", process=process)
        process.kill()
        await process.wait()
        killed.process.kill()
        killed.process.wait()
        left.path.unlink()
        async with machine.running() as process:
            wanted = {killed.session: "killed", left.session: "exit", stopped.session: "stalled"}
            await machine.until(
                lambda: {one.session: told(machine, one.session)[-1] for one in agents} == wanted,
                "the ends are told",
                process=process,
            )
            stopped.beat("agent_end")
            await machine.until(
                lambda: told(machine, stopped.session)[-1] == "waiting_input", "it goes on", process=process
            )
    finally:
        for agent in agents:
            agent.process.kill()
            agent.process.wait()

    began = ["working", "waiting_input"]
    assert told(machine, killed.session) == [*began, "killed"]
    assert told(machine, left.session) == [*began, "exit"]
    assert told(machine, stopped.session) == [*began, "stalled", "waiting_input"]
    assert len(ids(machine.archived())) == len(set(ids(machine.archived())))
