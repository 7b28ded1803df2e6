"""Lines appended to files under a running forwarder arrive at an HTTP endpoint, each once."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.http_peer import HttpPeer
from tests.process.machine import Machine, ids, totals
from tests.process.writing import Pieces, answering, answers_of, sessions

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
    pieces = Pieces(answering(machine.home, files=500, answers=3), Random(2), largest=400)
    async with HttpPeer() as peer:
        machine.configure(http_sink(peer))
        async with machine.running() as process:
            while not pieces.is_done:
                pieces.write(100)
                await asyncio.sleep(0)
            await machine.until(lambda: len(texts(peer)) >= 500 * 3, "all answers have arrived", process=process)

    assert sorted(texts(peer)) == sorted(text for number in range(500) for text in answers_of(number, 3))
    assert len(peer.ids()) == len(set(peer.ids()))


def texts(peer: HttpPeer) -> list[str]:
    """The answers that have arrived, as often as they came."""
    return [event["text"] for event in peer.events() if event["type"] == "response"]
