"""What was measured of AIr's server (contract 1.16, rows 21 to 26), and that it does not hold here."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from forwarder_air.receive import Air

from forwarder import SessionStart, TokenUsage, ToolCallEnd, ToolCallStart, TurnEnd
from forwarder.pipeline.sightings import Sightings
from forwarder.testing import Posted, receiving
from tests.plugins.air.samples import AT, FIELDS, event, post
from tests.plugins.air.test_receiver_socket import collecting, end, numbers, until
from tests.raw_http import exchange, request

ONE, BATCH = "/api/ingest", "/api/ingest/batch"


async def posted_once_and_again(*requests: list[dict[str, Any]]) -> Posted:
    async with receiving(Air()) as posted:
        for _ in range(2):
            for one in requests:
                await post(posted, BATCH, one)
    return posted


async def test_21_a_failure_is_no_success() -> None:
    """AIr answers 200."""
    async with receiving(Air()) as posted:
        answers = [await post(posted, ONE, event("token_usage", cost=...)), await post(posted, BATCH, [None])]

    assert [one.status for one in answers] == [400, 400]


async def test_21_nothing_is_half_stored() -> None:
    """AIr keeps the event that it refuses, and drops what stands behind it in the batch."""
    async with receiving(Air()) as posted:
        await post(posted, BATCH, [event("session_end"), event("token_usage", cost=...), event("turn_end")])

    assert [type(one).__name__ for one in posted.events] == ["SessionEnd", "TurnEnd"]


@pytest.mark.slow
@pytest.mark.parametrize("answers", ["honest", "air"])
async def test_21_a_repeat_counts_nothing_twice(answers: Any) -> None:
    """Also after a restart, and as one of a batch or alone; AIr's totals grow each time."""
    known, notes, told = set[bytes](), dict[str, bytes](), list[int]()
    everything = [event(kind) for kind in FIELDS]
    for _ in range(2):
        async with receiving(Air(answers=answers), known=known, notes=notes) as posted:
            await post(posted, BATCH, everything)
            for one in everything:
                await post(posted, ONE, one)
            told.append(len(posted.events))

    assert told[0] > len(FIELDS)
    assert told[1] == 0


async def test_22_a_late_start_counts() -> None:
    """AIr ignores it: agent `unknown` and no folder for good."""
    posted = await posted_once_and_again([event("turn_end")], [event("session_start")], [event("turn_end", id="e2")])
    start = next(one for one in posted.events if isinstance(one, SessionStart))

    assert (start.session.cwd, start.session.agent) == ("/home/dev/shop", "codex")
    assert [one.session.agent for one in posted.events if isinstance(one, TurnEnd)] == ["air", "codex"]


async def test_22_whose_a_session_is_outlives_a_restart() -> None:
    """It is noted in the journal."""
    notes = dict[str, bytes]()
    async with receiving(Air(), notes=notes) as posted:
        await post(posted, ONE, event("session_start"))
    async with receiving(Air(), notes=notes) as posted:
        await post(posted, ONE, event("turn_end"))

    assert [one.session.agent for one in posted.events] == ["codex"]


async def test_22_a_request_that_failed_teaches_nothing() -> None:
    """It comes again, and is noted then."""
    notes = dict[str, bytes]()
    async with receiving(Air(), notes=notes) as posted:
        posted.is_full = True
        await post(posted, ONE, event("session_start"))
        posted.is_full = False
        await post(posted, ONE, event("turn_end"))
        await post(posted, ONE, event("session_start"))

    assert [one.session.agent for one in posted.events] == ["air", "codex"]
    assert len(notes) == 1


async def test_22_the_last_event_does_not_go_back() -> None:
    """AIr takes the time of whatever comes last."""
    posted = await posted_once_and_again([event("turn_end"), event("session_end", timestamp=AT - 60_000)])
    sightings = Sightings()
    for one in posted.events:
        sightings.see(one)

    assert [row.last for row in sightings.rows(str)] == [AT / 1000]


async def test_22_an_end_before_its_start_keeps_its_duration() -> None:
    """AIr's later start replaces the row."""
    posted = await posted_once_and_again([event("tool_call_end")], [event("tool_call_start")])
    ended, started = posted.events

    assert isinstance(started, ToolCallStart)
    assert isinstance(ended, ToolCallEnd)
    assert (ended.duration_ms, ended.call_id) == (12, started.call_id)


async def test_23_ids_are_those_of_a_session() -> None:
    """Of events and of calls; AIr replaces the other session's."""
    ours, others = (
        [event("tool_call_end", sessionId=one), event("session_end", sessionId=one)] for one in ("s1", "s2")
    )
    posted = await posted_once_and_again(ours, others)

    assert sorted(one.session.id for one in posted.events) == ["s1", "s1", "s2", "s2"]


