"""The session itself: who it is, whom it was forked from, which model it uses, when its context was compacted."""

from __future__ import annotations

import re
from collections.abc import Iterable

from forwarder import Compaction, Event, ModelChange, Session, SessionStart
from forwarder_pi import records, usage
from forwarder_pi.records import Entry, Header
from forwarder_pi.state import Lineage, Place, State, Turn

_NAME = re.compile(r"[^_/\\]*_([^/\\]+)\.jsonl\Z")


def id_in_name(path: str) -> str | None:
    """The session's id, as every version but v1 writes it into the file's name behind the time."""
    found = _NAME.search(path)
    return found[1] if found else None


def on_header(state: State, header: Header) -> Iterable[Event]:
    """The file's first line. In a fork, copies of the parent's lines follow, which are the parent's still."""
    if state.has_header:
        return ()
    state.has_header = True
    parent = id_in_name(header.parent_session) if header.parent_session else None
    own = Session(agent="pi", id=header.id or state.session.id, parent_id=parent, cwd=header.cwd)
    state.session = own
    is_fork = header.parent_session is not None or header.branched_from is not None
    if is_fork:
        state.lineage = Lineage(own, header.timestamp)
        if parent is not None:
            state.session = Session(agent="pi", id=parent, cwd=header.cwd)
    return (SessionStart(key=(own.id,), time=header.timestamp, session=own, reason="fork" if is_fork else "startup"),)


def end_copies(state: State, entry: Entry) -> None:
    """From the first line that is younger than the header on, the lines are the file's own; turns are counted anew."""
    if state.lineage is not None and entry.timestamp >= state.lineage.created:
        state.session, state.lineage = state.lineage.own, None
        state.leaves, state.turns = {}, 0


def on_model_change(state: State, change: records.ModelChange, turn: Turn | None, place: Place) -> list[Event]:
    """The first one of a session only says what it begins with."""
    before, provider = state.model, state.provider
    state.model, state.provider = change.model_id, change.provider
    if before is None or (before, provider) == (change.model_id, change.provider):
        return []
    return [
        ModelChange(
            key=place.key,
            time=place.at,
            session=state.session,
            turn=turn.count if turn else None,
            model=change.model_id,
            previous_model=before,
            provider=change.provider,
        )
    ]


def on_compaction(state: State, entry: records.Compaction, turn: Turn | None, place: Place) -> list[Event]:
    """The file does not say who asked for it; the summary was paid for like an answer."""
    count = turn.count if turn else None
    told = Compaction(
        key=place.key,
        time=place.at,
        session=state.session,
        turn=count,
        trigger="unknown",
        tokens_before=entry.tokens_before,
        summary_chars=len(entry.summary) or None,
    )
    return [told, *_summarised(state, entry, place, count)]


def on_branch_summary(state: State, entry: records.BranchSummary, turn: Turn | None, place: Place) -> list[Event]:
    """Nothing was compacted; the summary was paid for."""
    return _summarised(state, entry, place, turn.count if turn else None)


def on_side_usage(state: State, entry: records.SideUsage, turn: Turn | None, place: Place) -> list[Event]:
    """A request beside the conversation."""
    count = turn.count if turn else None
    return usage.spent(
        state, entry.usage, place, turn=count, model=entry.model, provider=entry.provider, purpose="helper"
    )


def _summarised(
    state: State, entry: records.Compaction | records.BranchSummary, place: Place, turn: int | None
) -> list[Event]:
    """The session's model writes summaries, unless an extension does."""
    is_own = not entry.from_hook
    return usage.spent(
        state,
        entry.usage,
        place,
        turn=turn,
        model=state.model if is_own else None,
        provider=state.provider if is_own else None,
        purpose="compaction" if isinstance(entry, records.Compaction) else "helper",
    )
