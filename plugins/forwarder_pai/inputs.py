"""What the calls that are not over yet were given."""

from __future__ import annotations

from typing import Any

MOST_CALLS = 512  # an agent runs a few at a time; a start whose end never comes may not stay for ever
MOST_CHARS = 16_384  # of one input: 8 MiB for all of them


class Inputs:
    """An end does not say what its call was given, a start does. The oldest are forgotten first."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], str] = {}

    def hold(self, start: dict[str, Any]) -> None:
        """Keep the input of a `tool_call_start`, if the level of redaction left any."""
        text: str | None = start.get("input")
        if text is None:
            return
        while len(self._held) >= MOST_CALLS:
            del self._held[next(iter(self._held))]
        self._held[_call(start)] = text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + "…"

    def take(self, end: dict[str, Any]) -> str | None:
        """The input of the call that this `tool_call_end` ends; None where its start was not seen."""
        return self._held.pop(_call(end), None)


def _call(event: dict[str, Any]) -> tuple[str, str]:
    return event["session_id"], event["call_id"]
