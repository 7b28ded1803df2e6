"""What may be told of a metric, and what becomes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forwarder import Metric
from tests.plugins.pi_daemon.posting import COUNTER, Daemon, daemon

GAUGE: dict[str, Any] = {"name": "acme_depth", "type": "gauge"}
HISTOGRAM: dict[str, Any] = {"name": "acme_seconds", "type": "histogram"}
SUMMARY: dict[str, Any] = {"name": "acme_bytes", "type": "summary"}
TOKEN = "ghp_" + "Zc9bQ7rT2yVx4Lm8Np6Kd3Hs5Jw1Gf0Ae9Ru"


async def test_a_counter_adds(pi: Daemon) -> None:
    """1 where nothing is said; 0 is something said."""
    for metric in (COUNTER, COUNTER | {"increment": 2.5}, COUNTER | {"increment": 0}):
        await pi.tell(metric)

    assert (await pi.samples(), pi.values) == ({"acme_runs_total": 3.5}, [1, 2.5, 0])


async def test_a_gauge_is_set_and_moved(pi: Daemon) -> None:
    """Down, too; from nothing it moves from 0."""
    seen: list[float] = []
    for told in ({"delta": -2}, {"set": 7}, {"delta": -3}, {"set": 0}):
        await pi.tell(GAUGE | told)
        seen.append((await pi.samples())["acme_depth"])

    assert seen == [-2, 7, 4, 0]
    assert [getattr(event, "op", "") for event in pi.posted.events] == ["delta", "set", "delta", "set"]


async def test_a_histogram_counts_in_buckets(pi: Daemon) -> None:
    """Cumulative, up to all of them; a bucket's limit belongs to it."""
    for value in (0.005, 0.3, 4, 1e6, -1):
        await pi.tell(HISTOGRAM | {"observe": value})
    samples = await pi.samples()

    buckets = {name.partition("le=")[2]: value for name, value in samples.items() if "_bucket" in name}
    assert [buckets[limit] for limit in ("0.005", "0.25", "0.5", "2.5", "5", "300", "+Inf")] == [
        2,
        2,
        3,
        3,
        4,
        4,
        5,
    ]
    assert samples["acme_seconds_count"] == 5
    assert samples["acme_seconds_sum"] == pytest.approx(1000003.305)


async def test_a_summary_has_sum_and_count(pi: Daemon) -> None:
    """Without quantiles: which ones is not documented, and a restart would forget what they are made of."""
    for value in (2, 3.5):
        await pi.tell(SUMMARY | {"observe": value})

    assert await pi.samples() == {"acme_bytes_sum": 5.5, "acme_bytes_count": 2}


async def test_equal_metrics_are_as_many_facts(pi: Daemon) -> None:
    """Two increments by 1 are 2, also in one batch."""
    await pi.tell(COUNTER)
    await pi.tell(COUNTER)
    await pi.tell_all(COUNTER, COUNTER)

    assert (await pi.samples(), len(pi.values)) == ({"acme_runs_total": 4}, 4)


async def test_labels_make_series(pi: Daemon) -> None:
    """In whatever order they are told."""
    await pi.tell(COUNTER | {"labels": {"a": "1", "b": "2"}})
    await pi.tell(COUNTER | {"labels": {"b": "2", "a": "1"}})
    await pi.tell(COUNTER | {"labels": {"a": "1"}})
    await pi.tell(COUNTER | {"labels": NOTHING})

    assert await pi.samples() == {"acme_runs_total": 1, "acme_runs_total a=1": 1, "acme_runs_total a=1 b=2": 2}


async def test_labels_of_any_text_are_shown_so_that_they_can_be_read(pi: Daemon) -> None:
    """Quotes, backslashes, ends of lines, other alphabets."""
    text = 'say "hi" \\ and\n{go},=\u2028ö'
    await pi.tell(COUNTER | {"labels": {"a": text}})

    assert await pi.samples() == {f"acme_runs_total a={text}": 1}


async def test_a_label_that_begins_with_a_digit(pi: Daemon) -> None:
    """The documentation allows it, Prometheus does not: one of them would make the whole page unreadable."""
    answer = await pi.tell(COUNTER | {"labels": {"5xx": "1"}})
    twice = await pi.tell(COUNTER | {"labels": {"5xx": "1", "_5xx": "2"}})

    assert (answer.status, twice.status, await pi.samples()) == (204, 400, {"acme_runs_total _5xx=1": 1})


NOTHING: dict[str, Any] = {}
NAMES: list[object] = ["", "1a", "a b", "a-b", "a.b", "ä", "a\n", "a\x00", "{}", 'a"', 7, None]
TYPES: list[object] = ["", "untyped", "Counter", 7, None, ["counter"]]
NO_NUMBERS: list[object] = ["1", True, False, None, [1], NOTHING, 10**400]
NO_LABELS: list[object] = ["a", ["a"], None, {"a": 1}, {"a": None}, {"a": True}, {"a": NOTHING}]
NO_TIMES: list[object] = [-1, "2026-01-01", True, None, 253402300800000, 1e300, [1]]


