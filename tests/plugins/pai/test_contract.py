"""Every row of the README's tables: the bytes over a real socket, and what is answered and taken."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import forwarder_pai
import pytest
from forwarder_pai import Pai

from forwarder import (
    AgentEnd,
    AgentSpawn,
    Event,
    Notification,
    Permission,
    Request,
    SessionEnd,
    SessionStart,
    ToolCallEnd,
    ToolCallStart,
    TurnStart,
)
from forwarder.testing import Posted, check_receiver, receiving
from tests.raw_http import Reply, exchange, request

README = Path(forwarder_pai.__file__).with_name("README.md")

SEED: dict[str, Any] = {
    "type": "tool_use",
    "session_id": "s1",
    "timestamp": "2026-02-05T10:00:01.500Z",
    "data": {"tool": "bash", "args": '{"command":"ls"}', "duration_ms": 120},
}
SERVER: dict[str, Any] = {
    "id": "u1",
    "timestamp": "2026-02-05T10:00:01.500Z",
    "session_id": "ses_m1_abc",
    "event_type": "tool.execute",
    "data": {"tool": "bash", "args_keys": ["command"], "args_preview": '{"command":"ls"}', "success": True},
}


@pytest.fixture
async def posted() -> AsyncGenerator[Posted]:
    async with receiving(Pai()) as posted:
        yield posted


async def post(posted: Posted, path: str, body: bytes, **headers: str) -> Reply:
    return await exchange(posted.port, request("POST", path, body, **headers))


def without(post: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in post.items() if key != name}


def seed(**fields: Any) -> bytes:
    return json.dumps(SEED | fields).encode()


def server(**fields: Any) -> bytes:
    return json.dumps(SERVER | fields).encode()


async def test_the_documented_form_is_taken(posted: Posted) -> None:
    """The answer's id is the same for the same event, since the form has none."""
    answers = [await post(posted, "/api/events", seed()) for _ in range(2)]

    assert [(one.status, one.json()["status"], len(one.json()["id"])) for one in answers] == [(201, "ok", 32)] * 2
    assert answers[0].json() == answers[1].json()
    assert [type(event) for event in posted.events] == [ToolCallStart, ToolCallEnd]


@pytest.mark.parametrize("kind", ["session_start", "tool_use", "agent_spawn", "session_end"])
async def test_the_documented_types_are_taken(posted: Posted, kind: str) -> None:
    """With as little as they may tell."""
    answer = await post(posted, "/api/events", seed(type=kind, data={}))

    assert (answer.status, bool(posted.events)) == (201, True)


@pytest.mark.parametrize(
    "body",
    [
        seed(type="tool.execute"),
        seed(type=""),
        seed(type=7),
        seed(session_id=""),
        seed(session_id=["s1"]),
        seed(session_id="s" * 501),
        seed(timestamp="yesterday"),
        seed(timestamp=None),
        seed(timestamp="0001-01-01T00:00:00+14:00"),
        seed(data="text"),
        seed(data=None),
        *(json.dumps(without(SEED, name)).encode() for name in SEED),
        b"[]",
        b"null",
        b"",
        b"{",
    ],
)
async def test_what_the_documented_form_does_not_allow(posted: Posted, body: bytes) -> None:
    """Is refused in words, and nothing of it is taken."""
    answer = await post(posted, "/api/events", body)

    assert (answer.status, list(answer.json()), posted.events) == (400, ["error"], [])


async def test_the_servers_form_is_taken(posted: Posted) -> None:
    """With the id that it came with."""
    answer = await post(posted, "/events", server())

    assert (answer.status, answer.json()) == (201, {"status": "ok", "id": "u1"})
    assert [type(event) for event in posted.events] == [ToolCallStart, ToolCallEnd]


async def test_the_same_id_again_is_harmless(posted: Posted) -> None:
    """The real server answers 500 UNIQUE; a client that did not see the first answer cannot know."""
    first = await post(posted, "/events", server())
    events = len(posted.events)
    second = await post(posted, "/events", server(data={"tool": "other"}))

    assert (first.status, second.status, second.json()) == (201, 201, {"status": "ok", "id": "u1"})
    assert len(posted.events) == events


@pytest.mark.parametrize(
    "body",
    [
        *(json.dumps(without(SERVER, name)).encode() for name in ("id", "timestamp", "session_id", "event_type")),
        *(server(**{name: ""}) for name in ("id", "timestamp", "session_id", "event_type")),
        server(timestamp=0),
        b"[" + server() + b"]",
    ],
)
async def test_missing_fields_are_named_as_the_server_does(posted: Posted, body: bytes) -> None:
    """Missing, empty, or an array of events."""
    answer = await post(posted, "/events", body)

    assert (answer.status, answer.json(), posted.events) == (400, {"error": "Missing required fields"}, [])


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(without(SERVER, "data")).encode(),
        server(event_type=7),
        server(session_id={"a": 1}),
        server(id=["u1"]),
        server(id="u" * 501),
        b"null",
        b'{"id":"u1"',
        b"",
    ],
)
async def test_what_the_server_calls_its_own_error_is_the_clients(posted: Posted, body: bytes) -> None:
    """500 there, and for a numeric type the event is stored all the same; 400 here, and nothing is."""
    answer = await post(posted, "/events", body)

    assert (answer.status, list(answer.json()), posted.events) == (400, ["error"], [])


