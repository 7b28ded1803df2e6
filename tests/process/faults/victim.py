"""The installed command with something done to it from outside: it dies at a named step, and its clock can be moved.

python victim.py run --config … : `FAULT_STEP` is ``rename:3`` (killed at the third rename), `FAULT_CLOCK` the path of
a file with the seconds by which the wall clock is wrong.
"""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from itertools import count
from random import Random
from typing import Any

from forwarder.app.cli import main
from forwarder.clock import SystemClock

CALLS = ("write", "rename", "unlink", "fsync", "fdatasync", "ftruncate", "mkdir", "open")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(real: Callable[..., Any], turn: int, *, is_write: bool) -> Callable[..., Any]:
    """`real`, that at its `turn`-th call dies: before its work, behind it or, when it writes, in the middle."""
    calls, random = count(1), Random(turn)

    @wraps(real)
    def call(*arguments: Any, **options: Any) -> Any:
        if next(calls) != turn:
            return real(*arguments, **options)
        if is_write:
            fd, body = arguments
            real(fd, body[: random.randrange(len(body) + 1)])
        elif random.random() < 0.5:
            real(*arguments, **options)
        return die()

    return call


def die_at_commit(turn: int, *, is_before: bool) -> None:
    """Die right before or right behind SQLite's own work in the `turn`-th commit."""
    calls = count(1)

    class Deadly(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            is_last = sql == "COMMIT" and next(calls) == turn
            if is_last and is_before:
                die()
            cursor = super().execute(sql, *arguments)
            if is_last:
                die()
            return cursor

    setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Deadly))  # noqa: B010 - its type is overloaded


def die_at_byte(limit: int) -> None:
    """Die in the write that makes any file longer than that; what is below it is written.

    The kernel's own doing (SIGXFSZ), so that it also strikes between two bytes of a page that SQLite writes.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def arm(step: str) -> None:
    """Prepare the death that `step` names: ``NAME:NUMBER``."""
    name, _, number = step.partition(":")
    if name == "byte":
        die_at_byte(int(number))
    elif name in {"before_commit", "after_commit"}:
        die_at_commit(int(number), is_before=name == "before_commit")
    else:
        setattr(os, name, deadly(getattr(os, name), int(number), is_write=name == "write"))


def follow_clock(path: str) -> None:
    """Let the wall clock be wrong by as many seconds as the file says at the moment."""
    file, real = os.open(path, os.O_RDONLY), time.time

    def offset() -> int:
        return int(os.pread(file, 20, 0) or 0)

    time.time = lambda: real() + offset()
    SystemClock.now = lambda self: datetime.now(UTC) + timedelta(seconds=offset())  # type: ignore[method-assign]


if __name__ == "__main__":
    if step := os.environ.get("FAULT_STEP"):
        arm(step)
    if clock := os.environ.get("FAULT_CLOCK"):
        follow_clock(clock)
    main()
