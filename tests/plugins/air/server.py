"""AIr's server as far as a collector can see it: what it answers to each input, what it stores, and how it counts.

As measured of version 0.1.1 (contract, sections 1.2, 1.3 and 1.12): 200 for nearly every failure, batches that end at
the first, counters that grow again with every repeat, sessions that believe only their first event.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from tests.http_peer import TAKEN_IN, HttpPeer, Reply, Request

MIB = 1_048_576
COUNTERS = {"totalTokensIn": 0, "totalTokensOut": 0, "totalCost": 0.0, "toolCallCount": 0, "turnCount": 0}
MONEY = ("inputCost", "outputCost", "cacheReadCost", "cacheWriteCost", "totalCost", "cumulativeCost")
EVAL = (
    *("responseTokens", "toolCallCount", "toolErrorCount", "toolSuccessRate", "responseLatencyMs"),
    "cacheHitRate",
)
RATING = ("turnsToComplete", "totalTokens", "totalCost", "totalLatencyMs", "toolErrorRate")
# Without these the insert into a table of their own fails (columns that may not be null).
NEEDED = {
    "tool_call_start": ("toolName",),
    "tool_call": ("toolName",),
    "agent_start": ("model", "provider"),
    "token_usage": ("input", "output", "cost"),
    "context_usage": ("tokensUsed", "contextWindow", "utilizationPct"),
    "context_breakdown": ("totalTokens", "contextWindow"),
    "latency": ("operation", "totalMs"),
    "cost": ("model", "provider", *MONEY),
    "output_eval": ("turnIndex", "model", "provider", "metrics"),
    "prompt_rating": ("promptHash", "variant", "category", "model", "provider", "metrics"),
    "drift": (
        *("metric", "model", "provider", "baseline", "current", "deviationPct", "direction", "severity"),
        *("windowSize", "threshold"),
    ),
}


class SqliteError(Exception):
    """A value that may not be null was."""


class AirServer(HttpPeer):
    """`sessions` are AIr's summaries, `stored` its events by id, `calls` its tool calls.

    `max_body_bytes` may be made smaller, as by a proxy in between; with `is_abrupt` a larger body is not answered: the
    connection is cut while the client still writes. `fails_at`: ids of events at which the server fails though they are
    right; `fails_late` when it has stored them already.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__(tls=tls, port=port)
        self.max_body_bytes = MIB
        self.is_abrupt = False
        self.fails_at: set[str] = set()
        self.fails_late: set[str] = set()
        self.sessions: dict[str | None, dict[str, Any]] = {}
        self.stored: dict[object, dict[str, Any]] = {}
        self.arrivals: list[object] = []
        self.calls: dict[str, dict[str, Any]] = {}
        self.lookups: list[str] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def announced(self, size: int, reply: Reply) -> Reply:
        if size <= self.max_body_bytes:
            return reply
        if self.is_abrupt:
            return Reply(trouble="reset_before_body")
        return Reply(413, body=_too_large(), headers={"Connection": "close"})

    def judge(self, request: Request, reply: Reply) -> Reply:
        is_troubled = reply.trouble is not None and reply.trouble not in TAKEN_IN | {"slow_reading"}
        if is_troubled or reply.status != 200:
            return reply
        status, body = self._answer_to(request)
        return Reply(status, reply.headers, json.dumps(body).encode(), reply.delay_seconds, reply.trouble)

    def posts(self) -> list[Request]:
        """The batches that were read whole."""
        return [one for one in self.requests if one.method == "POST"]

    def _answer_to(self, request: Request) -> tuple[int, object]:
        parts = urlsplit(request.path)
        match request.method, parts.path.split("/")[1:]:
            case "POST", ["api", "ingest", *rest] if rest in ([], ["batch"]):
                return self._ingest(request, is_batch=bool(rest))
            case "GET", ["api", "sessions", session, "events"]:
                limit = int(parse_qs(parts.query).get("limit", ["-1"])[0])
                return 200, self._events_of(unquote(session), limit)
            case "GET", ["api", "sessions", session]:
                return 200, self.sessions.get(unquote(session), {"error": "Session not found"})
            case _:
                said = f"Route {request.method}:{parts.path} not found"
                return 404, {"message": said, "error": "Not Found", "statusCode": 404}

    def _events_of(self, session: str, limit: int) -> list[dict[str, Any]]:
        self.lookups.append(session)
        found = [event for event in self.stored.values() if event["sessionId"] == session]
        found.sort(key=lambda event: event["timestamp"])
        return found if limit < 0 else found[len(found) - min(limit, len(found)) :]

    def _ingest(self, request: Request, *, is_batch: bool) -> tuple[int, object]:
        kind = request.headers.get("content-type", "").partition(";")[0]
        if kind not in {"application/json", "text/plain", ""}:
            said = "Unsupported Media Type"
            return 415, _fastify(415, "FST_ERR_CTP_INVALID_MEDIA_TYPE", said, said)
        if kind == "application/json":
            try:
                body = _parsed(request.body)
            except ValueError as error:
                return 400, _fastify(400, str(error.args[0]), "Bad Request", "Body is not valid JSON")
        elif not request.body:
            return 200, {"ok": False, "error": 'SyntaxError: "undefined" is not valid JSON'}
        else:
            body = request.body.decode()
        try:
            return 200, self._take_all(body) if is_batch else self._take_one(body)
        except (SqliteError, TypeError) as error:
            return 200, {"ok": False, "error": f"{type(error).__name__}: {error}"}

    def _take_all(self, body: object) -> dict[str, object]:
        if not isinstance(body, list | str):
            raise TypeError("events is not iterable")
        events = list(cast(list[object] | str, body))
        for event in events:  # the first that fails ends it: no transaction, no index in the answer
            self._take(event)
        return {"ok": True, "count": len(events)}

    def _take_one(self, body: object) -> dict[str, object]:
        self._take(body)
        return {"ok": True}

    def _take(self, event: object) -> None:
        if not isinstance(event, dict):
            raise TypeError(f"Cannot use 'in' operator to search for 'inputPreview' in {event}")
        fields = cast(dict[str, Any], event)
        if fields.get("id") in self.fails_at or isinstance(fields.get("id"), bool):
            raise TypeError("something of the server's own")
        self._session_of(fields)
        self.stored[fields["id"] if "id" in fields else object()] = fields
        self.arrivals.append(fields.get("id"))
        if fields.get("id") in self.fails_late:
            raise SqliteError("database is locked")
        _require(fields, NEEDED.get(fields.get("type", ""), ()), str(fields.get("type")))
        effect = EFFECTS.get(fields.get("type", ""))
        if effect:
            effect(self, fields, self.sessions[fields.get("sessionId")])

    def _session_of(self, event: dict[str, Any]) -> None:
        session = event.get("sessionId")
        _require(event, ("timestamp",), "sessions", {"timestamp": "start_time"})
        if session not in self.sessions:
            start: dict[str, Any] = {"agent": "unknown", "cwd": "", "model": "", "provider": ""}
            if event["type"] == "session_start":
                _require(event, ("cwd", "model", "provider"), "sessions")
                start = {name: event.get(name, "pi") for name in start}
            self.sessions[session] = {
                "sessionId": session, "startTime": event["timestamp"], **start, **COUNTERS, "compactionCount": 0,
                "contextUtilizationPct": 0,
            }  # fmt: skip
        self.sessions[session]["lastEventTime"] = event["timestamp"]


