"""The installed forwarder, killed while it posts to a pi-daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.pi_daemon.daemon import DaemonPeer
from tests.plugins.pi_daemon.delivering import counted, expected
from tests.process.machine import Machine
from tests.process.writing import answering

pytestmark = pytest.mark.slow


async def test_kills_cost_and_double_nothing(tmp_path: Path) -> None:
    """SIGKILL behind a request, four times: the daemon's totals are those of the journal's events."""
    machine = Machine(tmp_path)
    for path, content in answering(machine.home, files=3, answers=400).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    async with DaemonPeer() as daemon:
        table = f'[sinks.metrics]\nuse = "pi_daemon"\ndaemon_url = "{daemon.base}"\n'
        machine.configure(f"{table}batch_events = 40\nbatch_wait_seconds = 0\n")
        for _ in range(4):
            process, before = await machine.started(), len(daemon.requests)
            await daemon.wait_for(before + 3)
            process.kill()
            await process.wait()
        async with machine.running() as process:
            await machine.until(lambda: machine.is_read() and is_delivered(machine), "all is posted", process=process)

    assert counted(daemon.held) == counted(expected(machine.journalled()))
    assert sum(daemon.held.counters.values()) > 1000


def is_delivered(machine: Machine) -> bool:
    return bool(machine.rows(f"SELECT 1 FROM cursors WHERE acked = {machine.last_event()} AND acked > 0"))
