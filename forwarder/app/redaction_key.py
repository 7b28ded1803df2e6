"""The key of this machine's pseudonyms and fingerprints: made once, for this user alone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from forwarder.app.state_folder import make_private
from forwarder.errors import StateError

KEY_FILE = "redaction.key"
KEY_BYTES = 32


def redaction_key(folder: Path) -> bytes:
    """The key in the state folder, made when there is none. Raises `StateError`."""
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise StateError(f"cannot read or make the key {path}: {error}; choose another with --state-dir") from error
    if len(key) != KEY_BYTES:
        raise StateError(f"the key {path} has {len(key)} bytes, not {KEY_BYTES}; remove it to have a new one made")
    return key


def _make(path: Path) -> None:
    """Write it elsewhere first: another process that makes one at the same time must not read half of it."""
    make_private(path.parent)
    part = path.with_name(f"{KEY_FILE}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(descriptor)
    with suppress(FileExistsError):
        os.link(part, path)
    part.unlink()
