"""Log set-up: lines on stderr, each string in them scrubbed. Event content never enters a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO, cast

import structlog

Scrub = Callable[[str], str]
LogFormat = Literal["auto", "text", "logfmt", "json"]

FORMATS: tuple[LogFormat, ...] = ("auto", "text", "logfmt", "json")
LIMIT_LINES = 5  # enough to see what is wrong; a folder of garbage has thousands
LIMIT_SECONDS = 60.0
LEVELS = ("debug", "info", "warning", "error")


def set_up(*, scrub: Scrub, level: str = "info", log_format: LogFormat = "auto", stream: TextIO | None = None) -> None:
    """Send every log line, also those of libraries, through `scrub` to `stream` (stderr).

    ``auto`` is coloured text on a terminal and logfmt elsewhere. Libraries are heard from ``warning`` on.
    """
    out: TextIO = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    if log_format == "auto":
        log_format = "text" if out.isatty() else "logfmt"
    structlog.configure(
        processors=[
            _Limiter(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _scrubber(scrub),
            *([] if log_format == "json" else [_join_lists]),
            _renderer(log_format, is_coloured=out.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    sys.excepthook = _log_crash
    logging.basicConfig(handlers=[_ToStructlog()], level=max(number, logging.WARNING), force=True)


def _renderer(log_format: LogFormat, *, is_coloured: bool) -> structlog.types.Processor:
    match log_format:
        case "json":
            return structlog.processors.JSONRenderer()
        case "logfmt":
            return structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
        case _:
            return structlog.dev.ConsoleRenderer(colors=is_coloured)


def _join_lists(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Lists as people write them; their Python form would be quoted or not by what is in it."""

    def joined(value: object) -> object:
        return ",".join(map(str, cast("list[object]", value))) if isinstance(value, list) else value

    return {key: joined(value) for key, value in event.items()}


class _Limiter:
    """Of lines with the same `limited` value, the first few of a minute; who wants them all has them elsewhere."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said: dict[str, tuple[float, int]] = {}

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        kind = event.pop("limited", None)
        if kind is None:
            return event
        since, count = self._said.get(kind, (self._monotonic(), 0))
        if self._monotonic() - since >= LIMIT_SECONDS:
            since, count = self._monotonic(), 0
        self._said[kind] = since, count + 1
        if count >= LIMIT_LINES:
            raise structlog.DropEvent
        if count == LIMIT_LINES - 1:
            event["event"] += f" (more such lines within {LIMIT_SECONDS:g} s are left out)"
        return event


def _scrubber(scrub: Scrub) -> structlog.types.Processor:
    def scrub_all(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: _scrubbed(value, scrub) for key, value in event.items()}

    return scrub_all


def _scrubbed(value: object, scrub: Scrub) -> object:
    """Numbers stay; everything else becomes text or a list of it, so that nothing passes unread."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {scrub(str(key)): _scrubbed(one, scrub) for key, one in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed(one, scrub) for one in cast("list[object]", value)]
    return scrub(value if isinstance(value, str) else str(value))


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody caught is a bug; the interpreter would print its text as it is."""
    structlog.get_logger(__name__).critical("forwarder has crashed: please report this", exc_info=(kind, error, trace))


class _ToStructlog(logging.Handler):
    """Hands the lines of the standard library's loggers on, with their tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
