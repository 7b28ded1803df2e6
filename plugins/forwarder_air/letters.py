"""The events of a batch as what is sent to AIr: in order, each session's start first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from msgspec import json
from msgspec.structs import replace

from forwarder_air.announced import Announced, Known
from forwarder_air.outgoing import (
    Event,
    Fields,
    air_event,
    breakdown,
    enveloped,
    money,
    session_of,
    turn_latency,
)

MAX_EVENTS = 500  # a request that fails half-way is sorted out event by event (contract, 1.17)

_to_json = json.Encoder(decimal_format="number").encode


@dataclass(frozen=True)
class Letter:
    """One event of AIr: `id` is the one that AIr knows it by, `event` that of ours which it follows from.

    `is_repeated`: it comes out of a replay, and may have been sent by somebody before.
    """

    id: str
    event: str
    session: str
    body: bytes
    is_repeated: bool


def letters(events: Sequence[Event], announced: Announced) -> list[Letter]:
    """What is to be sent for the events; `announced` is told what AIr will then know."""
    first: dict[str, list[Event]] = {}
    for event in events:
        first.setdefault(session_of(event), []).append(event)
    told: set[str] = set()
    found: list[Letter] = []
    for event in events:
        session = session_of(event)
        if announced.get(session) is None:
            start, fields = _start(first[session])
            told.add(start["id"])
            announced.set(session, Known(model=str(fields["model"]), provider=str(fields["provider"])))
            found.append(_letter(start, fields))
        if not _is_start(event) or event["id"] not in told:
            found += [_letter(event, fields) for fields in _all_of(event, announced)]
    return found


def chunks(waiting: Sequence[Letter], max_bytes: int) -> Iterator[list[Letter]]:
    """In order, each within `max_bytes` as a JSON array and `MAX_EVENTS`; a larger letter is alone."""
    chunk: list[Letter] = []
    size = 1
    for letter in waiting:
        if chunk and (size + len(letter.body) + 1 > max_bytes or len(chunk) >= MAX_EVENTS):
            yield chunk
            chunk, size = [], 1
        chunk.append(letter)
        size += len(letter.body) + 1
    if chunk:
        yield chunk


def _is_start(event: Event) -> bool:
    return event["type"] == "session_start" and "actor" not in event


def _start(events: Sequence[Event]) -> tuple[Event, Fields]:
    """The session's own start where the batch has one, else one made of what its events tell; and whose event it is."""
    for event in events:
        if _is_start(event):
            return event, air_event(_completed(event, events))
    made = _completed({**events[0], "type": "session_start", "reason": "seen"}, events)
    return events[0], air_event(made) | {"id": f"{session_of(made)}-start"}


def _completed(start: Event, events: Sequence[Event]) -> dict[str, Any]:
    """Folder and model, which other events may tell; AIr takes them from the first start alone."""
    told: dict[str, Any] = {}
    for event in events:
        if "cwd" in event:
            told.setdefault("cwd", event["cwd"])
        if "model" in event and "actor" not in event and event["type"] in {"token_usage", "model_change"}:
            told.setdefault("model", event["model"])
            told.setdefault("provider", event.get("provider", ""))
    return told | dict(start) if "model" in start else told | {k: v for k, v in start.items() if k != "provider"}


def _all_of(event: Event, announced: Announced) -> Iterator[Fields]:
    session = session_of(event)
    yield from _agent_start(event, session, announced)
    yield air_event(event)
    known = announced.get(session) or Known()
    match event["type"]:
        case "token_usage" if event.get("cost_usd"):
            spent = known.spent + Decimal(str(event["cost_usd"]))
            announced.set(session, replace(known, spent=spent))
            yield money(event, spent=float(spent))
        case "turn_end" if "duration_ms" in event:
            yield turn_latency(event, model=known.model, provider=known.provider)
        case "context_snapshot" if (parts := breakdown(event)) is not None:
            yield parts
        case _:
            pass


def _agent_start(event: Event, session: str, announced: Announced) -> Iterator[Fields]:
    """AIr takes a session's model from this type alone. A sub-agent's is not the session's."""
    known = announced.get(session) or Known()
    model = event.get("model") if event["type"] in {"session_start", "token_usage", "model_change"} else None
    provider = event.get("provider", known.provider if model == known.model else "")
    if not model or "actor" in event or (model, provider) == (known.model, known.provider):
        return
    announced.set(session, replace(known, model=model, provider=provider))
    yield enveloped(event, "agent_start", {"model": model, "provider": provider, "thinkingLevel": ""}, suffix="-agent")


def _letter(event: Mapping[str, Any], fields: Fields) -> Letter:
    return Letter(
        id=str(fields["id"]),
        event=event["id"],
        session=str(fields["sessionId"]),
        body=_to_json(fields),
        is_repeated=bool(event.get("origin", {}).get("replay")),
    )
