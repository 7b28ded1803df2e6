"""What the model answered: text, tool calls, usage, and the errors that Claude Code shows in an answer's place."""

from __future__ import annotations

from collections.abc import Iterable

from forwarder import Event, ModelChange, Response, text_digest, text_size
from forwarder_claude_code import calls, facts, turns, usage
from forwarder_claude_code.facts import Moment
from forwarder_claude_code.records import Block, Line, text_of
from forwarder_claude_code.state import Transcript

LAST = frozenset({"end_turn", "stop_sequence", "refusal"})  # after any other reason the same turn goes on


def on_answer(state: Transcript, line: Line, at: Moment) -> list[Event]:
    """The events of one line; of an answer with several blocks each has a line."""
    message = line.message
    if message is None:
        return []
    if message.model == usage.SYNTHETIC or line.isApiErrorMessage:
        return _on_failure(state, line, at) if line.isApiErrorMessage else []
    is_main = not line.isSidechain and at.session.actor is None
    events: list[Event] = [*_model(state, line, at)] if is_main else []
    events += usage.on_answer(state, line, at)
    blocks = message.content if isinstance(message.content, list) else [Block(type="text", text=message.content)]
    for block in blocks:
        if block.type == "text" and block.text:
            events.append(_response(at, line, block.text))
        elif block.type == "tool_use":
            events += calls.on_use(state, block, at)
    has_said = any(block.type == "text" for block in blocks)
    is_last = message.stop_reason in LAST
    if is_last and has_said:
        events += turns.end(state, at, "completed") if is_main else turns.close_calls(state, at)
    elif is_main:
        state.turn.is_answered = is_last or (has_said and message.stop_reason is None)
    return events


def _response(at: Moment, line: Line, text: str) -> Response:
    message_id = line.message.id if line.message else None
    return Response(
        key=(message_id or line.uuid or "", text_digest(text)),
        time=at.time,
        session=at.session,
        turn=at.turn,
        bytes=text_size(text),
        chars=len(text),
        response_id=message_id,
        text=text,
    )


def _model(state: Transcript, line: Line, at: Moment) -> Iterable[Event]:
    """A change shows in the first answer of the other model."""
    before, now = state.model, line.message.model if line.message else None
    state.model = now or before
    if now is not None and before is not None and now != before and line.message is not None:
        key = (line.message.id or line.uuid or "",)
        yield ModelChange(key=key, time=at.time, session=at.session, turn=at.turn, model=now, previous_model=before)


def _on_failure(state: Transcript, line: Line, at: Moment) -> list[Event]:
    """The error that Claude Code shows in place of an answer."""
    kind = line.error if isinstance(line.error, str) else None
    is_main = at.session.actor is None and not line.isSidechain
    key = (state.turn.key if is_main else None) or line.uuid or ""  # a side chain's error is none of the turn's
    failed = facts.model_error(at, key, kind, text_of(line), line.apiErrorStatus)
    return [failed, *(turns.end(state, at, "failed") if is_main else ())]
