"""What was submitted, what the model answered, what it cost and how it went wrong."""

from __future__ import annotations

import re

import msgspec

from forwarder import Event, ModelError, Prompt, Response, UserCommand, text_digest, text_size
from forwarder_pi import calls, turns, usage
from forwarder_pi.content import joined
from forwarder_pi.records import Assistant, BashExecution, ToolResult, User
from forwarder_pi.state import Place, State, Turn

_STATUS = re.compile(r"(?P<status>[1-5]\d\d)\b\s*(?P<body>\{.*\})?", re.DOTALL)


def on_user(state: State, message: User, turn: Turn | None, place: Place) -> tuple[Turn, list[Event]]:
    """A prompt: it begins a turn, unless it was submitted while one was at work."""
    events: list[Event] = []
    if turn is None or not turns.is_queued(turn, message.timestamp):
        if turn is not None:
            events += turns.end(state, turn, place, turns.outcome(turn))
        turn, started = turns.begin(state, place, "human")
        events.append(started)
    text = joined(message.content)
    events.append(
        Prompt(
            key=place.key,
            time=place.at,
            session=state.session,
            turn=turn.count,
            bytes=text_size(text),
            chars=len(text),
            sha256=text_digest(text),
            text=text,
        )
    )
    return turn, events


def on_assistant(state: State, message: Assistant, turn: Turn | None, place: Place) -> tuple[Turn | None, list[Event]]:
    """One answer. Without an open turn an extension asked for it."""
    events: list[Event] = []
    if turn is None:
        turn, started = turns.begin(state, place, "machine")
        events.append(started)
    state.model, state.provider = message.model or state.model, message.provider or state.provider
    events += _answer(state, message, turn, place)
    events += usage.spent(
        state,
        message.usage,
        place,
        turn=turn.count,
        model=message.model,
        provider=message.provider,
        response_id=message.response_id,
    )
    for block in message.content:
        if block.type == "toolCall":
            events += calls.start(state, turn, block, place)
    turn.stop = message.stop_reason or ""
    if turn.stop == turns.FAILED:
        turn.errors += 1
        events.append(_error(state, message, turn, place))
    if (outcome := turns.FINAL.get(turn.stop)) is not None:
        return None, events + turns.end(state, turn, place, outcome)
    return turn, events


def on_result(state: State, message: ToolResult, turn: Turn | None, place: Place) -> list[Event]:
    """The end of a call, and what models that the tool asked have used."""
    events = calls.finish(state, turn, message, place)
    count = turn.count if turn else None
    return events + usage.spent(state, message.usage, place, turn=count, model=None, provider=None, purpose="helper")


def on_command(state: State, message: BashExecution, turn: Turn | None, place: Place) -> list[Event]:
    """`!command`: the person's own."""
    return [
        UserCommand(
            key=place.key,
            time=place.at,
            session=state.session,
            turn=turn.count if turn else None,
            exit_code=message.exit_code,
            input=message.command,
        )
    ]


def _answer(state: State, message: Assistant, turn: Turn, place: Place) -> list[Event]:
    text = joined(message.content)
    if not text:
        return []
    return [
        Response(
            key=place.key,
            time=place.at,
            session=state.session,
            turn=turn.count,
            bytes=text_size(text),
            chars=len(text),
            response_id=message.response_id,
            text=text,
        )
    ]


class _Detail(msgspec.Struct, gc=False):
    type: str | None = None


class _Body(msgspec.Struct, gc=False):
    error: _Detail | None = None


_decode_body = msgspec.json.Decoder(_Body).decode


def _error(state: State, message: Assistant, turn: Turn, place: Place) -> ModelError:
    """`529 {"type":"error","error":{"type":"overloaded_error",...}}`; other errors are only words."""
    words = message.error_message or ""
    found = _STATUS.match(words)
    return ModelError(
        key=place.key,
        time=place.at,
        session=state.session,
        turn=turn.count,
        error_type=_error_type(found["body"]) if found and found["body"] else None,
        status=int(found["status"]) if found else None,
        attempt=turn.errors,
        message=words,
    )


def _error_type(body: str) -> str | None:
    try:
        error = _decode_body(body).error
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return error.type if error else None
