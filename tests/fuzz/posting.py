"""The receivers of a running forwarder, and what they answer to requests made out of their own description.

Schemathesis draws the requests, valid and not; the forwarder's own metrics count them.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tests.fuzz.odd_requests import Odd
from tests.process.machine import Machine
from tests.raw_http import exchange, request

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
TOKEN = "the-token-of-the-fuzzer"
CHECKS = (  # those about undeclared methods and requests that are refused stay out: PAI knows no 405, and we take more
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
ACCEPTED = "positive_data_acceptance"
CHANGEABLE = {"pi_daemon"}  # of it, what a name was before decides whether the same body is taken
COUNT = re.compile(r'^forwarder_received_requests_total\{receiver="([^"]*)",status="(\d+)"\} (\S+)$', re.M)


@dataclass(frozen=True)
class Round:
    """`answers` by status; `problem` is what schemathesis said when it found something, else empty."""

    receiver: str
    seconds: float
    answers: Counter[int]
    resident_bytes: int
    problem: str


@dataclass(frozen=True)
class Receivers:
    """All installed receivers behind ports of one running forwarder, each with `TOKEN`; `own` is the forwarder's."""

    machine: Machine
    process: Process
    ports: dict[str, int]
    own: int

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path) -> AsyncGenerator[Receivers]:
        """Of a machine in the folder; its only sink is an archive."""
        ports = {name: free_port() for name in sorted(entry_points(group="forwarder.receivers").names)}
        own, machine = free_port(), Machine(folder)
        tables = [f'[receivers.{name}]\nlisten = "127.0.0.1:{port}"\n' for name, port in ports.items()]
        tables.append(f'[server]\nlisten = "127.0.0.1:{own}"\n')
        machine.configure(machine.archive_sink(), *(f'{table}token = "{TOKEN}"\n' for table in tables))
        async with machine.running() as process:
            is_there = f"address=127.0.0.1:{own} "  # the last to listen
            await machine.until(lambda: is_there in machine.log.read_text(), "it listens", process=process)
            yield cls(machine, process, ports, own)

    async def description(self, name: str) -> dict[str, Any]:
        """What `forwarder openapi` prints of a receiver."""
        status, said = await self.machine.said("openapi", name)
        assert status == 0, said
        described: dict[str, Any] = json.loads(said)
        return described

    async def answers(self) -> dict[str, Counter[int]]:
        """How often each receiver has answered with which status."""
        asked = await exchange(self.own, request("GET", "/metrics", Authorization=f"Bearer {TOKEN}"))
        found = {name: Counter[int]() for name in self.ports}
        for name, status, count in COUNT.findall(asked.body.decode()):
            found.setdefault(name, Counter())[int(status)] = int(float(count))
        return found

    def resident_bytes(self) -> int:
        """What the forwarder holds in memory now; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096
        except OSError:
            return 0

    async def round(self, name: str, *, examples: int, seed: int, phases: str = "coverage,fuzzing") -> Round:
        """So many drawn requests at most to each operation of a receiver; the phase of coverage adds its own."""
        checks = CHECKS if name in CHANGEABLE else (*CHECKS, ACCEPTED)
        description = self.machine.folder / f"{name}.json"
        description.write_text(json.dumps(await self.description(name)))
        before, began = await self.answers(), time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *[
                str(SCHEMATHESIS),
                "run",
                str(description),
                "--url",
                f"http://127.0.0.1:{self.ports[name]}",
                "--no-color",
            ],
            *["--checks", ",".join(checks), "--continue-on-failure", "--header", f"Authorization: Bearer {TOKEN}"],
            *["--phases", phases],
            *["--max-examples", str(examples), "--seed", str(seed), "--suppress-health-check", "all"],
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=self.machine.folder,
            env=self.machine.env(),
        )
        said, _ = await process.communicate()
        answers = (await self.answers())[name]
        answers.subtract(before[name])
        problem = said.decode() if process.returncode else ""
        return Round(name, time.monotonic() - began, answers, self.resident_bytes(), problem)

    async def misanswered(self, port: int, odd: Iterable[Odd]) -> list[str]:
        """Those that were answered with a 5xx, or otherwise than they may be."""
        wrong: list[str] = []
        for one in odd:
            try:
                status = (await exchange(port, one.raw)).status
            except (EOFError, ConnectionError):
                status = 0
            if status not in one.statuses if one.statuses else not 200 <= status < 500:
                wrong.append(f"{one.name} was answered {status}")
        return wrong


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])
