"""Posts to every receiver that hold a planted secret wherever a client can write one.

Not in ids that events carry (of sessions, calls, turns): those go out as they were told. Ids that are only compared or
hashed hold one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, cast
from urllib.parse import quote

from tests.plugins.air.samples import AT, FIELDS
from tests.process.planted import Planted
from tests.raw_http import request

AIR_IDS = {"toolCallId", "promptHash", "direction", "severity"}  # and words without which an event is another one
RECEIVERS = ("pai", "air", "pi_daemon")
TIME = "2026-03-01T12:00:00Z"
PAI_SEED = ("session_start", "tool_use", "agent_spawn", "session_end")
PAI_SERVER = (
    *("session.start", "tool.execute", "tool.blocked", "agent.spawn", "agent.complete", "voice.sent", "session.end"),
)


class Post(NamedTuple):
    """A whole request to a receiver. `is_repeated`: the contract wants words of it in the answer."""

    receiver: str
    raw: bytes
    is_repeated: bool = False


def posts(secrets: list[Planted]) -> Iterator[Post]:
    """What is taken, and what is refused."""
    for number, one in enumerate(secrets):
        yield from _pai(one, number)
        yield from _of_indexes(one, number)
        yield from _refused(one, number)
    for start in range(0, len(secrets), 20):
        some = list(enumerate(secrets))[start : start + 20]
        yield _post("air", "/api/ingest/batch", [event for number, one in some for event in air_events(one, number)])
        metrics = [metric for number, one in some for metric in _metrics(one, number)]
        batch = {"requestId": f"{start} {secrets[start].text}"[:500], "metrics": metrics}
        yield _post("pi_daemon", "/api/metrics/batch", batch)
        yield _post("pi_daemon", "/api/metrics/batch", batch)  # is a duplicate


def frames(secrets: list[Planted]) -> Iterator[str]:
    """What is sent to AIr's WebSocket: good ones and bad ones."""
    for number, one in enumerate(secrets):
        yield json.dumps({**_air(one, number, "custom"), "id": f"frame-{number}"})
        yield json.dumps({**_air(one, number, "custom"), "timestamp": one.text})
        yield json.dumps([one.text, {one.text: one.text}])
        yield f'{{"id": {one.text}'


def air_events(one: Planted, number: int) -> list[dict[str, Any]]:
    """Every type with a secret in all of its texts and beside its fields, and a type that nobody knows."""
    events = [_air(one, number, kind) for kind in FIELDS]
    unknown = {"id": one.text, "sessionId": f"air-{number}", "timestamp": AT, "type": one.text, "text": one.text}
    start = {**_air(one, number, "session_start"), "sessionId": f"agent-{number}", "agent": one.text}
    alone = {**_air(one, number, "turn_end"), "sessionId": f"agent-{number}"}
    return [*events, unknown, start, alone]


def pages(receiver: str, secrets: list[Planted]) -> list[bytes]:
    """What others may ask of a receiver."""
    paths = {
        "air": ["/api/health", "/api/config", *(f"/api/sessions/air-{n}/events" for n in range(0, len(secrets), 10))],
        "pai": ["/health"],
        "pi_daemon": ["/metrics", "/api/metrics/registry", "/config", "/admin/stats", "/health"],
    }
    return [request("GET", path) for path in paths[receiver]]


def _air(one: Planted, number: int, kind: str) -> dict[str, Any]:
    common = {"id": f"{number}-{kind}", "sessionId": f"air-{number}", "timestamp": AT + number, "type": kind}
    fields: dict[str, Any] = _with(one.text, FIELDS[kind])
    calls = {"toolCallId": f"air-{number}-{kind}"} if "toolCallId" in fields else {}
    return {**common, **fields, **calls, "beside": {one.text: [one.text]}, one.text: 1}


