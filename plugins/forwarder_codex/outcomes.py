"""What a call's output says about itself: only Codex's own header is read, never the words of the command."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from forwarder import ToolOutcome

HEADER = 600  # characters; the longest header without a command line has about 150
WITH_COMMAND = 16_000  # 0.118 writes the whole command in front of it
FAILURES = (
    "unsupported call",
    "unsupported custom tool call",
    "failed to parse function arguments",
    "apply_patch verification failed",
    "failed in sandbox",
    "exec_command failed",
)
SCRIPTS: dict[str, ToolOutcome] = {"completed": "ok", "failed": "error"}
SUCCESS = "Success. Updated the following files"
ABORTED = "aborted by user"

_CHUNK = re.compile(
    r"(?:Chunk ID: .*\n)?Wall time: ([\d.]+) seconds\n"
    r"Process (?:exited with code (-?\d+)|running with session ID (\S+))"
)
_EXIT = re.compile(r"Exit code: (-?\d+)\nWall time: ([\d.]+) seconds")
_SCRIPT = re.compile(r"Script (completed|failed|running)[^\n]*\nWall time ([\d.]+) seconds")
_WALL = re.compile(r"Wall time: ([\d.]+) seconds\n")
_METADATA = re.compile(r',"metadata":(\{[^{}]*\})\}\s*$')


class Result(NamedTuple):
    """`outcome` is unknown where the text does not say; milliseconds as stated. `is_short`: known to be too short."""

    outcome: ToolOutcome
    exit_code: int | None = None
    duration_ms: int | None = None
    is_short: bool = False
    is_running: bool = False
    process: str | None = None
    error: str | None = None


class _Metadata(msgspec.Struct, gc=False):
    exit_code: int | None = None
    duration_seconds: float | None = None


_decode_metadata = msgspec.json.Decoder(_Metadata).decode


def read(text: str) -> Result:
    """The facts in the text that the model was given (contract, section 4.4)."""
    if text.startswith('{"output":') and (found := _METADATA.search(text, max(0, len(text) - HEADER))):
        try:
            metadata = _decode_metadata(found[1])
        except msgspec.DecodeError:
            return Result("unknown")
        return _exited(metadata.exit_code, metadata.duration_seconds)
    if text.startswith("Command:"):
        found = re.search(r"^Chunk ID: ", text[:WITH_COMMAND], re.MULTILINE) or _WALL.search(text, 0, WITH_COMMAND)
        text = text[found.start() :] if found else text
    return _header(text[:HEADER])


def _header(head: str) -> Result:
    if found := _CHUNK.match(head):
        if found[2] is None:
            return Result("unknown", is_running=True, process=found[3])
        return _exited(int(found[2]), float(found[1]))._replace(is_short=True)
    if found := _EXIT.match(head):
        return _exited(int(found[1]), float(found[2]))
    if found := _SCRIPT.match(head):
        outcome = SCRIPTS.get(found[1], "unknown")
        return Result(outcome, None, round(float(found[2]) * 1000), is_running=found[1] == "running")
    if found := _WALL.match(head):
        is_aborted = head.startswith(ABORTED, found.end())
        return Result("cancelled" if is_aborted else "unknown", None, round(float(found[1]) * 1000))
    return _words(head)


def _words(head: str) -> Result:
    if head.startswith(ABORTED):
        return Result("cancelled")
    if head.startswith(FAILURES):
        return Result("error", error=head)
    return Result("ok" if head.startswith(SUCCESS) else "unknown")


def _exited(code: int | None, seconds: float | None) -> Result:
    duration = None if seconds is None else round(seconds * 1000)
    if code is None:
        return Result("unknown", None, duration)
    return Result("error" if code else "ok", code, duration)
