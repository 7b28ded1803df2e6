"""Turns: from a prompt to the last answer to it.

Session files mark no turns. A prompt begins one; an answer with a final stop reason ends it; a failed answer may be
tried again, so it ends the turn only when the next prompt comes.
"""

from __future__ import annotations

from datetime import datetime

from forwarder import Event, Trigger, TurnEnd, TurnOutcome, TurnStart
from forwarder_pi import calls
from forwarder_pi.records import Entry, Message, User
from forwarder_pi.state import LEAVES, Place, State, Turn, between, milliseconds

FINAL: dict[str, TurnOutcome] = {"stop": "completed", "length": "completed", "aborted": "interrupted"}
FAILED = "error"


def follow(state: State, entry: Entry) -> Turn | None:
    """The open turn that the entry goes on with: that of the entry before it in its own branch.

    An unknown parent is an entry of a kind that this version cannot read, so the turn that was active last is taken.
    Not for a prompt: its parent can be one far back, to which the person returned or which another process knew.
    """
    leaves, parent = state.leaves, entry.parent_id or ""
    if parent in leaves:
        return leaves.pop(parent)
    if isinstance(entry, Message) and isinstance(entry.message, User):
        return None
    for leaf in reversed(leaves):
        if leaves[leaf] is not None:
            return leaves.pop(leaf)
    return None


def keep(state: State, entry: Entry, turn: Turn | None, place: Place) -> list[Event]:
    """Remember the branch's new end. A branch that has not grown for long is forgotten, its turn closed as unknown."""
    state.leaves[entry.id or ""] = turn
    if len(state.leaves) <= LEAVES:
        return []
    forgotten = state.leaves.pop(next(iter(state.leaves)))
    return [] if forgotten is None else end(state, forgotten, place, outcome(forgotten))


def is_queued(turn: Turn, submitted_ms: float | None) -> bool:
    """Whether a prompt was submitted while the turn was at work, and so steers it instead of beginning another."""
    return turn.stop != FAILED and submitted_ms is not None and submitted_ms <= milliseconds(turn.last)


def begin(state: State, place: Place, trigger: Trigger) -> tuple[Turn, TurnStart]:
    """Count a turn that the entry at `place` begins."""
    state.turns += 1
    turn = Turn(count=state.turns, key=place.key, started=place.at, last=place.at)
    return turn, TurnStart(key=place.key, time=place.at, session=state.session, turn=turn.count, trigger=trigger)


def outcome(turn: Turn) -> TurnOutcome:
    """How a turn ended that has no final answer: by its last error, or nobody knows."""
    return "failed" if turn.stop == FAILED else "unknown"


def end(state: State, turn: Turn, place: Place, outcome: TurnOutcome) -> list[Event]:
    """Close the turn and what is open in it. Only a stated outcome tells how long it took."""
    at: datetime = place.at if outcome in {"completed", "interrupted"} else turn.last
    events = calls.close_all(state, turn, at)
    events.append(
        TurnEnd(
            key=turn.key,
            time=at,
            session=state.session,
            turn=turn.count,
            outcome=outcome,
            duration_ms=None if outcome == "unknown" else between(turn.started, at),
            tool_calls=turn.tool_calls,
        )
    )
    return events
