"""Log lines: where they go, and that nothing passes unscrubbed."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from forwarder.app.logs import LIMIT_LINES, LogFormat, set_up


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The set-up is the process's own, and the next test's process is the same."""
    root = logging.getLogger()
    before, level, hook = root.handlers[:], root.level, sys.excepthook
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level, sys.excepthook = before, level, hook


def lines(log_format: LogFormat = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    set_up(scrub=lambda text: text.replace("hunter2", "[REDACTED]"), level=level, log_format=log_format, stream=stream)
    return stream


def decoded(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_string_of_a_line_is_scrubbed() -> None:
    """Paths, answers of servers and nested values can all hold a secret."""
    stream = lines()

    structlog.get_logger().info("got hunter2", path=Path("/hunter2"), deep={"a hunter2": ["hunter2", 1]}, count=3)

    (line,) = decoded(stream)
    assert "hunter2" not in stream.getvalue()
    assert (line["event"], line["count"]) == ("got [REDACTED]", 3)
    assert line["deep"] == {"a [REDACTED]": ["[REDACTED]", 1]}


def test_tracebacks_are_scrubbed() -> None:
    """An exception quotes what it choked on."""
    stream = lines()
    try:
        raise ValueError("cannot use hunter2")
    except ValueError:
        structlog.get_logger().exception("a bug")

    assert "cannot use [REDACTED]" in decoded(stream)[0]["exception"]
    assert "hunter2" not in stream.getvalue()


def test_libraries_are_heard_from_warning_on_and_scrubbed() -> None:
    """asyncio reports lost exceptions through the standard library's log, httpx every URL."""
    stream = lines(level="debug")

    logging.getLogger("asyncio").error("Task failed: %s", "hunter2")
    logging.getLogger("httpx").info("GET https://example.com/?key=1")

    (line,) = decoded(stream)
    assert (line["event"], line["logger"], line["level"]) == ("Task failed: [REDACTED]", "asyncio", "error")


def test_a_crash_is_logged_scrubbed_and_not_printed() -> None:
    """The interpreter would print the exception's text as it is."""
    stream = lines()
    try:
        raise RuntimeError("hunter2")
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)

    (line,) = decoded(stream)
    assert line["level"] == "critical"
    assert "RuntimeError: [REDACTED]" in line["exception"]


def test_a_flood_of_one_kind_is_cut() -> None:
    """A folder of garbage has thousands of bad records; the first say what is wrong, other kinds are still heard."""
    stream = lines()
    log = structlog.get_logger()
    for _ in range(LIMIT_LINES + 4):
        log.warning("bad", limited="a")
    log.warning("other", limited="b")

    said = [line["event"] for line in decoded(stream)]
    assert len(said) == LIMIT_LINES + 1
    assert (said[0], said[-1]) == ("bad", "other")
    assert "left out" in said[-2]


def test_lines_below_the_level_are_left_out() -> None:
    """`--log-level warning` is for a service that should be silent."""
    stream = lines(level="warning")

    structlog.get_logger().info("at work")
    structlog.get_logger().warning("look")

    assert [line["event"] for line in decoded(stream)] == ["look"]


def test_away_from_a_terminal_lines_are_logfmt() -> None:
    """A collector reads it, and so can a person."""
    stream = lines("auto")

    structlog.get_logger().info("at work", sinks=2)

    assert stream.getvalue().startswith("timestamp=")
    assert stream.getvalue().endswith('level=info event="at work" sinks=2\n')


def test_lists_read_alike_whatever_is_in_them() -> None:
    """One name or several, with or without spaces between them in Python's form."""
    stream = lines("logfmt")

    structlog.get_logger().info("at work", sources=["codex", "pi"], sinks=["stdout"])

    assert stream.getvalue().endswith("sources=codex,pi sinks=stdout\n")


def test_text_is_for_people() -> None:
    """On a terminal the event stands in front of its details."""
    stream = lines("text")

    structlog.get_logger().info("at work", sinks=2)

    assert "at work" in stream.getvalue()
    assert "sinks=2" in stream.getvalue()
