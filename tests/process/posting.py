"""Requests to a forwarder that is only just starting."""

from __future__ import annotations

import asyncio
import socket

from tests.process.machine import Machine
from tests.raw_http import Reply, exchange


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


async def answered(machine: Machine, port: int, raw: bytes, process: asyncio.subprocess.Process) -> Reply:
    """The answer, as soon as somebody listens."""
    found: list[Reply] = []
    async with asyncio.timeout(60):
        while not found:
            try:
                found.append(await exchange(port, raw))
            except (ConnectionError, EOFError):
                assert process.returncode is None, machine.log.read_text()[-2000:]
                await asyncio.sleep(0.02)
    return found[0]
