"""The state folder: made for this user alone, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from forwarder.errors import AlreadyRunning, StateError


def make_private(folder: Path) -> None:
    """Make the folder, and what is missing above it, for this user alone: `parents=True` goes by the umask there."""
    if not folder.parent.is_dir():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def held(folder: Path) -> Generator[None]:
    """Make the folder if there is none, and hold its lock for the block; it goes with the process, however that ends.

    Raises `AlreadyRunning` when another process holds it, and `StateError` when the folder cannot be written.
    """
    try:
        make_private(folder)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"cannot write the state folder {folder}: {error}; choose another with --state-dir") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"another forwarder (process {holder}) is at work in {folder}; stop it, or use another --state-dir"
            ) from error
        with suppress(OSError):  # a full disk: the number is only what another process is told
            os.ftruncate(lock, os.pwrite(lock, f"{os.getpid()}\n".encode(), 0))
        yield
    finally:
        os.close(lock)
