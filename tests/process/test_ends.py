"""How the command ends: in order when asked, at once when asked twice, quietly when nobody listens any more."""

from __future__ import annotations

import asyncio
import json
import signal
from asyncio.subprocess import DEVNULL, PIPE

import pytest

from tests.http_peer import HttpPeer, Reply
from tests.process.machine import FORWARDER, Machine, ids
from tests.process.writing import answering

pytestmark = pytest.mark.slow


def endless(machine: Machine) -> None:
    """More than a pipe or an impatient reader takes at once."""
    for path, content in answering(machine.home, files=1, answers=5_000).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


async def test_what_was_read_is_delivered_before_the_end(machine: Machine) -> None:
    """SIGTERM in the middle of a backfill: everything that is in the journal is at the sink, too."""
    endless(machine)
    machine.configure(machine.archive_sink())
    process = await machine.started()
    await machine.until(lambda: bool(machine.journalled()), "something is journalled", process=process)
    await machine.stopped(process)

    assert ids(machine.archived()) == ids(machine.journalled())


async def test_the_end_is_said_with_what_was_delivered(machine: Machine) -> None:
    """Whoever pressed Ctrl-C was told that there may be something to wait for."""
    endless(machine)
    machine.configure(machine.archive_sink())
    process = await machine.started()
    await machine.until(lambda: bool(machine.journalled()), "something is journalled", process=process)
    await machine.stopped(process)

    said = f'event="stopped; events delivered since the start: archive {len(machine.archived())}"'
    assert said in machine.log.read_text().splitlines()[-1]


async def test_a_sink_that_is_late_is_named(machine: Machine) -> None:
    """After the deadline the process ends, says who lacks how much, and shows it in its status."""
    endless(machine)
    async with HttpPeer() as peer:
        peer.otherwise = Reply(trouble="silence")
        machine.configure(f'[sinks.team]\nuse = "http"\nurl = "{peer.url}"\n', "batch_events = 100\n")
        machine.config.write_text('drain_seconds = "500ms"\n' + machine.config.read_text())
        process = await machine.started()
        await machine.until(lambda: bool(peer.requests), "a batch was sent", process=process)
        process.send_signal(signal.SIGTERM)
        status = await process.wait()

    assert status == 4
    assert f"sink team lacks {len(machine.journalled())} events" in machine.log.read_text()


async def test_a_second_interrupt_ends_at_once(machine: Machine) -> None:
    """However long a sink takes: who presses Ctrl-C twice wants the prompt back, and loses nothing."""
    endless(machine)
    async with HttpPeer() as peer:
        peer.otherwise = Reply(trouble="silence")
        machine.configure(f'[sinks.team]\nuse = "http"\nurl = "{peer.url}"\n')
        machine.config.write_text('drain_seconds = "1h"\n' + machine.config.read_text())
        process = await machine.started()
        await machine.until(lambda: bool(peer.requests), "a batch was sent", process=process)
        process.send_signal(signal.SIGINT)
        await machine.until(lambda: "stopping" in machine.log.read_text(), "it drains", process=process)
        process.send_signal(signal.SIGINT)
        status = await process.wait()

    assert status == 130
    assert machine.journalled()


async def test_a_closed_pipe_ends_quietly(machine: Machine) -> None:
    """`forwarder replay … | head -1` prints one line, and no complaint behind it."""
    endless(machine)
    process = await asyncio.create_subprocess_exec(
        *[FORWARDER, "replay", "--no-config", "--state-dir", str(machine.state), str(machine.home)],
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=machine.env(),
    )
    assert process.stdout
    assert process.stderr
    first = await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    complaint = await process.stderr.read()

    assert json.loads(first)["type"] == "session_start"
    assert (await process.wait(), complaint) == (0, b"")


async def test_a_second_forwarder_is_told_who_is_at_work(machine: Machine) -> None:
    """Two processes over one state folder would double everything."""
    endless(machine)
    machine.configure(machine.archive_sink())
    async with machine.running() as process:
        await machine.until(lambda: bool(machine.journalled()), "it works", process=process)
        second = await machine.started()
        status = await second.wait()

    assert status == 3
    assert f"process {process.pid}" in machine.log.read_text()
