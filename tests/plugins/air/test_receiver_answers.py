"""Every row of the README's tables: the bytes over a real socket, and what is answered and taken."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import forwarder_air
import pytest
from forwarder_air.receive import Air

from forwarder import Accept, Custom, Event, RagEmbedding, RagIndex, RagRetrieval, Request, SessionEnd
from forwarder.app.openapi import described
from forwarder.server.address import Address
from forwarder.server.routing import Mount, Routing
from forwarder.testing import Posted, check_receiver, receiving
from tests.plugins.air.samples import AT, FIELDS, event, post
from tests.raw_http import Reply, exchange, request

README = Path(forwarder_air.__file__).with_name("README.md")
ONE, BATCH = "/api/ingest", "/api/ingest/batch"
JSON = {"Content_Type": "application/json"}
END = event("session_end")


@pytest.fixture
async def honest() -> AsyncGenerator[Posted]:
    async with receiving(Air()) as posted:
        yield posted


@pytest.fixture
async def as_air() -> AsyncGenerator[Posted]:
    async with receiving(Air(answers="air")) as posted:
        yield posted


def both(reply: Reply) -> tuple[int, Any]:
    return reply.status, reply.json()


def end(number: int, **changes: Any) -> dict[str, Any]:
    return event("session_end", id=f"e{number}", **changes)


@pytest.mark.parametrize("kind", sorted(FIELDS))
async def test_each_type_is_taken(honest: Posted, kind: str) -> None:
    """With AIr's answer, and again without telling anything new."""
    answers = [both(await post(honest, ONE, event(kind))) for _ in range(2)]
    told = len(honest.events)
    await post(honest, BATCH, [event(kind)])

    assert answers == [(200, {"ok": True})] * 2
    assert 0 < told == len(honest.events)


@pytest.mark.parametrize("answers", ["honest", "air"])
@pytest.mark.parametrize("count", [0, 1, 3, 450])
async def test_a_batch_is_taken(answers: Any, count: int) -> None:
    """With the number of its events, new or not."""
    async with receiving(Air(answers=answers)) as posted:
        found = [both(await post(posted, BATCH, [end(one) for one in range(count)])) for _ in range(2)]

    assert found == [(200, {"ok": True, "count": count})] * 2
    assert len(posted.events) == count


LACKING = [
    (kind, name)
    for kind, names in {
        "tool_call_start": ["toolName"],
        "tool_call": ["toolName"],
        "agent_start": ["model", "provider"],
        "token_usage": ["input", "output", "cost"],
        "context_usage": ["tokensUsed", "contextWindow", "utilizationPct"],
        "context_breakdown": ["totalTokens", "contextWindow"],
        "session_start": ["cwd", "model", "provider"],
        "latency": ["operation", "totalMs"],
        "cost": ["model", "provider", "inputCost", "outputCost", "totalCost", "cumulativeCost"],
        "output_eval": ["turnIndex", "model", "metrics"],
        "prompt_rating": ["promptHash", "variant", "category", "metrics"],
        "drift": [*FIELDS["drift"]],
    }.items()
    for name in names
]


@pytest.mark.parametrize(("kind", "name"), LACKING)
async def test_a_field_that_air_needs_is_needed(honest: Posted, kind: str, name: str) -> None:
    """Missing, null, or of another kind: AIr says ok:false, with 200, and has stored half of it."""
    wrong = [event(kind, **{name: value}) for value in (..., None, [1])]
    answers = [await post(honest, ONE, one) for one in wrong]

    assert {one.status for one in answers} == {400}
    assert all(one.json()["ok"] is False and name in one.json()["error"] for one in answers)
    assert honest.events == []


@pytest.mark.parametrize("metric", sorted(FIELDS["output_eval"]["metrics"]))
async def test_of_the_metrics_only_the_flags_may_be_missing(honest: Posted, metric: str) -> None:
    """As in AIr."""
    metrics = {name: value for name, value in FIELDS["output_eval"]["metrics"].items() if name != metric}
    answer = await post(honest, ONE, event("output_eval", metrics=metrics))

    assert answer.status == (200 if metric.startswith("had") else 400)


