"""Session lines as pi writes them, made by hand; times are seconds after the session's creation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from forwarder_pi import Pi

from forwarder import Event, TokenUsage
from forwarder.testing import read_lines

E = TypeVar("E", bound=Event)

CREATED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SESSION = "019ca2f0-0000-7000-8000-000000000001"
PARENT = "019ca2e0-0000-7000-8000-000000000002"
PATH = Path(f"sessions/--home-dev--/2026-03-01T12-00-00-000Z_{SESSION}.jsonl")


def read(*lines: bytes, path: Path = PATH) -> list[Event]:
    return read_lines(Pi(), *lines, path=path)


def only(kind: type[E], events: Iterable[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def facts(events: Iterable[Event]) -> set[tuple[str, tuple[str | int, ...]]]:
    """What the engine makes ids of."""
    return {(type(event).__name__, event.key) for event in events}


def spent(events: Iterable[Event]) -> list[tuple[int, int, int]]:
    """Input, cached and output tokens of each usage event."""
    return [(u.input_tokens, u.cached_input_tokens, u.output_tokens) for u in only(TokenUsage, events)]


def stamp(at: float) -> str:
    return (CREATED + timedelta(seconds=at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ms(at: float) -> int:
    return round((CREATED.timestamp() + at) * 1000)


def dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def header(session: str = SESSION, at: float = 0, **fields: object) -> bytes:
    return dumps(
        {"type": "session", "version": 3, "id": session, "timestamp": stamp(at), "cwd": "/home/dev/shop"} | fields
    )


def entry(kind: str, id: str, /, parent: str | None = None, at: float = 1, **fields: object) -> bytes:
    return dumps({"type": kind, "id": id, "parentId": parent, "timestamp": stamp(at)} | fields)


def message(role: str, name: str, parent: str | None = None, at: float = 1, **fields: object) -> bytes:
    return entry("message", name, parent, at, message={"role": role, "timestamp": ms(at)} | fields)


def prompt(name: str = "p1", parent: str | None = None, at: float = 1, text: str = "Do it", **fields: object) -> bytes:
    return message("user", name, parent, at, **({"content": [{"type": "text", "text": text}]} | fields))


def answer(
    name: str = "a1", parent: str | None = "p1", at: float = 2, text: str = "", stop: str = "stop", **fields: Any
) -> bytes:
    blocks: list[object] = [{"type": "text", "text": text}] if text else []
    usual = {"provider": "acme", "model": "acme-large", "usage": usage(10, o=2)}
    return message("assistant", name, parent, at, **({"content": blocks} | usual | {"stopReason": stop} | fields))


def calling(
    *calls: str, name: str = "a1", parent: str | None = "p1", at: float = 2, tool: str = "bash", **fields: Any
) -> bytes:
    blocks = [{"type": "toolCall", "id": call, "name": tool, "arguments": {"command": "make"}} for call in calls]
    return answer(name, parent, at, stop="toolUse", content=blocks, **fields)


def result(
    call: str = "c1", name: str = "r1", parent: str | None = "a1", at: float = 3, text: str = "fine", **fields: Any
) -> bytes:
    usual: dict[str, object] = {"toolCallId": call, "toolName": "bash", "content": [{"type": "text", "text": text}]}
    return message("toolResult", name, parent, at, **(usual | {"isError": False} | fields))


def usage(i: int = 0, r: int = 0, w: int = 0, o: int = 0, cost: object = 0, **fields: object) -> dict[str, object]:
    used: dict[str, object] = {"input": i, "output": o, "cacheRead": r, "cacheWrite": w, "totalTokens": i + r + w + o}
    return used | {"cost": {"input": 0, "output": 0, "total": cost}} | fields


def as_v1(line: bytes) -> bytes:
    """The line as v1 wrote it: no ids, the time right behind the type."""
    fields = json.loads(line)
    kept = {key: value for key, value in fields.items() if key not in {"type", "timestamp", "id", "parentId"}}
    return dumps({"type": fields["type"], "timestamp": fields["timestamp"]} | kept)


def migrated(line: bytes, name: str, parent: str | None) -> bytes:
    """A v1 line after a newer pi has rewritten the file."""
    return dumps(json.loads(line) | {"id": name, "parentId": parent})
