"""Every row of the README's tables: the bytes over a real socket, and what is answered and taken."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import forwarder_pi_daemon
import pytest

from forwarder import Metric
from forwarder.server.listener import Limits
from forwarder.testing import receiving
from tests.plugins.pi_daemon.posting import COUNTER, Daemon, daemon, made
from tests.raw_http import Reply, exchange, request

AUTH = {"auth": {"enabled": True, "token": "right"}}


README = Path(forwarder_pi_daemon.__file__).with_name("README.md")
TESTS = Path(__file__).parents[2]


def refused(answer: Reply) -> tuple[int, str]:
    """Status and code; the form is the documented one."""
    body = answer.json()
    assert list(body) == ["error", "code", "details"]
    assert body["error"]
    assert isinstance(body["details"], dict)
    return answer.status, body["code"]


def test_every_row_of_the_readme_has_its_test() -> None:
    """A table of promises that nobody looks at is soon a table of memories."""
    rows = [
        line
        for line in README.read_text().split("## Requests")[1].split("\n## ")[0].splitlines()
        if line.startswith("| ")
    ]
    rows = [row for row in rows if not row.startswith(("| request |", "| told |"))]
    files = (*TESTS.glob("plugins/pi_daemon/test_*.py"), TESTS / "process" / "test_pi_daemon.py")
    code = "".join(path.read_text() for path in files)
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]

    assert len(rows) > 40
    assert [row for row, names in zip(rows, named, strict=True) if not names] == []
    assert [name for names in named for name in names if f"def {name}(" not in code] == []


async def test_one_metric_is_answered_204(pi: Daemon) -> None:
    """Without a body; the event has what was told."""
    answer = await pi.tell(COUNTER | {"labels": {"a": "b"}, "increment": 2})
    (event,) = pi.posted.events

    assert (answer.status, answer.body) == (204, b"")
    assert isinstance(event, Metric)
    assert (event.name, event.kind, event.op, event.value) == ("acme_runs_total", "counter", "increment", 2)
    assert event.labels == {"a": "b"}


async def test_a_metric_that_is_none_is_answered_400(pi: Daemon) -> None:
    """With the code of the table."""
    answer = await pi.tell({"name": "acme"})

    assert (refused(answer), pi.posted.events) == ((400, "VALIDATION_ERROR"), [])


async def test_a_batch_is_answered_with_its_success(pi: Daemon) -> None:
    """As the documentation shows it."""
    answer = await pi.tell_all(COUNTER, {"name": "acme_depth", "type": "gauge", "set": 4})

    assert (answer.status, answer.json()) == (200, {"success": 2, "failed": []})
    assert pi.values == [1, 4]


async def test_a_batch_may_be_taken_in_part(pi: Daemon) -> None:
    """Those that failed are named by place, name, words and code."""
    bad = COUNTER | {"increment": -1}
    answer = await pi.tell_all(bad, COUNTER, COUNTER | {"type": "gauge", "set": 1}, 7)
    failed = answer.json()["failed"]

    assert (answer.status, answer.json()["success"], pi.values) == (200, 1, [1])
    assert [list(one) for one in failed] == [["index", "name", "error", "code"]] * 3
    assert [(one["index"], one["name"], one["code"]) for one in failed] == [
        (0, "acme_runs_total", "VALIDATION_ERROR"),
        (2, "acme_runs_total", "INGESTION_ERROR"),
        (3, "", "VALIDATION_ERROR"),
    ]


async def test_an_empty_batch_is_taken(pi: Daemon) -> None:
    """Nothing is no error."""
    answer = await pi.tell_all()

    assert (answer.status, answer.json()) == (200, {"success": 0, "failed": []})


async def test_a_repeated_request_id_is_answered_409(pi: Daemon) -> None:
    """With the code of the table, and nothing counts twice."""
    answers = [await pi.tell_all(COUNTER, id="r1") for _ in range(2)]

    assert (answers[0].status, refused(answers[1])) == (200, (409, "DUPLICATE_REQUEST"))
    assert pi.values == [1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b'{"metrics":{}}',
        b'{"metrics":null}',
        b'{"metrics":[],"requestId":7}',
        b'{"metrics":[],"requestId":""}',
        b'{"metrics":[],"requestId":"%b"}' % (b"r" * 501),
        b'{"metrics":[{"name":"a","type":"gauge","set":NaN}]}',
        b"[" * 100_000,
        b"\x1f\x8b\x08\x00",
    ],
)
@pytest.mark.parametrize("path", ["/api/metrics", "/api/metrics/batch"])
async def test_a_body_that_is_no_metric_and_no_batch(pi: Daemon, path: str, body: bytes) -> None:
    """Is answered 400, whatever it is, and nothing of it is taken."""
    answer = await pi.send("POST", path, body)

    assert (refused(answer), pi.posted.events) == ((400, "VALIDATION_ERROR"), [])


async def test_metrics_are_shown_in_the_text_format(pi: Daemon) -> None:
    """HELP is the type's word and the name."""
    for metric in (COUNTER | {"labels": {"b": "2", "a": "1"}}, {"name": "acme_depth", "type": "gauge", "set": 0.5}):
        await pi.tell(metric)
    answer = await pi.send("GET", "/metrics")

    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert await pi.lines() == [
        "# HELP acme_depth Gauge metric: acme_depth",
        "# TYPE acme_depth gauge",
        "acme_depth 0.5",
        "# HELP acme_runs_total Counter metric: acme_runs_total",
        "# TYPE acme_runs_total counter",
        'acme_runs_total{a="1",b="2"} 1',
    ]


