"""`forwarder run` in pi-daemon's place, killed between two posts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.process.machine import Machine, ids
from tests.process.posting import answered, free_port
from tests.raw_http import exchange, request

pytestmark = pytest.mark.slow


def batch(id: str, *names: str) -> bytes:
    metrics = [{"name": name, "type": "counter", "labels": {"token": TOKEN}} for name in names]
    return request("POST", "/api/metrics/batch", json.dumps({"requestId": id, "metrics": metrics}).encode())


TOKEN = "ghp_" + "Zc9bQ7rT2yVx4Lm8Np6Kd3Hs5Jw1Gf0Ae9Ru"


def metrics_of(machine: Machine) -> list[dict[str, Any]]:
    return [event for event in machine.archived() if event["type"] == "metric"]


async def test_a_kill_between_two_equal_batches_changes_nothing(machine: Machine) -> None:
    """The second is a duplicate, the values stand, each event is delivered once, and no disk has the secret."""
    port = free_port()
    (machine.folder / "daemon.json").write_text("{}")
    table = f'[receivers.pi_daemon]\nlisten = "127.0.0.1:{port}"\nconfig = "{machine.folder}/daemon.json"\n'
    machine.configure(machine.archive_sink(), table)
    process = await machine.started()
    first = await answered(machine, port, batch("r1", "a", "b"), process)
    process.kill()
    await process.wait()
    async with machine.running() as process:
        second = await answered(machine, port, batch("r1", "a", "b"), process)
        third = await answered(machine, port, batch("r2", "b"), process)
        page = (await exchange(port, request("GET", "/metrics"))).body.decode()
        await machine.until(lambda: len(metrics_of(machine)) >= 3, "all is delivered", process=process)
    metrics = metrics_of(machine)
    holding = [path for path in machine.folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]

    assert (first.status, second.status, third.status) == (200, 409, 200)
    assert 'a{token="[REDACTED]"} 1\n' in page
    assert 'b{token="[REDACTED]"} 2\n' in page
    assert sorted(event["name"] for event in metrics) == ["a", "b", "b"]
    assert (len(set(ids(metrics))), holding) == (3, [])
