"""The hook events that are worth keeping, and the block of Claude Code's settings that registers a writer on them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

TIMEOUT_SECONDS = 5  # a writer takes milliseconds; whatever hangs may not hold the agent up for the default of 600
TOLERANT = (2, 1, 197)  # ignores just the events that it does not know; older ones then drop all hooks of the file

# The release that brought each. Left out are WorktreeCreate, whose hooks replace the creation and must print a path;
# MessageDisplay, displayed text at every flush; and FileChanged, watched files.
SINCE: dict[str, tuple[int, int, int]] = {
    "SessionStart": (1, 0, 62),
    "SessionEnd": (1, 0, 85),
    "Setup": (2, 1, 10),
    "UserPromptSubmit": (1, 0, 62),
    "UserPromptExpansion": TOLERANT,
    "PreToolUse": (1, 0, 0),
    "PermissionRequest": (2, 0, 45),
    "PermissionDenied": (2, 1, 89),
    "PostToolUse": (1, 0, 0),
    "PostToolUseFailure": (2, 0, 77),
    "PostToolBatch": TOLERANT,
    "Stop": (1, 0, 0),
    "StopFailure": (2, 1, 78),
    "SubagentStart": (2, 0, 43),
    "SubagentStop": (1, 0, 62),
    "PreCompact": (1, 0, 62),
    "PostCompact": (2, 1, 76),
    "Notification": (1, 0, 0),
    "PreModelSwitch": TOLERANT,
    "PostModelSwitch": TOLERANT,
    "TaskCreated": (2, 1, 84),
    "TaskCompleted": (2, 1, 33),
    "TeammateIdle": (2, 1, 33),
    "InstructionsLoaded": (2, 1, 69),
    "ConfigChange": (2, 1, 49),
    "CwdChanged": (2, 1, 83),
    "DirectoryAdded": TOLERANT,
    "WorktreeRemove": (2, 1, 50),
    "Elicitation": (2, 1, 76),
    "ElicitationResult": (2, 1, 76),
}


def release_of(text: str) -> tuple[int, int, int] | None:
    """The release in what `claude --version` says, such as `2.1.329 (Claude Code)`."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def events_of(release: tuple[int, int, int]) -> list[str]:
    """What may be registered with this release without losing the other hooks of the file."""
    return [event for event, since in SINCE.items() if release >= min(since, TOLERANT)]


def block(writer: Path, release: tuple[int, int, int]) -> dict[str, object]:
    """For `settings.json`: the writer on every event. Its path is quoted, as older releases give it to a shell."""
    one = {"type": "command", "command": shlex.quote(str(writer)), "timeout": TIMEOUT_SECONDS}
    return {"hooks": {event: [{"hooks": [one]}] for event in events_of(release)}}
