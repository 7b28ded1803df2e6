"""The double of AIr answers as the contract's tables say: what passes against it must pass against AIr."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio

from forwarder import Unavailable
from forwarder.http import HttpAnswer, Tls, connect
from tests.plugins.air.server import MIB, AirServer

ONE = "/api/ingest"
MANY = "/api/ingest/batch"
JSON = MappingProxyType({"Content-Type": "application/json"})


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AirServer]:
    async with AirServer() as running:
        yield running


async def post(server: AirServer, path: str, body: bytes, headers: Mapping[str, str] = JSON) -> HttpAnswer:
    async with connect(url=server.url, place="air", headers={}, tls=Tls(), timeout_seconds=5.0) as client:
        return await client.request("POST", path, body=body, headers=headers)


def event(type: str = "turn_end", **fields: Any) -> dict[str, Any]:
    return {"id": "e-1", "sessionId": "s-1", "timestamp": 1000, "type": type} | fields


def encoded(*events: object) -> bytes:
    return json.dumps(list(events)).encode()


@pytest.mark.parametrize(
    ("path", "body", "headers", "answer"),
    [
        (ONE, json.dumps(event()).encode(), JSON, (200, '{"ok": true}')),
        (MANY, encoded(event(), event(id="e-2")), JSON, (200, '{"ok": true, "count": 2}')),
        (MANY, b"[]", JSON, (200, '{"ok": true, "count": 0}')),
        (MANY, encoded(event(timestamp=None)), JSON, (200, "NOT NULL constraint failed: sessions.start_time")),
        (ONE, b"", {}, (200, "is not valid JSON")),
        (ONE, b"null", JSON, (200, "Cannot use 'in' operator")),
        (ONE, b'"x"', JSON, (200, "Cannot use 'in' operator")),
        (MANY, b"{}", JSON, (200, "events is not iterable")),
        (MANY, b"null", JSON, (200, "events is not iterable")),
        (ONE, b"x", {"Content-Type": "text/plain"}, (200, '"ok": false')),
        (ONE, b"", JSON, (400, "FST_ERR_CTP_EMPTY_JSON_BODY")),
        (MANY, b"[{", JSON, (400, "FST_ERR_CTP_INVALID_JSON_BODY")),
        (MANY, b'[{"__proto__": {}}]', JSON, (400, "FST_ERR_CTP_INVALID_JSON_BODY")),
        (MANY, b"\x1f\x8b\x08", {**JSON, "Content-Encoding": "gzip"}, (400, "FST_ERR_CTP_INVALID_JSON_BODY")),
        (MANY, b"{}", {"Content-Type": "application/x-ndjson"}, (415, "FST_ERR_CTP_INVALID_MEDIA_TYPE")),
        (MANY, b" " * (MIB - 2) + b"[]", JSON, (200, '"ok": true')),
        (MANY, b" " * (MIB - 1) + b"[]", JSON, (413, "FST_ERR_CTP_BODY_TOO_LARGE")),
        ("/api/nothing", b"{}", JSON, (404, "Route POST:/api/nothing not found")),
        (ONE, json.dumps(event(id=True)).encode(), JSON, (200, '"ok": false')),
    ],
)
async def test_an_input_is_answered_as_by_air(
    server: AirServer, path: str, body: bytes, headers: Mapping[str, str], answer: tuple[int, str]
) -> None:
    """The table of section 1.3."""
    status, words = answer
    given = await post(server, path, body, headers)

    assert given.status == status
    assert words in given.text


async def test_a_large_body_can_be_cut_off(server: AirServer) -> None:
    """The connection ends while the client still writes."""
    server.is_abrupt = True
    with pytest.raises(Unavailable) as caught:
        await post(server, MANY, b" " * (8 * MIB))

    assert "cannot reach" in str(caught.value)


async def test_a_batch_ends_at_the_first_failure(server: AirServer) -> None:
    """What was before it is stored, what is behind it is not, and the answer does not say where it was."""
    events = [event(id="a"), event("tool_call_start", id="b"), event(id="c")]
    answer = await post(server, MANY, encoded(*events))

    assert "count" not in json.loads(answer.text)
    assert server.arrivals == ["a", "b"]


async def test_a_failed_event_may_be_stored_in_half(server: AirServer) -> None:
    """A token usage without a cost: the event is there, the tokens are not."""
    usage = event("token_usage", input=5, output=1)
    answer = await post(server, MANY, encoded(usage))

    assert '"ok": false' in answer.text
    assert (list(server.stored), server.sessions["s-1"]["totalTokensIn"]) == (["e-1"], 0)


async def test_counters_grow_again_with_a_repeat(server: AirServer) -> None:
    """The event is stored once."""
    for _ in range(2):
        await post(server, MANY, encoded(event()))

    assert (len(server.stored), server.sessions["s-1"]["turnCount"]) == (1, 2)


async def test_a_late_start_is_ignored(server: AirServer) -> None:
    """Any event before it makes the session unknown for good."""
    start = event("session_start", id="e-2", cwd="/src", model="m", provider="p", agent="codex")
    await post(server, MANY, encoded(event(), start))

    row = server.sessions["s-1"]
    assert (row["agent"], row["cwd"], row["model"]) == ("unknown", "", "")


async def test_both_kinds_of_money_are_added_up(server: AirServer) -> None:
    """So only one of them may have any."""
    six = dict.fromkeys(("inputCost", "outputCost", "cacheReadCost", "cacheWriteCost", "cumulativeCost"), 0)
    usage = event("token_usage", id="a", input=5, output=1, cost={"total": 0.1})
    cost = event("cost", id="b", model="m", provider="p", totalCost=0.1, **six)
    await post(server, MANY, encoded(usage, cost))

    assert server.sessions["s-1"]["totalCost"] == pytest.approx(0.2)


async def test_a_call_of_another_session_is_replaced(server: AirServer) -> None:
    """The id of a call is a global key."""
    calls = [event("tool_call_start", id=s, sessionId=s, toolName="t", toolCallId="c") for s in ("a", "b")]
    await post(server, MANY, encoded(*calls))

    assert {id: call["session"] for id, call in server.calls.items()} == {"c": "b"}
