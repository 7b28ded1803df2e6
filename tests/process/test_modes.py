"""What the process leaves on the disk is for its user alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.process.machine import Machine
from tests.process.writing import answering

pytestmark = pytest.mark.slow


def modes(folder: Path) -> dict[str, str]:
    """What others may not have, by kind: of the folder and of everything in it."""
    found: dict[str, int] = {}
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # a segment that was compressed since it was listed
            found[str(path.relative_to(folder.parent))] = path.stat().st_mode & 0o777
    return {name: oct(mode) for name, mode in found.items() if mode & 0o077}


async def test_nobody_else_may_read_what_is_written_under_any_umask(machine: Machine) -> None:
    """Journal with its log and index, key, lock, archive and the notes of a replay, also while all of them are open."""
    for path, content in answering(machine.home, files=2, answers=50).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    machine.configure(machine.archive_sink() + 'rotate_bytes = "4KiB"\ncompress = "gzip"\n')
    before = os.umask(0)
    try:
        async with machine.running() as process:
            await machine.until(lambda: bool(machine.archived()), "something is archived", process=process)
            await machine.until(machine.is_read, "all is read", process=process)
            open_to_others = modes(machine.state) | modes(machine.folder / "archive")
            names = {path.name for path in machine.state.iterdir()}
        replay = await machine.started("replay", machine.home)
        assert await replay.wait() == 0
    finally:
        os.umask(before)

    assert names >= {"journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm", "lock", "redaction.key"}
    assert open_to_others | modes(machine.state) | modes(machine.folder / "archive") == {}
