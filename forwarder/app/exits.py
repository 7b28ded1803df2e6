"""The exit statuses of the command, in one place."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a shell or a service manager learns from how the process ended."""

    OK = 0
    PROBLEM = 1
    USAGE = 2
    STATE = 3
    LATE = 4
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """For ``--help`` and the README."""
        return _MEANINGS[self]


_MEANINGS = {
    Exit.OK: "fine",
    Exit.PROBLEM: "something was found wrong, or not found, by a command that looks; a replay left dead letters behind",
    Exit.USAGE: "wrong arguments or configuration",
    Exit.STATE: "the state folder is in use or cannot be used, or its journal is of a newer release",
    Exit.LATE: "the drain deadline passed before every sink had everything; the journal holds the rest",
    Exit.INTERRUPTED: "ended at once by a second Ctrl-C",
}
