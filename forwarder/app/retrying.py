"""Takes up the dead letters that `forwarder dead-letters retry` asked for: the wish is a row in the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence

import structlog

from forwarder.clock import Clock
from forwarder.journal import Journal, StoredLetter

POLL_SECONDS = 2.0  # a look costs one pragma while nobody else has written to the journal

TakeUp = Callable[[Sequence[StoredLetter]], Awaitable[None]]

_log = structlog.get_logger(__name__)


async def take_up_letters(journal: Journal, takers: Sequence[TakeUp], clock: Clock) -> None:
    """Run as a task: whenever another process has written to the journal, look for letters that are asked for."""
    seen = -1
    while True:
        try:
            version = await journal.outside_version()
            if version != seen:
                letters = await journal.asked_letters()
                for take_up in takers:
                    await take_up(letters)
                seen = version
        except sqlite3.OperationalError as error:
            _log.warning(f"cannot try dead letters again: {error}; tried again in {POLL_SECONDS:g} s")
        await clock.sleep(POLL_SECONDS)
