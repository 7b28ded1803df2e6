"""The end in phases: reading has stopped, what was read is delivered until a deadline, the late are named."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress

import structlog

from forwarder.app.committing import Committer
from forwarder.app.delivering import Delivery
from forwarder.app.exits import Exit

CLOSE_SECONDS = 5.0  # what a task may take to end after it was cancelled

_log = structlog.get_logger(__name__)


async def drain(committer: Committer, delivery: Delivery, *, seconds: float) -> Exit:
    """Commit and deliver what has been read, for at most so many seconds. `Exit.LATE` if a sink lacks something."""
    with suppress(TimeoutError):  # said below, with the names
        async with asyncio.timeout(seconds):
            await committer.finish()
            await delivery.drained()
    late = delivery.late()
    for name, count in late.items():
        _log.warning(f"sink {name} lacks {count} events; they are in the journal and go out at the next start")
    if committer.has_uncommitted:
        _log.warning("the last records read are not in the journal; they are read again at the next start")
    return Exit.LATE if late or committer.has_uncommitted else Exit.OK


def tell_end(delivery: Delivery) -> None:
    """Say that there is nothing more to wait for, and what each sink has taken."""
    taken = ", ".join(f"{name} {count}" for name, count in delivery.delivered().items())
    _log.info(f"stopped; events delivered since the start: {taken}")


async def ended(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks and return when they are done; raises what one of them raised before."""
    for task in tasks:
        task.cancel()
    done, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
    for task in late:
        _log.warning(f"{task.get_coro()} did not end within {CLOSE_SECONDS:g} s")
    for task in done:
        if not task.cancelled():
            task.result()
