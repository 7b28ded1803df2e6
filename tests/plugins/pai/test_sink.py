"""The sink `pai` against both servers: what every answer does, and that nothing is lost or counted twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from forwarder_pai import Pai
from forwarder_pai.outgoing import Profile
from forwarder_pai.sink import PaiSink

from forwarder import (
    AgentSpawn,
    Batch,
    ConfigError,
    Notification,
    Rejected,
    Secret,
    SessionEnd,
    SessionStart,
    ToolCallEnd,
    ToolCallStart,
    TurnStart,
    Unavailable,
)
from forwarder.testing import check_sink, receiving
from tests.http_peer import Reply, Trouble
from tests.plugins.pai.destination import Observability, example
from tests.plugins.pai.server import PaiServer, RealServer, SeedServer

SERVERS: dict[Profile, Callable[[], PaiServer]] = {"seed": SeedServer, "server": RealServer}
TIME = "2026-11-20T10:00:00.000Z"


@pytest.fixture(params=["seed", "server"])
def profile(request: pytest.FixtureRequest) -> Profile:
    return "seed" if request.param == "seed" else "server"


@pytest.fixture
async def server(profile: Profile) -> AsyncGenerator[PaiServer]:
    with closing(SERVERS[profile]()) as server:
        async with server:
            yield server


@pytest.fixture
def sink(profile: Profile, server: PaiServer) -> PaiSink:
    return PaiSink(profile=profile, url=server.base)


def event(number: int, type: str = "tool_call_end", **fields: Any) -> dict[str, Any]:
    head = {"id": f"{number:032x}", "type": type, "time": TIME, "agent": "codex", "session_id": "s/1"}
    call = {"call_id": f"c{number}", "tool": f"t{number}", "tool_kind": "shell", "outcome": "ok", "ok": True}
    return head | (call if type == "tool_call_end" else {}) | fields


def batch(*events: dict[str, Any]) -> Batch:
    return Batch(tuple(json.dumps(one, separators=(",", ":")).encode() for one in events))


CALLS = batch(*(event(number) for number in range(1, 6)))
TOOLS = [f"t{number}" for number in range(1, 6)]


def tools(server: PaiServer) -> list[str]:
    """The tools of the calls that were stored, in order, as often as they were."""
    return [post["data"]["tool"] for post in server.posts]


async def insist(sink: PaiSink, what: Batch) -> list[Unavailable]:
    """Send as the engine does, until the batch is acknowledged; what was said before that."""
    said: list[Unavailable] = []
    while len(said) < 10:
        try:
            await sink.send(what)
            break
        except Unavailable as error:
            said.append(error)
    return said


async def send(sink: PaiSink, what: Batch) -> None:
    async with sink.lifespan():
        await sink.send(what)


@pytest.mark.slow
async def test_it_keeps_the_promises_of_a_sink(profile: Profile, server: PaiServer) -> None:
    """The checks that every sink must pass; no event is stored twice, also where the form has no id."""
    make = partial(PaiSink, profile=profile, url=server.base)
    await check_sink(make, Observability(server), is_idempotent=True, seconds=60, example=example)

    assert len(server.posts) > 900


async def test_each_event_is_a_post_on_one_connection(sink: PaiSink, server: PaiServer) -> None:
    """Neither server takes several at once; they come in order."""
    async with sink.lifespan():
        await sink.send(CALLS)

    assert (tools(server), server.connections) == (TOOLS, 1)
    assert {request.headers["content-type"] for request in server.accepted} == {"application/json"}


async def test_a_connection_that_was_closed_while_nobody_spoke_costs_nothing(profile: Profile) -> None:
    """The real server ends one after ten quiet seconds."""
    with closing(SERVERS[profile]()) as server:
        async with server:
            port = server.port
        async with (sink := PaiSink(profile=profile, url=f"http://127.0.0.1:{port}")).lifespan():
            async with server:
                await sink.send(batch(event(9)))
            async with server:
                said = await insist(sink, CALLS)

        assert (said, tools(server), server.connections) == ([], ["t9", *TOOLS], 2)


async def test_the_real_servers_form() -> None:
    """The event's own id, by which the server knows a repeat."""
    with closing(RealServer()) as server:
        async with server, (sink := PaiSink(profile="server", url=server.base)).lifespan():
            await sink.send(batch(event(1)))

        assert server.posts == [
            {
                "id": f"{1:032x}",
                "timestamp": TIME,
                "session_id": "s/1",
                "event_type": "tool.execute",
                "data": {"tool": "t1", "success": True},
            }
        ]
        assert server.rows("SELECT event_count, tool_count FROM sessions") == [{"event_count": 1, "tool_count": 1}]