async def test_a_cost_without_a_total_is_none(honest: Posted) -> None:
    """And leaves nothing behind, as AIr does with its row."""
    answer = await post(honest, ONE, event("token_usage", cost={"input": 1}))

    assert (both(answer), honest.events) == ((400, {"ok": False, "error": "cost.total wants a number"}), [])


@pytest.mark.parametrize(
    "wrong",
    [
        event("session_end", timestamp=...),
        event("session_end", timestamp=None),
        event("session_end", timestamp="yesterday"),
        event("session_end", timestamp=True),
        event("session_end", timestamp=1e300),
        event("session_end", type=...),
        event("session_end", type=""),
        event("session_end", sessionId=...),
        event("session_end", sessionId={}),
        event("session_end", sessionId="s" * 501),
        event("session_end", id=True),
        event("session_end", id=[1]),
    ],
    ids=json.dumps,
)
async def test_what_every_event_needs(honest: Posted, wrong: dict[str, Any]) -> None:
    """Type, session and time; an id may be missing, but not be something else."""
    answer = await post(honest, ONE, wrong)

    assert (answer.status, answer.json()["ok"], honest.events) == (400, False, [])


@pytest.mark.parametrize("body", [b"null", b'"text"', b"7", b"true", b"[]"])
async def test_an_event_is_an_object(honest: Posted, body: bytes) -> None:
    """Nothing else is."""
    assert both(await post(honest, ONE, body)) == (400, {"ok": False, "error": "an event is an object"})


@pytest.mark.parametrize("body", [b"{}", b"null", b"7", json.dumps(END).encode()])
async def test_a_batch_is_an_array(honest: Posted, body: bytes) -> None:
    """One event is none."""
    assert both(await post(honest, BATCH, body)) == (400, {"ok": False, "error": "a batch is an array of events"})


async def test_the_good_events_of_a_batch_are_taken_and_the_bad_ones_named(honest: Posted) -> None:
    """AIr stores what comes before the first bad one, and does not say how many these are."""
    answer = await post(honest, BATCH, [end(0), None, end(2), end(3, timestamp=...), end(4)])

    assert both(answer) == (
        400,
        {
            "ok": False,
            "error": "event 1: an event is an object (and 1 more)",
            "count": 3,
            "errors": [
                {"index": 1, "error": "an event is an object"},
                {"index": 3, "error": "timestamp is missing: milliseconds since 1970"},
            ],
        },
    )
    assert [one.key[1] for one in honest.events] == ["e0", "e2", "e4"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b"\xff", JSON, 400),
        (b'{"id":NaN}', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (json.dumps(END).encode(), {"Content_Type": "text/plain"}, 415),
        (json.dumps(END).encode(), {"Content_Type": "application/x-ndjson"}, 415),
        (json.dumps(END).encode(), {"Content_Type": "application/xml"}, 415),
        (json.dumps(END).encode(), {"Content_Type": "application/json", "Content_Encoding": "br"}, 415),
        (json.dumps(END).encode(), {"Content_Type": "application/json; charset=utf-8"}, 200),
        (json.dumps(END).encode(), {}, 200),
        (gzip.compress(json.dumps(END).encode(), mtime=0), {"Content_Encoding": "gzip"} | JSON, 200),
        (json.dumps(event("session_end", __proto__={"a": 1})).encode(), JSON, 200),
    ],
)
async def test_bodies_of_any_kind(honest: Posted, body: bytes, headers: dict[str, str], status: int) -> None:
    """What can be read is taken, also what AIr refuses: packed, of no type, or with a key that JavaScript fears."""
    answer = await exchange(honest.port, request("POST", ONE, body, **headers))

    assert (answer.status, bool(honest.events), answer.json()["ok"]) == (status, status == 200, status == 200)


