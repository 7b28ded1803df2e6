"""An invocation that the log holds the start of."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass

import msgspec

from forwarder import RecordError
from forwarder_tool_usage.log import encoded
from forwarder_tool_usage.records import Line, time_of

KEPT = ("kind", "name", "cwd", "scope", "session_id", "task_id")


@dataclass(frozen=True)
class Started:
    """`fields` are what the lines of an invocation share; `started` is in seconds since 1970."""

    fields: dict[str, object]
    started: float
    is_over: bool


def read_call(path: str, invocation: str) -> Started | None:
    """The invocation whose start the log holds, None if it does not. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not os.fstat(fd).st_size:
            return None
        with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as text:
            lines = list(_lines(text, invocation))
    finally:
        os.close(fd)
    starts = [line for line in lines if line.status == "started"]
    if not starts:
        return None
    fields = {name: getattr(starts[0], name) for name in KEPT}
    return Started(fields, time_of(starts[0]).timestamp(), is_over=len(lines) > len(starts))


def _lines(text: mmap.mmap, invocation: str) -> list[Line]:
    """The lines of the invocation; others may mention its id, and are passed over like those that cannot be read."""
    found: list[Line] = []
    wanted = encoded({"": invocation})[len('{"":') : -2]
    at = text.find(wanted)
    while at >= 0:
        begin, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
        end = len(text) if end < 0 else end
        try:
            line = msgspec.json.decode(text[begin:end], type=Line)
            time_of(line)
        except (msgspec.DecodeError, RecordError):
            line = None
        if line is not None and line.invocation_id == invocation:
            found.append(line)
        at = text.find(wanted, end)
    return found
