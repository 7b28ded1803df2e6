"""Rollout lines as Codex writes them, made by hand; times are seconds after the thread's creation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from forwarder_codex import Codex

from forwarder import Event
from forwarder.testing import read_lines

E = TypeVar("E", bound=Event)

CREATED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def uuid7(seconds: float, number: int = 1) -> str:
    """An id made that long after the thread's creation."""
    ms = f"{round((CREATED.timestamp() + seconds) * 1000):012x}"
    return f"{ms[:8]}-{ms[8:]}-7000-8000-{number:012x}"


THREAD = uuid7(0)
PARENT = uuid7(-60)
TURN = uuid7(1)
SECOND = uuid7(100)
PATH = Path(f"sessions/2026/03/01/rollout-2026-03-01T13-00-00-{THREAD}.jsonl")


def read(*lines: bytes, path: Path = PATH) -> list[Event]:
    return read_lines(Codex(), *lines, path=path)


def only(kind: type[E], events: Iterable[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def kinds(events: Iterable[Event]) -> Counter[str]:
    return Counter(type(event).__name__ for event in events)


def stamp(at: float) -> str:
    return (CREATED + timedelta(seconds=at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def line(kind: str, payload: object, at: float = 1, ordinal: int | None = None, **more: object) -> bytes:
    head: dict[str, object] = {"timestamp": stamp(at)}
    if ordinal is not None:
        head["ordinal"] = ordinal
    return dumps(head | {"type": kind, "payload": payload} | more)


def event(kind: str, /, at: float = 1, ordinal: int | None = None, **fields: object) -> bytes:
    return line("event_msg", {"type": kind} | fields, at, ordinal)


def response_item(kind: str, /, at: float = 1, **fields: object) -> bytes:
    return line("response_item", {"type": kind} | fields, at)


def item(kind: str, name: str, /, at: float = 1, **fields: object) -> bytes:
    whole = {"type": kind, "id": name} | fields
    return event("item_completed", at, thread_id=THREAD, turn_id=TURN, item=whole, completed_at_ms=ms(at))


def ms(at: float) -> int:
    return round((CREATED.timestamp() + at) * 1000)


def meta(at: float = 0.1, thread: str = THREAD, ordinal: int | None = None, **fields: object) -> bytes:
    usual = {"id": thread, "timestamp": stamp(0), "cwd": "/home/dev/shop", "originator": "codex_exec"}
    more = {"cli_version": "0.169.0", "source": "exec", "model_provider": "openai", "git": {"branch": "main"}}
    return line("session_meta", usual | more | fields, at, ordinal)


def started(turn: str = TURN, at: float = 1, ordinal: int | None = None, **fields: object) -> bytes:
    return line("event_msg", {"type": "task_started", "turn_id": turn} | fields, at, ordinal)


def complete(turn: str = TURN, at: float = 9, **fields: object) -> bytes:
    return line("event_msg", {"type": "task_complete", "turn_id": turn, "last_agent_message": None} | fields, at)


def aborted(turn: str = TURN, at: float = 9) -> bytes:
    return event("turn_aborted", at, turn_id=turn, reason="interrupted")


def prompt(text: str = "Do it", name: str = "u1", at: float = 1) -> bytes:
    return item("UserMessage", name, at, content=[{"type": "text", "text": text}])


def answer(text: str = "Done", name: str = "m1", at: float = 8) -> bytes:
    return item("AgentMessage", name, at, content=[{"type": "Text", "text": text}])


def call(name: str = "exec_command", call_id: str = "call_1", at: float = 2, **fields: object) -> bytes:
    return response_item("function_call", at, **({"name": name, "arguments": "{}", "call_id": call_id} | fields))


def script(source: str = "run()", call_id: str = "call_1", at: float = 2) -> bytes:
    return response_item("custom_tool_call", at, name="exec", input=source, call_id=call_id, status="completed")


def output(text: object, call_id: str | None = "call_1", at: float = 3) -> bytes:
    named: dict[str, object] = {} if call_id is None else {"call_id": call_id}
    return response_item("function_call_output", at, **named, output=text)


def command(name: str = "call_1", at: float = 3, code: int = 0, seconds: float = 0.5, **fields: Any) -> bytes:
    usual = {"command": ["/bin/bash", "-lc", "make test"], "cwd": "file:///home/dev", "source": "unified_exec_startup"}
    nanos = round(seconds * 1_000_000_000)
    facts = {"status": "failed" if code else "completed", "aggregated_output": "text\n", "exit_code": code}
    return item("CommandExecution", name, at, **(usual | facts | {"duration": {"secs": 0, "nanos": nanos}} | fields))


def usage(i: int, c: int = 0, o: int = 0, r: int = 0, total: int | None = None) -> dict[str, int]:
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    return dict(zip(names, (i, c, o, r), strict=True)) | {"total_tokens": i + o if total is None else total}


def token_count(total: dict[str, int], last: dict[str, int], at: float = 4, window: int = 1000, **more: Any) -> bytes:
    info = {"total_token_usage": total, "last_token_usage": last, "model_context_window": window}
    return event("token_count", at, info=info, **more)


def token_record(response: str, used: dict[str, int], thread: str = THREAD, at: float = 4) -> bytes:
    return line("token_usage_record", {"thread_id": thread, "response_id": response, "usage": used}, at)


def context(model: str = "gpt-5.5", at: float = 1, **fields: object) -> bytes:
    return line("turn_context", {"turn_id": TURN, "cwd": "/home/dev/shop", "model": model} | fields, at)


OK = "Chunk ID: 30bd2f\nWall time: 0.8542 seconds\nProcess exited with code 0\nOriginal token count: 8\nOutput:\nfine"
RUNNING = "Chunk ID: 30bd2f\nWall time: 0.2517 seconds\nProcess running with session ID 77\nOutput:\n"
