"""The requests that the READMEs of the receivers show, sent as they are printed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from asyncio.subprocess import PIPE
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fuzz.posting import free_port
from tests.process.machine import Machine

PLUGINS = Path(__file__).parents[2] / "plugins"
RECEIVERS = {
    point.name: PLUGINS / point.module.partition(".")[0] for point in entry_points(group="forwarder.receivers")
}
NEEDS_CURL = pytest.mark.skipif(
    shutil.which("curl") is None and "FORWARDER_REQUIRE_PEERS" not in os.environ, reason="curl is not installed"
)

CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ (curl (?:.*\\\n)*.*)$", re.MULTILINE)
STATUS = re.compile(r"\s#[^\n]*?\b(\d{3})\b[^\n]*$")
PLACE = re.compile(r"(localhost|127\.0\.0\.1):\d+")
CURLRC = 'noproxy = "*"\nwrite-out = "%{stderr}%{http_code}"\n'


class Shown(NamedTuple):
    """A command as it is printed, and the status that it says behind a ``#``."""

    command: str
    status: int


def shown(readme: str) -> list[Shown]:
    """The commands of console blocks that begin with ``$ curl``."""
    return [_shown(command) for block in CONSOLE.findall(readme) for command in COMMAND.findall(block)]


def _shown(command: str) -> Shown:
    found = STATUS.search(command)
    assert found is not None, f"no status behind a # : {command}"
    return Shown(command, int(found[1]))


async def asked(one: Shown, port: int, machine: Machine) -> int:
    """The status that the command gets from this port."""
    process = await asyncio.create_subprocess_exec(
        *["sh", "-c", PLACE.sub(f"127.0.0.1:{port}", one.command)], stdout=PIPE, stderr=PIPE, env=machine.env()
    )
    _, said = await process.communicate()
    return int(said[-3:])


@pytest.mark.slow
@NEEDS_CURL
@pytest.mark.parametrize("name", RECEIVERS)
async def test_the_readmes_requests_are_answered_as_it_says(machine: Machine, name: str) -> None:
    """A client that knows nothing but the README can use the receiver."""
    requests = shown((RECEIVERS[name] / "README.md").read_text())
    port = free_port()
    (machine.folder / ".curlrc").write_text(CURLRC)
    machine.configure(machine.archive_sink(), f'[receivers.{name}]\nlisten = "127.0.0.1:{port}"\n')
    async with machine.running() as process:
        await machine.until(lambda: f"127.0.0.1:{port}" in machine.log.read_text(), "it listens", process=process)
        answered = [one._replace(status=await asked(one, port, machine)) for one in requests]

    assert requests
    assert answered == requests


def test_a_command_goes_on_behind_a_backslash() -> None:
    """What is printed behind a command is its output, and is not run."""
    readme = "```console\n$ curl localhost:1/a \\\n    -d 1  # 201\n{}\n$ make\n```\n```toml\n$ curl x\n```\n"

    assert shown(readme) == [Shown("curl localhost:1/a \\\n    -d 1  # 201", 201)]
