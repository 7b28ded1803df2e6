"""What every source must keep, whatever its files are: the same events from any checkpoint, fit to be sent.

A test calls `check_source`, which calls these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from forwarder.events import Event
from forwarder.source import Record, Source

State = TypeVar("State")


def mapped(source: Source[State], records: Sequence[Record], state: State) -> tuple[list[Event], State]:
    """The events of the records and the state behind them; a refused record is undone, as the engine does it."""
    events: list[Event] = []
    for record in records:
        before = msgspec.msgpack.encode(state)
        try:
            events += list(source.map(record, state))
        except Exception:  # noqa: BLE001 - stands for the engine's own edge: one record is lost, whatever was raised
            state = msgspec.msgpack.decode(before, type=type(state))
    return events, state


def is_refused(source: Source[State], record: Record, state: State) -> bool:
    """Whether `map` raises, whatever: then the record goes to the dead letters."""
    try:
        list(source.map(record, state))
    except Exception:  # noqa: BLE001 - any exception sends the record to the dead letters
        return True
    return False


def copied(state: State) -> State:
    """What the journal gives back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=type(state))


def check_cuts(
    source: Source[State], records: Sequence[Record], path: Path, *, stride: int, place: Callable[[int], str]
) -> list[Event]:
    """All events; from a checkpoint before each `stride` records these give the same events and leave the same state.

    `place` names the record of that index, for the complaint.
    """
    state, all_events = source.new_state(path), list[Event]()
    for start in range(0, len(records), stride):
        piece, saved = records[start : start + stride], copied(state)
        events, state = mapped(source, piece, state)
        resumed, resumed_state = mapped(source, piece, saved)
        where = f"cut at {place(start)}"
        assert resumed == events, f"{where} the events are not the same: {difference(events, resumed)}"
        assert copied(resumed_state) == copied(state), f"{where} the state is not the same after the next {stride}"
        all_events += events
    return all_events


def check_elsewhere(source: Source[State], records: Sequence[Record], path: Path, events: Sequence[Event]) -> None:
    """The same file in another folder tells the same."""
    elsewhere, _ = mapped(source, records, source.new_state(Path("/another/place", path.name)))
    assert elsewhere == events, f"the events depend on the folder of the file: {difference(events, elsewhere)}"


def check_events(events: Sequence[Event]) -> None:
    """They have keys and time zones, and can be encoded."""
    for event in events:
        assert event.key, f"{event} has an empty key"
        assert event.time.tzinfo is not None, f"{event} has a time without a zone"
        msgspec.json.encode(event)


def difference(wanted: Sequence[Event], got: Sequence[Event]) -> str:
    """The first event that is not the same, or the two numbers."""
    for one, other in zip(wanted, got, strict=False):
        if one != other:
            return f"{one} became {other}"
    return f"{len(wanted)} events became {len(got)}"
