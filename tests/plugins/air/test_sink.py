"""The sink `air` against a double of AIr: nothing lost, nothing counted twice, whatever it answers."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from forwarder_air import courier
from forwarder_air.sink import AirSink

from forwarder import ConfigError, NotSent, Rejected, Secret
from forwarder.testing import Destination, check_sink
from tests.http_peer import Reply, Trouble
from tests.plugins.air.server import AirServer
from tests.plugins.air.telling import Engine, batch, batches, expected, life, shown, told, usage

TROUBLES: list[Trouble] = [
    "reset_before_body", "reset_in_body", "reset_after_body", "half_answer", "wrong_length", "silence",
]  # fmt: skip


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AirServer]:
    async with AirServer() as running:
        yield running


class Air(Destination):
    """AIr's store; prompts are whole in the `data` of its custom events."""

    def __init__(self, server: AirServer) -> None:
        self._server = server

    async def events(self) -> list[dict[str, Any]]:
        stored = [self._server.stored[id] for id in self._server.arrivals]
        return [_completed(event) for event in stored if event["type"] == "custom"]

    @asynccontextmanager
    async def _answering(self, reply: Reply) -> AsyncGenerator[None]:
        self._server.otherwise = reply
        yield
        self._server.otherwise = Reply()

    def unavailable(self) -> AbstractAsyncContextManager[None]:
        return self._answering(Reply(503))

    @asynccontextmanager
    async def silent(self) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
        async with self._answering(Reply(trouble="silence")):
            yield partial(self._server.wait_for, len(self._server.requests) + 1)


def _completed(event: dict[str, Any]) -> dict[str, Any]:
    envelope: dict[str, Any] = {"id": event["id"], "type": event["eventName"], "time": "2026-11-20T10:00:00.000Z"}
    data: dict[str, Any] = event["data"]
    return envelope | {"agent": "check-sink", "session_id": event["sessionId"]} | data


@pytest.mark.slow
async def test_it_keeps_the_promises_of_a_sink(server: AirServer) -> None:
    """The checks that every sink must pass; no event is stored twice, though AIr would."""
    await check_sink(lambda: AirSink(url=server.url), Air(server), is_idempotent=True)

    assert len(server.arrivals) == len(set(server.arrivals))


async def test_a_session_is_shown_as_it_was(server: AirServer) -> None:
    """Tokens without those from the cache, each call, each turn, and the money once."""
    events = life()
    await Engine(server.url).run(*batches(events, 5))

    assert shown(server.sessions) == expected(events)
    assert server.sessions["s-1"]["totalCost"] == pytest.approx(3 * 0.0125)


@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_broken_exchange_changes_no_total(server: AirServer, trouble: Trouble, at: int) -> None:
    """Whichever request it hits, lookups too: what AIr has is not sent again, what it has not is."""
    events = [*life("a"), *life("b")]
    server.script(*[Reply()] * at, Reply(trouble=trouble))
    engine = Engine(server.url, timeout_seconds=0.15)
    await engine.run(*batches(events, 7))

    assert engine.failures
    assert shown(server.sessions) == expected(events)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 405, 408, 429, 500, 502, 503])
async def test_another_answer_brings_the_batch_again(server: AirServer, status: int) -> None:
    """A proxy says these, and may have passed the batch on or not."""
    events = life()
    server.script(Reply(), Reply(status))
    engine = Engine(server.url)
    await engine.run(*batches(events, 7))

    assert f"answered {status}" in next(engine.reasons())
    assert shown(server.sessions) == expected(events)


@pytest.mark.parametrize("status", [302, 400, 404, 500])
async def test_a_lookup_that_fails_costs_no_event(server: AirServer, status: int) -> None:
    """Not even where the same status of a batch would be a refusal."""
    events = life()
    server.script(Reply(status))
    engine = Engine(server.url)
    await engine.run(*batches(events, 7))

    assert (len(engine.failures), engine.refused) == (1, {})
    assert shown(server.sessions) == expected(events)


