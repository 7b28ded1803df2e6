"""What both sinks share: a batch becomes changes, changes become totals and notes."""

from __future__ import annotations

import asyncio

import msgspec

from forwarder import Batch, ConfigError, Rejected
from forwarder_prometheus.exposition import need_library
from forwarder_prometheus.totals import Changes, Limits, Totals

SLICE_EVENTS = 64  # counted between two turns of the loop: a few milliseconds


def new_totals(max_series: int, max_series_per_metric: int) -> Totals:
    """Raises `ConfigError`; `MissingExtra` without the library."""
    need_library()
    for name, value in (("max_series", max_series), ("max_series_per_metric", max_series_per_metric)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}")
    return Totals(Limits(max_series, max_series_per_metric))


async def counted(totals: Totals, batch: Batch, now: float) -> tuple[Changes, Rejected | None]:
    """What the batch changes, and the rejection of the events that could not be counted, if any.

    Everything else of the batch is in the changes: the rejection is to be raised once they are applied.
    """
    changes = Changes(totals, now)
    refused: list[str] = []
    reason = ""
    for number, line in enumerate(batch.lines, 1):
        try:
            changes.count(msgspec.json.decode(line))
        except (KeyError, ValueError, OverflowError) as error:
            refused += Batch((line,)).ids()
            reason = f"no field {error}; does `rename` hide it?" if isinstance(error, KeyError) else str(error)
        if number % SLICE_EVENTS == 0:
            await asyncio.sleep(0)
    changes.forget_silent()
    return changes, Rejected(f"not counted: {reason}", refused=refused) if refused else None
