"""The sink `pi_daemon` against a daemon that answers as documented: nothing is lost, and nothing is counted twice."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import forwarder_pi_daemon
import pytest
from forwarder_pi_daemon.sink import MAX_ROUNDS, PiDaemonSink
from structlog.testing import capture_logs

from forwarder import Batch, ConfigError, Secret, Unavailable
from forwarder.journal import Changes
from forwarder.testing import Destination, ManualClock, check_sink
from tests.http_peer import Reply, Trouble
from tests.plugins.pi_daemon.daemon import (
    AUTH_INVALID,
    AUTH_MISSING,
    DUPLICATE,
    INTERNAL,
    INVALID,
    NOT_INGESTED,
    RATE_LIMITED,
    REMEMBERED_SECONDS,
    TOO_LARGE,
    DaemonPeer,
    Failing,
)
from tests.plugins.pi_daemon.delivering import (
    Delivery,
    call,
    counted,
    event,
    expected,
    lines,
    metric,
    state,
    usage,
    work,
)

README = Path(forwarder_pi_daemon.__file__).with_name("README.md")
TROUBLES: tuple[Trouble, ...] = (
    "reset_before_body",
    "reset_in_body",
    "reset_after_body",
    "half_answer",
    "wrong_length",
    "silence",
)


@pytest.fixture
async def daemon() -> AsyncGenerator[DaemonPeer]:
    async with DaemonPeer() as daemon:
        yield daemon


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    return Delivery(tmp_path)


def to(daemon: DaemonPeer, **options: Any) -> PiDaemonSink:
    return PiDaemonSink(daemon_url=daemon.base, **options)


async def test_events_become_metrics_in_the_daemons_form(daemon: DaemonPeer, delivery: Delivery) -> None:
    """Counters are incremented and durations observed, one request a batch, whose id is the batch's."""
    events = [usage(1), call(2)]
    await delivery.run(to(daemon), *events)
    (request,) = daemon.requests
    body = json.loads(request.body)

    assert (request.path, body["requestId"]) == ("/api/metrics/batch", Batch(tuple(lines(events))).id)
    assert body["metrics"][-1] == {
        "name": "agent_tool_call_duration_seconds",
        "type": "histogram",
        "labels": {"agent": "codex", "tool": "sh"},
        "observe": 1.5,
    }
    assert counted(daemon.held) == counted(expected(events))


@pytest.mark.parametrize(
    "reply",
    [
        *(Reply(trouble=trouble) for trouble in TROUBLES),
        DUPLICATE,
        RATE_LIMITED,
        Reply(429, headers={"Retry-After": "7"}),
        INTERNAL,
        Reply(503),
        AUTH_MISSING,
        AUTH_INVALID,
        INVALID,
        NOT_INGESTED,
        TOO_LARGE,
        Reply(404),
        Reply(200, body=b"<html>sign in</html>"),
        Reply(204, body=b""),
    ],
    ids=lambda reply: reply.trouble or f"{reply.status}{'+' * len(reply.headers)}",
)
async def test_whatever_is_answered_each_event_counts_once(
    daemon: DaemonPeer, delivery: Delivery, reply: Reply
) -> None:
    """A duplicate is one that was taken, the rest comes again: later, in halves, or when somebody has acted."""
    events = work(12)
    sink = to(daemon, timeout_seconds=0.1 if reply.trouble == "silence" else 10.0)
    if reply is DUPLICATE:
        daemon.script(Reply(trouble="reset_after_body"))
    else:
        daemon.script(Reply(), reply)
    await delivery.run(sink, *events)

    assert counted(daemon.held) == counted(expected(events))
    assert delivery.refused() == {}