@pytest.mark.parametrize("data", [None, "text", 7, ["a"], {}, {"tool": 7}])
async def test_data_may_be_anything(posted: Posted, data: object) -> None:
    """As the server stores it: what tells no call is kept as what was told."""
    answer = await post(posted, "/events", server(data=data))
    (event,) = posted.events

    assert isinstance(event, Notification)
    assert (answer.status, event.kind, json.loads(event.message)) == (201, "tool.execute", data)


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00+00:00"),
        ("2970-01-01T00:00:00Z", "2970-01-01T00:00:00+00:00"),
        ("2026-02-05T12:00:00+02:00", "2026-02-05T10:00:00+00:00"),
        ("2026-02-05 10:00:00", "2026-02-05T10:00:00+00:00"),
        (1770285600000, "2026-02-05T10:00:00+00:00"),
    ],
)
async def test_times_are_taken_as_they_are(posted: Posted, timestamp: object, time: str) -> None:
    """However far away they lie."""
    await post(posted, "/events", server(timestamp=timestamp))

    assert {(event.time.isoformat(), event.time_inferred) for event in posted.events} >= {(time, False)}


@pytest.mark.parametrize("timestamp", ["2026-02-05T10:00:00", "2026-02-05T12:00:00+02:00"])
async def test_a_documented_time_may_have_any_zone_or_none(posted: Posted, timestamp: str) -> None:
    """Without one it is UTC."""
    await post(posted, "/api/events", seed(type="session_end", timestamp=timestamp))

    assert [event.time.isoformat() for event in posted.events] == ["2026-02-05T10:00:00+00:00"]


@pytest.mark.parametrize("name", ["id", "session_id"])
async def test_a_number_is_an_id(posted: Posted, name: str) -> None:
    """The server takes it."""
    answer = await post(posted, "/events", server(**{name: 7}))

    assert (answer.status, answer.json()["id"], len(posted.events)) == (201, "7" if name == "id" else "u1", 2)


@pytest.mark.parametrize("timestamp", ["soon", 1e300, True, {"a": 1}])
async def test_a_time_that_is_none_is_replaced_and_marked(posted: Posted, timestamp: object) -> None:
    """The server takes anything; its client does not send again."""
    answer = await post(posted, "/events", server(timestamp=timestamp))

    assert (answer.status, {event.time_inferred for event in posted.events}) == (201, {True})
    assert all(event.time.year > 2000 for event in posted.events)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
async def test_the_content_type_is_not_looked_at(posted: Posted, content_type: str) -> None:
    """As the server does not."""
    answer = await post(posted, "/events", server(), Content_Type=content_type)

    assert answer.status == 201


@pytest.mark.slow
async def test_10_mb_are_taken(posted: Posted) -> None:
    """The largest that the server was seen to take; there is a limit here, above it."""
    answer = await post(posted, "/events", server(data={"tool": "bash", "args_preview": "x" * 10_000_000}))
    too_large = await post(posted, "/events", bytes((16 << 20) + 1))

    assert (answer.status, too_large.status, list(too_large.json())) == (201, 413, ["error"])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/events",
        "/api/events/u1",
        "/api/events/stream?sessionId=s1",
        "/api/sessions?limit=100",
        "/api/sessions/s1",
        "/api/analytics/tools?hours=24",
        "/api/analytics/agents?hours=24",
        "/api/stats",
    ],
)
async def test_what_is_asked_of_a_sink_is_not_here(posted: Posted, path: str) -> None:
    """A receiver takes; lists and streams are made of what sinks keep."""
    answer = await exchange(posted.port, request("GET", path))

    assert (answer.status, answer.json()) == (404, {"error": "Not found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/events"),
        ("PUT", "/api/events"),
        ("POST", "/"),
        ("POST", "/health"),
        ("POST", "/api/cleanup"),
        ("GET", "/x"),
    ],
)
async def test_other_methods_and_paths(posted: Posted, method: str, path: str) -> None:
    """Are not found, in the server's words."""
    answer = await exchange(posted.port, request(method, path))

    assert (answer.status, answer.json()) == (404, {"error": "Not found"})


@pytest.mark.parametrize("path", ["/events", "/api/events", "/anything"])
async def test_options_is_answered_anywhere(posted: Posted, path: str) -> None:
    """Without a body, and without letting pages of other origins in."""
    answer = await exchange(posted.port, request("OPTIONS", path))

    assert (answer.status, answer.body, "access-control-allow-origin" in answer.headers) == (204, b"", False)