@pytest.mark.slow
@pytest.mark.parametrize("answers", ["honest", "air"])
async def test_a_body_that_is_too_large(answers: Any) -> None:
    """More than AIr's 1 MiB are taken, but there is a limit."""
    async with receiving(Air(answers=answers)) as posted:
        large = await post(posted, ONE, event("custom", data="x" * (2 << 20)))
        too_large = await post(posted, ONE, bytes((16 << 20) + 1))

    assert (large.status, too_large.status) == (200, 413)
    assert answers == "honest" or too_large.json() == {
        "statusCode": 413,
        "code": "FST_ERR_CTP_BODY_TOO_LARGE",
        "error": "Payload Too Large",
        "message": "Request body is too large",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", ONE, 405), ("PUT", BATCH, 405), ("POST", "/api/health", 405), ("GET", "/", 404), ("GET", "/api/x", 404)],
)
async def test_other_methods_and_paths(honest: Posted, method: str, path: str, status: int) -> None:
    """Each by its own code."""
    answer = await exchange(honest.port, request(method, path))

    assert (answer.status, answer.json()["ok"]) == (status, False)


@pytest.mark.parametrize("path", ["/api/sessions", "/api/events/recent", "/api/drift", "/api/prompts", "/ws/dashboard"])
async def test_the_dashboards_paths_are_not_there(honest: Posted, path: str) -> None:
    """What was stored is asked of a sink."""
    assert (await exchange(honest.port, request("GET", path))).status == 404


async def test_a_full_journal_is_not_taken(honest: Posted, as_air: Posted) -> None:
    """Either way the client learns that it has to come again, also of a batch with a bad event."""
    honest.is_full = as_air.is_full = True
    answers = [await post(one, BATCH, [END, None]) for one in (honest, as_air)]

    assert [(one.status, "retry-after" in one.headers) for one in answers] == [(503, True)] * 2
    assert answers[0].json() == {"ok": False, "error": "the journal is full"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (json.dumps(event("session_end", timestamp=...)).encode(), JSON, 200,
         {"ok": False, "error": "SqliteError: NOT NULL constraint failed: sessions.start_time"}),
        (json.dumps(event("tool_call_start", toolName=...)).encode(), JSON, 200,
         {"ok": False, "error": "SqliteError: NOT NULL constraint failed: tool_calls.tool_name"}),
        (b"", {}, 200, {"ok": False, "error": 'SyntaxError: "undefined" is not valid JSON'}),
        (b"null", JSON, 200,
         {"ok": False, "error": "TypeError: Cannot use 'in' operator to search for 'inputPreview' in null"}),
        (b'"text"', JSON, 200,
         {"ok": False, "error": "TypeError: Cannot use 'in' operator to search for 'inputPreview' in text"}),
        (b"7", JSON, 200,
         {"ok": False, "error": "TypeError: Cannot use 'in' operator to search for 'inputPreview' in 7"}),
        (b"hi", {"Content_Type": "text/plain"}, 200,
         {"ok": False, "error": "TypeError: Cannot use 'in' operator to search for 'inputPreview' in hi"}),
        (b"", JSON, 400, {
            "statusCode": 400, "code": "FST_ERR_CTP_EMPTY_JSON_BODY", "error": "Bad Request",
            "message": "Body cannot be empty when content-type is set to 'application/json'",
        }),
        (b"{", JSON, 400, {
            "statusCode": 400, "code": "FST_ERR_CTP_INVALID_JSON_BODY", "error": "Bad Request",
            "message": "Body is not valid JSON but content-type is set to 'application/json'",
        }),
        (json.dumps(event("session_end", __proto__={})).encode(), JSON, 400, {
            "statusCode": 400, "code": "FST_ERR_CTP_INVALID_JSON_BODY", "error": "Bad Request",
            "message": "Body is not valid JSON but content-type is set to 'application/json'",
        }),
        (b"{}", {"Content_Type": "application/x-ndjson"}, 415, {
            "statusCode": 415, "code": "FST_ERR_CTP_INVALID_MEDIA_TYPE", "error": "Unsupported Media Type",
            "message": "Unsupported Media Type",
        }),
    ],
)  # fmt: skip
async def test_airs_own_answers(
    as_air: Posted, body: bytes, headers: dict[str, str], status: int, words: dict[str, Any]
) -> None:
    """To the letter, for clients that look into them; nothing of such a request is stored."""
    answer = await exchange(as_air.port, request("POST", ONE, body, **headers))

    assert (both(answer), as_air.events) == ((status, words), [])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", "TypeError: events is not iterable"),
        (b"null", "TypeError: events is not iterable"),
        (b'"text"', "TypeError: Cannot use 'in' operator to search for 'inputPreview' in t"),
    ],
)
async def test_airs_own_answers_to_what_is_no_batch(as_air: Posted, body: bytes, error: str) -> None:
    """A text is a batch of its characters, to JavaScript."""
    assert both(await post(as_air, BATCH, body)) == (200, {"ok": False, "error": error})


