"""Posts to the receivers of a running forwarder: facts a second that are on the disk, and how long an answer takes."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.command import FORWARDER, cpu_seconds, running, scratch
from benchmarks.table import quantile, table

CLIENTS = 8  # that post one after the other, each over a connection of its own
SLOW_CLIENTS = 200
DRIP_SECONDS = 1.0  # between two bytes of a slow client
WARM_POSTS = 50  # of each client, not counted
PATIENCE_SECONDS = 60

Body = Callable[[int], Any]


@dataclass(frozen=True)
class Case:
    """Requests to `path` of a receiver; `body` makes the one of a number, with `facts` facts that no other has."""

    receiver: str
    path: str
    facts: int
    body: Body

    @property
    def name(self) -> str:
        return f"{self.receiver} {self.path}, {self.facts} at a time"


def _pai(number: int) -> Any:
    call = {"tool": "bash", "args_preview": "pytest -q", "success": True}
    stamp = "2026-02-05T10:00:00.000Z"
    return {"id": f"e{number}", "timestamp": stamp, "session_id": "s1", "event_type": "tool.execute", "data": call}


def _air(facts: int) -> Body:
    def body(number: int) -> Any:
        now = int(time.time() * 1000)
        call = {"type": "tool_call", "sessionId": "codex-01a1fbaaefc4", "timestamp": now, "toolName": "exec_command"}
        call |= {"durationMs": 51, "isError": False}
        ids = (f"{number}-{one}" for one in range(facts))
        return [call | {"id": id, "toolCallId": id} for id in ids]

    return body


def _pi_daemon(facts: int) -> Body:
    def body(number: int) -> Any:
        return {"requestId": f"r{number}", "metrics": [_metric(one) for one in range(facts)]}

    return body


def _metric(number: int) -> Any:
    labels = {"session": f"s{number % 20}", "model": "acme-large-1"}
    if number % 4:
        return {"name": "pi_compaction_total", "type": "counter", "labels": labels, "increment": 1}
    return {"name": "pi_compaction_duration_seconds", "type": "histogram", "labels": labels, "observe": 1.25}


CASES = [
    Case("pi_daemon", "/api/metrics/batch", 10, _pi_daemon(10)),
    Case("pi_daemon", "/api/metrics/batch", 100, _pi_daemon(100)),
    Case("air", "/api/ingest/batch", 100, _air(100)),
    Case("pai", "/events", 1, _pai),
]


def posts(*, seconds: float = 5.0) -> None:
    """Each case without and with slow clients, over loopback."""
    asyncio.run(_posts(seconds))


async def _posts(seconds: float) -> None:
    rows: list[list[str]] = []
    for case in CASES:
        with scratch() as folder:
            port = _free_port()
            with running(_command(folder, case.receiver, port), cwd=folder) as process:
                await _listening(port)
                rows.append([case.name, *await _posted(case, port, seconds, process.pid)])
                async with _slow_clients(case, port):
                    rows.append(
                        [f"  beside {SLOW_CLIENTS} slow clients", *await _posted(case, port, seconds, process.pid)]
                    )
    head = ["case", "facts a second", "answers a second", "p50 ms", "p99 ms", "slowest ms", "CPU µs a fact"]
    table(f"posts, {CLIENTS} clients, {seconds:.0f} s", head, rows)


async def _posted(case: Case, port: int, seconds: float, pid: int) -> list[str]:
    numbers = itertools.count(time.monotonic_ns())
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
    for _ in range(WARM_POSTS):
        await asyncio.gather(*(_answer(case, next(numbers), *client) for client in clients))
    taken: list[float] = []
    start, used = time.perf_counter(), cpu_seconds(pid)

    async def post(client: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        while time.perf_counter() < start + seconds:
            taken.append(await _answer(case, next(numbers), *client))

    await asyncio.gather(*map(post, clients))
    took = time.perf_counter() - start
    for _, writer in clients:
        writer.close()
    rate, used = len(taken) / took, cpu_seconds(pid) - used
    times = [f"{one:.1f}" for one in (quantile(taken, 0.5), quantile(taken, 0.99), max(taken))]
    return [f"{rate * case.facts:,.0f}", f"{rate:,.0f}", *times, f"{used / len(taken) / case.facts * 1e6:.0f}"]


async def _answer(case: Case, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    """Post once; milliseconds until the answer has come."""
    body = msgspec.json.encode(case.body(number))
    start = time.perf_counter()
    writer.write(_head(case, len(body)) + body)
    head = await reader.readuntil(b"\r\n\r\n")
    status = head[9:12]
    if not status.startswith(b"2"):
        raise ValueError(f"{case.name} was answered {head.decode()}")
    _, _, length = head.lower().partition(b"content-length: ")
    await reader.readexactly(int(length.partition(b"\r")[0] or 0))
    return (time.perf_counter() - start) * 1000


def _head(case: Case, size: int) -> bytes:
    lines = [
        f"POST {case.path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {size}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def _slow_clients(case: Case, port: int) -> AsyncGenerator[None]:
    """Half of them send a head byte by byte, half a body that way; who is sent away comes again."""
    head = _head(case, 1 << 20)
    dripping = [asyncio.create_task(_drip(head, number % 2 == 0, port)) for number in range(SLOW_CLIENTS)]
    await asyncio.sleep(1)
    try:
        yield
    finally:
        for one in dripping:
            one.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)


async def _drip(head: bytes, has_head: bool, port: int) -> None:
    while True:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError):
            for piece in _pieces(head, has_head):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(DRIP_SECONDS)
        writer.close()


def _pieces(head: bytes, has_head: bool) -> Iterator[bytes]:
    if has_head:
        yield head
        yield from itertools.repeat(b" ")
    yield from (bytes([byte]) for byte in head)


async def _listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                return
            await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def _command(folder: Path, receiver: str, port: int) -> list[str | Path]:
    config = folder / "config.toml"
    (folder / "codex").mkdir()
    config.write_text(
        f'[sources.codex]\nhome = "{folder}/codex"\n\n'
        f'[sinks.archive]\nuse = "jsonl"\npath = "{folder}/archive/{{date}}.jsonl"\n\n'
        f'[receivers.{receiver}]\nlisten = "127.0.0.1:{port}"\n'
    )
    return [FORWARDER, "run", "--config", config, "--state-dir", folder / "state"]