async def test_the_documented_form() -> None:
    """Four fields, at the documented path."""
    with closing(SeedServer()) as server:
        async with server, (sink := PaiSink(url=f"{server.base}/")).lifespan():
            await sink.send(batch(event(1, duration_ms=5)))

        data = {"tool": "t1", "duration_ms": 5}
        assert server.posts == [{"type": "tool_use", "session_id": "s/1", "timestamp": TIME, "data": data}]


TRANSIENT = [
    Reply(500, body=b'{"error":"database is locked"}'),
    Reply(503, headers={"Retry-After": "7"}),
    Reply(408),
    Reply(429),
    Reply(401),
    Reply(403),
    Reply(302, headers={"Location": "http://elsewhere/"}),
]
TROUBLES: list[Trouble] = ["reset_before_body", "reset_in_body", "reset_after_body", "half_answer", "wrong_length"]


@pytest.mark.parametrize("answer", [*TRANSIENT, *(Reply(trouble=one) for one in TROUBLES)], ids=str)
async def test_whatever_is_answered_in_the_middle_every_event_is_stored_once(
    sink: PaiSink, server: PaiServer, answer: Reply
) -> None:
    """The batch comes again and goes on where it was; what may have arrived is asked for, or known by its id."""
    async with sink.lifespan():
        await sink.send(batch(event(9)))
        server.script(Reply(), Reply(), answer)
        await insist(sink, CALLS)

    assert tools(server) == ["t9", *TOOLS]


async def test_what_was_delivered_is_not_posted_again(sink: PaiSink, server: PaiServer) -> None:
    """A retry costs the posts that are missing, and no others."""
    async with sink.lifespan():
        await sink.send(batch(event(9)))
        server.script(Reply(), Reply(), Reply(429))
        await insist(sink, CALLS)

    posts = [json.loads(one.body)["data"]["tool"] for one in server.requests if one.method == "POST"]
    assert posts == ["t9", "t1", "t2", "t3", "t3", "t4", "t5"]


@pytest.mark.parametrize("taken", range(5))
@pytest.mark.parametrize("last", [Reply(503), Reply(trouble="reset_after_body")], ids=["missing", "there"])
async def test_a_kill_anywhere_in_a_batch_costs_and_doubles_nothing(
    profile: Profile, server: PaiServer, taken: int, last: Reply
) -> None:
    """The next process sends the batch from its start; it asks what is there, or is told."""
    first = PaiSink(profile=profile, url=server.base)
    asked = 1 if profile == "seed" else 0
    server.script(*[Reply()] * (asked + taken), last)
    async with first.lifespan():
        with pytest.raises(Unavailable):
            await first.send(CALLS)
    async with (second := PaiSink(profile=profile, url=server.base)).lifespan():
        await second.send(CALLS)

    assert tools(server) == TOOLS


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_event_is_named_and_the_others_are_delivered(
    sink: PaiSink, server: PaiServer, status: int
) -> None:
    """Only it goes to the dead letters, with the server's words."""
    async with sink.lifespan():
        await sink.send(batch(event(9)))
        server.script(Reply(), Reply(status, body=b'{"error":"Missing required fields"}'))
        with pytest.raises(Rejected, match="Missing required fields") as caught:
            await sink.send(CALLS)

    assert caught.value.refused == {f"{2:032x}"}
    assert tools(server) == ["t9", "t1", "t3", "t4", "t5"]


