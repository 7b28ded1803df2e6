"""The sink `prometheus`: a page of metrics that Prometheus asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from forwarder import (
    Accept,
    Answer,
    Batch,
    Batching,
    Clock,
    Listening,
    Notes,
    Operation,
    Request,
    Route,
    Serving,
    Sink,
    SocketRoute,
    SystemClock,
)
from forwarder_prometheus.counting import counted, new_totals
from forwarder_prometheus.exposition import CONTENT_TYPES, rendered, wanted
from forwarder_prometheus.remembering import notes_of, recall
from forwarder_prometheus.totals import Changes, Totals

# A counter that was seen may not fall, or all of it counts again. So what was counted is shown once it is in the
# journal: surely when the next batch comes, and after this time, thousands of times what a commit takes.
SETTLED_SECONDS = 0.5


@dataclass
class Prometheus(Sink, Listening):
    """Options: `max_series` and `max_series_per_metric`, above which new sets of labels are counted as `other`; and
    those of whatever listens.
    """

    batching: ClassVar[Batching] = Batching(max_events=20_000, max_bytes=8 << 20, max_wait_seconds=0.5)
    counts: ClassVar[bool] = True

    max_series: int = 10_000
    max_series_per_metric: int = 1_000
    clock: Clock = field(default_factory=SystemClock, init=False, repr=False)
    _totals: Totals = field(init=False, repr=False)
    _changes: Changes | None = field(init=False, repr=False, default=None)
    _since: float = field(init=False, repr=False, default=0.0)

    def __post_init__(self) -> None:
        self._totals = new_totals(self.max_series, self.max_series_per_metric)

    def serving(self) -> Serving:
        return Serving(listen="127.0.0.1:9465")

    def routes(self) -> Sequence[Route | SocketRoute]:
        operation = Operation("What agents did, as metrics", answers={200: str})
        return [Route("GET", "/metrics", self._metrics, operation=operation)]

    def recall(self, notes: Mapping[str, bytes]) -> None:
        recall(self._totals, notes)
        self._changes = None

    def notes(self) -> Notes:
        return notes_of(self._changes) if self._changes else {}

    async def send(self, batch: Batch) -> None:
        """Count the batch. The one before is in the journal, or this one would not be here."""
        self._settle()
        changes, rejection = await counted(self._totals, batch, self.clock.now().timestamp())
        self._changes, self._since = changes, self.clock.monotonic()
        if rejection:
            raise rejection

    def _settle(self) -> None:
        if self._changes:
            self._totals.apply(self._changes)
            self._changes = None

    async def _metrics(self, request: Request, _: Accept) -> Answer:
        if self.clock.monotonic() - self._since >= SETTLED_SECONDS:
            self._settle()
        form = wanted(request.headers.get("accept", ""))
        series = Changes(self._totals, self.clock.now().timestamp()).snapshot()
        return Answer(200, await asyncio.to_thread(rendered, series, form), {"Content-Type": CONTENT_TYPES[form]})