async def test_a_lookup_is_answered_with_a_list_or_tried_again(server: AirServer) -> None:
    """Something else that listens there says 200 to everything."""
    server.script(Reply(203, body=b"<html>"))
    engine = Engine(server.url)
    await engine.run(batch(life()))

    assert "no list of events" in next(engine.reasons())


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"ok":1}', b""])
async def test_a_success_that_air_never_says_is_none(server: AirServer, body: bytes) -> None:
    """2xx alone is no acknowledgement; a person must look at the URL."""
    server.script(Reply(), Reply(203, body=body))
    engine = Engine(server.url)
    await engine.run(batch(life()))

    assert engine.failures[0].is_refused
    assert shown(server.sessions) == expected(life())


async def test_the_words_of_a_stranger_are_not_cut_in_the_middle_of_one(server: AirServer) -> None:
    """Half a secret is not known for one any more, and what is said here is logged."""
    server.script(Reply(), Reply(203, body=b"<html> " + b"word " * 37 + b"ghp_0123456789abcdefghijABCDEFGHIJ012345"))
    engine = Engine(server.url)
    await engine.run(batch(life()))

    assert "word" in str(engine.failures[0])
    assert "ghp_" not in str(engine.failures[0])


@pytest.mark.parametrize("body", [b'{"ok":true}', b'{"ok":true,"count":3}'])
async def test_a_count_that_differs_is_no_success(server: AirServer, body: bytes) -> None:
    """What AIr has is looked up then, here nothing."""
    server.script(Reply(), Reply(203, body=body))
    engine = Engine(server.url)
    await engine.run(batch(life()))

    assert "without a word why" in next(engine.reasons())
    assert shown(server.sessions) == expected(life())


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("at", [0, 1, 4, 18, 19])
async def test_an_event_that_air_fails_at_costs_only_itself(server: AirServer, at: int, is_late: bool) -> None:
    """200 with ok = false: AIr has what was before it, maybe half of itself, and nothing of the rest."""
    events = life()
    poison = events[at]
    (server.fails_late if is_late else server.fails_at).add(poison["id"])
    engine = Engine(server.url)
    await engine.run(batch(events))

    assert list(engine.refused) == [poison["id"]]
    assert shown(server.sessions) == expected(event for event in events if event is not poison)


async def test_many_events_that_air_fails_at_cost_only_themselves(server: AirServer) -> None:
    """As many lookups."""
    poison = [told("prompt", number, bytes=1, chars=1, sha256="0" * 16) for number in range(12)]
    server.fails_at = {event["id"] for event in poison}
    events = life()
    engine = Engine(server.url)
    await engine.run(batch([events[0], *poison, *events[1:]]))

    assert engine.refused.keys() == server.fails_at
    assert shown(server.sessions) == expected(events)


async def test_a_refused_event_carries_airs_own_words(server: AirServer) -> None:
    """The dead letter says why."""
    events = life()
    server.fails_at = {events[3]["id"]}
    engine = Engine(server.url)
    await engine.run(batch(events))

    assert engine.refused[events[3]["id"]].endswith("answered ok = false: TypeError: something of the server's own")


async def test_a_dead_letter_that_is_tried_again_counts_once(server: AirServer) -> None:
    """Of an event that becomes two of AIr's, the other one was stored."""
    events = life()
    server.fails_at = {f"{events[5]['id']}-cost"}
    engine = Engine(server.url)
    await engine.run(batch(events))
    server.fails_at = set()
    await engine.run(batch([told("notification", 90, session="s-2", kind="x")]), batch([events[5]]))

    assert list(engine.refused) == [events[5]["id"]]
    assert shown(server.sessions)["s-1"] == expected(events)["s-1"]


async def test_a_dead_letter_that_is_tried_again_at_once_counts_once(server: AirServer) -> None:
    """By the same process, which knows what it sent since it looked."""
    events = life()
    engine = Engine(server.url)
    sink = engine.sink()
    async with sink.lifespan():
        server.fails_at = {f"{events[5]['id']}-cost"}
        await engine.deliver(sink, batch(events))
        server.fails_at = set()
        await engine.deliver(sink, batch([events[5]]))

    assert shown(server.sessions) == expected(events)


