"""What people submitted and what the model answered. Each text is stored two or three times; one place counts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from forwarder import Event, Prompt, Response, text_digest, text_size
from forwarder_codex import turns
from forwarder_codex.calls import joined
from forwarder_codex.records import AgentMessage, Completed, Ignored, Line, Message, MessageItem, UserMessage
from forwarder_codex.state import State

WRITTEN_BY_CODEX = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions",
    "<turn_aborted>",
    "<user_action>",
    "<subagent_notification>",
)


def on_user_event(state: State, line: Line[UserMessage]) -> Iterable[Event]:
    """Legacy: what was submitted; 0.34 and 0.36 mark with a kind what Codex wrote itself."""
    if line.payload.kind not in {None, "plain"}:
        return ()
    return _prompt(state, line.timestamp, line.payload.message)


def on_user_item(state: State, line: Line[Completed[MessageItem]]) -> Iterable[Event]:
    """What was submitted; pictures among it are left out."""
    return _prompt(state, line.timestamp, joined(line.payload.item.content))


def on_agent_event(state: State, line: Line[AgentMessage]) -> Iterable[Event]:
    """Legacy: one answer."""
    return _response(state, line.timestamp, line.payload.message)


def on_agent_item(state: State, line: Line[Completed[MessageItem]]) -> Iterable[Event]:
    """One answer, commentary included."""
    return _response(state, line.timestamp, joined(line.payload.item.content))


def on_bare_message(state: State, line: Line[Message]) -> Iterable[Event]:
    """Bare files have no events: the messages themselves count, except those that Codex wrote in the user's name."""
    text = joined(line.payload.content)
    if line.payload.role == "assistant":
        return _response(state, line.timestamp, text)
    if line.payload.role == "user" and not text.startswith(WRITTEN_BY_CODEX):
        return _prompt(state, line.timestamp, text)
    return ()


def on_message(state: State, line: Line[Ignored]) -> Iterable[Event]:
    """The model's copy of a message says only whether the next usage is that of a compaction."""
    if line.metadata is not None and line.metadata.compaction_output:
        state.tokens.is_compacting = True
    return ()


def on_review_begins(state: State, line: Line[Ignored]) -> Iterable[Event]:
    """Until its end the prompts are those that Codex writes for the reviewer."""
    state.turn.is_review = True
    return ()


def on_review_ends(state: State, line: Line[Ignored]) -> Iterable[Event]:
    """Prompts are a person's again."""
    state.turn.is_review = False
    return ()


def _prompt(state: State, at: datetime, text: str) -> Iterable[Event]:
    """Before turn marks existed each prompt began a turn; since, several can steer one. A review's are Codex's own."""
    if state.turn.is_review:
        return ()
    events: list[Event] = []
    if not state.has_turn_marks:
        events = turns.begin(state, at, None, is_marked=False, trigger=state.trigger)
    turn = state.turn
    turn.prompts += 1
    events.append(
        Prompt(
            key=(state.session.id, turn.key, turn.prompts),
            time=at,
            session=state.session,
            turn=turn.count or None,
            bytes=text_size(text),
            chars=len(text),
            sha256=text_digest(text),
            text=text,
        )
    )
    return events


def _response(state: State, at: datetime, text: str) -> Iterable[Event]:
    turn, session = state.turn, state.session
    number = turn.responses = turn.responses + 1
    event = Response(
        key=(session.id, turn.key, number),
        time=at,
        session=session,
        turn=turn.count or None,
        bytes=text_size(text),
        chars=len(text),
        text=text,
    )
    return (event,)
