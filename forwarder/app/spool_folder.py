"""The folder of a spool: what may be done in it, and that nobody else does it. No symlink is ever followed."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from forwarder.tail.stream import HEAD_BYTES


class SpoolFolder:
    """A folder of this user, held by one forwarder at a time until `close`. All calls block.

    Names are looked up in the very folder that was opened, also when another has taken its path since.
    """

    def __init__(self, path: Path) -> None:
        """Raises `OSError` when the folder may not be emptied, with the reason."""
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._claim()
        except BaseException:
            os.close(self._fd)
            raise

    def _claim(self) -> None:
        if os.fstat(self._fd).st_uid != os.geteuid():
            raise PermissionError("the folder belongs to another user")
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self._fd, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError("the folder cannot be written")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError("another forwarder empties it, which may take what this one has not read") from None

    def close(self) -> None:
        """Let another forwarder have it."""
        os.close(self._fd)

    @property
    def is_current(self) -> bool:
        """The folder is still the one under its path."""
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self._fd))
        except OSError:
            return False

    def names(self) -> list[str]:
        """What is in the folder, in order."""
        return sorted(os.listdir(self._fd))

    def stat(self, name: str) -> os.stat_result | None:
        """Of a regular file; None if there is none of that name."""
        try:
            found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found if stat.S_ISREG(found.st_mode) else None

    def rename(self, name: str, new: str) -> None:
        """Give a file another name."""
        os.rename(name, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def begin(self, name: str) -> tuple[os.stat_result, bytes]:
        """Make the file unless a writer was faster. Returns what it is and how it begins, which is never empty.

        An empty line is put into an empty file, so that it can be told from whatever gets its inode one day.
        """
        with self._opened(name, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
            if not os.fstat(file).st_size:
                os.write(file, b"\n")
            return os.fstat(file), os.pread(file, HEAD_BYTES, 0)

    def end_line(self, name: str) -> None:
        """End the file with a newline, unless it does."""
        with self._opened(name, os.O_RDWR | os.O_APPEND) as file:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                os.write(file, b"\n")

    def remove(self, files: Mapping[str, os.stat_result]) -> list[str]:
        """Delete the files that are still as they were; returns which are gone. Raises `OSError` if the first stays."""
        gone: list[str] = []
        for name, before in files.items():
            now = self.stat(name)
            if now is None or _identity(now) != _identity(before):
                continue
            try:
                os.unlink(name, dir_fd=self._fd)
            except OSError:
                if not gone:
                    raise
                break
            gone.append(name)
        return gone

    @contextmanager
    def _opened(self, name: str, flags: int) -> Generator[int]:
        file = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=self._fd)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(f"{name} is not a regular file")
            yield file
        finally:
            os.close(file)


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
