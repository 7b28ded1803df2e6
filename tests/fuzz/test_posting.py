"""What is posted to the receivers of a running forwarder by those who mean no good, or cannot do better."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

import pytest

from forwarder.app.looking.schema import json_schema
from tests.app.test_wire_form import misfits
from tests.fuzz.odd_requests import Odd, odd_fields, odd_frames, odd_values, targets
from tests.fuzz.posting import TOKEN, Receivers

pytestmark = pytest.mark.slow

TAKEN = frozenset({200, 201, 202, 204, 409})  # the last says that it was before
SOME = 80  # odd values for each receiver; `make fuzz` sends all of them


@pytest.fixture
async def receivers(tmp_path: Path) -> AsyncGenerator[Receivers]:
    async with Receivers.running(tmp_path) as receivers:
        yield receivers


async def test_the_receivers_do_what_their_description_says(receivers: Receivers) -> None:
    """What it allows is taken, answers are those it tells of, and nothing else that is sent is an error of ours."""
    each = [receivers.round(name, examples=6, seed=1, phases="fuzzing") for name in receivers.ports]
    rounds = await asyncio.gather(*each)

    assert [one.problem for one in rounds if one.problem] == []
    assert all(one.answers.total() > 15 for one in rounds), rounds


async def test_no_odd_request_is_an_error_of_ours(receivers: Receivers) -> None:
    """Each is refused or taken, the next good one is taken as ever, and what was made of them is valid."""
    wrong: list[str] = []
    for name, port in receivers.ports.items():
        found = list(targets(await receivers.description(name), TOKEN))
        values = [one for target in found for one in odd_values(target)]
        odd: list[Odd] = [*Random(1).sample(values, SOME), *map(odd_fields, found), *odd_frames(found[0])]
        wrong += [f"{name}: {one}" for one in await receivers.misanswered(port, odd)]
        good = [Odd(f"good {one.path}", one.request(one.raw), TAKEN) for one in found]
        wrong += [f"{name}: {one}" for one in await receivers.misanswered(port, good)]
    kinds = json_schema()["$defs"]
    events = receivers.machine.journalled()
    wrong += [words for event in events for words in misfits(kinds[event["type"]], event, event["type"])]

    assert wrong == []
    assert events