async def test_a_refusal_is_remembered_while_the_rest_waits(sink: PaiSink, server: PaiServer) -> None:
    """An outage behind it changes nothing about it."""
    async with sink.lifespan():
        await sink.send(batch(event(9)))
        server.script(Reply(400), Reply(), Reply(429))
        with pytest.raises(Rejected) as caught:
            await insist(sink, CALLS)

    assert caught.value.refused == {f"{1:032x}"}
    assert tools(server) == ["t9", *TOOLS[1:]]


async def test_a_refused_event_may_be_tried_again(sink: PaiSink, server: PaiServer) -> None:
    """Whoever asks for it expects a post, not the old answer."""
    async with sink.lifespan():
        await sink.send(batch(event(9)))
        server.script(Reply(400))
        with pytest.raises(Rejected):
            await sink.send(batch(event(1)))
        await sink.send(batch(event(1)))

    assert tools(server) == ["t9", "t1"]


async def test_what_a_kill_left_unrefused_is_refused_again(profile: Profile, server: PaiServer) -> None:
    """And what was delivered behind it is not posted again."""
    poison = batch(event(1), event(2, session_id=""), event(3), event(4))
    outcomes: list[set[str]] = []
    for _ in range(2):
        async with (sink := PaiSink(profile=profile, url=server.base)).lifespan():
            with pytest.raises(Rejected) as caught:
                await sink.send(poison)
        outcomes.append(set(caught.value.refused))

    assert outcomes == [{f"{2:032x}"}] * 2
    assert tools(server) == ["t1", "t3", "t4"]


async def test_the_answer_to_a_known_id_is_a_delivery(server: PaiServer, sink: PaiSink, profile: Profile) -> None:
    """The server calls it its own error; to send it again would never end."""
    body = b'{"error":"UNIQUE constraint failed: events.id"}'
    async with sink.lifespan():
        server.script(*[Reply()] * (profile == "seed"), Reply(500, body=body))
        said = await insist(sink, batch(event(1)))

    assert said == []


async def test_what_is_no_such_server_waits_for_a_person(sink: PaiSink, server: PaiServer) -> None:
    """A wrong address, or the other profile's, must not cost data."""
    other = PaiSink(profile="server" if sink.profile == "seed" else "seed", url=server.base)
    async with other.lifespan():
        with pytest.raises(Unavailable, match="look at url and profile") as caught:
            await other.send(CALLS)

    assert (caught.value.is_refused, server.posts) == (True, [])


async def test_a_web_page_is_no_acknowledgement() -> None:
    """The real server says that it has taken an event; anything else may answer 200."""
    with closing(RealServer()) as server:
        server.script(*[Reply(200, body=body) for body in (b"<html>", b'{"status":"no"}', b"[]", b"")])
        async with server, (sink := PaiSink(profile="server", url=server.base)).lifespan():
            said = await insist(sink, CALLS)

        assert ([one.is_refused for one in said], tools(server)) == ([True] * 4, TOOLS)


@pytest.mark.parametrize(
    "answer", [Reply(404), Reply(501), Reply(200, body=b"<html>"), Reply(200, body=b'{"session":{}}')], ids=str
)
async def test_a_server_that_cannot_say_gets_what_may_be_missing(answer: Reply) -> None:
    """Nothing is lost; what it has already it then has twice, which only a list of its sessions could prevent."""
    with closing(SeedServer()) as server:
        server.script(answer)
        async with server, (sink := PaiSink(url=server.base)).lifespan():
            await sink.send(CALLS)

        assert tools(server) == TOOLS


