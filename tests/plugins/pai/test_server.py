"""The stand-ins for PAI's servers answer as the servers do: a sink that works with them works with those."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest

from tests.plugins.pai.server import RealServer, SeedServer
from tests.raw_http import Reply, exchange, request

EVENT: dict[str, Any] = {"id": "u1", "timestamp": "t", "session_id": "s1", "event_type": "tool.execute", "data": {}}
SEED: dict[str, Any] = {
    "type": "tool_use",
    "session_id": "s1",
    "timestamp": "2026-02-05T10:00:00Z",
    "data": {"tool": "b"},
}
MISSING = {"error": "Missing required fields"}
FOUND_NULL = {"error": "null is not an object (evaluating 'event.id')"}


def event(**fields: Any) -> bytes:
    return json.dumps(EVENT | fields).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in EVENT.items() if key != name}).encode()


@pytest.mark.parametrize(
    ("body", "status", "answer", "stored"),
    [
        (event(), 201, {"status": "ok", "id": "u1"}, 1),
        (event(data=None), 201, {"status": "ok", "id": "u1"}, 1),
        (event(data="text"), 201, {"status": "ok", "id": "u1"}, 1),
        (without("id"), 400, MISSING, 0),
        (event(session_id=""), 400, MISSING, 0),
        (b"[" + event() + b"]", 400, MISSING, 0),
        (without("data"), 500, {"error": "NOT NULL constraint failed: events.data"}, 0),
        (event(event_type=7), 500, {"error": "event.event_type.startsWith is not a function"}, 1),
        (b"null", 500, FOUND_NULL, 0),
        (b'{"id":', 500, {"error": "JSON Parse error: Unexpected EOF"}, 0),
        (b"", 500, {"error": "Unexpected end of JSON input"}, 0),
    ],
)
async def test_the_real_server_answers_so(body: bytes, status: int, answer: dict[str, str], stored: int) -> None:
    """As it was seen to, its own errors and what it stores in spite of them included."""
    with closing(RealServer()) as server:
        async with server:
            said = await exchange(server.port, request("POST", "/events", body))

        assert (said.status, said.json(), len(server.rows("SELECT * FROM events"))) == (status, answer, stored)


async def test_the_real_server_takes_no_id_twice() -> None:
    """The first one stays."""
    with closing(RealServer()) as server:
        async with server:
            said = [await exchange(server.port, request("POST", "/events", event(data=n))) for n in range(2)]

        assert [one.status for one in said] == [201, 500]
        assert said[1].json() == {"error": "UNIQUE constraint failed: events.id"}
        assert server.rows("SELECT data FROM events") == [{"data": "0"}]


async def test_the_real_server_binds_no_object() -> None:
    """The library's words, whatever they are."""
    with closing(RealServer()) as server:
        async with server:
            said = await exchange(server.port, request("POST", "/events", event(session_id={"a": 1})))

        assert (said.status, list(said.json()), server.posts) == (500, ["error"], [])


async def test_the_real_server_counts() -> None:
    """Events and tools of a session; its end is its end, and what comes later counts as well."""
    kinds = ("session.start", "tool.execute", "tool.blocked", "session.end", "message.user")
    with closing(RealServer()) as server:
        async with server:
            for kind in kinds:
                await exchange(server.port, request("POST", "/events", event(id=kind, event_type=kind)))

        (session,) = server.rows("SELECT event_count, tool_count, status FROM sessions")
        assert session == {"event_count": 5, "tool_count": 2, "status": "completed"}


async def replies(server: RealServer | SeedServer, *asked: tuple[str, str]) -> list[Reply]:
    async with server:
        return [await exchange(server.port, request(method, path)) for method, path in asked]


async def test_other_paths_are_not_found() -> None:
    """Each server knows one of the two; OPTIONS is answered anywhere by the real one."""
    with closing(RealServer()) as real, closing(SeedServer()) as seed:
        found = await replies(real, ("POST", "/api/events"), ("PUT", "/events"), ("OPTIONS", "/x"))
        found += await replies(seed, ("POST", "/events"), ("GET", "/api/sessions/s1"))

    assert [one.status for one in found] == [404, 404, 204, 404, 404]
    assert found[0].json() == {"error": "Not found"}


async def test_the_documented_server_tells_what_it_has() -> None:
    """A session with its calls and agents, as the documentation shows them; a repeat is one more call."""
    spawn = SEED | {"type": "agent_spawn", "data": {"subagent_type": "Explore", "prompt": "look", "duration_ms": 5}}
    with closing(SeedServer()) as server:
        async with server:
            for post in (SEED | {"type": "session_start"}, SEED, SEED, spawn, SEED | {"type": "session_end"}):
                said = await exchange(server.port, request("POST", "/api/events", json.dumps(post).encode()))
                assert said.status == 201
            detail = (await exchange(server.port, request("GET", "/api/sessions/s1"))).json()

    time = SEED["timestamp"]
    assert detail == {
        "session": {"id": "s1", "started_at": time, "ended_at": time, "status": "completed"},
        "tools": [{"tool": "b", "args": None, "timestamp": time, "duration_ms": None}] * 2,
        "agents": [{"subagent_type": "Explore", "prompt": "look", "timestamp": time, "duration_ms": 5}],
    }


@pytest.mark.parametrize("fields", [{"type": "x"}, {"session_id": ""}, {"timestamp": "soon"}, {"data": None}])
async def test_the_documented_server_refuses(fields: dict[str, Any]) -> None:
    """What its documentation does not allow."""
    with closing(SeedServer()) as server:
        async with server:
            said = await exchange(server.port, request("POST", "/api/events", json.dumps(SEED | fields).encode()))

        assert (said.status, list(said.json()), server.posts) == (400, ["error"], [])