@pytest.mark.parametrize(
    "metric",
    [
        *(COUNTER | {"name": name} for name in NAMES),
        *(COUNTER | {"type": kind} for kind in TYPES),
        *(COUNTER | {"increment": value} for value in (-1, -0.001, *NO_NUMBERS)),
        *(GAUGE | {"set": value} for value in NO_NUMBERS),
        *(GAUGE | {"delta": value} for value in NO_NUMBERS),
        *(HISTOGRAM | {"observe": value} for value in NO_NUMBERS),
        *(SUMMARY | {"observe": value} for value in NO_NUMBERS),
        GAUGE,
        HISTOGRAM,
        SUMMARY,
        GAUGE | {"set": 1, "delta": 1},
        GAUGE | {"increment": 1},
        COUNTER | {"set": 1},
        COUNTER | {"increment": 1, "observe": 1},
        HISTOGRAM | {"set": 1},
        *(COUNTER | {"labels": labels} for labels in NO_LABELS),
        *(COUNTER | {"labels": {name: "x"}} for name in ("", "a-b", "a b", "ä", "__name__", "__a", "a\n")),
        HISTOGRAM | {"observe": 1, "labels": {"le": "1"}},
        SUMMARY | {"observe": 1, "labels": {"quantile": "1"}},
        *(COUNTER | {"timestamp": time} for time in NO_TIMES),
        {key: value for key, value in COUNTER.items() if key != "name"},
        {key: value for key, value in COUNTER.items() if key != "type"},
    ],
    ids=lambda metric: json.dumps(metric)[:80],
)
async def test_what_is_no_metric_is_refused(pi: Daemon, metric: Any) -> None:
    """Alone with 400, in a batch as a failure of its own; nothing is taken either way."""
    alone = await pi.tell(metric)
    batch = (await pi.tell_all(metric)).json()

    assert (alone.status, alone.json()["code"]) == (400, "VALIDATION_ERROR")
    assert (batch["success"], [one["code"] for one in batch["failed"]]) == (0, ["VALIDATION_ERROR"])
    assert (pi.posted.events, await pi.lines(), pi.posted.notes) == ([], [], {})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "0x10", "1_000", "01"])
async def test_what_is_no_number_is_refused(pi: Daemon, number: str) -> None:
    """JSON has no word for it."""
    answer = await pi.send("POST", "/api/metrics", b'{"name":"a","type":"gauge","set":%b}' % number.encode())

    assert (answer.status, answer.json()["code"], pi.posted.events) == (400, "VALIDATION_ERROR", [])


async def test_a_sum_that_no_number_can_say_is_refused(pi: Daemon) -> None:
    """One infinity would stay for ever."""
    huge = GAUGE | {"delta": 1e308}
    answers = [await pi.tell(huge) for _ in range(2)]

    assert [answer.status for answer in answers] == [204, 400]
    assert (answers[1].json()["code"], await pi.samples()) == ("INGESTION_ERROR", {"acme_depth": 1e308})


async def test_fields_that_nobody_knows_are_left_alone(pi: Daemon) -> None:
    """A newer client may have more."""
    answer = await pi.tell(COUNTER | {"unit": "runs", "help": 7})

    assert answer.status == 204


@pytest.mark.parametrize("first", ["counter", "gauge", "histogram", "summary"])
@pytest.mark.parametrize("second", ["counter", "gauge", "histogram", "summary"])
async def test_a_name_has_one_type(pi: Daemon, first: str, second: str) -> None:
    """Also for other labels."""
    told = {"counter": "increment", "gauge": "set", "histogram": "observe", "summary": "observe"}
    await pi.tell({"name": "a", "type": first, told[first]: 1})
    answer = await pi.tell({"name": "a", "type": second, told[second]: 1, "labels": {"a": "b"}})

    assert answer.status == (204 if first == second else 400)
    assert first == second or answer.json()["code"] == "INGESTION_ERROR"


@pytest.mark.parametrize("name", ["acme_seconds_bucket", "acme_seconds_sum", "acme_seconds_count"])
async def test_names_that_a_histogram_has_already(pi: Daemon, name: str) -> None:
    """Two samples of one name and no labels would make the page unreadable; so would the histogram after them."""
    await pi.tell(HISTOGRAM | {"observe": 1})
    after = await pi.tell({"name": name, "type": "gauge", "set": 1})
    await pi.tell({"name": f"other_{name}", "type": "gauge", "set": 1})
    before = await pi.tell(HISTOGRAM | {"name": "other_acme_seconds", "observe": 1})

    assert (after.status, before.status) == (400, 400)
    assert {after.json()["code"], before.json()["code"]} == {"INGESTION_ERROR"}


