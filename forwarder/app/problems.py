"""Files that cannot be read, with the reason: said once each, shown by `status` until they can be."""

from __future__ import annotations

import asyncio
import os

import structlog

from forwarder.tail.follow import File

_log = structlog.get_logger(__name__)


class Problems:
    """`by_file` holds the last reason for each path."""

    def __init__(self) -> None:
        self.by_file: dict[str, str] = {}
        self.untold: list[File] = []  # those of which no event tells yet
        self.has_untold = asyncio.Event()

    def add(self, file: File, error: Exception) -> None:
        """Remember the reason, and log it unless it is known."""
        path, reason = os.fsencode(file.path).decode("utf-8", "replace"), str(error)
        if path not in self.by_file:
            self.untold.append(file)
            self.has_untold.set()
        if self.by_file.get(path) != reason:
            self.by_file[path] = reason
            text = f"{file.source}: cannot read {path}: {reason}; it is tried again when it changes"
            _log.warning(text, limited=f"files of {file.source}")

    def solved(self, path: str) -> None:
        """The file could be read."""
        self.by_file.pop(path, None)
