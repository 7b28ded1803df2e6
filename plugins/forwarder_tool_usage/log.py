"""The log file: where it lies, and how a line gets into it, whoever else is writing.

Imported by `forwarder track`, which a command waits for: nothing that takes milliseconds to import, not even forwarder.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress

DEFAULT_PATH = "~/runtime/tool-usage/events.jsonl"
VARIABLE = "TOOL_USAGE_LOG"  # where the log lies, for writers and for the source

KINDS = ("extension_tool", "extension_command", "script", "job", "loop")
SCOPES = ("global", "project")
MAX_SUMMARY_CHARS = 200

LOOKS = 5  # at an unfinished end; more than a write of a line takes

_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def log_path(given: str | None = None) -> str:
    """The log's path: as given, else as the environment says, else the default; ``~`` is expanded."""
    return os.path.expanduser(given or os.environ.get(VARIABLE) or DEFAULT_PATH)


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    milliseconds = int(seconds * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03d}Z"


def invocation() -> str:
    """An id for an invocation that begins now: no other process has our pid at this nanosecond."""
    return f"{time.time_ns():x}-{os.getpid():x}"


def summary(text: str) -> str:
    """The text on one line, cut to what the log allows."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_SUMMARY_CHARS else line[: MAX_SUMMARY_CHARS - 1] + "…"


def encoded(fields: dict[str, object]) -> bytes:
    """The line with its newline; fields that are None are left out. Bytes that are no UTF-8 become U+FFFD."""
    import json

    known = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"


def append(path: str, line: bytes) -> None:
    """Add the line by one write. Raises `OSError`."""
    fd = opened(path)
    try:
        write(fd, line)
    finally:
        os.close(fd)


def write(fd: int, line: bytes) -> None:
    """One write at the end of the file. What another writer left unfinished there stays a line of its own.

    Raises `OSError`, also when only a part was written: then there is no room.
    """
    if not _ends_whole(fd):
        line = b"\n" + line
    if os.write(fd, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _ends_whole(fd: int) -> bool:
    """Whether the file ends with a newline or is empty. A line that another process is just writing is waited for."""
    for _ in range(LOOKS):
        size = os.fstat(fd).st_size
        if not size or os.pread(fd, 1, size - 1) == b"\n":
            return True
        time.sleep(0.001)  # a file grows by pages, so that half of a write may be seen
    return False


def opened(path: str) -> int:
    """The file for appending, made with its folders for the owner alone where they are missing.

    Raises `OSError`, also where the file or its folder is a symlink: whoever put it there chooses what is written to.
    """
    folder, name = os.path.split(path)
    make_folder(folder or ".")
    at = os.open(folder or ".", _FOLDER)
    try:
        fd = os.open(name, _OPEN | os.O_NONBLOCK, 0o600, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file")
    return fd


def make_folder(folder: str) -> None:
    """Create `folder` and its missing parents, for the owner alone."""
    if not os.path.lexists(folder):
        make_folder(os.path.dirname(folder) or ".")
        with suppress(FileExistsError):  # another writer was faster
            os.mkdir(folder, 0o700)