@pytest.mark.parametrize("name", ["pi_daemon_requests_total", "pi_daemon_request_duration_seconds_sum"])
async def test_the_daemons_own_names_are_taken(pi: Daemon, name: str) -> None:
    """Nobody else tells about it."""
    answer = await pi.tell(COUNTER | {"name": name})

    assert (answer.status, answer.json()["code"]) == (400, "INGESTION_ERROR")


@pytest.mark.parametrize("metric", [HISTOGRAM | {"observe": 1}, SUMMARY | {"observe": 1}])
async def test_a_label_is_reserved_for_one_type(pi: Daemon, metric: dict[str, Any]) -> None:
    """Others may have it, before and after."""
    labels = {"labels": {"le": "1", "quantile": "2"}}
    told = [COUNTER | labels, metric | labels, COUNTER | labels]

    assert [(await pi.tell(one)).status for one in told] == [204, 400, 204]


async def test_a_metric_has_a_few_labels(pi: Daemon) -> None:
    """`maxLabelCount`, ten by default."""
    ten = await pi.tell(COUNTER | {"labels": {f"l{number}": "x" for number in range(10)}})
    eleven = await pi.tell(COUNTER | {"labels": {f"l{number}": "x" for number in range(11)}})

    assert (ten.status, eleven.status, eleven.json()["code"]) == (204, 400, "INGESTION_ERROR")


async def test_there_are_so_many_names(tmp_path: Path) -> None:
    """`maxMetricNames`; those that are there go on."""
    async with daemon(tmp_path, {"metrics": {"maxMetricNames": 2}}) as pi:
        batch = await pi.tell_all(*({"name": name, "type": "counter"} for name in "abca"))
        later = await pi.tell({"name": "d", "type": "counter"})
        known = await pi.tell({"name": "b", "type": "counter", "labels": {"x": "y"}})

    assert [(one["name"], one["code"]) for one in batch.json()["failed"]] == [("c", "INGESTION_ERROR")]
    assert (later.status, later.json()["code"], known.status) == (400, "INGESTION_ERROR", 204)


async def test_a_bomb_of_label_values_is_bounded(tmp_path: Path) -> None:
    """Every value is a series, which takes memory; the ones that are there go on."""
    async with daemon(tmp_path, max_series=50) as pi:
        bomb = [COUNTER | {"labels": {"id": str(number)}} for number in range(200)]
        batch = (await pi.tell_all(*bomb)).json()
        again = (await pi.tell_all(*bomb)).json()
        stats = await pi.get("/admin/stats")

    assert (batch["success"], again["success"], stats["series"], len(pi.values)) == (50, 50, 50, 100)
    assert {one["code"] for one in batch["failed"]} == {"INGESTION_ERROR"}


@pytest.mark.parametrize(
    "metric",
    [
        COUNTER | {"labels": {"a": "x" * 1001}},
        COUNTER | {"labels": {"a" * 201: "x"}},
        COUNTER | {"name": "a" * 201},
        COUNTER | {"labels": {"a": "x" * 900_000}},
        COUNTER | {"labels": {f"l{number}": "x" * 100 for number in range(5000)}},
    ],
    ids=["value", "label", "name", "long", "many"],
)
async def test_bombs_of_text_are_refused(pi: Daemon, metric: object) -> None:
    """What identifies something is short."""
    answer = await pi.tell(metric)

    assert (answer.status, answer.json()["code"], pi.posted.notes) == (400, "INGESTION_ERROR", {})


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1, datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
        (31556995200000, datetime(2970, 1, 1, tzinfo=UTC)),
        (1770285600000.5, datetime(2026, 2, 5, 10, 0, 0, 500, tzinfo=UTC)),
    ],
)
async def test_times_are_taken_as_they_are(pi: Daemon, timestamp: float, time: datetime) -> None:
    """However far away they lie; the page shows none."""
    await pi.tell(COUNTER | {"timestamp": timestamp})
    (event,) = pi.posted.events

    assert (event.time, event.time_inferred) == (time, False)
    assert await pi.samples() == {"acme_runs_total": 1}


async def test_without_a_time_it_is_when_it_came(pi: Daemon) -> None:
    """Which is said."""
    before = datetime.now(UTC)
    await pi.tell(COUNTER)
    (event,) = pi.posted.events

    assert (before <= event.time <= datetime.now(UTC), event.time_inferred) == (True, True)


