"""Events on their way to a pi-daemon, through a real journal and sender."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from forwarder_pi_daemon.sink import PiDaemonSink

from forwarder import Batching, Measure, measures
from forwarder.delivery import Sender
from forwarder.journal import Changes, Journal, connect_to_read, read_letters
from forwarder.testing import ManualClock
from tests.plugins.pi_daemon.daemon import Held

Event = dict[str, Any]


def event(number: int, type: str, **fields: Any) -> Event:
    """An event of codex in session `s1`, each a second after the one before."""
    time = f"2025-12-31T23:{number // 60:02}:{number % 60:02}.000Z"
    return {"id": f"{number:032x}", "type": type, "time": time, "agent": "codex", "session_id": "s1", **fields}


def usage(number: int, output: int = 10, **fields: Any) -> Event:
    tokens = {"input_tokens": 100, "cached_input_tokens": 40, "output_tokens": output}
    return event(number, "token_usage", model="m", **tokens, **fields)


def call(number: int, milliseconds: int = 1500, tool: str = "sh") -> Event:
    fields = {"call_id": f"c{number}", "tool": tool, "tool_kind": "shell", "outcome": "ok", "ok": True}
    return event(number, "tool_call_end", duration_ms=milliseconds, **fields)


def state(number: int, now: str, session: str = "s1", **fields: Any) -> Event:
    return event(number, "session_state", state=now, **{"session_id": session, **fields})


def metric(
    number: int,
    name: str,
    kind: str = "counter",
    op: str = "increment",
    *,
    value: float = 1,
    labels: dict[str, str] | None = None,
) -> Event:
    return event(number, "metric", name=name, kind=kind, op=op, value=value, labels=labels or {})


def work(count: int, first: int = 1) -> list[Event]:
    """Tokens and tool calls, taking turns."""
    return [usage(n, output=n) if n % 2 else call(n, milliseconds=n * 100) for n in range(first, first + count)]


def lines(events: Iterable[Event]) -> list[bytes]:
    return [json.dumps(one, separators=(",", ":")).encode() for one in events]


class Delivery:
    """A journal in `folder` and the sink's place in it, over any number of lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.clock = ManualClock()
        self.journal: Journal
        self.sender: Sender

    @asynccontextmanager
    async def life(self, sink: PiDaemonSink, *, max_events: int = 4) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
        """One life of the forwarder. Yields a function that returns when all is acknowledged; time flies."""
        journal = Journal(
            self._folder, sinks=["pi"], max_bytes=1 << 30, keep_seconds=1e9, remember_seconds=1e9, clock=self.clock
        )
        async with journal:
            self.journal = journal
            sink.clock = self.clock
            sink.recall(await journal.plugin_notes("pi"))
            batching = Batching(max_events=max_events)
            async with sink.lifespan():
                self.sender = Sender("pi", sink, journal, clock=self.clock, batching=batching, random=Random(1))
                tasks = [asyncio.create_task(self.sender.run()), asyncio.create_task(self._hurry())]
                try:
                    async with asyncio.timeout(20):
                        yield lambda: self.sender.caught_up(journal.last)
                finally:
                    for task in tasks:
                        task.cancel()
                        with suppress(asyncio.CancelledError):
                            await task

    async def run(self, sink: PiDaemonSink, *events: Event, max_events: int = 4) -> None:
        """Journal the events and deliver all there is."""
        async with self.life(sink, max_events=max_events) as caught_up:
            await self.journal.commit(Changes(lines=lines(events)))
            await caught_up()

    async def _hurry(self) -> None:
        while True:
            await self.clock.skip()

    def refused(self) -> dict[str, str]:
        """The dead letters: ids of events, each with the reason."""
        connection = connect_to_read(self._folder)
        try:
            return {json.loads(one.letter.body)["id"]: one.letter.reason for one in read_letters(connection)}
        finally:
            connection.close()


def expected(events: Iterable[Event]) -> Held:
    """What a daemon must hold that was told each of these once, apart from gauges."""
    held = Held()
    for one in events:
        for measure in measures(one):
            if measure.kind != "gauge":
                held.take(_form(measure))
    return held


def _form(measure: Measure) -> dict[str, Any]:
    op = "increment" if measure.kind == "counter" else "observe"
    return {"name": measure.name, "type": measure.kind, "labels": measure.labels, op: measure.value}


def counted(held: Held) -> tuple[dict[Any, float], dict[Any, list[float]]]:
    """Counters and observations, such as they can be compared."""
    return dict(held.counters), {series: sorted(values) for series, values in held.observed.items()}