async def test_a_bad_event_costs_no_other_in_airs_words_either(as_air: Posted) -> None:
    """The answer is AIr's, without a number; what was good is stored, also behind the bad one."""
    answer = await post(as_air, BATCH, [end(0), end(1, timestamp=...), end(2)])

    error = "SqliteError: NOT NULL constraint failed: sessions.start_time"
    assert both(answer) == (200, {"ok": False, "error": error})
    assert [one.key[1] for one in as_air.events] == ["e0", "e2"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_airs_own_answer_to_other_methods(as_air: Posted, method: str) -> None:
    """It knows no 405."""
    assert both(await exchange(as_air.port, request(method, ONE))) == (
        404,
        {"message": f"Route {method}:{ONE} not found", "error": "Not Found", "statusCode": 404},
    )


async def test_airs_form_for_paths_that_are_not_there(as_air: Posted) -> None:
    """And for what AIr has no words for, such as a wrong token."""
    lost = await exchange(as_air.port, request("GET", "/x"))
    async with receiving(Air(answers="air"), token="secret") as guarded:
        alien = await post(guarded, ONE, END)

    assert (lost.status, lost.json()["statusCode"], lost.json()["error"]) == (404, 404, "Not Found")
    assert (alien.status, alien.json()["statusCode"], alien.json()["error"]) == (401, 401, "Unauthorized")


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        (AT, "2026-03-01T21:20:00+00:00"),
        (AT + 0.5, "2026-03-01T21:20:00.000500+00:00"),
        ("2026-03-01T22:20:00+01:00", "2026-03-01T21:20:00+00:00"),
        ("2026-03-01T21:20:00.000Z", "2026-03-01T21:20:00+00:00"),
        ("2026-03-01 21:20", "2026-03-01T21:20:00+00:00"),
        (0, "1970-01-01T00:00:00+00:00"),
        (-1, "1969-12-31T23:59:59.999000+00:00"),
        (31_557_600_000_000, "2970-01-08T00:00:00+00:00"),
    ],
)
async def test_times_are_taken_as_they_are(honest: Posted, timestamp: object, time: str) -> None:
    """However far away they lie."""
    await post(honest, ONE, event("session_end", timestamp=timestamp))
    (one,) = honest.events

    assert (one.time.isoformat(), one.time_inferred) == (time, False)


async def test_numbers_are_ids_too(honest: Posted) -> None:
    """As in AIr."""
    await post(honest, ONE, event("session_end", id=7, sessionId=8))

    assert [(one.key, one.session.id) for one in honest.events] == [(("8", "7"), "8")]


