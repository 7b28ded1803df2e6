"""The check that authors of receivers use finds what it promises to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest
from msgspec import Struct
from msgspec.json import Decoder

from forwarder import Accept, Answer, Receiver, Refused, Request
from forwarder.testing import check_receiver
from tests.server.acme import Acme

NOTE = Request("POST", "/notes", {"Content-Type": "application/json"}, body=b'{"id":"n1","text":"hello"}')


class Note(Struct):
    """What is posted."""

    id: str


NOTES = Decoder(Note)


@dataclass
class Typed(Acme):
    """Looks at what it gets."""

    async def take(self, request: Request, accept: Accept) -> Answer:
        request.decode(NOTES)
        return await super().take(request, accept)


class Silent(Typed):
    """Takes and tells nothing."""

    async def take(self, request: Request, accept: Accept) -> Answer:
        await accept([])
        return Answer(201)


class Forgetful(Typed):
    """Makes ids of its own."""

    numbers = count()

    async def take(self, request: Request, accept: Accept) -> Answer:
        request.json()
        return Answer.json(await accept([self.event(str(next(self.numbers)), "")]))


class Deaf(Typed):
    """Says that it took what it did not."""

    async def take(self, request: Request, accept: Accept) -> Answer:
        try:
            return await super().take(request, accept)
        except Refused as refusal:
            return Answer(201) if refusal.status == 503 else Answer(400)


class Strict(Typed):
    """Takes nothing twice."""

    async def take(self, request: Request, accept: Accept) -> Answer:
        answer = await super().take(request, accept)
        return answer if answer.body == b'{"new":1}' else Answer(500)


async def test_a_good_receiver_passes() -> None:
    """And its events are returned, to be looked at."""
    (event,) = await check_receiver(Typed, NOTE)

    assert event.key == ("n1",)


@pytest.mark.parametrize(
    ("receiver", "words"),
    [
        (Acme, "was answered 500"),
        (Silent, "no new event was given to `accept`"),
        (Forgetful, "told something new"),
        (Deaf, "a full journal must be answered 503, not 201"),
        (Strict, "a repeated request was answered 500"),
    ],
)
async def test_a_broken_promise_is_named(receiver: Callable[[], Receiver], words: str) -> None:
    """Each in its own words."""
    with pytest.raises(AssertionError, match=words):
        await check_receiver(receiver, NOTE)
