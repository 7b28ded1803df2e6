"""What mapped events tell of their sessions, gathered for one commit.

This stands on the path of every event. What most of them tell, that something happened, is remembered as the newest
time for as long as the session stays the same; only the few that tell more are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from forwarder.events import (
    Event,
    ModelChange,
    Session,
    SessionEnd,
    SessionStart,
    SessionState,
    TokenUsage,
    ToolUsage,
    TurnStart,
)
from forwarder.instruments import Metric
from forwarder.journal import Said, SessionRow, merged, told
from forwarder.pipeline.fields import SESSION_NAMES
from forwarder.source import well_formed

_NAMES = (*(name for name in SESSION_NAMES if name in SessionRow.__struct_fields__), "model")
_IDS = ("session_id", "parent_session_id", "actor")
_OF_MODELS = frozenset({"token_usage", "model_change"})
_TELLING: dict[type[Event], str] = {
    kind: str(kind.__struct_config__.tag)
    for kind in (SessionStart, SessionEnd, SessionState, TurnStart, TokenUsage, ModelChange)
}

_NO_SIGNS: frozenset[type[Event]] = frozenset({ToolUsage, Metric})


class Sightings:
    """`see` every event, in order; `rows` is what they tell, one row a session."""

    __slots__ = ("_last", "_model", "_rows", "_session")

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], SessionRow] = {}
        self._session: Session | None = None  # that of the last events, which `_last` and `_model` are about
        self._last: datetime
        self._model: str | None = None

    def see(self, event: Event) -> None:
        """Take note of an event. What helpers and programs tell of themselves is no sign that an agent is at work."""
        if type(event) in _NO_SIGNS:
            return
        session = event.session
        if session is not self._session and session != self._session:
            self._turn_to(event)
        elif event.time > self._last:
            self._last = event.time
        if (kind := _TELLING.get(type(event))) is not None:
            self._look_at(event, kind)

    def rows(self, name: Callable[[str], str]) -> list[SessionRow]:
        """What was seen, with its names as `name` says that they may be kept."""
        self._settle()
        return [_kept(row, name) for row in self._rows.values()]

    def _turn_to(self, event: Event) -> None:
        self._settle()
        self._session, self._last, self._model = event.session, event.time, None

    def _settle(self) -> None:
        if self._session is not None:
            self._add(told(self._session, self._last.timestamp(), Said(model=self._model)))

    def _look_at(self, event: Any, kind: str) -> None:
        if kind in _OF_MODELS:
            if event.model is not None and getattr(event, "purpose", None) is None:
                self._model = event.model
            return
        said = {name: getattr(event, name, None) for name in ("state", "reason", "model", "pid")}
        self._add(told(event.session, event.time.timestamp(), Said(kind, **said)))

    def _add(self, row: SessionRow) -> None:
        key = (row.agent, row.session_id)
        known = self._rows.get(key)
        self._rows[key] = row if known is None else merged(known, row)


def _kept(row: SessionRow, name: Callable[[str], str]) -> SessionRow:
    """Names without their secrets, and all text such as UTF-8 can carry."""
    texts = {one: text for one in (*_NAMES, *_IDS) if (text := getattr(row, one)) is not None}
    return replace(row, **{one: well_formed(name(text) if one in _NAMES else text) for one, text in texts.items()})
