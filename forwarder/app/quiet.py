"""Tells sources of the files that they expect to change and that vanished, or stay as they are.

A source has no clock and sees no process; a file that is rewritten every second says by its silence that its writer
ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forwarder.clock import Clock
from forwarder.journal import StreamRow
from forwarder.source import Expectation, Quiet, Source, Vanished
from forwarder.tail.follow import File, Follower

STEP_SECONDS = 0.5  # how late a notice may be; every expectation is looked at so often
JIFFY_SECONDS = 1.0  # how far the kernel's start time of a process and the time of a file that it wrote may disagree


@dataclass
class _Expected:
    """`since` is when something happened to the file last, by the monotonic clock; `due` when its silence is told."""

    expectation: Expectation
    since: float
    due: float
    is_gone: bool = False


class QuietWatch:
    """`expect` behind each record of a file, `gone` when it was found missing, `run` as a task.

    `host` is the name of this machine, `process_began` tells when a process began, in seconds since 1970.
    """

    def __init__(
        self,
        follower: Follower,
        clock: Clock,
        *,
        host: str,
        process_began: Callable[[int], float | None] | None = None,
    ) -> None:
        self._follower = follower
        self._clock = clock
        self._host = host
        self._process_began = process_began or began
        self._expected: dict[File, _Expected] = {}

    def look_at(self, file: File) -> None:
        """The forwarder has just started: let the source say what it expects of a file that it knows."""
        self._follower.tell(file, Quiet(seconds=0.0))

    def expect(self, file: File, expectation: Expectation | None, notice: Vanished | Quiet | None) -> bool:
        """What the source expects of the file behind a content, or behind what it was told of the file.

        Returns whether anything is, or was, expected of the file.
        """
        before, now = self._expected.pop(file, None), self._clock.monotonic()
        if expectation is None:
            return before is not None
        expected = _Expected(expectation, since=now, due=now + expectation.quiet_seconds)
        if before is not None and notice is not None:
            expected.is_gone = before.is_gone
            if isinstance(notice, Quiet):
                expected.since, expected.due = before.since, before.due
        self._expected[file] = expected
        return True

    def gone(self, file: File) -> bool:
        """The file is not there any more. Returns whether that is news: something was expected of it."""
        expected = self._expected.get(file)
        if expected is None or expected.is_gone:
            return False
        expected.is_gone = True
        return True

    async def run(self) -> None:
        """Tell what is due, for ever."""
        while True:
            await self._clock.sleep(STEP_SECONDS)
            now = self._clock.monotonic()
            for file, expected in list(self._expected.items()):
                if now >= expected.due:
                    self._tell(file, expected, now)

    def _tell(self, file: File, expected: _Expected, now: float) -> None:
        expected.since = max(expected.since, self._follower.beats.last(file))
        expected.due = max(now, expected.since) + expected.expectation.quiet_seconds
        if now - expected.since < expected.expectation.quiet_seconds:
            expected.due = expected.since + expected.expectation.quiet_seconds
            return
        row = self._follower.index.known(file.source, file.path)
        if row is None or not self._is_as_read(file, row, is_gone=expected.is_gone):
            # Its event was lost, or this process was stopped for some time: first what happened, then what did not.
            self._follower.report(file, is_live=True)
        else:
            self._follower.tell(file, Quiet(now - expected.since, self._is_alive(expected.expectation, row)))

    def _is_alive(self, expectation: Expectation, row: StreamRow) -> bool | None:
        """Whether the process lives; one that began after the file was written only got its number."""
        if expectation.pid is None or expectation.host not in (None, self._host):
            return None
        process_began = self._process_began(expectation.pid)
        return process_began is not None and process_began <= row.time + JIFFY_SECONDS

    def _is_as_read(self, file: File, row: StreamRow, *, is_gone: bool) -> bool:
        """The file is as it was when it was read, or still gone."""
        try:
            stat = os.stat(file.path)
        except OSError:
            return is_gone
        if file in self._follower.beats and self._follower.beats.has_read(file, stat):
            return True
        return (row.device, row.inode, row.offset, row.time) == (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime)


def whole_files(rows: Iterable[StreamRow], sources: Mapping[str, Source[Any]]) -> list[File]:
    """Known files that are one record, of sources that may expect something of them."""
    expecting = {name: one for name, one in sources.items() if type(one).expects is not Source[Any].expects}
    files = (File(row.source, Path(row.path)) for row in rows if row.source in expecting)
    return [file for file in files if expecting[file.source].is_whole(file.path)]


def began(pid: int) -> float | None:
    """When the process began, in seconds since 1970; 0 where the machine does not tell, None if there is none."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass  # another user's: it lives
    except (OSError, OverflowError):
        return None
    try:
        # /proc/PID/stat: the 22nd field counts ticks since boot; the second, a name in brackets, may hold spaces.
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, ValueError, StopIteration):
        return 0.0
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
