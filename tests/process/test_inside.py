"""The commands that look inside, beside a running forwarder and without one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.http_peer import HttpPeer, Reply
from tests.process.machine import Machine, ids
from tests.process.writing import answering

pytestmark = pytest.mark.slow


def team_sink(peer: HttpPeer, more: str = "") -> str:
    return f'[sinks.team]\nuse = "http"\nurl = "{peer.url}"\n{more}'


def write(machine: Machine, answers: int) -> None:
    for path, content in answering(machine.home, files=1, answers=answers).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


async def asked(machine: Machine, *arguments: str) -> Any:
    """What a command says in JSON."""
    _, out = await machine.said(*arguments, "--format", "json")
    return json.loads(out)


def letters(machine: Machine) -> int:
    rows = machine.rows("SELECT count(*) FROM dead_letters")
    return rows[0][0] if rows else 0


async def test_refused_events_are_delivered_when_they_are_wanted_again(machine: Machine) -> None:
    """Through the running forwarder, each once, and the archive beside is not bothered."""
    write(machine, answers=3)
    async with HttpPeer() as peer:
        peer.otherwise = Reply(status=422, body=b'{"error": "schema not known yet"}')
        machine.configure(team_sink(peer), machine.archive_sink())
        async with machine.running() as process:
            await machine.until(lambda: letters(machine) == 4, "all events are refused", process=process)
            listed = await asked(machine, "dead-letters", "list")
            peer.otherwise = Reply()
            status, said = await machine.said("dead-letters", "retry", "--sink", "team")
            await machine.until(lambda: letters(machine) == 0, "all of them are delivered", process=process)
            pid = process.pid
        delivered = peer.ids()

    assert [one["event"] for one in listed["letters"]] == ids(machine.journalled())
    assert "schema not known yet" in listed["reasons"][0]["reason"]
    assert (status, said) == (0, f"4 dead letters will be tried again by the running forwarder (process {pid})\n")
    assert delivered == ids(machine.journalled()) == ids(machine.archived())


async def test_without_a_forwarder_the_next_one_tries_again(machine: Machine) -> None:
    """The command itself never talks to a destination."""
    write(machine, answers=1)
    async with HttpPeer() as peer:
        peer.otherwise = Reply(status=422)
        machine.configure(team_sink(peer))
        async with machine.running() as process:
            await machine.until(lambda: letters(machine) == 2, "all events are refused", process=process)
        peer.otherwise = Reply()
        _, said = await machine.said("dead-letters", "retry", "2")
        _, dropped = await machine.said("dead-letters", "drop", "1")
        before = peer.ids()
        async with machine.running() as process:
            await machine.until(lambda: letters(machine) == 0, "it is delivered", process=process)

        assert (said, dropped) == (
            "1 dead letter will be tried again when a forwarder is started\n",
            "1 dead letter dropped\n",
        )
        assert before == []
        assert peer.ids() == ids(machine.journalled())[1:]