def _with(text: str, value: object, name: str = "") -> Any:
    """The value with the text in the place of all others."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {key: _with(text, inner, key) for key, inner in fields.items()}
    if isinstance(value, list):
        return [_with(text, inner, name) for inner in cast("list[object]", value)]
    return text if isinstance(value, str) and name not in AIR_IDS else value


def _pai(one: Planted, number: int) -> Iterator[Post]:
    text, session = one.text, f"pai-{number}"
    named = dict.fromkeys(("tool", "model", "subagent_type", "agent_type", "reason"), text)
    data = {**named, "working_directory": f"/srv/{text}/app", "prompt": text, "duration_ms": 5, text: text}
    for kind in PAI_SEED:
        told = {"command": text, text: {"deep": [text]}}
        body = {"type": kind, "session_id": session, "timestamp": TIME, "data": {**data, "args": told}}
        yield _post("pai", "/api/events", body)
    for kind in PAI_SERVER:
        about = {"id": f"{number}-{kind}", "timestamp": TIME, "session_id": session, "event_type": kind}
        yield _post("pai", "/events", {**about, "data": {**data, "args_preview": text}})
    other = {"timestamp": text, "session_id": session, "event_type": text[:500], "data": [text, {text: text}]}
    yield _post("pai", "/events", {**other, "id": text[:500]}, is_repeated=True)


def _of_indexes(one: Planted, number: int) -> Iterator[Post]:
    told: dict[str, Any] = {"sessionId": f"rag-{number}", "query": one.text, "metadata": {one.text: one.text}}
    for kind in ("retrieval", "embedding", "index"):
        yield _post("air", f"/api/rag/{kind}", {**told, "source": one.text, "model": one.text, "beside": one.text})
    provider = {"type": one.text, "description": one.text, "embeddingModel": one.text, "dimensions": 3, "x": one.text}
    yield _post("air", "/api/providers/rag", {"name": one.text, **provider}, is_repeated=True)
    yield _post("air", "/api/ingest", _air(one, number, "custom") | {"id": f"alone-{number}"})


def _metrics(one: Planted, number: int) -> Iterator[dict[str, Any]]:
    """A label's name may be what says that its value is a secret."""
    bare = {"password": one.values[0]} if one.spelling == "plain" and len(one.values[0]) < 100 else {}
    labels = {"session": one.text, "model": one.text, "text": f"it is {one.text} here", **bare}
    yield {"name": "asked_total", "type": "counter", "labels": labels}
    yield {"name": "pi_depth", "type": "gauge", "set": number, "labels": labels}
    yield {"name": "took_seconds", "type": "histogram", "observe": number, "labels": labels}
    yield {"name": "size", "type": "summary", "observe": number, "labels": labels}


def _refused(one: Planted, number: int) -> Iterator[Post]:
    """Nothing of it is taken, but for the good metrics beside bad ones."""
    text = one.text
    seed: dict[str, Any] = {"type": "session_start", "session_id": "s", "timestamp": TIME, "data": {}}
    for changes in ({"type": text}, {"timestamp": text}, {"session_id": [text]}, {"data": text}):
        yield _post("pai", "/api/events", seed | changes)
    good = _air(one, number, "custom")
    wrong: list[dict[str, Any]] = [{"timestamp": text}, {"sessionId": [text]}, {"type": {text: 1}}, {"type": text * 99}]
    unfit = [good | changes for changes in wrong]
    yield _post("air", "/api/ingest/batch", [*unfit, text, [text]])
    yield _post("air", "/api/ingest", unfit[number % len(unfit)])
    metric = {"name": "bad", "type": "counter"}
    word = text if text.isidentifier() else "long"
    changed: list[dict[str, Any]] = [
        *({"name": text}, {"type": text}, {"labels": {text: "x"}}, {"labels": {word: text * 99}}),
        *({"labels": [text]}, {"increment": text}, {text: 1, "set": 1}, {"timestamp": text}),
    ]
    bad = [metric | one for one in changed]
    yield _post("pi_daemon", "/api/metrics/batch", {"metrics": [*bad, text, [text]]})
    yield _post("pi_daemon", "/api/metrics", bad[number % len(bad)])
    yield from _unreadable(RECEIVERS[number % len(RECEIVERS)], text)


def _unreadable(receiver: str, text: str) -> Iterator[Post]:
    path = {"pai": "/events", "air": "/api/ingest", "pi_daemon": "/api/metrics"}[receiver]
    yield Post(receiver, request("POST", path, f'{{"id": "{text}'.encode()))
    yield Post(receiver, request("GET", f"/{quote(text, safe='')}/text"))
    if text.isprintable():
        yield Post(receiver, request("POST", path, b"{}", Content_Type=text, Authorization=text, X_Other=text))
        yield Post(receiver, request("POST", path, b"{}", Origin=text))
        yield Post(receiver, request("POST", path, b"{}", Host=text))


def _post(receiver: str, path: str, body: object, *, is_repeated: bool = False) -> Post:
    raw = json.dumps(body).encode()
    return Post(receiver, request("POST", path, raw, Content_Type="application/json"), is_repeated)
