"""`forwarder track`: run a command as if it had been called directly, and add its invocation to the log.

The way of a call without mistakes; others are answered by `forwarder_tool_usage.command`. `forwarder_tool_usage.log`
says why so little is imported.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from forwarder_tool_usage import child, log

OPTIONS = ("kind", "name", "scope", "task", "session", "file")
CANCELLING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as shells say it


def quick(arguments: list[str]) -> int | None:
    """Do what `forwarder track ARGUMENTS` asks for; the exit status. None where it must be explained to a person."""
    parsed = parse(arguments)
    return None if parsed is None else track(*parsed)


def parse(arguments: list[str]) -> tuple[dict[str, str], list[str]] | None:
    """The options and the command; None when something is missing, unknown or no possible value."""
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        name, equals, value = rest.pop(0).partition("=")
        if name[2:] not in OPTIONS or not name.startswith("--") or not (equals or rest):
            return None
        options[name[2:]] = value if equals else rest.pop(0)
    command = rest[1:] if rest[:1] == ["--"] else rest
    is_possible = options.get("kind", "script") in log.KINDS and options.get("scope", "global") in log.SCOPES
    return (options, command) if command and is_possible else None


def track(options: dict[str, str], command: list[str]) -> int:
    """Run the command to its end and add the line; the command's exit status, whatever becomes of the line."""
    invocation, cwd, start = log.invocation(), _cwd(), time.monotonic()
    try:
        pid = child.start(command)
    except OSError as error:
        status, failure = _not_started(command[0], error), error.strerror or "it cannot be started"
        outcome = "failed"
    else:
        log.encoded({})  # what it imports is loaded while the command is running
        ended = child.wait(pid)
        status, outcome, failure = child.exit_status(ended), *_outcome(ended)
    fields: dict[str, object] = {
        "ts": log.timestamp(time.time()),
        "kind": options.get("kind", "script"),
        "name": _text(options.get("name") or os.path.basename(command[0])),
        "cwd": _text(cwd),
        "scope": options.get("scope") or _scope(command[0], cwd),
        "session_id": options.get("session"),
        "task_id": options.get("task"),
        "status": outcome,
        "duration_ms": int((time.monotonic() - start) * 1000),
        "exit_code": status,
        "error_summary": failure if outcome == "failed" else None,
        "invocation_id": invocation,
    }
    _add(log.log_path(options.get("file")), fields)
    return status


def _add(path: str, fields: dict[str, object]) -> None:
    try:
        log.append(path, log.encoded(fields))
    except OSError as error:
        _say(f"cannot write {path}: {error.strerror}; this invocation is not recorded")


def _outcome(ended: int) -> tuple[str, str]:
    """The status of the log's line, and why it failed."""
    status = child.exit_status(ended)
    if status == 0:
        return "succeeded", ""
    if status - 128 in CANCELLING:
        return "cancelled", ""
    if os.WIFSIGNALED(ended):
        return "failed", f"killed by {signal.Signals(os.WTERMSIG(ended)).name}"
    return "failed", f"exit status {status}"


def _not_started(name: str, error: OSError) -> int:
    _say(f"{name}: {error.strerror}")
    return NOT_FOUND if isinstance(error, FileNotFoundError | NotADirectoryError) else NOT_EXECUTABLE


def _say(words: str) -> None:
    """Our own words on stderr, which is the command's too: one line in one write."""
    with suppress(OSError):  # closed, or a pipe that nobody reads: no reason to end in another way than the command
        os.write(2, os.fsencode(f"forwarder track: {words}\n"))


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # deleted; commands run there all the same


def _scope(name: str, cwd: str) -> str:
    """Where the command is installed: in the repository around the working folder, or elsewhere."""
    folders = [""] if "/" in name else os.environ.get("PATH", "").split(":")
    found = next((path for folder in folders if os.access(path := os.path.join(folder, name), os.X_OK)), None)
    root = _repository(cwd)
    if found is None or root is None:
        return "global"
    return "project" if os.path.realpath(found).startswith(os.path.join(os.path.realpath(root), "")) else "global"


def _repository(folder: str) -> str | None:
    while folder and not os.path.lexists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        folder = above if above != folder else ""
    return folder or None


def _text(text: str) -> str:
    """Arguments and folders may hold bytes that are no UTF-8."""
    return os.fsencode(text).decode(errors="replace")