async def test_the_registry_lists_the_names(pi: Daemon) -> None:
    """In order, each once."""
    await pi.tell_all({"name": "b", "type": "summary", "observe": 1}, COUNTER, COUNTER | {"labels": {"a": "b"}})

    assert await pi.get("/api/metrics/registry") == ["acme_runs_total", "b"]


async def test_health_has_its_three_fields(pi: Daemon) -> None:
    """The uptime is in seconds."""
    health = await pi.get("/health")

    assert (list(health), health["status"]) == (["status", "uptime", "version"], "ok")
    assert 0 <= health["uptime"] < 60


async def test_the_configuration_is_shown_without_its_token(tmp_path: Path) -> None:
    """In the form of the file, with the defaults of what it does not say."""
    async with daemon(tmp_path, AUTH | {"metrics": {"maxLabelCount": 3}}) as pi:
        answer = await pi.send("GET", "/config")

    assert b"right" not in answer.body
    assert answer.json() == {
        "server": {"listenAddress": "127.0.0.1", "port": 9876, "maxPayloadSize": 1048576},
        "metrics": {"enabled": True, "retentionMinutes": 60, "maxLabelCount": 3, "maxMetricNames": 1000},
        "plugins": {"metrics": True},
        "auth": {"enabled": True, "token": "[REDACTED]"},
        "logging": {"level": "info"},
    }


async def test_the_statistics_of_the_process(pi: Daemon) -> None:
    """Uptime, memory, process and what runs it."""
    await pi.tell(COUNTER)
    stats = await pi.get("/admin/stats")

    assert list(stats) == ["uptime", "memory", "pid", "pythonVersion", "metricNames", "series"]
    assert (stats["pid"], stats["metricNames"], stats["series"]) == (os.getpid(), 1, 1)
    assert 1 << 20 < stats["memory"]["rss"] < 1 << 40


async def test_a_reload_is_answered(pi: Daemon) -> None:
    """As the documentation shows it."""
    answer = await pi.send("POST", "/admin/reload")

    assert (answer.status, answer.json()) == (200, {"status": "reloaded"})


@pytest.mark.parametrize("path", ["/api/metrics", "/api/metrics/batch", "/admin/reload"])
async def test_posts_ask_for_the_token(tmp_path: Path, path: str) -> None:
    """Two codes: for none, and for a wrong one."""
    async with daemon(tmp_path, AUTH) as pi:
        none = await pi.send("POST", path, COUNTER)
        wrong = await pi.send("POST", path, COUNTER, Authorization="Bearer wrong")
        other = await pi.send("POST", path, COUNTER, Authorization="Basic right")
        right = await pi.send("POST", path, COUNTER | {"metrics": [COUNTER]}, Authorization="Bearer right")

    assert (refused(none), refused(wrong), refused(other)) == (
        (401, "AUTH_MISSING"),
        (403, "AUTH_INVALID"),
        (403, "AUTH_INVALID"),
    )
    assert right.status in (200, 204)


