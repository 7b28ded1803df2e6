"""A loopback HTTP endpoint that acknowledges at once: the other end of the benchmarks, as a process or in one.

    python benchmarks/peer.py        # prints its port, then serves until its standard input ends

It answers POST with what `status` says and counts what it accepted. It understands what the forwarder's own HTTP sink
sends (a length, no chunks) and nothing else. GET answers the counts as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

BUFFER_BYTES = 1 << 20  # the forwarder's batches are at most this large: one or two reads take one


@dataclass
class Tally:
    """What the peer has taken. `bodies` are kept only when asked for, with the time of their acknowledgement."""

    status: int = 200
    keeps_bodies: bool = False
    requests: int = 0
    refused: int = 0
    events: int = 0
    body_bytes: int = 0
    bodies: list[tuple[float, bytes]] = field(default_factory=list[tuple[float, bytes]])

    def take(self, body: bytearray) -> int:
        """Count one request; returns the status to answer with. `time.monotonic` is the clock of `bodies`."""
        if self.status >= 300:
            self.refused += 1
            return self.status
        self.requests += 1
        self.events += body.count(b"\n")
        self.body_bytes += len(body)
        if self.keeps_bodies:
            self.bodies.append((time.monotonic(), bytes(body)))
        return self.status

    def as_json(self) -> bytes:
        """The counts."""
        names = ("requests", "refused", "events", "body_bytes")
        return json.dumps({name: getattr(self, name) for name in names}).encode()


class Connection(asyncio.BufferedProtocol):
    """One client: heads and bodies, one request after the other."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._buffer = bytearray(BUFFER_BYTES)
        self._received = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._received += memoryview(self._buffer)[:nbytes]
        while self._answered_one():
            pass

    def _answered_one(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        start = end + 4
        if len(self._received) < start + length:
            return False
        if head.startswith(b"get "):
            self._answer(200, self._tally.as_json())
        else:
            self._answer(self._tally.take(self._received[start : start + length]), b"")
        del self._received[: start + length]
        return True

    def _answer(self, status: int, body: bytes) -> None:
        self._transport.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


@asynccontextmanager
async def serving(tally: Tally) -> AsyncGenerator[int]:
    """Serve on a free port of the loopback interface, which is what the block gets."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(tally), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def main() -> None:
    """Serve until standard input ends, which it does when the process that started this one ends."""
    async with serving(Tally()) as port:
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
