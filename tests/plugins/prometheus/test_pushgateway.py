"""The sink `pushgateway`: what it sends, and what it makes of each answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from forwarder_prometheus.gateway import disputed, group_path, said
from forwarder_prometheus.pushgateway import ASK_AGAIN_SECONDS, REFRESH_SECONDS, Pushgateway
from structlog.testing import capture_logs

from forwarder import ConfigError, Secret, Unavailable
from forwarder.testing import ManualClock
from tests.http_peer import HttpPeer, Reply
from tests.plugins.prometheus.telling import batch, event, page, state, tool_call

INCONSISTENT = "pushed metrics are invalid or inconsistent with existing metrics: "
CALLS = 'agent_tool_calls_total{agent="acme",outcome="ok",tool="bash"}'
PROMPTS = 'agent_prompts_total{agent="acme"}'


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[HttpPeer]:
    async with HttpPeer() as server:
        yield server


def made(peer: HttpPeer, **options: Any) -> tuple[Pushgateway, ManualClock]:
    """A sink for the peer, and the clock that it looks at."""
    sink = Pushgateway(url=peer.url.removesuffix("/v1/events"), **options)
    sink.clock = clock = ManualClock(datetime(2026, 11, 21, 2, tzinfo=UTC))
    return sink, clock


def pages(peer: HttpPeer) -> list[dict[str, float]]:
    return [page(one.body) for one in peer.accepted if one.method == "PUT"]


async def test_a_batch_is_one_put_of_everything(peer: HttpPeer) -> None:
    """The group is replaced, so it holds all series each time, with their types and no timestamps."""
    sink, _ = made(peer)
    async with sink.lifespan():
        await sink.send(batch(tool_call(1)))
        await sink.send(batch(event(2, "prompt")))

    assert [(one.method, one.path) for one in peer.requests] == [("PUT", "/metrics/job/forwarder/instance/desk")] * 2
    assert peer.requests[0].headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE agent_tool_calls_total counter\n" in peer.requests[1].body
    assert pages(peer) == [{CALLS: 1}, {CALLS: 1, PROMPTS: 1}]


@pytest.mark.parametrize(
    ("job", "instance", "path"),
    [
        ("forwarder", "desk-1.lan", "/metrics/job/forwarder/instance/desk-1.lan"),
        ("a/b", "", "/metrics/job@base64/YS9i/instance@base64/="),
        ("j", "grün 5", "/metrics/job/j/instance@base64/Z3LDvG4gNQ"),
        ("j", "..", "/metrics/job/j/instance@base64/Li4"),
    ],
)
def test_what_a_path_cannot_hold_is_in_base64(job: str, instance: str, path: str) -> None:
    """A slash would be another label to the gateway, an empty part another path."""
    assert group_path(job, instance) == path


async def test_the_instance_may_be_named(peer: HttpPeer) -> None:
    """Else it is the machine, as events name it: a pseudonym, where the user asked for one."""
    sink, _ = made(peer, job="agents", instance="team/a")
    async with sink.lifespan():
        await sink.send(batch(tool_call(1)))

    assert peer.requests[0].path == "/metrics/job/agents/instance@base64/dGVhbS9h"


async def test_a_machine_that_was_renamed_leaves_no_second_group(peer: HttpPeer) -> None:
    """Its counters go on under the new name; under both, sums would be twice what they are."""
    sink, _ = made(peer)
    async with sink.lifespan():
        await sink.send(batch(tool_call(1)))
        await sink.send(batch(tool_call(2, host="tower")))

    assert [(one.method, one.path.rpartition("/")[2]) for one in peer.requests] == [
        ("PUT", "desk"),
        ("DELETE", "desk"),
        ("PUT", "tower"),
    ]
    assert pages(peer)[-1] == {CALLS: 2}


async def test_the_group_is_deleted_at_the_end_if_asked_for(peer: HttpPeer) -> None:
    """A laptop that is closed should not look as if it worked on; the counters are in the journal all the same."""
    sink, _ = made(peer, delete_at_stop=True)
    async with sink.lifespan():
        await sink.send(batch(tool_call(1)))
    kept, _ = made(peer)
    async with kept.lifespan():
        await kept.send(batch(tool_call(1)))

    assert [one.method for one in peer.requests] == ["PUT", "DELETE", "PUT"]


async def test_a_gateway_that_is_away_at_the_end_delays_nothing(peer: HttpPeer) -> None:
    """The group stays, which is said; the forwarder ends as it should."""
    sink, _ = made(peer, delete_at_stop=True)
    with capture_logs() as logs:
        async with sink.lifespan():
            await sink.send(batch(tool_call(1)))
            peer.otherwise = Reply(503)

    assert [one["log_level"] for one in logs] == ["warning"]
    assert "stays on the gateway" in logs[0]["event"]


async def test_an_idle_machine_pushes_now_and_then(peer: HttpPeer) -> None:
    """A gateway that was restarted has forgotten the group, and sessions that fell silent have to leave it."""
    sink, clock = made(peer)
    async with sink.lifespan():
        await sink.send(batch(tool_call(1), state(2, "working")))
        await clock.asleep()
        clock.advance(REFRESH_SECONDS)
        await peer.wait_for(2)
        await clock.asleep()
        clock.advance(16 * 3600)
        await peer.wait_for(3)

    first, second, third = pages(peer)
    assert first == second == {CALLS: 1, 'agent_sessions{agent="acme",state="working"}': 1}
    assert third == {CALLS: 1}


async def test_a_batch_in_doubt_is_not_taken_back(peer: HttpPeer) -> None:
    """Its push may have arrived although the answer did not: what is older must not come after it."""
    peer.script(Reply(), Reply(trouble="reset_after_body"))
    sink, clock = made(peer)
    async with sink.lifespan():
        await sink.send(batch(tool_call(1)))
        with pytest.raises(Unavailable):
            await sink.send(batch(tool_call(2)))
        await clock.asleep()
        clock.advance(REFRESH_SECONDS)
        await clock.asleep()
        await sink.send(batch(tool_call(2)))

    assert [one[CALLS] for one in pages(peer)] == [1, 2, 2]


@pytest.mark.parametrize("status", [200, 202])
async def test_success_acknowledges(peer: HttpPeer, status: int) -> None:
    """Gateways before 1.0 answer 202."""
    peer.otherwise = Reply(status, body=b"")
    sink, _ = made(peer)
    async with sink.lifespan():
        await sink.send(batch(tool_call(1)))

    assert len(sink.notes()) == 2


@pytest.mark.parametrize(
    ("reply", "is_refused", "said"),
    [
        (Reply(400, body=b"text format parsing error in line 1"), True, "text format parsing error"),
        (Reply(400, body=(INCONSISTENT + "pushed metrics must not have timestamps").encode()), True, "timestamps"),
        (Reply(401, body=b"Unauthorized"), True, "401: Unauthorized"),
        (Reply(403), True, "403"),
        (Reply(404, body=b"404 page not found"), True, "404 page not found"),
        (Reply(405, body=b"Method Not Allowed"), True, "Method Not Allowed"),
        (Reply(413), True, "413"),
        (Reply(301, headers={"Location": "/metrics/job/x"}), True, "redirects to '/metrics/job/x'"),
        (Reply(429, headers={"Retry-After": "7"}), False, "429"),
        (Reply(500), False, "500"),
        (Reply(503), False, "503"),
        (Reply(trouble="reset_after_body"), False, "cannot reach"),
        (Reply(trouble="half_answer"), False, "cannot reach"),
        (Reply(trouble="silence"), False, "no answer"),
    ],
    ids=lambda value: str(value.trouble or value.status) if isinstance(value, Reply) else None,
)
async def test_no_answer_costs_an_event(peer: HttpPeer, reply: Reply, is_refused: bool, said: str) -> None:
    """Whatever is wrong is the push, never the events: they wait, and are counted once when a push is taken."""
    peer.script(reply)
    sink, _ = made(peer, timeout_seconds=0.1)
    async with sink.lifespan():
        with pytest.raises(Unavailable) as caught:
            await sink.send(batch(tool_call(1)))
        assert sink.notes() == {}
        await sink.send(batch(tool_call(1)))

    assert (caught.value.is_refused, said in str(caught.value)) == (is_refused, True)
    assert pages(peer)[-1] == {CALLS: 1}


CONFLICT = f'{INCONSISTENT}collected metric "agent_tool_calls_total" {{ gauge:<value:1 > }} is not a COUNTER'


async def test_a_metric_that_somebody_else_has_in_another_type_is_left_out(peer: HttpPeer) -> None:
    """One that the gateway names does not hold up the others, and is said with the gateway's words."""
    peer.script(Reply(400, body=CONFLICT.encode()))
    sink, _ = made(peer)
    async with sink.lifespan():
        with pytest.raises(
            Unavailable, match=r"agent_tool_calls_total left out for 10 min: .* is not a COUNTER"
        ) as caught:
            await sink.send(batch(tool_call(1), event(2, "prompt")))
        await sink.send(batch(tool_call(1), event(2, "prompt")))

    assert not caught.value.is_refused
    assert pages(peer) == [{PROMPTS: 1}]


