"""What the daemon answers to a batch, and which of its metrics it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from forwarder_pi_daemon.outgoing import Outgoing

VALIDATION = "VALIDATION_ERROR"


class _Batch(msgspec.Struct):
    success: int
    failed: list[Any] = []


@dataclass
class Outcome:
    """`rest` are the places of metrics that may be taken the next time, `refused` those that never will be, with why.

    `unknown` failed, and the answer does not tell which they are.
    """

    rest: list[int] = field(default_factory=list[int])
    refused: dict[int, str] = field(default_factory=dict[int, str])
    unknown: int = 0
    reason: str = ""


def outcome(text: str, metrics: Sequence[Outgoing]) -> Outcome | None:
    """The answer 200 to a batch of these metrics; None for what no pi-daemon answers.

    What an element of `failed` looks like is not documented: it is known by its `index`, else by its `name`, where the
    answer has as many of that name as were sent.
    """
    try:
        answer = msgspec.json.decode(text, type=_Batch)
    except (msgspec.DecodeError, RecursionError):
        return None
    missing = len(metrics) - answer.success
    if missing <= 0:
        return Outcome()
    found = Outcome()
    for place, element in _places(answer.failed, metrics):
        words = f"{element.get('code', 'no code')}: {element.get('error', 'no reason')}"
        found.reason = found.reason or words
        if element.get("code") == VALIDATION:
            found.refused[place] = words
        else:
            found.rest.append(place)
    found.rest.sort()
    found.unknown = max(0, missing - len(found.rest) - len(found.refused))
    return found


def _places(failed: Sequence[Any], metrics: Sequence[Outgoing]) -> list[tuple[int, dict[str, Any]]]:
    """The place of each metric that failed with the answer's words for it, every place once."""
    elements = [cast("dict[str, Any]", one) if isinstance(one, dict) else {"name": one} for one in failed]
    places: dict[int, dict[str, Any]] = {}
    nameless: list[dict[str, Any]] = []
    for element in elements:
        index = element.get("index")
        if type(index) is int and 0 <= index < len(metrics):
            places[index] = element
        elif isinstance(element.get("name"), str):
            nameless.append(element)
    sent, told = Counter(one.form["name"] for one in metrics), Counter(one["name"] for one in nameless)
    for element in nameless:
        if told[element["name"]] == sent[element["name"]]:
            own = (place for place, one in enumerate(metrics) if one.form["name"] == element["name"])
            places.setdefault(next(place for place in own if place not in places), element)
    return list(places.items())
