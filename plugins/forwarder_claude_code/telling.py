"""A payload together with what its spool said before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from forwarder import Activity, Event
from forwarder_claude_code import facts
from forwarder_claude_code.facts import Moment
from forwarder_claude_code.records import Hook
from forwarder_claude_code.state import OCCURRENCES, Live, State, trim
from forwarder_claude_code.tools import digest


class Telling:
    """One payload with what its spool said before."""

    __slots__ = ("at", "hook", "live", "state")

    def __init__(self, state: State, live: Live, hook: Hook, at: Moment) -> None:
        self.state = state
        self.live = live
        self.hook = hook
        self.at = at

    def occurrence(self, *parts: Any) -> int | None:
        """A number for a fact without id: its time where the file's name has it, else which occurrence it is.

        None if it is the same event again: the same hook registered in the settings and by a plugin runs twice.
        """
        hook, state, live = self.hook, self.state, self.live
        name = digest(hook.session_id, hook.prompt_id, hook.hook_event_name, parts)
        before, live.last = live.last, name
        if state.file_time is not None:
            return state.file_time // 1_000_000
        if before == name:
            return None
        count = state.occurrences.pop(name, 0) + 1
        state.occurrences[name] = count
        trim(state.occurrences, OCCURRENCES)
        return count

    def becomes(self, activity: Activity, cause: str) -> Iterable[Event]:
        """The session's state, if it is another than before. It has one, whichever of its agents asks a person."""
        before, self.live.activity = self.live.activity, activity
        if before != activity:
            yield facts.session_state(facts.of_main(self.at), activity, cause, before)

    def answered(self) -> None:
        """No dialog is open any more: nothing tells that one was dismissed, but only without one is there a prompt."""
        for call in self.live.open.values():
            call.is_asked = False

    def told(self) -> None:
        """Something that has an id was told in between."""
        self.live.last = ""
