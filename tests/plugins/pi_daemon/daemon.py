"""A stand-in for pi-daemon: answers as its seed's tables say, and keeps what it was told."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.http_peer import TAKEN_IN, HttpPeer, Reply, Request

REMEMBERED_SECONDS = 300.0  # how long a requestId is known
MAX_LABELS = 10
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")  # strict: the documented form may begin with a digit
OPS = {"counter": ["increment"], "gauge": ["set", "delta"], "histogram": ["observe"], "summary": ["observe"]}

Series = tuple[str, tuple[tuple[str, str], ...]]


def error(status: int, code: str, text: str = "no") -> Reply:
    body = json.dumps({"error": text, "code": code, "details": {}}).encode()
    return Reply(status, headers={"Content-Type": "application/json"}, body=body)


AUTH_MISSING = error(401, "AUTH_MISSING")
AUTH_INVALID = error(403, "AUTH_INVALID")
DUPLICATE = error(409, "DUPLICATE_REQUEST")
RATE_LIMITED = error(429, "RATE_LIMITED")
INTERNAL = error(500, "INTERNAL_ERROR")
INVALID = error(400, "VALIDATION_ERROR")
NOT_INGESTED = error(400, "INGESTION_ERROR")
TOO_LARGE = error(413, "INGESTION_ERROR")


@dataclass
class Failing:
    """How metrics of a name fail: with `code`, the first `times` that they come."""

    code: str
    times: int = 1_000_000


@dataclass
class Held:
    """What the daemon has: totals of counters, observations of histograms and summaries, gauges; all that was taken."""

    counters: Counter[Series] = field(default_factory=Counter[Series])
    observed: dict[Series, list[float]] = field(default_factory=dict[Series, list[float]])
    gauges: dict[Series, float] = field(default_factory=dict[Series, float])
    taken: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def take(self, metric: dict[str, Any]) -> None:
        self.taken.append(metric)
        series = metric["name"], tuple(sorted(metric.get("labels", {}).items()))
        match metric["type"]:
            case "counter":
                self.counters[series] += metric.get("increment", 1)
            case "gauge":
                self.gauges[series] = metric["set"] if "set" in metric else self.gauges.get(series, 0) + metric["delta"]
            case _:
                self.observed.setdefault(series, []).append(metric["observe"])


class DaemonPeer(HttpPeer):
    """Answers for itself where the script has a plain `Reply()`, or a trouble that strikes after the body was read.

    A scripted status stands for something in front of the daemon, which never sees the request. `now` is the daemon's
    clock in seconds. `failed_form` makes the elements of `failed`, whose shape is not documented.
    """

    def __init__(self, *, port: int = 0, token: str | None = None, max_bytes: int = 1 << 20) -> None:
        super().__init__(port=port)
        self.held = Held()
        self.now = 0.0
        self.failing: dict[str, Failing] = {}
        self.request_ids: list[str] = []
        self._token = token
        self._max_bytes = max_bytes
        self._known: dict[str, float] = {}

    @property
    def base(self) -> str:
        return self.url.removesuffix("/v1/events")

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def failed_form(self, index: int, name: str, code: str) -> object:
        return {"index": index, "name": name, "error": f"{name} failed", "code": code}

    def judge(self, request: Request, reply: Reply) -> Reply:
        if reply.trouble not in TAKEN_IN | {None} or (reply.status, reply.body) != (200, b"{}"):
            return reply
        own = self.answer(request)
        return Reply(own.status, own.headers, own.body, reply.delay_seconds, reply.trouble)

    def answer(self, request: Request) -> Reply:
        if request.method != "POST" or request.path not in ("/api/metrics", "/api/metrics/batch"):
            return Reply(404, body=b"not found")
        if self._token is not None and "authorization" not in request.headers:
            return AUTH_MISSING
        if self._token is not None and request.headers["authorization"] != f"Bearer {self._token}":
            return AUTH_INVALID
        if len(request.body) > self._max_bytes:
            return TOO_LARGE
        try:
            posted = json.loads(request.body)
        except ValueError:
            return INVALID
        return self._one(posted) if request.path == "/api/metrics" else self._batch(posted)

    def _one(self, metric: dict[str, Any]) -> Reply:
        if code := self._code(metric):
            return error(400, code)
        self.held.take(metric)
        return Reply(204, body=b"")

    def _batch(self, posted: dict[str, Any]) -> Reply:
        if not isinstance(posted.get("metrics"), list):
            return INVALID
        if (id := posted.get("requestId")) is not None:
            self.request_ids.append(id)
            if self.now - self._known.get(id, float("-inf")) < REMEMBERED_SECONDS:
                return DUPLICATE
            self._known[id] = self.now
        failed: list[object] = []
        for index, metric in enumerate(posted["metrics"]):
            if code := self._code(metric):
                failed.append(self.failed_form(index, metric["name"], code))
            else:
                self.held.take(metric)
        body = {"success": len(posted["metrics"]) - len(failed), "failed": failed}
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _code(self, metric: dict[str, Any]) -> str | None:
        """Why the metric is not taken."""
        failing = self.failing.get(metric["name"])
        if failing and failing.times > 0:
            failing.times -= 1
            return failing.code
        labels: dict[str, object] = metric.get("labels", {})
        ops = [op for op in ("increment", "set", "delta", "observe") if op in metric]
        is_valid = (
            NAME.fullmatch(metric["name"])
            and len(ops) == 1
            and ops[0] in OPS.get(metric.get("type", ""), [])
            and type(metric[ops[0]]) in (int, float)
            and metric.get("increment", 0) >= 0
            and all(LABEL.fullmatch(key) and isinstance(value, str) for key, value in labels.items())
        )
        if not is_valid:
            return "VALIDATION_ERROR"
        return "INGESTION_ERROR" if len(labels) > MAX_LABELS else None
