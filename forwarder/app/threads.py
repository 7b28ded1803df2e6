"""How the event loop and the threads beside it share the interpreter."""

from __future__ import annotations

import sys

SWITCH_SECONDS = 0.0005


def share_the_interpreter() -> None:
    """Let a thread that waits for the interpreter have it after half a millisecond instead of Python's five.

    The journal's and the sinks' threads need it for moments between two long system calls; waiting 5 ms each time, they
    cost a backfill of short lines a tenth of its speed.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