async def test_a_metric_that_was_left_out_comes_back_whole(peer: HttpPeer) -> None:
    """It was counted all the time, and is pushed again when the other may be gone."""
    peer.script(Reply(400, body=CONFLICT.encode()))
    sink, clock = made(peer)
    async with sink.lifespan():
        with pytest.raises(Unavailable):
            await sink.send(batch(tool_call(1)))
        await sink.send(batch(tool_call(1)))
        await sink.send(batch(tool_call(2)))
        clock.advance(ASK_AGAIN_SECONDS)
        await sink.send(batch(tool_call(3)))

    found = pages(peer)
    assert (found[:2], found[-1]) == ([{}, {}], {CALLS: 3})


async def test_a_refusal_that_names_no_metric_of_ours_is_none_of_these(peer: HttpPeer) -> None:
    """Leaving out what was not sent would push the same again at once."""
    peer.script(Reply(400, body=(INCONSISTENT + 'collected metric "up" { } is not a GAUGE').encode()))
    sink, _ = made(peer)
    async with sink.lifespan():
        with pytest.raises(Unavailable) as caught:
            await sink.send(batch(tool_call(1)))

    assert caught.value.is_refused


def test_every_form_of_a_conflict_names_its_metrics() -> None:
    """As Pushgateway 1.5 words them, one error and several."""
    several = '2 error(s) occurred:\n* collected metric "c_total" { gauge:<value:1 > } is not a COUNTER\n'
    several += '* collected metric "d" { gauge:<value:1 > } is not a COUNTER\n'
    other = "gathered metric family go_goroutines has type COUNTER but should have GAUGE"

    assert disputed(INCONSISTENT + several + other) == {"c_total", "d", "go_goroutines"}