@pytest.mark.parametrize(
    ("reply", "after", "is_refused"),
    [
        (RATE_LIMITED, None, False),
        (Reply(429, headers={"Retry-After": "7"}), 7.0, False),
        (INTERNAL, None, False),
        (AUTH_MISSING, None, True),
        (AUTH_INVALID, None, True),
        (Reply(404), None, True),
        (Reply(200, body=b"hello"), None, True),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
async def test_what_a_refusal_asks_of_the_sender(
    daemon: DaemonPeer, reply: Reply, after: float | None, *, is_refused: bool
) -> None:
    """To back off, for as long as the daemon says, or to open the circuit until a person has acted."""
    sink = to(daemon)
    daemon.script(reply)
    async with sink.lifespan():
        with pytest.raises(Unavailable) as raised:
            await sink.send(Batch(tuple(lines([usage(1)]))))

    assert (raised.value.after, raised.value.is_refused) == (after, is_refused)


async def test_a_daemon_that_is_away_for_half_of_the_run_gets_everything(delivery: Delivery) -> None:
    """What was journalled meanwhile comes when it is back, each once; it was killed behind a batch it had taken."""
    events = work(40)
    async with DaemonPeer() as daemon:
        sink, port = to(daemon), daemon.port
        async with delivery.life(sink) as caught_up:
            await delivery.journal.commit(Changes(lines=lines(events[:20])))
            await caught_up()
            daemon.script(Reply(trouble="reset_after_body"))
            await daemon.__aexit__(None, None, None)
            await delivery.journal.commit(Changes(lines=lines(events[20:])))
            while delivery.sender.retries < 3:
                await asyncio.sleep(0)
            async with DaemonPeer(port=port) as back:
                back.held = daemon.held
                await caught_up()

    assert counted(back.held) == counted(expected(events))
    assert delivery.refused() == {}


async def test_a_killed_forwarder_counts_nothing_twice(daemon: DaemonPeer, delivery: Delivery) -> None:
    """The batch that was taken, and whose acknowledgement was lost, is a duplicate to the daemon."""
    events = work(8)
    daemon.script(Reply(), Reply(trouble="silence"))
    async with delivery.life(to(daemon)):
        await delivery.journal.commit(Changes(lines=lines(events)))
        await daemon.wait_for(2)
    await delivery.run(to(daemon))

    assert counted(daemon.held) == counted(expected(events))
    assert daemon.request_ids[1] == daemon.request_ids[2]


async def test_only_what_failed_comes_again_under_another_id(daemon: DaemonPeer, delivery: Delivery) -> None:
    """A repeat of the id would be refused as a duplicate; the new one follows from the batch."""
    events = work(4)
    daemon.failing = {"agent_tokens_total": Failing("INTERNAL_ERROR", times=3)}
    await delivery.run(to(daemon), *events)
    again = json.loads(daemon.requests[1].body)

    assert counted(daemon.held) == counted(expected(events))
    assert [one["name"] for one in again["metrics"]] == ["agent_tokens_total"] * 3
    assert len(set(daemon.request_ids)) == len(daemon.request_ids) == 2


async def test_the_rest_of_a_batch_is_not_counted_twice_either(daemon: DaemonPeer, delivery: Delivery) -> None:
    """Its answer is lost, so it comes again under the same id, and is a duplicate."""
    events = work(4)
    daemon.failing = {"agent_tokens_total": Failing("INTERNAL_ERROR", times=3)}
    daemon.script(Reply(), Reply(trouble="reset_after_body"))
    await delivery.run(to(daemon), *events)

    assert counted(daemon.held) == counted(expected(events))
    assert daemon.request_ids[1] == daemon.request_ids[2]


async def test_a_metric_that_is_not_valid_costs_its_event(daemon: DaemonPeer, delivery: Delivery) -> None:
    """A dead letter with the daemon's words; what else is in the batch counts once."""
    events = [usage(1), call(2), metric(3, "acme_total"), call(4)]
    daemon.failing = {"acme_total": Failing("VALIDATION_ERROR")}
    await delivery.run(to(daemon, posted_metrics=True), *events)

    assert delivery.refused() == {f"{3:032x}": "VALIDATION_ERROR: acme_total failed"}
    assert counted(daemon.held) == counted(expected([events[0], events[1], events[3]]))
    assert len(daemon.requests) == 1


async def test_a_metric_that_is_never_taken_costs_its_event(daemon: DaemonPeer, delivery: Delivery) -> None:
    """A name too many may stay so for ever; the rest of the metrics does not wait for that."""
    daemon.failing = {"acme_total": Failing("INGESTION_ERROR")}
    await delivery.run(to(daemon, posted_metrics=True), metric(1, "acme_total"), usage(2))

    assert delivery.refused() == {f"{1:032x}": f"not taken in {MAX_ROUNDS} tries: INGESTION_ERROR: acme_total failed"}
    assert counted(daemon.held) == counted(expected([usage(2)]))


@pytest.mark.parametrize(
    ("form", "is_known"),
    [
        ({"index": 1}, True),
        ({"name": "b_total"}, True),
        ("b_total", True),
        ({"index": 99, "name": "b_total"}, True),
        ({"index": True, "name": "c_total"}, False),
        ({"index": 99}, False),
        (7, False),
        (None, False),
    ],
    ids=str,
)
async def test_any_shape_of_failed_is_understood_or_said(
    daemon: DaemonPeer, delivery: Delivery, monkeypatch: pytest.MonkeyPatch, form: object, *, is_known: bool
) -> None:
    """It is not documented. What cannot be told is not sent again: it would count others twice."""

    def failed_form(index: int, name: str, code: str) -> object:
        return form

    monkeypatch.setattr(daemon, "failed_form", failed_form)
    daemon.failing = {"b_total": Failing("INTERNAL_ERROR", times=1)}
    with capture_logs() as logs:
        names = ("a_total", "b_total", "c_total", "c_total")
        await delivery.run(to(daemon, posted_metrics=True), *(metric(n, name) for n, name in enumerate(names, 1)))
    said = [line["event"] for line in logs if "does not say which" in line["event"]]

    assert sorted(one["name"] for one in daemon.held.taken) == sorted(names if is_known else {*names} - {"b_total"}) + (
        [] if is_known else ["c_total"]
    )
    assert len(said) == (0 if is_known else 1)


async def test_a_batch_that_is_too_large_comes_in_parts(delivery: Delivery) -> None:
    """Down to the event that is too large alone."""
    events = [*work(8), metric(9, "acme_total", labels={"text": "x" * 3000}), *work(8, first=10)]
    async with DaemonPeer(max_bytes=2000) as daemon:
        await delivery.run(to(daemon, posted_metrics=True), *events, max_events=100)

    assert list(delivery.refused()) == [f"{9:032x}"]
    assert counted(daemon.held) == counted(expected(one for one in events if one["type"] != "metric"))


async def test_the_token_is_shown_to_the_daemon_alone(delivery: Delivery) -> None:
    """And is in no message, whatever the daemon repeats."""
    async with DaemonPeer(token="hush") as daemon:
        await delivery.run(to(daemon, token=Secret("hush")), usage(1))
        wrong = to(daemon, token=Secret("wrong"))
        daemon.script(Reply(500, body=b"you said wrong"))
        async with wrong.lifespan():
            with pytest.raises(Unavailable) as raised:
                await wrong.send(Batch(tuple(lines([usage(2)]))))

    assert counted(daemon.held) == counted(expected([usage(1)]))
    assert ("you said" in str(raised.value), "wrong" in str(raised.value)) == (True, False)


async def test_posted_metrics_pass_through(daemon: DaemonPeer, delivery: Delivery) -> None:
    """As they came to a receiver: kind, operation and labels; a label gets no digit in front."""
    await delivery.run(
        to(daemon, posted_metrics=True),
        metric(1, "a_total", value=2.5, labels={"9lives": "x", "model": "m"}),
        metric(2, "b", "gauge", "set", value=7),
        metric(3, "b", "gauge", "delta", value=-2),
        metric(4, "c_seconds", "summary", "observe", value=0.5),
    )

    assert daemon.held.counters == {("a_total", (("_9lives", "x"), ("model", "m"))): 2.5}
    assert (daemon.held.gauges, daemon.held.observed) == ({("b", ()): 5}, {("c_seconds", ()): [0.5]})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (metric(2, "a-total"), "'a-total' is no name of a metric"),
        (metric(2, "a", labels={"": "x"}), "'' is no name of a label"),
        (metric(2, "a", labels={f"l{n}": "x" for n in range(10)}), "a has 10 labels, more than 9"),
        (metric(2, "a", value=-1), "a cannot take -1"),
        ({**usage(2), "input_tokens": None}, "TypeError"),
        ({name: value for name, value in usage(2).items() if name != "output_tokens"}, "KeyError: 'output_tokens'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_a_daemon_would_refuse_is_not_sent(
    daemon: DaemonPeer, delivery: Delivery, wrong: dict[str, Any], words: str
) -> None:
    """It costs its event, and its neighbours nothing."""
    await delivery.run(to(daemon, posted_metrics=True), usage(1), wrong, usage(3))
    (reason,) = delivery.refused().values()

    assert words in reason
    assert counted(daemon.held) == counted(expected([usage(1), usage(3)]))


async def test_posted_metrics_go_no_further_unasked(daemon: DaemonPeer, delivery: Delivery) -> None:
    """A forwarder that has the daemon's place, and this sink, would post to itself without end."""
    await delivery.run(to(daemon), metric(1, "a_total"), usage(2))

    assert {one["name"] for one in daemon.held.taken} == {"agent_tokens_total"}


async def test_names_are_counted(daemon: DaemonPeer, delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon takes a thousand; those that it knows go on."""
    monkeypatch.setattr("forwarder_pi_daemon.outgoing.MAX_NAMES", 2)
    events = [metric(number, name) for number, name in enumerate("abcab", 1)]
    await delivery.run(to(daemon, posted_metrics=True), *events)

    assert list(delivery.refused()) == [f"{3:032x}"]
    assert [one["name"] for one in daemon.held.taken] == ["a", "b", "a", "b"]


async def test_gauges_are_what_all_sessions_come_to(daemon: DaemonPeer, delivery: Delivery) -> None:
    """Also over a restart: what a session does now replaces what it did, and one that is over counts no more."""
    await delivery.run(to(daemon), state(1, "working"), state(2, "working", "s2"), state(3, "idle"))
    between = sessions(daemon)
    await delivery.run(to(daemon), state(4, "ended", "s2"), state(5, "waiting_input"), state(3, "working"))

    assert between == {"working": 1, "idle": 1}
    assert sessions(daemon) == {"working": 0, "idle": 0, "waiting_input": 1}


async def test_gauges_survive_a_batch_that_is_split(daemon: DaemonPeer, delivery: Delivery) -> None:
    """What was true before the first try is still told when the halves come."""
    daemon.script(Reply(), TOO_LARGE)
    await delivery.run(to(daemon), state(1, "idle"), max_events=1)
    await delivery.run(to(daemon), state(2, "working"), state(3, "waiting_input"), max_events=2)

    assert sessions(daemon) == {"idle": 0, "working": 0, "waiting_input": 1}


async def test_a_session_that_was_not_heard_of_is_not_counted_for_ever(daemon: DaemonPeer, delivery: Delivery) -> None:
    """Closed windows and killed processes leave no word."""
    await delivery.run(to(daemon), state(1, "idle"), state(2, "idle", "s2"))
    delivery.clock.advance(20 * 3600)
    await delivery.run(to(daemon), {**state(3, "idle", "s3"), "time": delivery.clock.now().isoformat()})

    assert sessions(daemon) == {"idle": 1}


async def test_a_restarted_gauge_is_not_that_of_another_release(daemon: DaemonPeer) -> None:
    """A name that is gone is forgotten, and so is a note that cannot be read; the rest stands."""
    first, second = to(daemon), to(daemon)
    first.clock = second.clock = ManualClock()
    async with first.lifespan():
        await first.send(Batch(tuple(lines([state(1, "idle")]))))
    noted = {key: body.replace(b"agent_sessions", b"agent_sessionz") for key, body in first.notes().items() if body}
    with capture_logs() as logs:
        second.recall({**noted, "0" * 32: b"\x01"})
    async with second.lifespan():
        await second.send(Batch(tuple(lines([state(2, "idle", "s2")]))))

    assert (sessions(daemon), len(logs)) == ({"idle": 1}, 1)


def sessions(daemon: DaemonPeer) -> dict[str, float]:
    """The sessions by what they do, as the daemon has them."""
    return {dict(labels)["state"]: value for (name, labels), value in daemon.held.gauges.items() if "sessions" in name}


async def test_a_session_label_is_there_when_it_is_wanted(daemon: DaemonPeer, delivery: Delivery) -> None:
    """Each session makes series of its own, so nobody gets it unasked."""
    await delivery.run(to(daemon), usage(1))
    without = {key for one in daemon.held.taken for key in one["labels"]}
    await delivery.run(to(daemon, session_label=True), state(2, "idle"), usage(3))
    named = {one["labels"].get("session") for one in daemon.held.taken[-3:]}

    assert ("session" in without, named) == (False, {"s1"})


async def test_events_without_metrics_cost_no_request(daemon: DaemonPeer, delivery: Delivery) -> None:
    """Nor does a batch of nothing but them."""
    await delivery.run(to(daemon), event(1, "turn_start", turn_id="t"), event(2, "something_new"))

    assert daemon.requests == []


async def test_an_unknown_outcome_is_told_apart_for_five_minutes(daemon: DaemonPeer, delivery: Delivery) -> None:
    """Not longer: that is the daemon's memory, and the reason why a restart is to be soon."""
    batch = Batch(tuple(lines([usage(1)])))
    sink = to(daemon)
    async with sink.lifespan():
        await sink.send(batch)
        daemon.now += REMEMBERED_SECONDS - 1
        await sink.send(batch)
        once = counted(daemon.held)
        daemon.now += 1
        await sink.send(batch)

    assert once == counted(expected([usage(1)]))
    assert counted(daemon.held) == counted(expected([usage(1), usage(1)]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"daemon_url": "127.0.0.1:9876"}, "daemon_url must be like http://127.0.0.1:9876"),
        ({"daemon_url": "http://me:hush@daemon"}, "daemon_url must not hold a password"),
        ({"timeout_seconds": 0}, "timeout_seconds must be more than 0"),
        ({"token": Secret("two\nlines")}, "token: the value must be one line"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], words: str) -> None:
    """Before anything is sent, and without what they hold."""
    with pytest.raises(ConfigError, match=words) as complaint:
        PiDaemonSink(**options)

    assert "hush" not in str(complaint.value)


def test_every_row_of_the_table_has_its_test() -> None:
    """What the README says of the sink is what is tested."""
    section = README.read_text().partition("\n## The sink\n")[2]
    named = set(re.findall(r"`(test_\w+)`", section))

    assert named - globals().keys() == set()
    assert len(named) > 15


class Listed(Destination):
    """A daemon in any mood, and the events that its metrics were made of."""

    def __init__(self, daemon: DaemonPeer) -> None:
        self._daemon = daemon

    async def events(self) -> list[dict[str, Any]]:
        return [_event(one) for one in self._daemon.held.taken]

    @asynccontextmanager
    async def _answering(self, reply: Reply) -> AsyncGenerator[None]:
        self._daemon.otherwise = reply
        yield
        self._daemon.otherwise = Reply()

    def unavailable(self) -> AbstractAsyncContextManager[None]:
        return self._answering(Reply(503))

    def refusing(self) -> AbstractAsyncContextManager[None]:
        return self._answering(INVALID)

    @asynccontextmanager
    async def silent(self) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
        async with self._answering(Reply(trouble="silence")):
            yield partial(self._daemon.wait_for, len(self._daemon.requests) + 1)


def example(id: str, text: str) -> dict[str, Any]:
    return {
        "type": "metric",
        "name": f"m_{id}",
        "kind": "counter",
        "op": "increment",
        "value": 1,
        "labels": {"text": text},
    }


def _event(posted: dict[str, Any]) -> dict[str, Any]:
    id = posted["name"].removeprefix("m_")
    envelope = {"id": id, "time": "2026-11-20T10:00:00.000Z", "agent": "check-sink", "session_id": "s-1"}
    return envelope | example(id, posted["labels"]["text"])


@pytest.mark.slow
async def test_it_keeps_the_promises_of_a_sink(daemon: DaemonPeer) -> None:
    """Restarts and cancellations included; the daemon holds each metric once."""
    await check_sink(
        lambda: PiDaemonSink(daemon_url=daemon.base, posted_metrics=True, timeout_seconds=5.0),
        Listed(daemon),
        is_idempotent=True,
        example=example,
    )

    assert len(daemon.held.taken) > 900