def _agent_start(server: AirServer, event: dict[str, Any], session: dict[str, Any]) -> None:
    session |= {"model": event["model"], "provider": event["provider"]}


def _tool_call_start(server: AirServer, event: dict[str, Any], session: dict[str, Any]) -> None:
    server.calls[event["toolCallId"]] = {"session": session["sessionId"], "tool": event["toolName"]}


def _tool_call_end(server: AirServer, event: dict[str, Any], session: dict[str, Any]) -> None:
    if event["toolCallId"] in server.calls:
        server.calls[event["toolCallId"]] |= {"is_error": event["isError"], "duration": event.get("durationMs")}
    session["toolCallCount"] += 1


def _turn_end(server: AirServer, event: dict[str, Any], session: dict[str, Any]) -> None:
    session["turnCount"] += 1


def _token_usage(server: AirServer, event: dict[str, Any], session: dict[str, Any]) -> None:
    session["totalTokensIn"] += event["input"]
    session["totalTokensOut"] += event["output"]
    session["totalCost"] += event["cost"]["total"]


def _cost(server: AirServer, event: dict[str, Any], session: dict[str, Any]) -> None:
    session["totalCost"] += event["totalCost"]


def _context_usage(server: AirServer, event: dict[str, Any], session: dict[str, Any]) -> None:
    session["contextUtilizationPct"] = event["utilizationPct"]


def _compaction(server: AirServer, event: dict[str, Any], session: dict[str, Any]) -> None:
    session["compactionCount"] += 1


def _metrics(names: tuple[str, ...]) -> Callable[[AirServer, dict[str, Any], dict[str, Any]], None]:
    return lambda server, event, session: _require(event["metrics"], names, event["type"])


EFFECTS: dict[str, Callable[[AirServer, dict[str, Any], dict[str, Any]], None]] = {
    "agent_start": _agent_start,
    "tool_call_start": _tool_call_start,
    "tool_call_end": _tool_call_end,
    "turn_end": _turn_end,
    "token_usage": _token_usage,
    "cost": _cost,
    "context_usage": _context_usage,
    "compaction": _compaction,
    "output_eval": _metrics(EVAL),
    "prompt_rating": _metrics(RATING),
}


def _require(event: dict[str, Any], names: tuple[str, ...], table: str, columns: dict[str, str] | None = None) -> None:
    for name in names:
        if event.get(name) is None:
            raise SqliteError(f"NOT NULL constraint failed: {table}.{(columns or {}).get(name, name)}")


def _parsed(body: bytes) -> object:
    if not body:
        raise ValueError("FST_ERR_CTP_EMPTY_JSON_BODY")
    try:
        return json.loads(body.decode(errors="replace"), object_pairs_hook=_without_prototype)
    except ValueError as error:
        raise ValueError("FST_ERR_CTP_INVALID_JSON_BODY") from error


def _without_prototype(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if any(name == "__proto__" for name, _ in pairs):
        raise ValueError("Object contains forbidden prototype property")
    return dict(pairs)


def _fastify(status: int, code: str, error: str, message: str) -> dict[str, object]:
    return {"statusCode": status, "code": code, "error": error, "message": message}


def _too_large() -> bytes:
    said = _fastify(413, "FST_ERR_CTP_BODY_TOO_LARGE", "Payload Too Large", "Request body is too large")
    return json.dumps(said).encode()
