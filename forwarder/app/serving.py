"""The addresses that others post to: which receiver answers where, who may ask, and how it begins and ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import structlog

from forwarder.app.access import AccessSettings, split_access
from forwarder.app.config import Settings
from forwarder.app.health import Health
from forwarder.app.metrics import Sample
from forwarder.app.options import RunCommand, do_not_run
from forwarder.app.options import run_command as really_run
from forwarder.app.receiving import Reception
from forwarder.app.tokens import made, token_of
from forwarder.clock import SystemClock
from forwarder.errors import MissingExtra
from forwarder.events import Event
from forwarder.receiver import Accept, Listening, Receiver, Request
from forwarder.server.address import Address
from forwarder.server.routing import Mount, Routing
from forwarder.sink import NO_NOTES, Notes, Secret, Sink

if TYPE_CHECKING:
    from forwarder.server.listener import Listener

LAST_SECONDS = 1.0  # for the answers of requests that a failure has found at work
OWN = "forwarder"  # the name of what the forwarder answers about itself

_NO_SINKS: Mapping[str, Sink] = MappingProxyType({})

MakeAccept = Callable[[str, str, Request], Accept]  # of a receiver's name, a route's path and a request

_log = structlog.get_logger(__name__)


class Doors:
    """All addresses of a run. Nothing is opened, and no web server imported, where no table asks for it."""

    def __init__(
        self,
        settings: Settings,
        receivers: Mapping[str, Receiver],
        reception: Reception,
        *,
        sinks: Mapping[str, Sink] = _NO_SINKS,
    ) -> None:
        """`sinks` are all of them; those that listen are open, whoever runs them has entered their `lifespan`."""
        self._settings = settings
        self._receivers = receivers
        self._sinks = sinks
        self._reception = reception
        self._listeners: list[Listener] = []

    @asynccontextmanager
    async def open(self, own: Receiver) -> AsyncGenerator[None]:
        """Listen while the block runs; `own` answers at the address of ``[server]``. Raises `ConfigError`."""
        async with AsyncExitStack() as stack:
            for receiver in self._receivers.values():
                await stack.enter_async_context(receiver.lifespan())
            accept = self._reception.accept
            places = placed(self._settings, self._receivers, own, accept=accept, sinks=self._sinks)
            try:
                for address, routing in places.items():
                    self._listeners.append(_listener(address, routing, self._settings, self._reception.clean))
                for listener in self._listeners:
                    await listener.start()
                    names = [mount.name for mount in listener.routing.mounts]
                    _log.info("listening", address=str(listener.address), receivers=names)
                yield
            finally:
                await self.close(LAST_SECONDS)

    async def close(self, seconds: float) -> float:
        """Take nothing new and finish what was taken for at most so many seconds; returns how many of them are left."""
        until = time.monotonic() + seconds
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            await listener.stop(max(0.0, until - time.monotonic()))
        return max(0.0, until - time.monotonic())

    def samples(self) -> Iterator[Sample]:
        """What came in, by receiver."""
        for name, count in self._reception.new_events.items():
            yield Sample("forwarder_received_events_total", count, (("receiver", name),))
        answered: Counter[tuple[str, int]] = Counter()
        for listener in self._listeners:
            answered += listener.application.answered
            yield Sample("forwarder_open_connections", listener.connections, (("address", str(listener.address)),))
        for (name, status), count in answered.items():
            whose = (("receiver", name), ("status", str(status)))
            yield Sample("forwarder_received_requests_total", count, whose)


def places_to_be(
    settings: Settings, receivers: Mapping[str, Receiver], sinks: Mapping[str, Sink] = _NO_SINKS
) -> dict[Address, Routing]:
    """What would be listened at; nothing is run, kept or opened. Raises `ConfigError`."""
    own = Health(_no_samples, lambda: None, SystemClock())
    places = placed(settings, receivers, own, accept=_take_nothing, sinks=sinks, run_command=do_not_run)
    if places and find_spec("uvicorn") is None:
        raise MissingExtra("listening", extra="server")
    return places


async def _no_samples() -> list[Sample]:
    return []


class _TakesNothing:
    """For a sink, and for a forwarder that is not started."""

    async def __call__(self, events: Iterable[Event], /, *, notes: Notes = NO_NOTES) -> int:
        raise NotImplementedError("a sink brings no events")

    def clean(self, text: str, /) -> str:
        raise NotImplementedError("a sink keeps nothing of a request")


def _take_nothing(*_: object) -> Accept:
    return _TakesNothing()


class _Table(NamedTuple):
    """A table that listens, and what answers for it."""

    name: str
    place: str
    access: AccessSettings
    receiver: Listening
    accept: MakeAccept


def placed(
    settings: Settings,
    receivers: Mapping[str, Receiver],
    own: Receiver,
    *,
    accept: MakeAccept,
    sinks: Mapping[str, Sink] = _NO_SINKS,
    run_command: RunCommand = really_run,
) -> dict[Address, Routing]:
    """Everything that is to be listened at, with who answers there. Raises `ConfigError`."""
    mounts: dict[Address, list[Mount]] = {}
    tables = [*_receiving(settings, receivers, accept), *_listening(settings, sinks)]
    if settings.server.access.listen is not None:
        tables.append(_Table(OWN, settings.server.place, settings.server.access, own, accept))
    for table in tables:
        address, mount = _mounted(table, settings, run_command)
        mounts.setdefault(address, []).append(mount)
    return {address: Routing(there) for address, there in mounts.items()}


def _receiving(settings: Settings, receivers: Mapping[str, Receiver], accept: MakeAccept) -> Iterator[_Table]:
    for name, receiver in receivers.items():
        yield _Table(name, settings.receivers[name].place, settings.receivers[name].access, receiver, accept)


def _listening(settings: Settings, sinks: Mapping[str, Sink]) -> Iterator[_Table]:
    """A sink may have the name of a receiver, and is told from it by that of its table."""
    for name, sink in sinks.items():
        if isinstance(sink, Listening):
            place = settings.sinks[name].place
            access, _ = split_access(settings.sinks[name].options, place)
            yield _Table(f"sinks.{name}", place, access, sink, _take_nothing)


def _mounted(table: _Table, settings: Settings, run_command: RunCommand) -> tuple[Address, Mount]:
    access, serving = table.access, table.receiver.serving()
    if access.auth is None and serving.auth:
        access = replace(access, auth=True)
    address = access.listen or Address.parse(serving.listen)
    keep = _stand_in if run_command is do_not_run else made
    token = token_of(
        access,
        address,
        place=table.place,
        default=serving.token,
        make=partial(keep, settings.state_dir, table.name),
        run_command=run_command,
    )
    mount = Mount(
        name=table.name,
        place=table.place,
        receiver=table.receiver,
        accept=partial(table.accept, table.name),
        max_body_bytes=access.max_body_bytes or serving.max_body_bytes,
        token=token,
        cors_origins=frozenset(access.cors_origins),
    )
    return address, mount


def _stand_in(*_: object) -> Secret:
    """For the token of a forwarder that is not started."""
    return Secret("not made")


def _listener(address: Address, routing: Routing, settings: Settings, clean: Callable[[str], str]) -> Listener:
    try:
        from forwarder.server.listener import Limits, Listener
    except ImportError as error:
        raise MissingExtra(f"{routing.mounts[0].place}: listening", extra="server") from error
    server = settings.server
    limits = Limits(server.max_connections, header_seconds=server.header_seconds, body_seconds=server.body_seconds)
    return Listener(address, routing, limits=limits, clean=clean)
