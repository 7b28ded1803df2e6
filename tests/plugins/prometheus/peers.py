"""Debian's own Pushgateway and Prometheus, each on a port of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.plugins.prometheus.telling import page

PATIENCE_SECONDS = 30.0
REQUIRED = "FORWARDER_REQUIRE_PEERS"  # set where a missing server is a mistake and no circumstance
SCRAPE = """
global: {scrape_interval: 100ms, scrape_timeout: 100ms}
scrape_configs:
  - {job_name: pushed, honor_labels: true, static_configs: [{targets: ["%s"]}]}
  - {job_name: scraped, static_configs: [{targets: ["%s"]}]}
"""


def need(*programs: str) -> None:
    """Skip the test where one of them is not installed, or fail it if the environment says that it has to be."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing and os.environ.get(REQUIRED):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: prometheus, prometheus-pushgateway)")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


class Server:
    """A server that answers at `url`."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self._client = client

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self._client.get(self.url + path + (f"?{urlencode(query)}" if query else ""))

    async def put(self, path: str, text: str) -> httpx.Response:
        return await self._client.put(self.url + path, content=text.encode())

    async def delete(self, path: str) -> httpx.Response:
        return await self._client.delete(self.url + path)

    def beside(self, port: int) -> Server:
        """Another one of this machine."""
        return Server(f"http://127.0.0.1:{port}", self._client)

    async def metrics(self) -> dict[str, float] | None:
        """The page of metrics; None while nobody answers."""
        try:
            answer = await self.get("/metrics")
        except httpx.TransportError:
            return None
        return page(answer.content)

    async def query(self, promql: str) -> dict[str, float]:
        """What Prometheus has, by the labels that the query leaves, as `name=value,…`."""
        answer = (await self.get("/api/v1/query", query=promql)).json()
        result: list[dict[str, Any]] = answer["data"]["result"]
        return {
            ",".join(f"{name}={value}" for name, value in sorted(one["metric"].items())): float(one["value"][1])
            for one in result
        }


async def until(condition: Callable[[], Awaitable[bool]], what: Callable[[], object]) -> None:
    """Return when it holds; fail with `what` when it never does."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {PATIENCE_SECONDS:.0f} s: {what()}")


@asynccontextmanager
async def _serving(command: Sequence[str], port: int, folder: Path) -> AsyncGenerator[Server]:
    log = folder / f"{command[0]}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out, cwd=folder)
    async with httpx.AsyncClient(trust_env=False) as client:
        server = Server(f"http://127.0.0.1:{port}", client)

        async def is_ready() -> bool:
            assert process.returncode is None, log.read_text()[-2000:]
            try:
                return (await server.get("/-/ready")).status_code in (200, 401)
            except httpx.TransportError:
                return False

        try:
            await until(is_ready, log.read_text)
            yield server
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def pushgateway(folder: Path, *options: str) -> AsyncGenerator[Server]:
    """A gateway that remembers nothing."""
    need("prometheus-pushgateway")
    port = free_port()
    nothing = "--persistence.file="  # Debian's default is a file that every gateway of this machine would share
    command = ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}", nothing, *options]
    async with _serving(command, port, folder) as server:
        yield server


@asynccontextmanager
async def prometheus(folder: Path, *, pushed: str, scraped: str) -> AsyncGenerator[Server]:
    """A server that asks both, each ``HOST:PORT``, ten times a second."""
    need("prometheus")
    port = free_port()
    (folder / "prometheus.yml").write_text(SCRAPE % (pushed, scraped))
    command = ["prometheus", "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"]
    async with _serving([*command, "--storage.tsdb.path=tsdb", "--log.level=warn"], port, folder) as server:
        yield server


async def complaints(text: bytes) -> str:
    """What ``promtool check metrics`` says of a page; nothing is what it should."""
    need("promtool")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate(text)
    return said.decode() + (f"exit status {process.returncode}" if process.returncode else "")


def shown(value: object) -> str:
    return json.dumps(value, indent=1, default=str, sort_keys=True)
