"""The exit statuses of the command, in one place."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a shell or a service manager learns from how the process ended."""

    OK = 0
    PROBLEM = 1  # `check` or `status` found something wrong, or a replay left dead letters behind
    USAGE = 2  # wrong arguments or configuration
    STATE = 3  # the state folder is in use or cannot be written, or the journal is of a newer release
    LATE = 4  # the drain deadline passed before a sink had taken everything; the journal holds the rest
    INTERRUPTED = 130  # a second Ctrl-C
