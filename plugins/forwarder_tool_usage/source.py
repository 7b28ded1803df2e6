"""Tool-usage logs: a line for each invocation of a helper, or one when it starts and one when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec

from forwarder import BadRecord, Event, Key, Record, Session, Source, ToolUsage
from forwarder_tool_usage.log import DEFAULT_PATH, VARIABLE
from forwarder_tool_usage.records import KINDS, SCOPES, STATUSES, Line, Text, known, milliseconds, time_of, usage_of

AGENT = "tool-usage"
NO_SESSION = "unknown"  # the id of the session of a line that names none

_LINE = msgspec.json.Decoder(Line)


class Nothing(msgspec.Struct):
    """Every line says all there is to know."""


@dataclass(frozen=True)
class ToolUsageLog(Source[Nothing]):
    """Option `path`: the log, or several; patterns are allowed ($TOOL_USAGE_LOG, which writers obey too)."""

    environment: ClassVar[dict[str, str]] = {"path": VARIABLE}

    path: str | list[str] = DEFAULT_PATH

    def patterns(self) -> list[str]:
        """The logs."""
        return [self.path] if isinstance(self.path, str) else self.path

    def new_state(self, path: Path) -> Nothing:
        """Nothing is remembered."""
        return Nothing()

    def map(self, record: Record, state: Nothing) -> Iterator[Event]:
        """A line is an event. One with an id of its invocation is the same fact wherever it stands."""
        if not record.line:
            return  # what a writer that begins with a newline leaves
        line = record.decode(_LINE)
        if not line.name:
            raise BadRecord("name is empty")
        yield ToolUsage(
            key=_key(record, line),
            time=time_of(line),
            session=Session(agent=AGENT, id=_text(line.session_id) or NO_SESSION, cwd=line.cwd or None),
            kind=known(line.kind, KINDS, "kind"),
            name=line.name,
            scope=known(line.scope, SCOPES, "scope"),
            status=known(line.status, STATUSES, "status"),
            duration_ms=milliseconds(line),
            exit_code=line.exit_code,
            task_id=_text(line.task_id),
            invocation_id=_text(line.invocation_id),
            usage=usage_of(line),
            error_summary=line.error_summary,
        )


def _key(record: Record, line: Line) -> Key:
    """An invocation has one start and one end, whoever repeats them; a line without its id is known by its place."""
    invocation = _text(line.invocation_id)
    if invocation is None:
        return record.key
    return (invocation, line.kind, line.name, "start" if line.status == "started" else "end")


def _text(value: Text) -> str | None:
    """An id as text; None for an empty one too."""
    return None if value is None or value == "" else str(value)