async def test_calls_that_look_alike_are_not_taken_for_one() -> None:
    """Two calls of one tool in one millisecond: the second is missing although the first looks the same."""
    twins = batch(event(1, tool="bash"), event(2, tool="bash"))
    with closing(SeedServer()) as server:
        async with server, (sink := PaiSink(url=server.base)).lifespan():
            await sink.send(batch(event(9)))
            server.script(Reply(), Reply(503))
            await insist(sink, twins)

        assert tools(server) == ["t9", "bash", "bash"]


ALL = (
    event(1, "session_start", reason="startup", model="gpt-5", cwd="/shop"),
    event(2, "prompt", bytes=5, chars=4, sha256="0" * 16, text="grüß"),
    event(3, "tool_call_start", call_id="c1", tool="bash", tool_kind="shell", input_bytes=2, input='{"command":"ls"}'),
    event(4, call_id="c1", tool="bash", duration_ms=1500),
    event(5, "agent_spawn", child="a1", agent_type="Explore", description="look"),
    event(6, "token_usage", input_tokens=1, output_tokens=1, total_tokens=2, cached_input_tokens=0),
    event(7, "response", bytes=5, chars=5, text="hello"),
    event(8, "session_end", reason="exit"),
)


async def test_every_kind_of_post_is_found_again(profile: Profile, server: PaiServer) -> None:
    """Sessions by when they began and ended, agents by what they were told."""
    for _ in range(2):
        async with (sink := PaiSink(profile=profile, url=server.base)).lifespan():
            await sink.send(batch(*ALL))

    assert Counter(json.dumps(post) for post in server.posts).most_common(1)[0][1] == 1
    assert len(server.posts) == (4 if profile == "seed" else 6)


async def test_our_own_receiver_takes_what_the_sink_posts(profile: Profile) -> None:
    """There and back: what PAI knows of a session comes out as events again, and a repeat adds nothing."""
    async with receiving(Pai(), token="s3cret") as posted:
        for _ in range(2):
            sink = PaiSink(profile=profile, url=posted.url, token=Secret("s3cret"))
            async with sink.lifespan():
                await sink.send(batch(*ALL))

    more = {"seed": [], "server": [Notification]}[profile]
    turn = {"seed": [], "server": [TurnStart]}[profile]
    types = [SessionStart, *turn, ToolCallStart, ToolCallEnd, AgentSpawn, *more, SessionEnd]
    assert [type(one) for one in posted.events] == types
    assert [one.input for one in posted.events if isinstance(one, ToolCallStart)] == ['{"command":"ls"}']
    assert [one.duration_ms for one in posted.events if isinstance(one, ToolCallEnd)] == [1500]


async def test_a_wrong_token_is_waited_for_and_not_shown() -> None:
    """Neither in the message nor anywhere else."""
    async with receiving(Pai(), token="right") as posted:
        sink = PaiSink(url=posted.url, token=Secret("wr0ng"))
        with pytest.raises(Unavailable) as caught:
            await send(sink, CALLS)

    assert (caught.value.is_refused, "wr0ng" in f"{caught.value}{sink!r}") == (True, False)


async def test_a_token_that_is_repeated_is_taken_out() -> None:
    """Some servers say what they were sent."""
    with closing(SeedServer()) as server:
        server.otherwise = Reply(400, body=b'{"error":"Bearer wr0ng is not it"}')
        async with server, (sink := PaiSink(url=server.base, token=Secret("wr0ng"))).lifespan():
            with pytest.raises(Rejected) as caught:
                await sink.send(CALLS)

    assert "[REDACTED]" in str(caught.value)
    assert "wr0ng" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": "localhost:3001"}, "url must be like"),
        ({"timeout_seconds": 0.0}, "timeout_seconds"),
        ({"token": Secret("two\nlines")}, "token"),
    ],
)
def test_an_option_that_cannot_work_is_named(options: dict[str, Any], named: str) -> None:
    """When the configuration is read."""
    with pytest.raises(ConfigError, match=named):
        PaiSink(**options)