@pytest.mark.parametrize(
    ("body", "text"), [(b'"a\xff"', "a\ufffd"), (b'"a\\ud800"', "a\ufffd"), ('"ü\U0001f600"'.encode(), "ü\U0001f600")]
)
async def test_text_that_no_utf_8_can_hold_is_mended(honest: Posted, body: bytes, text: str) -> None:
    """As AIr does; half of a surrogate pair, too."""
    raw = json.dumps(event("custom", errorMessage="?")).encode().replace(b'"?"', body)
    await post(honest, ONE, raw)
    (one,) = honest.events

    assert isinstance(one, Custom)
    assert one.error_message == text


async def test_a_preflight_is_answered_for_pages_that_are_named() -> None:
    """And for nobody else; AIr says yes to all of them."""
    page = "https://page.example"
    async with receiving(Air(), cors_origins=[page]) as posted:
        named = await exchange(posted.port, request("OPTIONS", ONE, Origin=page))
        other = await exchange(posted.port, request("OPTIONS", ONE, Origin="https://other.example"))

    assert (named.status, named.headers["access-control-allow-origin"]) == (204, page)
    assert "POST" in named.headers["access-control-allow-methods"]
    assert (other.status, "access-control-allow-origin" in other.headers) == (403, False)


async def test_an_event_without_an_id_is_known_by_its_words(honest: Posted) -> None:
    """Posted again it is the same; two of equal words in one request are two."""
    nameless = event("latency", id=...)
    for _ in range(2):
        await post(honest, ONE, nameless)
        await post(honest, BATCH, [nameless, nameless, event("latency", id=..., totalMs=1)])

    assert len(honest.events) == 3


RAG = {"source": "kb", "sessionId": "s1", "id": "r1", "timestamp": AT}


@pytest.mark.parametrize("answers", ["honest", "air"])
@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("retrieval", {"query": "how", "resultCount": 2, "durationMs": 5, "chunkSizes": [3, 4]}, RagRetrieval),
        ("embedding", {"model": "e1", "inputTokens": 9}, RagEmbedding),
        ("index", {"documentCount": 3, "metadata": {"a": 1}}, RagIndex),
    ],
)
async def test_what_is_done_with_an_index_is_taken(
    answers: Any, path: str, body: dict[str, Any], kind: type[Event]
) -> None:
    """At an address of its own, with an id and a time if they are told."""
    async with receiving(Air(answers=answers)) as posted:
        found = [both(await post(posted, f"/api/rag/{path}", RAG | body)) for _ in range(2)]
    (one,) = posted.events

    assert found == [(200, {"ok": True})] * 2
    assert (type(one), one.key, one.time_inferred) == (kind, ("s1", "r1"), False)
    assert getattr(one, "total_chunk_tokens", None) == (7 if path == "retrieval" else None)


@pytest.mark.parametrize("path", ["retrieval", "embedding", "index"])
async def test_an_index_needs_no_more_than_its_name(honest: Posted, path: str) -> None:
    """The session is named after it; without id and time each request is an event of its own."""
    for _ in range(2):
        await post(honest, f"/api/rag/{path}", {"source": "kb", "sessionId": None})

    assert [(one.session.id, one.time_inferred) for one in honest.events] == [("rag-kb", True)] * 2


@pytest.mark.parametrize(
    ("path", "name"),
    [("rag/retrieval", "source"), ("rag/embedding", "source"), ("rag/index", "source"), ("providers/rag", "name")],
)
@pytest.mark.parametrize(("answers", "status"), [("honest", 400), ("air", 200)])
async def test_an_index_needs_its_name(answers: Any, status: int, path: str, name: str) -> None:
    """In AIr's own words."""
    async with receiving(Air(answers=answers)) as posted:
        found = [both(await post(posted, f"/api/{path}", {name: wrong})) for wrong in (None, "", 7)]

    assert found == [(status, {"ok": False, "error": f"{name} is required"})] * 3
    assert posted.events == []


