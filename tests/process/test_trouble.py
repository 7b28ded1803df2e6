"""Disks that are full and journals that are broken: said, survived, and nothing lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.machine import Machine, ids
from tests.process.writing import answering

pytestmark = pytest.mark.slow

SMALL_DISK_BYTES = 600_000  # room for an empty journal and little more


def write(machine: Machine, answers: int) -> None:
    for path, content in answering(machine.home, files=2, answers=answers).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def small_disk(machine: Machine) -> Iterator[Path]:
    """A file system of its own for the state folder; only root can make one."""
    machine.state.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(machine.state)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        yield machine.state
    finally:
        subprocess.run(["umount", "-l", str(machine.state)], check=True)


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)


async def test_a_full_disk_is_waited_for(machine: Machine, small_disk: Path) -> None:
    """Reading waits and says so; when there is room again everything arrives, each event once."""
    ballast = small_disk / "ballast"
    write(machine, answers=2_000)
    machine.configure(machine.archive_sink())
    expected = await machine.replay(machine.home)
    ballast.write_bytes(bytes(300_000))

    process = await machine.started()
    await machine.until(lambda: "cannot write the journal" in machine.log.read_text(), "it is full", process=process)
    ballast.unlink()
    await asyncio.to_thread(enlarge, small_disk)
    await machine.until(machine.is_read, "everything is read", process=process)
    await machine.stopped(process)

    assert "the journal can be written again" in machine.log.read_text()
    assert sorted(ids(machine.archived())) == sorted(ids(expected))


async def test_a_damaged_journal_is_set_aside(machine: Machine) -> None:
    """The forwarder starts all the same, keeps the broken file, and reads again; the ids are those of before."""
    write(machine, answers=200)
    machine.configure(machine.archive_sink())
    async with machine.running() as process:
        await machine.until(machine.is_read, "everything is read", process=process)
    before = ids(machine.journalled())
    journal = machine.state / "journal.sqlite3"
    journal.write_bytes(bytes(4096) + journal.read_bytes()[4096:])

    async with machine.running() as process:
        said = "set aside as journal.sqlite3.damaged-"
        await machine.until(lambda: said in machine.log.read_text(), "it is set aside", process=process)
        await machine.until(machine.is_read, "everything is read again", process=process)

    assert list(machine.state.glob("journal.sqlite3.damaged-*"))
    assert sorted(ids(machine.journalled())) == sorted(before)


async def test_a_newer_journal_is_left_alone(machine: Machine) -> None:
    """After a downgrade the older release must not touch what it does not understand."""
    write(machine, answers=20)
    machine.configure(machine.archive_sink())
    async with machine.running() as process:
        await machine.until(machine.is_read, "everything is read", process=process)
    journal = machine.state / "journal.sqlite3"
    content = bytearray(journal.read_bytes())
    content[60:64] = (99).to_bytes(4, "big")  # SQLite's user version
    journal.write_bytes(content)

    status = await (await machine.started()).wait()

    assert status == 3
    assert "has version 99" in machine.log.read_text()
    assert journal.read_bytes() == bytes(content)


async def test_a_state_folder_that_cannot_be_written_is_said(machine: Machine) -> None:
    """In one line, with what to do, and without a traceback."""
    machine.configure(machine.archive_sink())
    machine.state.write_text("a file where a folder should be")

    status = await (await machine.started()).wait()

    assert status == 3
    assert "choose another with --state-dir" in machine.log.read_text()
    assert "Traceback" not in machine.log.read_text()