async def test_what_arrived_of_a_batch_is_not_sent_again(server: AirServer) -> None:
    """Two requests were needed, and the second failed."""
    one, other = life("a", turns=50), life("b", turns=100)
    events = [*one, *other]
    engine = Engine(server.url)
    await engine.run(batch([*one[:5], *other[:5]]))
    sink = engine.sink()
    async with sink.lifespan():
        await engine.deliver(sink, batch([usage(90, session="c")]))
        server.script(Reply(), Reply(503))
        await engine.deliver(sink, batch([*one[5:], *other[5:]]))
    events.append(usage(90, session="c"))

    assert len(engine.failures) == 1
    assert shown(server.sessions) == expected(events)


async def test_a_body_that_air_cannot_read_is_split(server: AirServer) -> None:
    """AIr's server refuses the key `__proto__`, and with it the whole batch."""
    events = life()
    metric: dict[str, Any] = {"kind": "gauge", "op": "set", "value": 1.0}
    poison = told("metric", 4, name="jobs", labels={"__proto__": "x"}, **metric)
    harmless = told("metric", 5, name="jobs", labels={"state": "x"}, **metric)
    engine = Engine(server.url)
    await engine.run(batch([*events[:4], poison, harmless, *events[4:]]))

    assert engine.refused.keys() == {poison["id"]}
    assert "answered 400" in engine.refused[poison["id"]]
    assert shown(server.sessions) == expected(events)


async def test_a_media_type_that_is_not_taken_is_permanent(server: AirServer) -> None:
    """A proxy that knows no JSON: every event becomes a dead letter in its words."""
    server.script(Reply(), *[Reply(415)] * 40)
    engine = Engine(server.url)
    await engine.run(batch(life()[:2]))

    assert all("answered 415" in words for words in engine.refused.values())
    assert len(engine.refused) == 2


@pytest.mark.parametrize("is_abrupt", [False, True])
async def test_a_smaller_limit_on_the_way_is_found(server: AirServer, is_abrupt: bool) -> None:
    """413, or the connection is cut while the body is still being written and nothing is said at all."""
    server.max_body_bytes, server.is_abrupt = 50_000, is_abrupt
    prompts = [told("prompt", number, bytes=1, chars=1, sha256="0" * 16, text="é" * 500) for number in range(300)]
    events = [*life(), *prompts]
    engine = Engine(server.url)
    await engine.run(*batches(events, 250))

    assert engine.refused == {}
    assert shown(server.sessions) == expected(events)
    assert bool(engine.failures) == is_abrupt


async def test_a_request_never_exceeds_what_air_reads(server: AirServer) -> None:
    """1 MiB, encoded: quotes and control characters take more than they did."""
    texts = ['"' * 30_000, "\x01" * 60_000, "🎉" * 60_000]
    prompts = [told("prompt", number, text=texts[number % 3]) for number in range(60)]
    engine = Engine(server.url)
    await engine.run(batch([*life(), *prompts]))

    sizes = [len(request.body) for request in server.posts()]
    assert (engine.failures, engine.refused) == ([], {})
    assert 500_000 < max(sizes) <= 1_048_576


async def test_a_request_has_at_most_500_events(server: AirServer) -> None:
    """Since the first that fails ends it."""
    await Engine(server.url).run(batch(life(turns=200)))

    assert max(len(json.loads(request.body)) for request in server.posts()) == 500


async def test_a_text_without_end_costs_its_end_only(server: AirServer) -> None:
    """A call is counted, however large what it was given."""
    call: dict[str, Any] = {"call_id": "c", "tool": "write", "tool_kind": "write", "input_bytes": 3_000_000}
    event = told("tool_call_start", 1, **call, input="\x01" * 3_000_000)
    await Engine(server.url).run(batch([event]))

    stored = server.stored[event["id"]]
    assert (stored["inputSizeBytes"], len(stored["inputPreview"])) == (3_000_000, 65_537)


async def test_a_batch_sent_before_a_kill_is_not_counted_again(server: AirServer) -> None:
    """AIr has it, and the process that sent it did not live to note that."""
    events = life()
    first, second, third = batches(events, 7)
    engine = Engine(server.url)
    await engine.run(first)
    await engine.deaf(second)
    await engine.run(second, third)

    assert shown(server.sessions) == expected(events)


