"""Entry points into classes; imports only what the configuration names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

import structlog

from forwarder.app.access import ReceiverSettings, split_access
from forwarder.app.config import SinkSettings, SourceSettings
from forwarder.app.options import Option, Reading, RunCommand, convert_options, environment_defaults, options_of
from forwarder.app.options import run_command as really_run
from forwarder.app.suggest import did_you_mean
from forwarder.errors import ConfigError, MissingExtra
from forwarder.receiver import Listening, Receiver
from forwarder.sink import Sink
from forwarder.source import Source

SOURCES = "forwarder.sources"
SINKS = "forwarder.sinks"
RECEIVERS = "forwarder.receivers"
GROUPS: dict[str, type[object]] = {SOURCES: Source, SINKS: Sink, RECEIVERS: Receiver}

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Plugin:
    """An installed source, sink or receiver. `problem` says why it cannot be used; then there are no options."""

    group: str
    name: str
    package: str
    version: str
    summary: str = ""
    options: tuple[Option, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    problem: str | None = None


def make_source(settings: SourceSettings, *, run_command: RunCommand = really_run) -> Source[Any]:
    """The configured source. Raises `ConfigError` that names its table, option or missing package."""
    plugin = _load(SOURCES, settings.use, place=settings.place)
    options = environment_defaults(plugin, settings.options) | settings.options
    return cast("Source[Any]", _build(plugin, options, Reading(settings.place or settings.name, run_command)))


def make_sink(settings: SinkSettings, *, run_command: RunCommand = really_run) -> Sink:
    """The configured sink, its secrets looked up. Raises `ConfigError` like `make_source`. May block on a command."""
    plugin, options = _load(SINKS, settings.use, place=settings.place), settings.options
    place = settings.place or settings.name
    if is_listening(settings):  # where, is not for the sink to know
        _, options = split_access(options, place)
    return cast("Sink", _build(plugin, options, Reading(place, run_command)))


def is_listening(settings: SinkSettings) -> bool:
    """Whether the sink waits to be asked. Raises `ConfigError` like `make_source`."""
    return issubclass(_load(SINKS, settings.use, place=settings.place), Listening)


def make_receiver(settings: ReceiverSettings, *, run_command: RunCommand = really_run) -> Receiver:
    """The configured receiver, its secrets looked up. Raises `ConfigError` like `make_source`."""
    plugin = _load(RECEIVERS, settings.use, place=settings.place)
    options = environment_defaults(plugin, settings.options) | settings.options
    return cast("Receiver", _build(plugin, options, Reading(settings.place or settings.name, run_command)))


def available_sources() -> dict[str, SourceSettings]:
    """Every installed source by name, with its default options; a broken one is logged and left out."""
    available: dict[str, SourceSettings] = {}
    for one in installed(SOURCES):
        if one.problem:
            _log.warning(f"the source {one.name} is left out: {one.problem}")
        elif not any(option.is_required for option in one.options):
            available[one.name] = SourceSettings(one.name, use=one.name, place=f"[sources.{one.name}]")
    return available


def installed(group: str) -> list[Plugin]:
    """Every plugin of a group by name, the broken ones with their reason."""
    return [_describe(group, point) for _, point in sorted(_points(group).items())]


@cache
def _points(group: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _load(group: str, name: str, *, place: str) -> type:
    points = _points(group)
    kind = group.rpartition(".")[2].removesuffix("s")
    begin = f"{place}: " if place else ""
    if name not in points:
        raise ConfigError(f'{begin}no {kind} "{name}" is installed{did_you_mean(name, points)}')
    try:
        return _class_of(points[name])
    except ConfigError as error:
        raise ConfigError(f"{begin}{error}") from error


def _class_of(point: EntryPoint) -> type:
    try:
        plugin = point.load()
        if isinstance(plugin, type) and hasattr(plugin, "__dataclass_fields__"):
            options_of(plugin)  # annotations that cannot be read would fail where nobody expects it
    except MissingExtra:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"the plugin {point.name} ({point.value}) cannot be loaded: {reason}") from error
    base = GROUPS[point.group]
    if not (isinstance(plugin, type) and issubclass(plugin, base) and hasattr(plugin, "__dataclass_fields__")):
        raise ConfigError(f"the plugin {point.name} ({point.value}) is no {base.__name__}, or no dataclass")
    return plugin


def _build(plugin: type[T], options: Mapping[str, object], reading: Reading) -> T:
    values = convert_options(plugin, options, reading)
    try:
        return plugin(**values)
    except MissingExtra:
        raise
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{reading.place}: {error}") from error


def _describe(group: str, point: EntryPoint) -> Plugin:
    package, version = (point.dist.name, point.dist.version) if point.dist else (point.module, "")
    try:
        plugin = _class_of(point)
    except ConfigError as error:
        return Plugin(group, point.name, package, version, problem=str(error))
    summary = (sys.modules[point.module].__doc__ or "").strip().partition("\n")[0]
    environment: dict[str, str] = getattr(plugin, "environment", {})
    return Plugin(group, point.name, package, version, summary, tuple(options_of(plugin)), environment)