async def test_24_the_cost_of_a_turn_counts_once() -> None:
    """AIr adds up both events that tell of it."""
    posted = await posted_once_and_again([event("token_usage"), event("cost")])

    assert sum(one.cost_usd or 0 for one in posted.events if isinstance(one, TokenUsage)) == Decimal("0.1")


async def test_24_a_call_that_is_told_in_two_ways_counts_once() -> None:
    """Whole, and by its start and end."""
    both = event("tool_call", toolCallId="c1")
    posted = await posted_once_and_again([event("tool_call_start"), event("tool_call_end"), both])

    assert [type(one).__name__ for one in posted.events] == ["ToolCallStart", "ToolCallEnd", "Custom"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
async def test_25_no_page_gets_in(content_type: str) -> None:
    """AIr tells every browser page that it may."""
    async with receiving(Air()) as posted:
        headers = {"Origin": "https://page.example", "Content_Type": content_type}
        posting = await post(posted, ONE, event("session_end"), **headers)
        asking = await exchange(posted.port, request("OPTIONS", ONE, Origin="https://page.example"))
        reading = await exchange(posted.port, request("GET", "/api/config", Origin="https://page.example"))

    assert [one.status for one in (posting, asking, reading)] == [403] * 3
    assert not any(name.startswith("access-control") for one in (posting, asking, reading) for name in one.headers)
    assert posted.events == []


async def test_25_a_page_that_is_named_gets_in() -> None:
    """It alone, by `cors_origins`."""
    async with receiving(Air(), cors_origins=["https://page.example"]) as posted:
        answer = await post(posted, ONE, event("session_end"), Origin="https://page.example")

    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://page.example")


async def test_25_no_name_of_another_host_gets_in() -> None:
    """As when a page has its own name resolved to this machine."""
    async with receiving(Air()) as posted:
        answer = await post(posted, ONE, event("session_end"), Host="page.example")

    assert (answer.status, posted.events) == (403, [])


async def test_25_only_this_machine_is_listened_to() -> None:
    """AIr listens on every address."""
    assert Air().serving().listen == "127.0.0.1:5200"


async def test_25_a_token_is_asked_for() -> None:
    """Everywhere but for the health check."""
    async with receiving(Air(), token="secret") as posted:
        without = [
            await post(posted, ONE, event("session_end")),
            await exchange(posted.port, request("GET", "/api/config")),
            await exchange(posted.port, request("GET", "/api/health")),
        ]
        with_it = await post(posted, ONE, event("session_end"), Authorization="Bearer secret")

    assert [one.status for one in without] == [401, 401, 200]
    assert with_it.status == 200


@pytest.mark.slow
async def test_26_frames_wait_for_room() -> None:
    """The sender cannot be told to send again: nothing more is read from it until there is."""
    async with receiving(Air()) as posted, collecting(posted) as socket:
        posted.is_full = True
        for number in range(3):
            await socket.send(end(number))
        await socket.close()
        posted.is_full = False
        await until(lambda: len(posted.events) == 3)

    assert numbers(posted) == ["e0", "e1", "e2"]


async def test_no_secret_is_noted_or_shown() -> None:
    """What comes from outside may hold one wherever it likes."""
    secret, notes = "ghp_0123456789abcdefghijABCDEFGHIJ012345", dict[str, bytes]()
    async with receiving(Air(), notes=notes) as posted:
        await post(posted, ONE, event("session_start", agent=secret, model=secret, sessionId=secret))
        await post(posted, ONE, event("mcp_request", serverName=secret))
        await post(posted, "/api/providers/rag", {"name": secret, "description": f"at {secret}"})
        await post(posted, ONE, {"id": secret, "sessionId": "s2", "timestamp": 1, "type": f"at {secret}"})
        pages = [
            (await exchange(posted.port, request("GET", path))).body.decode()
            for path in ("/api/config", "/api/sessions/s2/events")
        ]

    assert len(notes) == 1
    assert secret not in f"{notes} {pages}"
    assert pages[1].count("[REDACTED]") == 2


async def test_a_session_that_is_named_after_an_index_has_no_secret_in_its_name() -> None:
    """Ids stay as they are told; this one is made here."""
    secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
    async with receiving(Air()) as posted:
        for path, name in (("rag/index", "source"), ("providers/rag", "name")):
            await post(posted, f"/api/{path}", {name: f"kb {secret}"})

    assert {one.session.id for one in posted.events} == {"rag-kb [REDACTED]"}