async def test_after_a_damaged_journal_nothing_is_counted_again(server: AirServer) -> None:
    """Everything is delivered anew then, in other batches and without notes."""
    events = [*life("a"), *life("b")]
    await Engine(server.url).run(*batches(events, 7))
    await Engine(server.url).run(*batches(events, 9))

    assert shown(server.sessions) == expected(events)


async def test_a_replay_is_not_counted_again(server: AirServer) -> None:
    """It fills what AIr has not, such as the second session here."""
    events = [*life("a"), *life("b")]
    await Engine(server.url).run(*batches(life("a"), 7))
    again = [event | {"origin": {"source": "codex", "replay": True}} for event in events]
    await Engine(server.url).run(*batches(again, 9), *batches(again, 11))

    assert shown(server.sessions) == expected(events)


async def test_a_replay_of_known_sessions_is_not_counted_again(server: AirServer) -> None:
    """Not even where the journal says that AIr knows the session, and nothing is in doubt."""
    events = [*life("a"), *life("b")]
    engine = Engine(server.url)
    await engine.run(*batches(events, 7))
    again = [event | {"origin": {"source": "codex", "replay": True}} for event in life("b")]
    await engine.run(batch([usage(90, session="a")]), *batches(again, 9))

    assert shown(server.sessions) == expected([*events, usage(90, session="a")])


async def test_a_replay_asks_once_for_each_session(server: AirServer) -> None:
    """However many batches it takes: AIr answers with everything that it has of the session."""
    events = [event | {"origin": {"source": "codex", "replay": True}} for event in life(turns=100)]
    await Engine(server.url).run(*batches(events, 50))

    assert server.lookups == ["s-1"]