@pytest.mark.parametrize("path", ["rag/retrieval", "providers/rag"])
@pytest.mark.parametrize("body", [b"[]", b"null", b'"kb"'])
async def test_what_is_said_of_an_index_is_an_object(honest: Posted, path: str, body: bytes) -> None:
    """AIr fails with 500 where there is none."""
    answer = await post(honest, f"/api/{path}", body)

    assert both(answer) == (400, {"ok": False, "error": "the body wants an object"})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("rag/index", {"source": "s" * 501}),
        ("rag/index", {"source": "kb", "sessionId": "s" * 501}),
        ("rag/index", {"source": "kb", "sessionId": {"a": 1}}),
        ("providers/rag", {"name": "n" * 501}),
    ],
)
async def test_a_name_of_an_index_is_no_text(honest: Posted, path: str, body: dict[str, Any]) -> None:
    """It becomes part of the session's id, which is kept whole."""
    assert (await post(honest, f"/api/{path}", body)).status == 400


@pytest.mark.slow
@pytest.mark.parametrize("path", [ONE, "/api/rag/index", "/api/providers/rag"])
async def test_no_depth_of_nesting_is_an_error_of_ours(honest: Posted, path: str) -> None:
    """What can just be read can also be written, or is refused."""
    statuses: set[int] = set()
    for depth in range(800, 1000, 3):
        body = json.dumps(event("custom", source="kb", name="kb", data="?"))
        deep = body.replace('"?"', "[" * depth + "]" * depth)
        statuses.add((await post(honest, path, deep.encode())).status)

    assert statuses == {200, 400}


async def test_a_bad_time_of_an_index_is_refused(honest: Posted) -> None:
    """Rather than replaced."""
    assert (await post(honest, "/api/rag/index", {"source": "kb", "timestamp": "soon"})).status == 400


async def test_a_registered_index_lends_its_model(honest: Posted) -> None:
    """To embeddings that tell none; the registration itself is told once."""
    index = {"name": "kb", "type": "qdrant", "embeddingModel": "e1", "dimensions": 64, "description": None}
    answers = [both(await post(honest, "/api/providers/rag", index)) for _ in range(2)]
    await post(honest, "/api/rag/embedding", {"source": "kb", "model": None})
    await post(honest, "/api/rag/embedding", {"source": "other"})
    registered, known, unknown = honest.events

    assert answers == [(200, {"ok": True, "provider": "kb"})] * 2
    assert isinstance(registered, Custom)
    assert (registered.provider, registered.event_name) == ("kb", "rag_provider")
    assert [(getattr(one, "model", 0), getattr(one, "dimensions", 0)) for one in (known, unknown)] == [
        ("e1", 64),
        (None, None),
    ]


async def test_the_health_of_it(honest: Posted) -> None:
    """AIr's hook asks for it before it posts; each sink has a level of redaction of its own."""
    health = (await exchange(honest.port, request("GET", "/api/health"))).json()

    assert health.pop("uptime") >= 0
    assert health == {"status": "ok", "dashboardClients": 0, "redactionLevel": "per sink"}


async def test_the_configuration_names_what_was_seen(honest: Posted) -> None:
    """Registered, or only mentioned; heard of within five minutes or not."""
    before = (await exchange(honest.port, request("GET", "/api/config"))).json()
    await post(honest, "/api/providers/rag", {"name": "kb", "type": "qdrant"})
    await post(honest, "/api/rag/index", {"source": "kb"})
    await post(honest, ONE, event("mcp_request"))
    after = (await exchange(honest.port, request("GET", "/api/config"))).json()
    (kb,), (docs,) = after["providers"]["rag"], after["providers"]["mcp"]

    assert (before["providers"], before["driftDetection"]) == ({"rag": [], "mcp": []}, False)
    assert {name: kb[name] for name in ("name", "type", "eventCount", "active")} == {
        "name": "kb", "type": "qdrant", "eventCount": 1, "active": True,
    }  # fmt: skip
    assert docs == {
        "name": "docs",
        "type": "auto-detected",
        "description": "Auto-registered from incoming events",
        "eventCount": 1,
        "lastSeen": AT,
        "active": False,
    }


