"""One process per state folder, and nobody else's eyes in it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from forwarder.app.state_folder import held
from forwarder.errors import AlreadyRunning, StateError

HOLD = """
import sys
from pathlib import Path
from forwarder.app.state_folder import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Generator[subprocess.Popen[str]]:
    """Another process that holds the folder `state` until its input is closed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "state")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.slow
def test_a_second_process_is_refused_with_words(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """Two would read everything twice; the message says who and what to do."""
    folder = tmp_path / "state"
    with pytest.raises(AlreadyRunning) as refused, held(folder):
        pass

    assert str(refused.value) == (
        f"another forwarder (process {holder.pid}) is at work in {folder}; stop it, or use another --state-dir"
    )


@pytest.mark.slow
def test_the_lock_goes_with_a_killed_process(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """There is no stale lock to remove by hand."""
    holder.kill()
    holder.wait()
    with held(tmp_path / "state"):
        assert (tmp_path / "state" / "lock").read_text() == f"{os.getpid()}\n"


def test_the_folder_may_be_held_again(tmp_path: Path) -> None:
    """After the block nothing is left of the lock but its file."""
    for _ in range(2):
        with held(tmp_path / "state"):
            pass

    assert (tmp_path / "state" / "lock").exists()


def test_the_folder_is_held_although_its_disk_is_full(tmp_path: Path) -> None:
    """The lock needs no room, only the number in it does: what a full disk means is for the journal to say."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with held(tmp_path / "state"), pytest.raises(AlreadyRunning, match="process unknown"), held(tmp_path / "state"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_only_the_user_may_look_inside(tmp_path: Path) -> None:
    """The journal holds what people wrote."""
    folder = tmp_path / "deep" / "state"
    with held(folder):
        modes = [path.stat().st_mode & 0o777 for path in (folder, folder / "lock")]

    assert modes == [0o700, 0o600]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """With the way out."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"
    with pytest.raises(StateError) as refused, held(folder):
        pass

    assert str(refused.value).startswith(f"cannot write the state folder {folder}: ")
    assert str(refused.value).endswith("; choose another with --state-dir")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """Before anything is read."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o500)
    with pytest.raises(StateError, match="cannot write the state folder"), held(folder):
        pass
