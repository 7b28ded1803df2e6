"""A log that a test can look into and disturb."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from forwarder.testing import Destination

OF_A_CALL = {"tool_kind": "shell", "outcome": "error", "ok": False, "duration_ms": 12, "exit_code": 3}


def ended(id: str, text: str) -> dict[str, Any]:
    """A call that has failed; all of it follows from what the log keeps of it."""
    return {"type": "tool_call_end", "cwd": "/shop", "call_id": f"c-{id}", "tool": text, **OF_A_CALL}


class Log(Destination):
    """The file that a sink appends to, and a way to make it unwritable: a folder in its place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[dict[str, Any]]:
        """What the log holds."""
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    async def events(self) -> list[dict[str, Any]]:
        return [_event(line) for line in self.lines()]

    @asynccontextmanager
    async def unavailable(self) -> AsyncGenerator[None]:
        aside = self.path.with_name("aside")
        self.path.rename(aside)
        self.path.mkdir()
        yield
        self.path.rmdir()
        aside.rename(self.path)


def _event(line: dict[str, Any]) -> dict[str, Any]:
    agent, _, call = line["invocation_id"].partition(":")
    id = call.removeprefix("c-")
    envelope = {"id": id, "time": line["ts"], "agent": agent, "session_id": line["session_id"]}
    return envelope | ended(id, line["name"]) | {"cwd": line["cwd"], "exit_code": line["exit_code"]}