@pytest.mark.parametrize("path", ["/metrics", "/api/metrics/registry", "/health", "/config", "/admin/stats"])
async def test_gets_stay_open(tmp_path: Path, path: str) -> None:
    """Also when a token is asked for elsewhere."""
    async with daemon(tmp_path, AUTH) as pi:
        answer = await pi.send("GET", path)

    assert answer.status == 200


@pytest.mark.parametrize("path", ["/api/metrics", "/api/metrics/batch"])
async def test_a_full_journal_is_a_rate_limit(pi: Daemon, path: str) -> None:
    """The documentation's only word for "come again", with the time to wait; then it is taken."""
    body = COUNTER if path == "/api/metrics" else {"requestId": "r1", "metrics": [COUNTER]}
    pi.posted.is_full = True
    full = await pi.send("POST", path, body)
    shown = await pi.lines()
    pi.posted.is_full = False
    again = await pi.send("POST", path, body)

    assert (refused(full), full.headers["retry-after"], shown) == ((429, "RATE_LIMITED"), "1", [])
    assert (again.status in (200, 204), pi.values, await pi.samples()) == (True, [1], {"acme_runs_total": 1})


@pytest.mark.slow
async def test_a_bug_is_an_internal_error(tmp_path: Path) -> None:
    """In the documented form, and without its words."""
    receiver = made(tmp_path)
    receiver.clock = BrokenClock()
    async with receiving(receiver) as posted:
        answer = await exchange(posted.port, request("POST", "/api/metrics", json.dumps(COUNTER).encode()))

    assert (refused(answer), b"secret" in answer.body) == ((500, "INTERNAL_ERROR"), False)


class BrokenClock:
    """Fails where a receiver cannot expect it."""

    def now(self) -> Any:
        raise ZeroDivisionError("a secret of ours")

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/metrics", 405),
        ("GET", "/api/metrics", 405),
        ("GET", "/api/metrics/batch", 405),
        ("DELETE", "/api/metrics/registry", 405),
        ("PUT", "/api/metrics", 405),
        ("GET", "/admin/reload", 405),
        ("POST", "/api/metrics/", 404),
        ("POST", "/health", 405),
        ("BREW", "/x", 404),
    ],
)
async def test_other_methods_and_paths(pi: Daemon, method: str, path: str, status: int) -> None:
    """In the documented form; its codes know no better word."""
    answer = await pi.send(method, path)

    assert refused(answer) == (status, "VALIDATION_ERROR")


async def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    """`maxPayloadSize`, as it is sent."""
    async with daemon(tmp_path, {"server": {"maxPayloadSize": 200}}) as pi:
        answer = await pi.tell_all(*[COUNTER] * 20)

    assert (refused(answer), pi.posted.events) == ((413, "VALIDATION_ERROR"), [])


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", "image/png"])
async def test_the_content_type_is_not_looked_at(pi: Daemon, content_type: str) -> None:
    """`curl -d` sends a form's."""
    answer = await pi.tell(COUNTER, Content_Type=content_type)

    assert answer.status == 204


async def test_options_tells_the_methods_of_a_path(pi: Daemon) -> None:
    """As of any server."""
    answer = await pi.send("OPTIONS", "/api/metrics")

    assert (answer.status, answer.headers["allow"]) == (204, "POST")


@pytest.mark.parametrize("name", ["Origin", "Host"])
async def test_a_page_is_not_let_in(pi: Daemon, name: str) -> None:
    """A web page could post what it likes."""
    value = "https://page.example" if name == "Origin" else "page.example"
    answer = await pi.tell(COUNTER, **{name: value})

    assert (refused(answer), pi.posted.events) == ((403, "AUTH_INVALID"), [])


async def test_a_body_that_does_not_come(tmp_path: Path) -> None:
    """A length that lies costs its sender a time-out, and nothing is taken."""
    async with receiving(made(tmp_path), limits=Limits(body_seconds=0.05)) as posted:
        raw = request("POST", "/api/metrics", json.dumps(COUNTER).encode(), Content_Length="9999")
        answer = await exchange(posted.port, raw)

    assert (refused(answer), posted.events) == ((408, "VALIDATION_ERROR"), [])
