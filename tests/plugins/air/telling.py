"""Events of the common schema as they reach a sink, what AIr must then show, and an engine's patience."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from forwarder_air.sink import AirSink

from forwarder import Batch, Rejected, Unavailable

Event = dict[str, Any]
NOT_ERRORS = {"ok", "cancelled", "unknown"}


def told(type: str, number: int, *, session: str = "s-1", agent: str = "codex", **fields: Any) -> Event:
    """One event; `number` is its second, and makes its id together with type and session."""
    id = blake2b(f"{session}/{type}/{number}".encode(), digest_size=16).hexdigest()
    time = f"2026-11-20T10:{number // 60 % 60:02}:{number % 60:02}.250Z"
    return {"id": id, "type": type, "time": time, "agent": agent, "session_id": session} | fields


def start(number: int = 0, *, session: str = "s-1", **fields: Any) -> Event:
    """A session begins."""
    known: dict[str, Any] = {"cwd": "/src/acme", "model": "gpt-5-codex", "provider": "openai", "reason": "startup"}
    return told("session_start", number, session=session, **known | fields)


def usage(number: int, *, session: str = "s-1", **fields: Any) -> Event:
    """1000 tokens in, of which 400 came from the cache, 50 out, for 0.0125 USD."""
    known: dict[str, Any] = {
        "model": "gpt-5-codex", "provider": "openai", "input_tokens": 1000, "cached_input_tokens": 400,
        "output_tokens": 50, "total_tokens": 1050, "cost_usd": 0.0125, "cost_source": "table",
    }  # fmt: skip
    return told("token_usage", number, session=session, **known | fields)


def turn(number: int, *, session: str = "s-1") -> list[Event]:
    """A turn of six events: a prompt, a call that fails, what it cost, and the end after 2 s."""
    call: dict[str, Any] = {"call_id": f"call-{number}", "tool": "exec_command", "tool_kind": "shell"}
    return [
        told("turn_start", number, session=session, turn=number, trigger="human"),
        told("prompt", number, session=session, bytes=4, chars=4, sha256="0" * 16, text="go on"),
        told("tool_call_start", number, session=session, **call, input_bytes=7, input="make it"),
        told("tool_call_end", number, session=session, **call, outcome="error", ok=False, duration_ms=70,
             output_bytes=5, output="grüße"),
        usage(number, session=session),
        told("turn_end", number, session=session, turn=number, outcome="completed", duration_ms=2000, tool_calls=1),
    ]  # fmt: skip


def life(session: str = "s-1", *, turns: int = 3) -> list[Event]:
    """A whole session."""
    inner = [event for number in range(1, turns + 1) for event in turn(number, session=session)]
    return [start(session=session), *inner, told("session_end", turns + 1, session=session, reason="exit")]


def batch(events: Iterable[Event]) -> Batch:
    """The events as the journal holds them."""
    return Batch(tuple(json.dumps(one, ensure_ascii=False, separators=(",", ":")).encode() for one in events))


def batches(events: Sequence[Event], size: int) -> list[Batch]:
    """The same, so many at a time."""
    return [batch(events[at : at + size]) for at in range(0, len(events), size)]


def expected(events: Iterable[Event]) -> dict[str, dict[str, float]]:
    """What AIr's summaries must say by session, each event counted once."""
    found: dict[str, dict[str, float]] = {}
    for event in events:
        names = ("totalTokensIn", "totalTokensOut", "totalCost", "toolCallCount", "turnCount", "compactionCount")
        row = found.setdefault(event["session_id"], dict.fromkeys(names, 0))
        row["toolCallCount"] += event["type"] == "tool_call_end"
        row["turnCount"] += event["type"] == "turn_end"
        row["compactionCount"] += event["type"] == "compaction"
        if event["type"] == "token_usage":
            cached = event["cached_input_tokens"] + event.get("cache_write_tokens", 0)
            row["totalTokensIn"] += event["input_tokens"] - cached
            row["totalTokensOut"] += event["output_tokens"]
            row["totalCost"] += event.get("cost_usd", 0)
    return {session: _rounded(row) for session, row in found.items()}


def shown(sessions: dict[Any, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The same counters of AIr's."""
    names = ("totalTokensIn", "totalTokensOut", "totalCost", "toolCallCount", "turnCount", "compactionCount")
    return {session: _rounded({name: row[name] for name in names}) for session, row in sessions.items()}


def _rounded(row: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 9) for name, value in row.items()}


class Engine:
    """Delivers as the engine does: every batch until it is dealt with, notes kept with the acknowledgement."""

    def __init__(self, url: str, *, timeout_seconds: float = 5.0) -> None:
        self.notes: dict[str, bytes] = {}
        self.refused: dict[str, str] = {}
        self.failures: list[Unavailable] = []
        self._url = url
        self._timeout_seconds = timeout_seconds

    def sink(self) -> AirSink:
        """A new one, as after a start of the process."""
        sink = AirSink(url=self._url, timeout_seconds=self._timeout_seconds)
        sink.recall(self.notes)
        return sink

    async def run(self, *waiting: Batch) -> None:
        """One life of the process."""
        sink = self.sink()
        async with sink.lifespan():
            for one in waiting:
                await self.deliver(sink, one)

    async def deliver(self, sink: AirSink, one: Batch) -> None:
        """Until the batch is dealt with; AIr may be away fifty times."""
        for _ in range(50):
            try:
                await sink.send(one)
            except Unavailable as error:
                self.failures.append(error)
                continue
            except Rejected as error:
                if not error.refused:
                    raise AssertionError("the engine would send halves of the batch again") from error
                self.refused |= dict.fromkeys(error.refused, str(error))
            self.keep(sink)
            return
        raise AssertionError(f"never delivered: {self.failures[-1]}")

    def keep(self, sink: AirSink) -> None:
        """Note what the sink wants noted, as with an acknowledgement."""
        for key, note in sink.notes().items():
            if note is None:
                self.notes.pop(key, None)
            else:
                self.notes[key] = note

    async def deaf(self, one: Batch) -> None:
        """A life that is killed when AIr has the batch and before that is on the disk."""
        sink = self.sink()
        async with sink.lifespan():
            await sink.send(one)

    def reasons(self) -> Iterator[str]:
        """Why AIr was away."""
        return (str(error) for error in self.failures)
