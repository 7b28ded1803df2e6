"""What the forwarder answers about itself, at the address of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from forwarder import __version__
from forwarder.app.metrics import METRICS, Sample
from forwarder.clock import Clock
from forwarder.errors import MissingExtra
from forwarder.receiver import Accept, Answer, Operation, Receiver, Request, Route, Serving, SocketRoute


class State(Struct, omit_defaults=True):
    """How the forwarder is; `problem` says why it fails."""

    status: Literal["ok", "failing"]
    version: str
    uptime_seconds: float
    problem: str | None = None


HEALTH = Operation("Say whether the journal can be written.", answers={200: State, 503: State})
METRICS_TEXT = Operation("All metrics of the forwarder, in their text format.", answers={200: str})


@dataclass
class Health(Receiver):
    """`samples` are all metrics as they stand; `problem` says why the journal cannot be written, None if it can."""

    samples: Callable[[], Awaitable[Iterable[Sample]]]
    problem: Callable[[], str | None]
    clock: Clock

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()

    def serving(self) -> Serving:
        return Serving(listen="127.0.0.1:0")

    def routes(self) -> Sequence[Route | SocketRoute]:
        return [
            Route("GET", "/health", self._health, is_open=True, operation=HEALTH),
            Route("GET", "/metrics", self._metrics, operation=METRICS_TEXT),
        ]

    async def _health(self, _: Request, __: Accept) -> Answer:
        problem = self.problem()
        uptime = round(self.clock.monotonic() - self._started, 3)
        state = State("failing" if problem else "ok", __version__, uptime, problem)
        return Answer.json(state, 503 if problem else 200)

    async def _metrics(self, _: Request, __: Accept) -> Answer:
        return Answer(200, exposition(await self.samples()), {"Content-Type": "text/plain; version=0.0.4"})


def exposition(samples: Iterable[Sample]) -> bytes:
    """The samples in the text format of metrics. Raises `MissingExtra`."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.core import Metric
        from prometheus_client.registry import Collector
    except ImportError as error:
        raise MissingExtra("/metrics", extra="server") from error

    class Collected(Collector):
        def collect(self) -> Iterator[Metric]:
            families: dict[str, Metric] = {}
            for one in samples:
                kind = "counter" if one.metric.endswith("_total") else "gauge"
                family = families.setdefault(
                    one.metric, Metric(one.metric.removesuffix("_total"), METRICS[one.metric], kind)
                )
                family.add_sample(one.metric, dict(one.labels), one.value)
            yield from families.values()

    registry = CollectorRegistry()
    registry.register(Collected())
    return generate_latest(registry)
