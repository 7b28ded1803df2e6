"""A forwarder's sink `air` that posts to another forwarder's receiver: what arrives is what was told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from forwarder_air.receive import Air

from forwarder import Event, TokenUsage, ToolCallEnd, ToolCallStart, TurnEnd
from forwarder.testing import receiving
from tests.plugins.air.telling import Engine, batches, life


def counted(events: list[Event]) -> dict[str, Any]:
    usages = [one for one in events if isinstance(one, TokenUsage)]
    return {
        "input": sum(one.input_tokens for one in usages),
        "cached": sum(one.cached_input_tokens for one in usages),
        "output": sum(one.output_tokens for one in usages),
        "cost": sum(one.cost_usd or 0 for one in usages),
        "calls": sum(isinstance(one, ToolCallStart) for one in events),
        "ends": sum(isinstance(one, ToolCallEnd) and one.outcome == "error" for one in events),
        "turns": sum(isinstance(one, TurnEnd) for one in events),
        "agents": {one.session.agent for one in events},
    }


LIFE = {
    "input": 3000,
    "cached": 1200,
    "output": 150,
    "cost": Decimal("0.0375"),
    "calls": 3,
    "ends": 3,
    "turns": 3,
    "agents": {"codex"},
}


@pytest.mark.parametrize("answers", ["honest", "air"])
async def test_the_totals_survive_the_way_from_one_forwarder_to_another(answers: Any) -> None:
    """Tokens with their cached part, the money once, and whose it is."""
    async with receiving(Air(answers=answers)) as posted:
        engine = Engine(posted.url)
        await engine.run(*batches(life(), 5))

    assert counted(posted.events) == LIFE
    assert (engine.refused, engine.failures) == ({}, [])


@pytest.mark.slow
@pytest.mark.parametrize("answers", ["honest", "air"])
async def test_what_is_sent_again_after_a_kill_moves_no_total(answers: Any) -> None:
    """On either side: the sink does not know that it was sent, or the receiver no longer lists what it took."""
    known, notes, before = set[bytes](), dict[str, bytes](), list[Event]()
    for _ in range(2):
        async with receiving(Air(answers=answers), known=known, notes=notes) as posted:
            engine = Engine(posted.url)
            await engine.deaf(batches(life(), 5)[0])
            await engine.run(*batches(life(), 5))
        before += posted.events

    assert counted(before) == LIFE
