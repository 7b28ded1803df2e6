"""Metrics that agents post to pi-daemon, taken in its place."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec
import structlog
from msgspec import UNSET

from forwarder import (
    Accept,
    Answer,
    Clock,
    ConfigError,
    Receiver,
    Refused,
    Request,
    Route,
    Secret,
    Serving,
    SocketRoute,
    SystemClock,
    __version__,
)
from forwarder_pi_daemon import shapes
from forwarder_pi_daemon.exposition import CONTENT_TYPE, family, text_of
from forwarder_pi_daemon.own import Own
from forwarder_pi_daemon.posted import Observation, Reader, name_of
from forwarder_pi_daemon.refusals import Problem, answer_to
from forwarder_pi_daemon.requests import Identity
from forwarder_pi_daemon.series import Limits, Registry
from forwarder_pi_daemon.settings import DaemonConfig, place_of, read_config
from forwarder_pi_daemon.taking import SLICE, Post, Taking

_BATCH: msgspec.json.Decoder[shapes.Batch] = msgspec.json.Decoder(shapes.Batch)

_log = structlog.get_logger("forwarder_pi_daemon")


@dataclass
class PiDaemon(Receiver):
    """Options: `config`, the path of pi-daemon's own ``config.json``, where it is not at its usual place; `max_series`,
    how many label sets there may be under all names together.

    Its own `clock` is for tests.
    """

    environment: ClassVar[dict[str, str]] = {"config": "PI_DAEMON_CONFIG"}

    config: str | None = None
    max_series: int = 10_000
    clock: Clock = field(default_factory=SystemClock, init=False, repr=False)
    _settings: DaemonConfig = field(init=False, repr=False)
    _taking: Taking = field(init=False, repr=False)
    _own: Own = field(init=False, repr=False)
    _reader: Reader = field(default_factory=Reader, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.max_series < 1:
            raise ConfigError(f"max_series must be 1 or more, not {self.max_series}")
        self._settings = read_config(place_of(self.config))
        self._begin()

    def serving(self) -> Serving:
        settings = self._settings
        token = Secret(settings.auth.token) if settings.auth.enabled and settings.auth.token else None
        return Serving(
            settings.listen,
            max_body_bytes=settings.server.max_payload_size,
            token=token,
            auth=settings.auth.enabled,
        )

    def routes(self) -> Sequence[Route | SocketRoute]:
        metrics = [
            Route("GET", "/metrics", self._metrics, is_open=True, operation=shapes.METRICS),
            Route("GET", "/api/metrics/registry", self._registry, is_open=True, operation=shapes.REGISTRY),
            Route("POST", "/api/metrics", self._post, operation=shapes.POST),
            Route("POST", "/api/metrics/batch", self._batch, operation=shapes.BATCH),
        ]
        return [
            *(metrics if self._settings.has_metrics else []),
            Route("GET", "/health", self._health, is_open=True, operation=shapes.HEALTH),
            Route("GET", "/config", self._config, is_open=True, operation=shapes.CONFIG),
            Route("GET", "/admin/stats", self._stats, is_open=True, operation=shapes.STATS),
            Route("POST", "/admin/reload", self._reload, operation=shapes.RELOAD),
        ]

    def refuse(self, refusal: Refused) -> Answer:
        """In pi-daemon's form, and with its status where that is another than ours."""
        return answer_to(refusal)

    def answered(self, request: Request, status: int, *, path: str, seconds: float) -> None:
        self._own.answered(request.method, path, status=status, seconds=seconds)

    def recall(self, notes: Mapping[str, bytes]) -> None:
        """Begin with what was told before the restart: values, and which batches were taken."""
        self._begin()
        self._taking.recall(notes)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Listen for SIGHUP, which reads the configuration again; of several tables the last one gets it."""
        self._own = Own(self.clock)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            with suppress(NotImplementedError, ValueError, RuntimeError):  # only the main thread of a POSIX system can
                loop.add_signal_handler(signal.SIGHUP, lambda: tasks.create_task(self._hung_up()))
            try:
                yield
            finally:
                with suppress(NotImplementedError, ValueError, RuntimeError):
                    loop.remove_signal_handler(signal.SIGHUP)

    def _begin(self) -> None:
        """Know nothing."""
        self._own = Own(self.clock)
        self._taking = Taking(Registry(self._limits()), self.clock)

    def _limits(self) -> Limits:
        metrics = self._settings.metrics
        return Limits(
            max_names=metrics.max_metric_names,
            max_labels=metrics.max_label_count,
            max_series=self.max_series,
            retention_seconds=metrics.retention_minutes * 60,
        )

    async def _post(self, request: Request, accept: Accept) -> Answer:
        metric = self._reader.read(request.json(), accept.clean)
        post = Post({0: metric}, {}, self.clock.now(), (request.path, request.lossy))
        await self._taking.take(post, accept)
        if post.failed:
            raise post.failed[0]
        return Answer(204)

    async def _batch(self, request: Request, accept: Accept) -> Answer:
        batch = request.decode(_BATCH)
        metrics, failed = await self._read(batch.metrics, accept.clean)
        same = None if batch.request_id is UNSET else Identity.of(batch.request_id, request.body)
        origin = (request.path, request.lossy)
        await self._taking.take(Post(metrics, failed, self.clock.now(), origin, same), accept)
        told = [
            shapes.Failed(index, name_of(batch.metrics[index], accept.clean), accept.clean(str(problem)), problem.code)
            for index, problem in sorted(failed.items())
        ]
        return Answer.json(shapes.BatchResult(len(batch.metrics) - len(told), told))

    async def _read(
        self, metrics: Sequence[object], clean: Callable[[str], str]
    ) -> tuple[dict[int, Observation], dict[int, Problem]]:
        """What the metrics say, and what is wrong with the others, by their places."""
        said: dict[int, Observation] = {}
        failed: dict[int, Problem] = {}
        for index, metric in enumerate(metrics):
            try:
                said[index] = self._reader.read(metric, clean)
            except Problem as problem:
                failed[index] = problem
            if not (index + 1) % SLICE:
                await asyncio.sleep(0)
        return said, failed

    async def _metrics(self, _: Request, __: Accept) -> Answer:
        """In slices: thousands of series take longer than others should wait."""
        lines: list[str] = list(self._own.lines())
        for text in self._families():
            lines.extend(text)
            await asyncio.sleep(0)
        return Answer(200, text_of(lines), {"Content-Type": CONTENT_TYPE})

    def _families(self) -> Iterator[Iterator[str]]:
        registry = self._current()
        kinds = dict(registry.kinds)
        for name, series in registry.families().items():
            for start in range(0, len(series), SLICE):
                yield family(name, kinds[name], series[start : start + SLICE], is_begun=start > 0)

    async def _registry(self, _: Request, __: Accept) -> Answer:
        return Answer.json(sorted(self._current().kinds))

    async def _health(self, _: Request, __: Accept) -> Answer:
        return Answer.json(shapes.Health("ok", self._own.uptime, __version__))

    async def _config(self, _: Request, __: Accept) -> Answer:
        return Answer.json(self._settings.shown())

    async def _stats(self, _: Request, __: Accept) -> Answer:
        registry = self._current()
        return Answer.json(self._own.stats(metric_names=len(registry.kinds), series=len(registry)))

    async def _reload(self, _: Request, __: Accept) -> Answer:
        try:
            changed = await self._read_again()
        except ConfigError as error:
            _log.error(f"the configuration stays as it was: {error}")
            words = "the configuration cannot be used and stays as it was; the log says why"
            raise Problem(words, code="INTERNAL_ERROR", status=500) from error
        return Answer.json(shapes.Reloaded("reloaded", changed))

    async def _hung_up(self) -> None:
        try:
            await self._read_again()
        except ConfigError as error:
            _log.error(f"the configuration stays as it was: {error}")

    async def _read_again(self) -> list[str]:
        """Take over the limits; returns the tables of which a change holds only after a restart."""
        old = self._settings
        new = await asyncio.to_thread(lambda: read_config(place_of(self.config)))
        self._settings = msgspec.structs.replace(old, metrics=new.metrics, logging=new.logging)
        self._taking.registry.limits = self._limits()
        changed = [name for name in ("server", "plugins", "auth") if getattr(old, name) != getattr(new, name)]
        if old.metrics.enabled != new.metrics.enabled:
            changed.append("metrics.enabled")
        if changed:
            _log.warning(f"read again, but for {', '.join(changed)}: what changed there holds after a restart")
        return changed

    def _current(self) -> Registry:
        """The series that nobody has been silent about for too long."""
        self._taking.registry.expire(self.clock.now().timestamp())
        return self._taking.registry