async def test_a_field_without_a_name_names_no_provider(honest: Posted) -> None:
    """An event that tells of none was answered 500 for it, once it was taken."""
    changed = event("model_change", **{"": "x"})
    answer = await post(honest, ONE, changed)
    config = (await exchange(honest.port, request("GET", "/api/config"))).json()

    assert (both(answer), config["providers"]) == ((200, {"ok": True}), {"rag": [], "mcp": []})


async def test_what_was_taken_of_a_session_can_be_asked(honest: Posted) -> None:
    """For clients that do not know how far a batch came: id and time of what was taken since the start."""
    await post(honest, BATCH, [end(2, timestamp=AT + 5), None, end(1)])
    found = await exchange(honest.port, request("GET", "/api/sessions/s1/events?limit=-1"))
    other = await exchange(honest.port, request("GET", "/api/sessions/s2/events"))

    assert [(one["id"], one["timestamp"]) for one in found.json()] == [("e1", AT), ("e2", AT + 5)]
    assert both(other) == (200, [])


async def test_only_the_newest_can_be_asked(honest: Posted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is for doubts about the last batches, not an archive."""
    monkeypatch.setattr("forwarder_air.recent.MAX_EVENTS", 2)
    await post(honest, BATCH, [event("session_end", sessionId=session) for session in ("s1", "s2", "s3")])
    found = [await exchange(honest.port, request("GET", f"/api/sessions/s{one}/events")) for one in (1, 2, 3)]

    assert [len(one.json()) for one in found] == [0, 1, 1]


async def test_no_more_providers_are_listed_than_a_machine_has(honest: Posted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names come from outside."""
    monkeypatch.setattr("forwarder_air.providers.MAX_PROVIDERS", 2)
    await post(honest, BATCH, [event("mcp_request", serverName=f"s{one}") for one in range(5)])
    config = (await exchange(honest.port, request("GET", "/api/config"))).json()

    assert [one["name"] for one in config["providers"]["mcp"]] == ["s3", "s4"]


@pytest.mark.slow
async def test_what_every_receiver_promises() -> None:
    """Repeats, restarts, a full journal, garbage, in either form of answers."""
    samples = [
        Request("POST", ONE, headers={"content-type": "application/json"}, body=json.dumps(END).encode()),
        Request("POST", BATCH, body=json.dumps([event("cost"), event("drift")]).encode()),
        Request("POST", "/api/rag/index", body=json.dumps(RAG).encode()),
        Request("POST", "/api/providers/rag", body=b'{"name":"kb"}'),
    ]
    events = await check_receiver(Air, *samples)

    assert sum(isinstance(one, SessionEnd) for one in events) == 1


def test_the_readme_names_tests_that_exist() -> None:
    """A row whose test went is a promise without a proof."""
    folder = Path(__file__).parents[2]
    known = {name for path in folder.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    named = re.findall(r"`(test_\w+)`", README.read_text())

    assert set(named) - known == set()
    assert len(named) > 60


@pytest.mark.parametrize(
    ("answers", "names"),
    [("honest", ["ok", "error", "count", "errors"]), ("air", ["statusCode", "error", "message", "code"])],
)
def test_the_description_is_of_the_answers_that_are_given(answers: Any, names: list[str]) -> None:
    """A client that is made from it reads the right fields."""
    mount = Mount("air", "", Air(answers=answers), accept_nothing, 1 << 20)
    found = described({Address("127.0.0.1", 5200): Routing([mount])})
    answer = found["paths"][BATCH]["post"]["responses"]["400"]["content"]["application/json"]["schema"]
    shape = found["components"]["schemas"][answer["$ref"].rpartition("/")[2]]

    assert list(shape["properties"]) == names


def accept_nothing(path: str, request: Request) -> Accept:
    raise NotImplementedError