async def test_what_was_looked_up_is_not_remembered_without_end(
    server: AirServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay of a year would fill the memory; what was forgotten is looked up again."""
    monkeypatch.setattr(courier, "MAX_IDS", 30)
    events = [*life("a"), *life("b"), *life("a")]
    await Engine(server.url).run(*batches([event | {"origin": {"replay": True}} for event in events], 20))

    assert server.lookups == ["a", "b", "a"]
    assert shown(server.sessions) == expected([*life("a"), *life("b")])


async def test_ordinary_batches_ask_nothing(server: AirServer) -> None:
    """Once for a session that was never announced, and for what the process before may have sent."""
    engine = Engine(server.url)
    await engine.run(*batches(life(turns=30), 20))
    await engine.run(*batches(life(turns=60)[182:], 20))

    assert server.lookups == ["s-1", "s-1"]


async def test_a_lookup_sees_all_of_a_long_session(server: AirServer) -> None:
    """A limit would hide the beginning, which would then be sent and counted again."""
    events = life(turns=100)
    await Engine(server.url).run(*batches(events, 250))
    await Engine(server.url).run(*batches(events, 250))

    assert shown(server.sessions) == expected(events)


async def test_a_session_id_is_quoted_in_a_lookup(server: AirServer) -> None:
    """Ids are the agents' own, and may have any character."""
    events = life("a/b c?d#e%f")
    await Engine(server.url).run(batch(events))
    await Engine(server.url).run(batch(events))

    assert shown(server.sessions) == expected(events)


async def test_air_away_during_half_of_the_run(unused_tcp_port: int) -> None:
    """Nobody listens for a while, then somebody who knows nothing any more of what was under way."""
    events = [event for number in range(8) for event in life(f"s-{number}")]
    waiting = batches(events, 11)
    engine = Engine(f"http://127.0.0.1:{unused_tcp_port}")
    sink = engine.sink()
    server = AirServer(port=unused_tcp_port)
    async with sink.lifespan():
        async with server:
            for one in waiting[:5]:
                await engine.deliver(sink, one)
        for _ in range(20):
            with pytest.raises(NotSent):
                await sink.send(waiting[5])
        async with server:
            for one in waiting[5:]:
                await engine.deliver(sink, one)

    assert shown(server.sessions) == expected(events)


async def test_what_was_not_sent_is_not_looked_up(unused_tcp_port: int) -> None:
    """No byte went out, so there is nothing to ask for."""
    events = life()
    server = AirServer(port=unused_tcp_port)
    sink = AirSink(url=f"http://127.0.0.1:{unused_tcp_port}")
    async with sink.lifespan():
        async with server:
            await sink.send(batch(events[:5]))
            before = list(server.lookups)
        with pytest.raises(NotSent):
            await sink.send(batch(events[5:]))
        async with server:
            await sink.send(batch(events[5:]))

    assert server.lookups == before


async def test_slow_answers_send_nothing_twice(server: AirServer) -> None:
    """AIr's own collector sends again what it has not been answered for."""
    server.otherwise = Reply(delay_seconds=0.02)
    events = life()
    await Engine(server.url).run(*batches(events, 5))

    assert shown(server.sessions) == expected(events)
    assert len(server.arrivals) == len(set(server.arrivals))


async def test_answers_slower_than_the_time_limit_send_nothing_twice(server: AirServer) -> None:
    """It has them by then, as the lookup says."""
    server.script(Reply(), Reply(delay_seconds=0.4))
    engine = Engine(server.url, timeout_seconds=0.1)
    events = life()
    await engine.run(*batches(events, 8))

    assert "no answer from" in next(engine.reasons())
    assert shown(server.sessions) == expected(events)


async def test_a_cancelled_send_is_looked_up(server: AirServer) -> None:
    """The same sink may be asked to send the batch again."""
    events = life()
    sink = AirSink(url=server.url)
    async with sink.lifespan():
        await sink.send(batch(events[:5]))
        server.script(Reply(trouble="silence"))
        sending = asyncio.create_task(sink.send(batch(events[5:])))
        await server.wait_for(len(server.requests) + 1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await sink.send(batch(events[5:]))

    assert shown(server.sessions) == expected(events)


@pytest.mark.parametrize(
    "url",
    ["ws://127.0.0.1:{}/ws/collector", "http://127.0.0.1:{}/", "HTTP://127.0.0.1:{}/api/ingest", "ws://127.0.0.1:{}"],
)
async def test_the_url_is_taken_as_airs_collectors_have_it(server: AirServer, url: str) -> None:
    """AIR_URL is http for two of them and ws for the third."""
    await Engine(url.format(server.url.rpartition(":")[2])).run(batch(life()))

    assert shown(server.sessions) == expected(life())


async def test_air_behind_tls_is_reached(certificate: Path) -> None:
    """AIr's collectors speak http alone, so whoever reaches it through a proxy sends in the clear."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with AirServer(tls=context) as server:
        sink = AirSink(url=server.url.replace("https", "wss"), ca_file=str(certificate))
        async with sink.lifespan():
            await sink.send(batch(life()))

    assert shown(server.sessions) == expected(life())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "ftp://x/"}, "url must be like http://127.0.0.1:5200"),
        ({"url": "localhost:5200"}, "url must be like http://127.0.0.1:5200"),
        ({"url": "ws://user:pw@x/"}, "must not hold a password"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"token": Secret("a\n")}, "token: "),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], words: str) -> None:
    """Said when the configuration is read, and without showing a secret."""
    with pytest.raises(ConfigError) as caught:
        AirSink(**options)

    assert words in str(caught.value)
    assert "pw" not in str(caught.value)


async def test_a_token_is_sent_and_never_shown(server: AirServer) -> None:
    """AIr knows none, a proxy in front of it may."""
    server.script(Reply(), Reply(400, body=b"not with Bearer s3cret-one"), Reply(400, body=b"nor s3cret-one"))
    sink = AirSink(url=server.url, token=Secret("s3cret-one"))
    async with sink.lifespan():
        with pytest.raises(Rejected) as caught:
            await sink.send(batch(life()[:1]))

    assert server.requests[0].headers["authorization"] == "Bearer s3cret-one"
    assert "not with Bearer [REDACTED]" in str(caught.value)
    assert "s3cret" not in repr(sink)
