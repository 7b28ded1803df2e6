"""Lines appended to files under a running forwarder arrive at an HTTP endpoint, each once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from tests.http_peer import HttpPeer
from tests.process.machine import Machine, Pieces, ids, sessions, totals

pytestmark = pytest.mark.slow


def http_sink(peer: HttpPeer) -> str:
    """A table for `configure`."""
    return f'[sinks.team]\nuse = "http"\nurl = "{peer.url}"\n'


async def test_recorded_sessions_written_in_pieces_arrive_once(machine: Machine) -> None:
    """Several agents write at the same time, and no write ends where a line or a character does."""
    contents = sessions(machine.home)
    pieces = Pieces(contents, Random(1), largest=8_000)
    async with HttpPeer() as peer:
        machine.configure(http_sink(peer))
        async with machine.running() as process:
            while not pieces.is_done:
                pieces.write(5)
                await asyncio.sleep(0)
            expected = await machine.replay(machine.home)
            await machine.until(lambda: len(peer.ids()) >= len(expected), "everything has arrived", process=process)

    assert sorted(peer.ids()) == sorted(ids(expected))
    assert totals(peer.events()) == totals(expected)


async def test_five_hundred_files_at_once_arrive_once(machine: Machine) -> None:
    """More files than any watcher's buffer, each growing in pieces cut inside characters of three and four bytes."""
    contents = {path: session(number) for number, path in enumerate(paths(machine.home, 500))}
    pieces = Pieces(contents, Random(2), largest=400)
    async with HttpPeer() as peer:
        machine.configure(http_sink(peer))
        async with machine.running() as process:
            while not pieces.is_done:
                pieces.write(100)
                await asyncio.sleep(0)
            await machine.until(lambda: len(texts(peer)) >= 500 * 3, "all answers have arrived", process=process)

    assert sorted(texts(peer)) == sorted(f"{number}.{line} 東京 🙂" for number in range(500) for line in range(3))
    assert len(peer.ids()) == len(set(peer.ids()))


def paths(home: Path, count: int) -> list[Path]:
    """Where so many sessions of one day lie."""
    day = home / "sessions" / "2026" / "11" / "21"
    return [day / f"rollout-2026-11-21T01-12-22-0beec0de-70a0-77a3-bf05-{number:012x}.jsonl" for number in range(count)]


def session(number: int) -> bytes:
    """A header and three answers."""
    meta = {"id": f"0beec0de-70a0-77a3-bf05-{number:012x}", "timestamp": TIME, "cwd": "/home/dev", "source": "cli"}
    answers = [{"type": "agent_message", "message": f"{number}.{line} 東京 🙂"} for line in range(3)]
    lines = [line("session_meta", meta), *(line("event_msg", answer) for answer in answers)]
    return "".join(lines).encode()


def line(kind: str, payload: dict[str, str]) -> str:
    """As the agent writes it, with characters of several bytes as they are."""
    return json.dumps({"timestamp": TIME, "type": kind, "payload": payload}, ensure_ascii=False) + "\n"


def texts(peer: HttpPeer) -> list[str]:
    """The answers that have arrived, as often as they came."""
    return [event["text"] for event in peer.events() if event["type"] == "response"]


TIME = "2026-11-21T01:12:22.418Z"
