"""Hooks run while the forwarder empties their spool, and is killed: every event once, and nothing stays behind."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from asyncio.subprocess import Process
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.process.machine import FORWARDER, Machine

pytestmark = pytest.mark.slow

WRITERS, EACH = 8, 250

# As the installed command, but spools are renamed early, and hooks at work are waited for as long as these may take.
HASTY = f"""#!{sys.executable}
from forwarder.app import spools
spools.ROTATE_BYTES, spools.QUIET_SECONDS, spools.STEP_SECONDS = 30_000, 1.5, 0.05
from forwarder.app.cli import main
main()
"""

# What one agent does: one hook after another, with time for others in between, each with a payload of another size.
AGENT = """n=0; while [ $n -lt {each} ]; do
    printf '{{"session_id":"s{agent}","hook_event_name":"PreToolUse","tool_use_id":"{agent}-%d",%s,"pad":"%*s"}}\\n' \
        $n '"tool_name":"Bash"' $((n * 7 % 4000)) x | "{writer}" || exit 1
    n=$((n + 1)); sleep 0.05
done"""


@pytest.fixture(params=["line", "file"])
def form(request: pytest.FixtureRequest) -> str:
    """How hooks keep an event."""
    return str(request.param)


@pytest.fixture
def writer(machine: Machine, form: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script that hooks run, on a machine whose forwarder is hasty."""
    options = ["--home", str(machine.home), "--form", form, "--release", "2.1.329"]
    subprocess.run([FORWARDER, "hook", *options], env=machine.env(), capture_output=True, check=True, timeout=30)
    source = f'[sources.claude_code]\nhome = "{machine.home}"\n'
    machine.config.write_text(f'start = "all"\nsweep_seconds = "500ms"\n{source}{machine.archive_sink()}')
    hasty = machine.folder / "hasty"
    hasty.write_text(HASTY)
    hasty.chmod(0o700)
    monkeypatch.setattr("tests.process.machine.FORWARDER", str(hasty))
    return machine.home / "forwarder" / "hook.sh"


async def test_hooks_beside_a_killed_forwarder_are_told_once(machine: Machine, writer: Path, form: str) -> None:
    """Eight agents write while spools are renamed, drained and deleted; the process dies at any moment of that."""
    random = Random(3)
    loops = [AGENT.format(each=EACH, agent=number, writer=writer) for number in range(WRITERS)]
    agents = [await asyncio.create_subprocess_exec("/bin/sh", "-c", loop) for loop in loops]
    while any(agent.returncode is None for agent in agents):
        await one_life(machine, agents, random)
    assert [await agent.wait() for agent in agents] == [0] * WRITERS

    async with machine.running() as process:
        expected = sorted(f"{agent}-{n}" for agent in range(WRITERS) for n in range(EACH))
        await machine.until(lambda: len(calls(machine)) >= len(expected), "every hook is archived", process=process)
        fresh = {"hook.sh", "hooks.jsonl"} if form == "line" else {"hook.sh", "hooks"}
        await machine.until(lambda: left(machine) == fresh, "what was read is deleted", process=process)

    assert sorted(calls(machine)) == expected


async def test_what_hooks_drop_is_told_once(machine: Machine, writer: Path) -> None:
    """Each time that the count grows, also when that was while no forwarder ran; and no second time after a restart."""
    count = writer.parent / "dropped"
    for life, size in enumerate((2, 5, 5), 1):
        count.write_bytes(b"." * size)
        async with machine.running() as process:
            await machine.until(lambda: sum(losses(machine)) == count.stat().st_size, "it is told", process=process)
            await machine.until(partial(is_at_work, machine, life), "all was looked at", process=process)

    assert losses(machine) == [2, 3]
    assert machine.log.read_text().count("more records are lost (dropped)") == 2


async def one_life(machine: Machine, agents: list[Process], random: Random) -> None:
    """Until something was renamed or deleted, and then a little."""
    before = deleted(machine)
    process = await machine.started()
    await machine.until(
        lambda: deleted(machine) != before or all(agent.returncode is not None for agent in agents),
        "a spool is emptied",
        process=process,
    )
    await asyncio.sleep(random.random())
    process.kill()
    await process.wait()


def deleted(machine: Machine) -> object:
    """Changes whenever a spool was renamed, or the oldest file of one event has gone."""
    folder = machine.home / "forwarder"
    renamed = sorted(path.name for path in folder.glob("hooks.*.jsonl"))
    return renamed, min((path.name for path in folder.glob("hooks/*.json")), default="")


def left(machine: Machine) -> set[str]:
    """What is in the folder of the spool, and in that of files of one event."""
    folder = machine.home / "forwarder"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return {re.sub(r"^hooks/\d+-\d+\.json$", "hooks/an event", name) for name in names}


def calls(machine: Machine) -> list[str]:
    return [event["call_id"] for event in machine.archived() if event["type"] == "tool_call_start"]


def losses(machine: Machine) -> list[int]:
    return [event["count"] for event in machine.archived() if event["type"] == "gap"]


def is_at_work(machine: Machine, life: int) -> bool:
    return machine.log.read_text().count("at work") == life
