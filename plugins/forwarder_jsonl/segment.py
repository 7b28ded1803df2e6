"""One file that the archive appends to."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from forwarder import Batch

HEAD = b'{"id":"'
CHUNK = 1 << 18
SEARCH_BYTES = (
    1 << 20
)  # lines of another writer that may stand behind ours; a batch's own lines are found at any length


WITHOUT_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP}  # network file systems; one forwarder alone works there as well


class NotOurs(OSError):
    """The file holds something else than events, or another process is writing to it: it is left untouched."""


class Segment:
    """Locked against other processes and ending after a newline; close it."""

    _is_name_safe = False  # whoever created the file may have been killed before the folder was synced

    def __init__(self, path: str) -> None:
        """Open or create the file, mode 0600 in folders of mode 0700, and cut the torn line that a crash left."""
        self.path = path
        make_folder(os.path.dirname(path) or ".")
        self.fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._lock()
            self.size = self._safe_size = self._repaired_size()
        except BaseException:
            os.close(self.fd)
            raise

    def append(self, body: bytes) -> None:
        """Write all of `body`, or nothing: raises `OSError` with the file as it was before."""
        rest = memoryview(body)
        try:
            while rest:
                rest = rest[os.write(self.fd, rest) :]
        except OSError:
            with suppress(OSError):  # a torn line that stays is cut when the file is opened again
                os.ftruncate(self.fd, self.size)
            raise
        self.size += len(body)

    def without_held(self, batch: Batch) -> Batch:
        """The events of `batch` that are not yet at the end of this file; `batch` itself if none is."""
        ids = frozenset(line[len(HEAD) : len(HEAD) + 32] for line in batch.lines)
        held: set[bytes] = set()
        missed = 0
        for line in self._lines_backwards():
            found = line[len(HEAD) : len(HEAD) + 32]
            if found in ids:
                held.add(found)
                missed = 0
            missed += len(line)
            if missed > SEARCH_BYTES or len(held) == len(ids):
                break
        if not held:
            return batch
        return Batch(tuple(line for line in batch.lines if line[len(HEAD) : len(HEAD) + 32] not in held))

    def is_current(self) -> bool:
        """Whether the path still names this file: somebody may have moved or deleted it."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        here = os.fstat(self.fd)
        return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)

    def written_at(self) -> float:
        """When the file was last written, in seconds since the epoch."""
        return os.fstat(self.fd).st_mtime

    def sync(self) -> None:
        """Make what was written survive a power cut, the file's name included."""
        os.fdatasync(self.fd)
        if not self._is_name_safe:
            sync_folder(os.path.dirname(self.path) or ".")
            self._is_name_safe = True
        self._safe_size = self.size

    def undo_unsafe(self) -> None:
        """Take back what was written since the last `sync`.

        After a failed sync the kernel counts the lost pages as clean: a second sync would succeed and save nothing.
        """
        os.ftruncate(self.fd, self._safe_size)
        self.size = self._safe_size

    def close(self) -> None:
        """Give the file and its lock back."""
        os.close(self.fd)
        self.fd = -1

    def _lock(self) -> None:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotOurs(error.errno, "another process writes to it; give each forwarder a path of its own") from error
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        if not self.is_current():
            raise NotOurs(0, "another process has just moved it")

    def _repaired_size(self) -> int:
        size = os.fstat(self.fd).st_size
        if not is_archive_head(os.pread(self.fd, len(HEAD), 0)):
            raise NotOurs(0, "it does not hold events of forwarder; choose another path")
        whole = next(self._newlines_backwards(size), -1) + 1
        if whole == size:
            return size
        if _is_event(
            os.pread(self.fd, size - whole, whole)
        ):  # an editor took the last line end, or a crash came before it
            os.write(self.fd, b"\n")
            return size + 1
        os.ftruncate(self.fd, whole)
        return whole

    def _newlines_backwards(self, end: int) -> Iterator[int]:
        for start, chunk in self._chunks_backwards(end):
            at = len(chunk)
            while (at := chunk.rfind(b"\n", 0, at)) >= 0:
                yield start + at

    def _lines_backwards(self) -> Iterator[bytes]:
        head = b""
        for _, chunk in self._chunks_backwards(self.size):
            head, *lines = (chunk + head).split(b"\n")
            yield from reversed(lines)
        yield head

    def _chunks_backwards(self, end: int) -> Iterator[tuple[int, bytes]]:
        length = CHUNK
        while end > 0:
            start = max(0, end - length)
            yield start, os.pread(self.fd, end - start, start)
            end = start
            length *= 2  # a line longer than many chunks is put together from few pieces


def is_archive_head(head: bytes) -> bool:
    """Whether a file that begins so is ours; NUL bytes are what a power cut leaves of a line never written."""
    return HEAD.startswith(head.partition(b"\0")[0])


def _is_event(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return line.startswith(HEAD)


def make_folder(folder: str) -> None:
    """Create `folder` and its missing parents for the owner alone, and make their names survive a power cut."""
    missing: list[Path] = []
    path = Path(folder)
    while not path.exists():
        missing.append(path)
        path = path.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(str(path.parent))


def sync_folder(folder: str) -> None:
    """Make names in `folder` (created, renamed, removed) survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
