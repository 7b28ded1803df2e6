"""Transcript lines and hook payloads as Claude Code writes them, made by hand; times are seconds after noon."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from forwarder_claude_code import ClaudeCode

from forwarder import Event
from forwarder.testing import read_lines

E = TypeVar("E", bound=Event)

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SESSION = "11111111-1111-4111-8111-111111111111"
FORK = "22222222-2222-4222-8222-222222222222"
PROMPT = "aaaaaaaa-0000-4000-8000-000000000001"
SECOND = "aaaaaaaa-0000-4000-8000-000000000002"
MESSAGE = "msg_01AAAAAAAAAAAAAAAAAAAAAA"
CALL = "toolu_01AAAAAAAAAAAAAAAAAAAA"
PATH = Path(f"projects/-home-dev-project/{SESSION}.jsonl")
SPOOL = Path("spool/hooks.jsonl")


def read(*lines: bytes, path: Path = PATH) -> list[Event]:
    return read_lines(ClaudeCode(), *lines, path=path)


def spooled(*lines: bytes, path: Path = SPOOL) -> list[Event]:
    return read_lines(ClaudeCode(), *lines, path=path)


def only(kind: type[E], events: Iterable[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def merged(*readings: Sequence[Event]) -> list[Event]:
    """What is left when each fact counts once, in the order of reading: what the journal keeps."""
    facts: dict[tuple[type[Event], Any], Event] = {}
    for reading in readings:
        for event in reading:
            facts.setdefault((type(event), event.key), event)
    return list(facts.values())


def stamp(at: float) -> str:
    return (NOON + timedelta(seconds=at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def line(kind: str, at: float = 1, **fields: object) -> bytes:
    head: dict[str, object] = {
        "isSidechain": False, "type": kind, "uuid": f"line-{at}", "timestamp": stamp(at), "cwd": "/home/dev/project",
        "sessionId": SESSION, "version": "2.1.329", "entrypoint": "cli",
    }  # fmt: skip
    return dumps(head | fields)


def user(text: str, at: float = 1, prompt: str | None = PROMPT, **fields: object) -> bytes:
    return line("user", at, promptId=prompt, message={"role": "user", "content": text}, **fields)


def answer(*blocks: object, at: float = 2, stop: str | None = "end_turn", output: int = 10, **fields: Any) -> bytes:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": output,
    }
    message = {"id": MESSAGE, "model": "claude-sonnet-5", "content": blocks, "stop_reason": stop, "usage": usage}
    message |= fields.pop("message", {})
    return line("assistant", at, message=message, **({"requestId": "req_1"} | fields))


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def use(call: str = CALL, tool: str = "Bash", **given: object) -> dict[str, object]:
    return {"type": "tool_use", "id": call, "name": tool, "input": given or {"command": "ls"}}


def result(words: str, at: float = 3, call: str = CALL, *, is_error: bool = False, **fields: object) -> bytes:
    block = {"type": "tool_result", "tool_use_id": call, "content": words, "is_error": is_error}
    return line("user", at, promptId=PROMPT, message={"role": "user", "content": [block]}, **fields)


def payload(event: str, prompt: str | None = PROMPT, /, **fields: object) -> dict[str, object]:
    head: dict[str, object] = {"session_id": SESSION, "cwd": "/home/dev/project", "hook_event_name": event}
    if prompt is not None:
        head["prompt_id"] = prompt
    return head | fields


def hook(event: str, prompt: str | None = PROMPT, /, **fields: object) -> bytes:
    return dumps(payload(event, prompt, **fields))


def tool_hook(event: str, call: str | None = CALL, /, **fields: object) -> bytes:
    about: dict[str, object] = {"tool_name": "Bash", "tool_input": {"command": "ls"}}
    if call is not None:
        about["tool_use_id"] = call
    return hook(event, **(about | fields))
