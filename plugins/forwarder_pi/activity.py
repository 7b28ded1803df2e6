"""What an instance of pi is doing. The `activity` that it publishes is wrong since pi 0.65: an idle pi stays `working`.

`agent_end` fires while pi still counts as busy and nothing is published when it settles, so the last event decides
(contract, sections 5 and 6.2).
"""

from __future__ import annotations

from typing import Any

from forwarder_pi.javascript import is_truthy, member

AT_WORK = frozenset({"before_agent_start", "agent_start", "turn_start", "turn_end"})
AS_PUBLISHED = frozenset({"session_start", "session_switch", "session_fork"})
ENDED = "agent_end"


def derived(event: object, activity: str, previous: str | None, *, has_pending: bool) -> str:
    """The state after `event`, where pi published `activity`; `previous` is the one before, None at first sight."""
    if event in AT_WORK:
        return "working"
    if event == ENDED:
        return "working" if has_pending else "waiting_input"
    if event in AS_PUBLISHED or activity == "waiting_input" or previous is None:
        return activity
    return previous


def corrected(instance: dict[str, Any]) -> dict[str, Any]:
    """The heartbeat with the state that follows from its last event, and flags that agree with it."""
    state = member(instance, "state")
    published = member(state, "activity")
    if not isinstance(published, str):
        return instance
    has_pending = is_truthy(member(state, "hasPendingMessages"))
    activity = derived(member(instance, "lastEvent"), published, None, has_pending=has_pending)
    if activity == published:
        return instance | {"state": state | {"publishedActivity": published}}
    is_waiting = activity == "waiting_input"
    flags = {"activity": activity, "isIdle": is_waiting, "waitingForInput": is_waiting, "busy": not is_waiting}
    return instance | {"state": state | flags | {"publishedActivity": published}}