async def test_the_extensions_session_becomes_the_events(pi: Daemon) -> None:
    """What pi's own extension posts is pi's; the labels stay as they were told."""
    labels = {"session": "0a1b", "model": "claude"}
    await pi.tell({"name": "pi_compaction_total", "type": "counter", "labels": labels})
    await pi.tell({"name": "pi_sessions_started", "type": "counter"})
    await pi.tell(COUNTER | {"labels": {"session": "s1"}})

    told = [(event.session.agent, event.session.id) for event in pi.posted.events]
    assert told == [("pi", "0a1b"), ("pi", "unknown"), ("pi-daemon", "s1")]
    assert isinstance(event := pi.posted.events[0], Metric)
    assert event.labels == labels


async def test_text_that_is_not_utf_8_is_mended(pi: Daemon) -> None:
    """A client that cuts in the middle of a character tells something all the same."""
    answer = await pi.send("POST", "/api/metrics", b'{"name":"a","type":"gauge","set":1,"labels":{"l":"x\xff"}}')
    name = await pi.send("POST", "/api/metrics", b'{"name":"a\xff","type":"counter"}')

    assert (answer.status, name.status, await pi.samples()) == (204, 400, {"a l=x\ufffd": 1})


async def test_a_secret_is_neither_shown_nor_noted(pi: Daemon) -> None:
    """In a label's value it is taken out; as a name it is refused."""
    value = await pi.tell(COUNTER | {"labels": {"key": TOKEN, "session": TOKEN}})
    name = await pi.tell(COUNTER | {"name": TOKEN})
    label = await pi.tell(COUNTER | {"labels": {TOKEN: "x"}})
    page = (await pi.send("GET", "/metrics")).body.decode()

    assert (value.status, name.status, label.status) == (204, 400, 400)
    assert TOKEN not in page + str(pi.posted.notes) + str([event.session for event in pi.posted.events])
    assert TOKEN not in (name.json()["error"] + label.json()["error"])


async def test_a_labels_name_says_that_its_value_is_a_secret(pi: Daemon) -> None:
    """Neither the page nor the notes have it: there the two stand together."""
    await pi.tell(COUNTER | {"labels": {"password": "zq7Ht2wLx9Bv4Ns8", "token": "max"}})
    page = (await pi.send("GET", "/metrics")).body.decode()

    assert '{password="[REDACTED]",token="max"} 1' in page
    assert "zq7Ht2wLx9Bv4Ns8" not in str(pi.posted.notes)


async def test_a_refusal_does_not_repeat_a_secret(pi: Daemon) -> None:
    """Neither in its words nor in the list of a batch nor in the details, whatever else is wrong."""
    bad: list[dict[str, Any]] = [
        {"name": TOKEN},
        {"type": TOKEN},
        {"labels": {TOKEN: "x" * 2000}},
        {"labels": {f"__{TOKEN}": "x"}},
    ]
    answers = [await pi.tell(COUNTER | one) for one in bad] + [await pi.tell_all(*(COUNTER | one for one in bad))]

    assert [answer.status for answer in answers] == [400, 400, 400, 400, 200]
    assert [answer for answer in answers if TOKEN.encode() in answer.body] == []


@pytest.mark.slow
async def test_the_page_is_read_by_others_whatever_was_told(pi: Daemon) -> None:
    """Hundreds of series of every type, in more than one slice."""
    told = [
        metric | {"labels": {"number": f"{number}"}}
        for number in range(110)
        for metric in (COUNTER, GAUGE | {"set": number}, HISTOGRAM | {"observe": number}, SUMMARY | {"observe": 1})
    ]
    answer = await pi.tell_all(*told)
    samples = await pi.samples()

    assert answer.json()["success"] == 440
    assert len(samples) == 110 * (1 + 1 + 18 + 2)
    assert sum(line.startswith("# TYPE acme") for line in await pi.lines()) == 4


async def test_requests_are_counted_by_route(pi: Daemon) -> None:
    """Never by the path that was asked for, nor by a method that somebody thinks up."""
    await pi.tell(COUNTER)
    await pi.tell({})
    for number in range(3):
        await pi.send("GET", f"/nowhere/{number}")
        await pi.send(f"M{number}", "/health")
    page = (await pi.send("GET", "/metrics")).body.decode().splitlines()

    assert [line for line in page if line.startswith("pi_daemon_requests_total")] == [
        'pi_daemon_requests_total{method="GET",path="other",status="404"} 3',
        'pi_daemon_requests_total{method="POST",path="/api/metrics",status="204"} 1',
        'pi_daemon_requests_total{method="POST",path="/api/metrics",status="400"} 1',
        'pi_daemon_requests_total{method="other",path="/health",status="405"} 3',
    ]
    assert "pi_daemon_request_duration_seconds_count 8" in page
    assert {line.split()[2] for line in page if line.startswith("# TYPE pi_daemon")} == {
        "pi_daemon_requests_total",
        "pi_daemon_request_duration_seconds",
        "pi_daemon_uptime_seconds",
        "pi_daemon_memory_usage_bytes",
    }
