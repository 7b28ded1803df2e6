"""Writes the recorded sessions line by line while the engine follows them, then sums up what came of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from forwarder.app.assembly import make_redactor
from forwarder.app.config import Settings, from_values
from forwarder.app.demo.recording import Demonstration, load
from forwarder.app.demo.summary import summary_lines
from forwarder.app.engine import run
from forwarder.app.exits import Exit
from forwarder.app.looking.status import read_report
from forwarder.errors import StateError

LOOK_SECONDS = 0.1  # between two looks at what the journal says
LOOKS = 300  # the pipeline needs a fraction of a second; a sink that hangs must not keep the demonstration for ever


def play(*, speed: float | None, echo: Callable[[str], None]) -> Exit:
    """Play everything once and return when it was delivered; the scratch folder is removed. None: without waiting."""
    with TemporaryDirectory(prefix="forwarder-demo-") as scratch:
        home, state_dir = Path(scratch, "home"), Path(scratch, "state")
        start = datetime.now(UTC) if speed else datetime.now(UTC) - timedelta(minutes=1)
        demonstration = load(home, start=start, speed=speed)
        settings = from_values(demonstration.config | {"state_dir": str(state_dir)}, place="demo.toml", folder=home)
        status = asyncio.run(_run(demonstration, settings))
        for line in summary_lines(state_dir, demonstration.paths, make_redactor(settings)):
            echo(line)
    return status


async def _run(demonstration: Demonstration, settings: Settings) -> Exit:
    for path in demonstration.paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    playing = asyncio.create_task(_play(demonstration, settings))
    try:
        return await run(settings)
    finally:
        playing.cancel()


async def _play(demonstration: Demonstration, settings: Settings) -> None:
    """Write the lines at their time, wait until all are delivered, and stop the engine as Ctrl-C would."""
    began = time.monotonic()
    for line in demonstration.lines:
        await asyncio.sleep(max(0.0, began + line.at - time.monotonic()))
        await asyncio.to_thread(_append, line.path, line.text)
    for _ in range(LOOKS):  # at the journal from outside, as `forwarder status` does: nothing tells when it changes
        if await asyncio.to_thread(_is_delivered, demonstration, settings):
            break
        await asyncio.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _is_delivered(demonstration: Demonstration, settings: Settings) -> bool:
    try:
        report = read_report(settings.state_dir, max_bytes=settings.journal.max_bytes)
    except StateError:
        return False  # the engine has not opened its journal yet
    read = {Path(one.path) for one in report.files if one.lag_bytes == 0}
    return demonstration.paths <= read and all(sink.acked >= report.journal.last for sink in report.sinks)