async def test_a_page_is_not_let_in(posted: Posted) -> None:
    """The server lets every page post (`*`)."""
    answer = await post(posted, "/events", server(), Origin="https://page.example")

    assert (answer.status, posted.events) == (403, [])


async def test_a_full_journal_is_not_taken(posted: Posted) -> None:
    """The client learns that it has to send again."""
    posted.is_full = True
    answer = await post(posted, "/events", server())

    assert (answer.status, list(answer.json()), "retry-after" in answer.headers) == (503, ["error"], True)


async def test_the_documented_health(posted: Posted) -> None:
    """With its three fields."""
    health = (await exchange(posted.port, request("GET", "/health"))).json()

    assert (list(health), health["status"]) == (["status", "uptime", "timestamp"], "ok")
    assert health["uptime"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", health["timestamp"])


async def test_the_servers_health() -> None:
    """With its six."""
    async with receiving(Pai(profile="server")) as posted:
        health = (await exchange(posted.port, request("GET", "/health", Host="localhost:8889"))).json()
        bare = (await exchange(posted.port, request("GET", "/health"))).json()

    assert list(health) == ["status", "version", "port", "database", "sse_clients", "timestamp"]
    assert (health["status"], health["version"], health["port"], bare["port"]) == ("healthy", "1.0.0", 8889, 80)


async def test_a_session_is_one_however_often_its_start_is_posted(posted: Posted) -> None:
    """The real client does so twice for each, under two ids."""
    for id in ("a", "b"):
        await post(posted, "/events", server(id=id, event_type="session.start", data={"working_directory": "/w"}))
    await post(posted, "/events", server(id="c", event_type="session.end", data={"duration_ms": 5}))

    assert [type(event) for event in posted.events] == [SessionStart, SessionEnd]
    assert [event.session.cwd for event in posted.events] == ["/w", None]


async def test_a_session_may_end_that_never_began(posted: Posted) -> None:
    """The server takes it, too: its client's start may have been lost."""
    answer = await post(posted, "/events", server(event_type="session.end", data={}))

    assert (answer.status, [type(event) for event in posted.events]) == (201, [SessionEnd])


CLIENT: dict[str, tuple[dict[str, Any], list[type[Event]]]] = {
    "session.start": ({"working_directory": "/w", "platform": "linux"}, [SessionStart]),
    "session.end": ({}, [SessionEnd]),
    "tool.execute": (SERVER["data"], [ToolCallStart, ToolCallEnd]),
    "tool.blocked": ({"tool": "bash"}, [Permission]),
    "security.block": ({"tool": "bash", "reason": "rm", "pattern": "rm -rf"}, [Permission]),
    "security.warn": ({"tool": "bash", "reason": "curl"}, [Notification]),
    "message.user": ({"content_length": 5, "has_rating": False, "messageId": "m1"}, [TurnStart]),
    "message.assistant": ({"content_length": 500, "has_voice_line": False, "has_isc": True}, [Notification]),
    "rating.explicit": ({"score": 8, "has_comment": True, "comment_preview": "good"}, [Notification]),
    "rating.implicit": ({"score": 3, "sentiment": "negative", "confidence": 0.7, "indicators": ["no"]}, [Notification]),
    "agent.spawn": ({"task_id": "t1", "agent_type": "general", "prompt_length": 5}, [AgentSpawn]),
    "agent.complete": ({"agent_type": "general", "result_length": 5, "success": True}, [AgentEnd]),
    "voice.sent": ({"message_length": 40, "voice_id": "v1", "success": True}, [Notification]),
    "learning.captured": ({"category": "c", "filepath": "/f", "count": 1}, [Notification]),
    "isc.validated": ({"criteria_count": 4, "all_passed": False, "warnings": ["w"]}, [Notification]),
    "context.loaded": ({"files_loaded": 3, "total_size": 900, "success": True}, [Notification]),
}


@pytest.mark.parametrize("kind", CLIENT)
async def test_everything_the_real_client_posts_is_taken(posted: Posted, kind: str) -> None:
    """Each type with the fields that the client sends."""
    data, types = CLIENT[kind]
    answer = await post(posted, "/events", server(event_type=kind, data=data))

    assert (answer.status, [type(event) for event in posted.events]) == (201, types)


@pytest.mark.slow
async def test_what_every_receiver_promises() -> None:
    """Repeats, restarts, a full journal, garbage."""
    samples = [Request("POST", "/api/events", body=seed()), Request("POST", "/events", body=server())]

    assert len(await check_receiver(Pai, *samples)) == 4


def test_the_readme_names_tests_that_exist() -> None:
    """Each row of its tables has one."""
    named = set(re.findall(r"`(test_\w+)`", README.read_text()))
    written = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert named
    assert {name for name in named if f"def {name}(" not in written} == set()
