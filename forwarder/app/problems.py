"""Files that cannot be read, with the reason: said once each, shown by `status`, and tried again until they can be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from forwarder.clock import Clock
from forwarder.tail.follow import File

STEP_SECONDS = 5.0
LONGEST_SECONDS = 300.0  # between two tries of a file that nobody may read; a lack of descriptors is over sooner

_log = structlog.get_logger(__name__)


@dataclass
class _Problem:
    file: File
    tries: int = 0
    tries_before: int = 0  # the file was reported again
    due: float = 0.0  # by the monotonic clock


class Problems:
    """`by_file` holds the last reason for each path."""

    def __init__(self) -> None:
        self.by_file: dict[str, str] = {}
        self.untold: list[File] = []  # those of which no event tells yet
        self.has_untold = asyncio.Event()
        self._problems: dict[str, _Problem] = {}

    def add(self, file: File, error: Exception) -> None:
        """Remember the reason, and log it unless it is known. A file that fails again is worth an event."""
        path, reason = os.fsencode(file.path).decode("utf-8", "replace"), str(error)
        problem = self._problems.setdefault(path, _Problem(file))
        problem.tries += 1
        if problem.tries == 2:
            self.untold.append(file)
            self.has_untold.set()
        if self.by_file.get(path) != reason:
            self.by_file[path] = reason
            text = f"{file.source}: cannot read {path}: {reason}; it is tried again when it changes, and now and then"
            _log.warning(text, limited=f"files of {file.source}")

    def solved(self, path: str) -> None:
        """The file could be read, or is gone."""
        self.by_file.pop(path, None)
        self._problems.pop(path, None)

    async def retry(self, clock: Clock, report: Callable[[File], object]) -> None:
        """Report the files again, for ever: the reason may have passed without a change of the file."""
        while True:
            await clock.sleep(STEP_SECONDS)
            now = clock.monotonic()
            for path, problem in list(self._problems.items()):
                if now < problem.due:
                    continue
                if problem.tries == problem.tries_before:
                    self.solved(path)
                    continue
                problem.tries_before = problem.tries
                problem.due = now + min(STEP_SECONDS * 2**problem.tries, LONGEST_SECONDS)
                report(problem.file)
