"""A pi-daemon receiver on a real port, and what is posted to it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from forwarder_pi_daemon.receive import PiDaemon
from prometheus_client.parser import text_string_to_metric_families

from forwarder.testing import ManualClock, Posted, receiving
from tests.raw_http import Reply, exchange, request

COUNTER: dict[str, Any] = {"name": "acme_runs_total", "type": "counter"}


def made(folder: Path, config: Mapping[str, object] | None = None, *, max_series: int = 10_000) -> PiDaemon:
    """A receiver with a ``config.json`` of its own, so that none of this machine is read."""
    path = folder / "config.json"
    path.write_text(json.dumps(config or {}))
    return PiDaemon(config=str(path), max_series=max_series)


class Daemon:
    """What a client sees of it, and what it has made of its requests."""

    def __init__(self, receiver: PiDaemon, posted: Posted) -> None:
        self.receiver = receiver
        self.posted = posted

    async def send(self, method: str, path: str, body: object = b"", **headers: str) -> Reply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await exchange(self.posted.port, request(method, path, raw, **headers))

    async def tell(self, metric: object, **headers: str) -> Reply:
        return await self.send("POST", "/api/metrics", metric, **headers)

    async def tell_all(self, *metrics: object, id: str | None = None) -> Reply:
        body: dict[str, object] = {"metrics": metrics}
        if id is not None:
            body["requestId"] = id
        return await self.send("POST", "/api/metrics/batch", body)

    async def get(self, path: str) -> Any:
        return (await self.send("GET", path)).json()

    async def lines(self) -> list[str]:
        """The exposition without what the daemon tells of itself."""
        text = (await self.send("GET", "/metrics")).body.decode()
        return [line for line in text.split("\n")[:-1] if "pi_daemon_" not in line]

    async def samples(self) -> dict[str, float]:
        """The same as another program reads it: values by name and labels."""
        text = "".join(f"{line}\n" for line in await self.lines())
        return {
            one.name + "".join(f" {key}={value}" for key, value in sorted(one.labels.items())): one.value
            for family in text_string_to_metric_families(text)
            for one in family.samples
        }

    @property
    def values(self) -> list[float]:
        """Of the events."""
        return [getattr(event, "value") for event in self.posted.events]  # noqa: B009 - of whatever type they are


@asynccontextmanager
async def daemon(
    folder: Path,
    config: Mapping[str, object] | None = None,
    *,
    clock: ManualClock | None = None,
    notes: dict[str, bytes] | None = None,
    token: str | None = None,
    max_series: int = 10_000,
) -> AsyncGenerator[Daemon]:
    """One life of the receiver; `notes` are what it leaves to the next."""
    receiver = made(folder, config, max_series=max_series)
    if clock is not None:
        receiver.clock = clock
    async with receiving(receiver, notes=notes, token=token) as posted:
        yield Daemon(receiver, posted)