@pytest.mark.parametrize("end", ['" value:"x" > } is not a COUNTER', ""], ids=["whole", "cut"])
def test_a_label_names_no_other_metric(end: str) -> None:
    """Tools have any name; one that reads like a refusal must not cost a metric."""
    answer = f'{INCONSISTENT}collected metric "c_total" {{ label:<value:"collected metric \\"d_total\\" {{ }} {end}'

    assert disputed(answer) == {"c_total"}


def test_the_reason_stands_where_a_log_line_is_not_cut_yet() -> None:
    """Labels are longer than what is shown of an answer."""
    series = "{ " + 'label:<name:"tool" value:"bash" > ' * 20 + "gauge:<value:1 > }"

    assert said(f'{INCONSISTENT}collected metric "d" {series} is not a COUNTER\n') == (
        'collected metric "d" … is not a COUNTER'
    )


async def test_counters_go_on_after_a_restart(peer: HttpPeer) -> None:
    """The notes hold them; nothing is pushed before there is something new."""
    first, _ = made(peer)
    async with first.lifespan():
        await first.send(batch(tool_call(1)))
        notes = {key: body for key, body in first.notes().items() if body is not None}
    second, _ = made(peer)
    second.recall(notes)
    async with second.lifespan():
        await second.send(batch(tool_call(2)))

    assert [one[CALLS] for one in pages(peer)] == [1, 2]


async def test_what_an_earlier_life_counted_is_forgotten_without_notes(peer: HttpPeer) -> None:
    """After a damaged journal everything is delivered anew."""
    sink, _ = made(peer)
    async with sink.lifespan():
        await sink.send(batch(tool_call(1)))
    sink.recall({})
    async with sink.lifespan():
        await sink.send(batch(tool_call(1)))

    assert [one[CALLS] for one in pages(peer)] == [1, 1]


@pytest.mark.parametrize(
    ("options", "header", "word"),
    [
        ({"token": Secret("t0p-s3cret")}, "Bearer t0p-s3cret", "t0p-s3cret"),
        ({"username": "me", "password": Secret("pass:wörd")}, "Basic bWU6cGFzczp3w7ZyZA==", "pass:wörd"),
    ],
    ids=["bearer", "basic"],
)
async def test_credentials_are_sent_and_never_shown(
    peer: HttpPeer, options: dict[str, Any], header: str, word: str
) -> None:
    """A gateway that repeats what it was sent does not bring them into a log."""
    peer.otherwise = Reply(401, body=f"no: {header}, {word}".encode())
    sink, _ = made(peer, **options)
    async with sink.lifespan():
        with pytest.raises(Unavailable) as caught:
            await sink.send(batch(tool_call(1)))

    assert peer.requests[0].headers["authorization"] == header
    shown = f"{sink!r} {caught.value}"
    assert [secret for secret in (header.split()[1], word) if secret in shown] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "gateway:9091"}, "url must be like http://127.0.0.1:9091"),
        ({"url": "http://u:p@gateway:9091"}, "must not hold a password"),
        ({"job": ""}, "job must not be empty"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"username": "me"}, "belong together"),
        ({"token": Secret("t"), "username": "me", "password": Secret("p")}, "keep one"),
        ({"username": "m:e", "password": Secret("p")}, "colon"),
        ({"client_key": "k.pem"}, "client_cert"),
        ({"max_series": 0}, "max_series must be at least 1"),
    ],
    ids=["scheme", "password in url", "job", "timeout", "half", "both", "colon", "key", "limit"],
)
def test_a_wrong_option_is_said_at_the_start(options: dict[str, Any], said: str) -> None:
    """Not at the first event, hours later."""
    given: dict[str, Any] = {"url": "http://127.0.0.1:9091", **options}
    with pytest.raises(ConfigError, match=said):
        Pushgateway(**given)
