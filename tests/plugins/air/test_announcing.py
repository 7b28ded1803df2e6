"""Sessions in AIr: it believes their first event for good, and takes a model from `agent_start` alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from forwarder_air import announced

from tests.http_peer import Reply
from tests.plugins.air.server import AirServer
from tests.plugins.air.telling import Engine, batch, batches, expected, life, shown, start, told, turn, usage


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AirServer]:
    async with AirServer() as running:
        yield running


def summary(server: AirServer, session: str = "s-1") -> dict[str, Any]:
    row = server.sessions[session]
    return {name: row[name] for name in ("agent", "cwd", "model", "provider")}


def types(server: AirServer) -> list[str]:
    """Of what AIr was sent, in order."""
    return [server.stored[id]["type"] for id in server.arrivals]


async def test_a_session_begins_with_its_start(server: AirServer) -> None:
    """Agent, folder and model are right from the first event on."""
    await Engine(server.url).run(batch(life()))

    assert types(server)[0] == "session_start"
    assert summary(server) == {"agent": "codex", "cwd": "/src/acme", "model": "gpt-5-codex", "provider": "openai"}


async def test_a_start_that_comes_late_is_sent_first(server: AirServer) -> None:
    """A hook may tell of a prompt before the transcript tells of the session."""
    prompt, *_ = turn(1)
    await Engine(server.url).run(batch([prompt, start(2)]))

    assert types(server) == ["session_start", "turn_start"]
    assert server.arrivals[0] == start(2)["id"]


async def test_a_session_whose_start_was_never_seen_is_announced(server: AirServer) -> None:
    """As far as its events tell: the forwarder was started in its middle, or `types` leaves starts out."""
    events = [event | {"cwd": "/src/acme"} for event in turn(1)]
    await Engine(server.url).run(batch(events))

    assert summary(server) == {"agent": "codex", "cwd": "/src/acme", "model": "gpt-5-codex", "provider": "openai"}
    assert server.arrivals[0] == "s-1-start"


async def test_each_session_is_announced_once(server: AirServer) -> None:
    """Across batches and restarts: the journal remembers which AIr knows."""
    events = [event for number in range(1, 5) for event in turn(number)]
    engine = Engine(server.url)
    await engine.run(*batches(events[:12], 5))
    await engine.run(*batches(events[12:], 5))

    assert types(server).count("session_start") == 1


async def test_nothing_of_a_session_is_sent_before_its_start_is_there(server: AirServer) -> None:
    """A start that could not be sent holds everything else back."""
    server.script(Reply(), Reply(503), Reply(), Reply(503))
    engine = Engine(server.url)
    await engine.run(*batches(life(), 1))

    assert len(engine.failures) == 2
    assert summary(server)["agent"] == "codex"


async def test_a_second_start_changes_no_total(server: AirServer) -> None:
    """A session that is resumed is told of again; AIr keeps the event and believes the first."""
    events = [*life(), start(50, reason="resume", model="gpt-5.2"), usage(51, model="gpt-5.2")]
    await Engine(server.url).run(batch(events))

    assert shown(server.sessions) == expected(events)
    assert summary(server)["model"] == "gpt-5.2"


async def test_the_model_is_told_when_it_becomes_known(server: AirServer) -> None:
    """Codex names its model in the first turn."""
    events = [start(model="", provider="openai"), told("turn_start", 1, turn=1, trigger="human")]
    await Engine(server.url).run(batch(events), batch([usage(2)]))

    assert types(server) == ["session_start", "turn_start", "agent_start", "token_usage", "cost"]
    assert summary(server)["model"] == "gpt-5-codex"


async def test_the_model_is_told_when_it_changes(server: AirServer) -> None:
    """`model_change` alone changes nothing in AIr."""
    events = [start(), usage(1), told("model_change", 2, model="gpt-5.2", provider="openai"), usage(3, model="gpt-5.2")]
    await Engine(server.url).run(*batches(events, 1))

    assert types(server).count("agent_start") == 1
    assert summary(server)["model"] == "gpt-5.2"


async def test_a_sub_agents_model_is_not_the_sessions(server: AirServer) -> None:
    """It would change to and fro; its tokens count."""
    events = [start(), usage(1, model="small", actor="reader"), usage(2)]
    await Engine(server.url).run(batch(events))

    assert summary(server)["model"] == "gpt-5-codex"
    assert shown(server.sessions) == expected(events)


async def test_a_sub_agents_start_is_not_the_sessions(server: AirServer) -> None:
    """Nor is it lost."""
    events = [start(1, actor="reader", model="small", cwd="/elsewhere"), start(2)]
    await Engine(server.url).run(batch(events))

    assert summary(server)["cwd"] == "/src/acme"
    assert sorted(map(str, server.arrivals)) == sorted(event["id"] for event in events)


async def test_money_runs_on_after_a_restart(server: AirServer) -> None:
    """AIr draws the running total of the newest event."""
    engine = Engine(server.url)
    await engine.run(batch([start(), usage(1), usage(2)]))
    await engine.run(batch([usage(3)]))

    costs = [event["cumulativeCost"] for event in server.stored.values() if event["type"] == "cost"]
    assert costs == [0.0125, 0.025, 0.0375]


async def test_a_batch_that_is_sent_again_moves_no_running_total(server: AirServer) -> None:
    """Only what is delivered counts."""
    server.script(Reply(), Reply(503), Reply(), Reply(503))
    await Engine(server.url).run(batch([start(), usage(1)]), batch([usage(2)]))

    costs = [event["cumulativeCost"] for event in server.stored.values() if event["type"] == "cost"]
    assert costs == [0.0125, 0.025]


async def test_what_belongs_to_no_session_is_gathered_by_agent(server: AirServer) -> None:
    """AIr would make a session without an id."""
    event = told("tool_usage", 1, agent="tool-usage", kind="script", name="deploy", scope="global", status="failed")
    del event["session_id"]
    await Engine(server.url).run(batch([event]))

    assert list(server.sessions) == ["tool-usage"]


async def test_only_the_newest_sessions_are_remembered(server: AirServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal does not fill with sessions; one that comes back is looked up and announced again."""
    monkeypatch.setattr(announced, "MAX_SESSIONS", 3)
    events = [event for number in range(5) for event in life(f"s-{number}")]
    engine = Engine(server.url)
    await engine.run(*batches(events, 9), batch([usage(60, session="s-0")]))

    assert set(engine.notes) == {"s-3", "s-4", "s-0"}
    assert shown(server.sessions) == expected([*events, usage(60, session="s-0")])


async def test_the_session_that_was_quiet_for_the_longest_is_forgotten(
    server: AirServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one that began first, which may be at work still."""
    monkeypatch.setattr(announced, "MAX_SESSIONS", 2)
    engine = Engine(server.url)
    await engine.run(*(batch([usage(number, session=id)]) for number, id in enumerate(["a", "b", "a", "c"])))

    assert set(engine.notes) == {"a", "c"}


async def test_two_sessions_of_one_moment_stay_two(server: AirServer) -> None:
    """Ids that begin with the time differ late: AIr's collector cuts them after twelve characters."""
    ids = ["01a1fba9-5a25-7c72-b44a-a31862805cd4", "01a1fba9-5a27-7aaa-8b1e-0c9a3f6d2e11"]
    events = [event for id in ids for event in life(id)]
    await Engine(server.url).run(batch(events))

    assert shown(server.sessions) == expected(events)
    assert list(server.sessions) == ids
