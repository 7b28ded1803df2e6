"""The sink `http` against a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from forwarder_http import Http
from structlog.testing import capture_logs

from forwarder import Batch, ConfigError, Rejected, Secret, Unavailable
from forwarder.http import retry_after
from forwarder.testing import Destination, check_sink
from tests.http_peer import HttpPeer, Reply, Trouble


def batch(number: int = 1, *, events: int = 3, text: str = "grüße 🎉") -> Batch:
    return Batch(
        tuple(
            json.dumps(
                {"id": f"{number:016x}{index:016x}", "type": "prompt", "time": "2026-11-20T10:00:00.000Z", "text": text}
                | {"agent": "codex"},
                ensure_ascii=False,
                separators=(",", ":"),
            ).encode()
            for index in range(events)
        )
    )


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[HttpPeer]:
    async with HttpPeer() as server:
        yield server


async def send(sink: Http, *batches: Batch) -> None:
    async with sink.lifespan():
        for each in batches:
            await sink.send(each)


async def refusal(sink: Http, what: Batch) -> Exception:
    with pytest.raises((Unavailable, Rejected)) as caught:
        await send(sink, what)
    return caught.value


class Endpoint(Destination):
    """An endpoint that remembers idempotency keys, and can be put into any mood."""

    def __init__(self, peer: HttpPeer) -> None:
        self._peer = peer

    async def events(self) -> list[dict[str, Any]]:
        once = {request.headers["idempotency-key"]: request for request in self._peer.accepted}
        return [event for request in once.values() for event in request.events()]

    @asynccontextmanager
    async def _answering(self, reply: Reply) -> AsyncGenerator[None]:
        self._peer.otherwise = reply
        yield
        self._peer.otherwise = Reply()

    def unavailable(self) -> AbstractAsyncContextManager[None]:
        return self._answering(Reply(503))

    def refusing(self) -> AbstractAsyncContextManager[None]:
        return self._answering(Reply(422))

    @asynccontextmanager
    async def silent(self) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
        async with self._answering(Reply(trouble="silence")):
            yield partial(self._peer.wait_for, len(self._peer.requests) + 1)


async def test_it_keeps_the_promises_of_a_sink(peer: HttpPeer) -> None:
    """The checks that every sink must pass, all troubles played."""
    await check_sink(lambda: Http(url=peer.url), Endpoint(peer), is_idempotent=True)

    assert len(peer.requests) > len(peer.accepted)


async def test_a_batch_is_one_post_of_json_lines(peer: HttpPeer) -> None:
    """The bytes that the journal holds are the bytes that arrive, with the batch's id as the key for a repeat."""
    sent = batch()
    await send(Http(url=peer.url), sent)

    (request,) = peer.requests
    assert request.body == sent.jsonl()
    assert request.headers["idempotency-key"] == sent.id
    assert request.headers["content-type"] == "application/x-ndjson"
    assert (request.method, request.path) == ("POST", "/v1/events")


async def test_a_batch_can_be_one_json_array(peer: HttpPeer) -> None:
    """Collectors without NDJSON take an array."""
    sent = batch()
    await send(Http(url=peer.url, body="json"), sent)

    assert peer.requests[0].body == sent.json_array()
    assert peer.requests[0].headers["content-type"] == "application/json"


async def test_the_users_content_type_wins(peer: HttpPeer) -> None:
    """Some endpoints insist on a name of their own for JSON lines."""
    await send(Http(url=peer.url, headers={"content-type": "application/jsonl"}), batch())

    assert peer.requests[0].headers["content-type"] == "application/jsonl"


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
async def test_a_body_is_compressed_as_it_says(peer: HttpPeer, compress: Any) -> None:
    """Content-Encoding names what was done, and undoing it gives the same bytes."""
    sent = batch(events=500)
    await send(Http(url=peer.url, compress=compress), sent)

    assert peer.requests[0].headers["content-encoding"] == compress
    assert len(peer.requests[0].body) < len(sent.jsonl()) / 3
    assert peer.requests[0].content() == sent.jsonl()


async def test_gzip_works_without_its_fast_library(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """ISA-L is a matter of speed only."""
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    await send(Http(url=peer.url, compress="gzip"), batch())

    assert gzip.decompress(peer.requests[0].body) == batch().jsonl()


async def test_one_connection_serves_all_batches(peer: HttpPeer) -> None:
    """A new connection for each batch would cost a round trip, or several with TLS."""
    await send(Http(url=peer.url), *(batch(number) for number in range(5)))

    assert (len(peer.requests), peer.connections) == (5, 1)


async def test_token_and_headers_are_sent_and_never_shown(peer: HttpPeer) -> None:
    """A secret reaches the destination and nothing else, not even a representation of the sink."""
    sink = Http(url=peer.url, token=Secret("s3cret"), headers={"X-Key": Secret("k3y"), "X-Team": "core"})
    await send(sink, batch())

    got = peer.requests[0].headers
    assert (got["authorization"], got["x-key"], got["x-team"]) == ("Bearer s3cret", "k3y", "core")
    assert "s3cret" not in repr(sink)
    assert "k3y" not in repr(sink)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_bad_batch_is_rejected_in_the_destinations_words(peer: HttpPeer, status: int) -> None:
    """No retry can help these; the words go to the dead letter, cut between words and on one line."""
    peer.script(Reply(status, body=b"field x\n\x1bis wrong " + b"y" * 500))
    error = await refusal(Http(url=peer.url), batch())

    assert isinstance(error, Rejected)
    assert f"answered {status}: field x \ufffdis wrong…" in str(error)
    assert len(str(error)) < 300


async def test_credentials_that_a_destination_repeats_are_not_in_its_words(peer: HttpPeer) -> None:
    """They go to the log and the dead letters."""
    peer.script(Reply(400, body=b"not for you: Bearer s3cret-one, X-Key k3y-two"))
    sink = Http(url=peer.url, token=Secret("s3cret-one"), headers={"X-Key": Secret("k3y-two")})

    assert "not for you: Bearer [REDACTED], X-Key [REDACTED]" in str(await refusal(sink, batch()))


@pytest.mark.parametrize("status", [401, 403, 404, 405])
async def test_not_being_let_in_costs_no_data(peer: HttpPeer, status: int) -> None:
    """A wrong password is a person's matter; the batch waits."""
    peer.script(Reply(status))
    error = await refusal(Http(url=peer.url), batch())

    assert isinstance(error, Unavailable)
    assert error.is_refused


@pytest.mark.parametrize("status", [408, 418, 425, 429, 500, 502, 503, 507])
async def test_any_other_trouble_is_tried_again(peer: HttpPeer, status: int) -> None:
    """When in doubt the batch is kept."""
    peer.script(Reply(status))
    error = await refusal(Http(url=peer.url), batch())

    assert isinstance(error, Unavailable)
    assert not error.is_refused


async def test_a_redirect_is_not_followed_but_named(peer: HttpPeer) -> None:
    """A POST that is redirected may become a GET and lose its body; a person must set the right URL."""
    peer.script(Reply(308, headers={"Location": "https://elsewhere.example/v2"}))
    error = await refusal(Http(url=peer.url), batch())

    assert isinstance(error, Unavailable)
    assert error.is_refused
    assert "https://elsewhere.example/v2" in str(error)
    assert len(peer.requests) == 1


async def test_the_destination_says_when_to_come_back(peer: HttpPeer) -> None:
    """Retry-After reaches the engine, which waits as long."""
    peer.script(Reply(503, headers={"Retry-After": "17"}))
    error = await refusal(Http(url=peer.url), batch())

    assert isinstance(error, Unavailable)
    assert error.after == 17.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 20 Nov 2026 10:01:30 GMT", 90.0),
        ("Fri, 20 Nov 2026 10:01:30 -0000", 90.0),
        ("Fri, 20 Nov 2026 09:00:00 GMT", 0.0),
        ("99999999999999999999", 3600.0),
        ("Fri, 20 Nov 2126 10:01:30 GMT", 3600.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """Both forms of RFC 9110, with a limit against a mistaken year and no negative waits."""
    assert retry_after(value, datetime(2026, 11, 20, 10, 0, tzinfo=UTC)) == seconds


@pytest.mark.parametrize("trouble", ["reset_before_body", "reset_in_body", "reset_after_body", "half_answer"])
async def test_a_broken_exchange_brings_the_batch_again(peer: HttpPeer, trouble: Trouble) -> None:
    """Whatever the destination has of it, the same batch comes with the same key, and the sink goes on."""
    peer.script(Reply(trouble=trouble))
    sink = Http(url=peer.url)
    async with sink.lifespan():
        with pytest.raises(Unavailable):
            await sink.send(batch(1, events=2000))
        await sink.send(batch(1, events=2000))
        await sink.send(batch(2))

    assert len({request.headers["idempotency-key"] for request in peer.accepted}) == 2
    assert peer.accepted[-1].body == batch(2).jsonl()


async def test_silence_ends_at_the_time_limit(peer: HttpPeer) -> None:
    """A destination that takes the batch and never answers may not stop the sink for ever."""
    peer.script(Reply(trouble="silence"))
    error = await refusal(Http(url=peer.url, timeout_seconds=0.05), batch())

    assert isinstance(error, Unavailable)
    assert "within 0.05 s" in str(error)


async def test_a_destination_that_is_down_is_unavailable(unused_tcp_port: int) -> None:
    """Nobody listens: the batch waits."""
    error = await refusal(Http(url=f"http://127.0.0.1:{unused_tcp_port}/"), batch())

    assert isinstance(error, Unavailable)
    assert "cannot reach" in str(error)


async def test_an_endless_answer_is_not_read_to_its_end(peer: HttpPeer) -> None:
    """The status decides; a destination may not fill the memory."""
    peer.script(Reply(200, headers={"Content-Length": str(1 << 40)}, body=b"x" * (1 << 17)))
    await send(Http(url=peer.url), batch())

    assert len(peer.requests) == 1


async def test_a_cancelled_send_lets_the_cancellation_through(peer: HttpPeer) -> None:
    """The drain deadline must end a request that hangs."""
    peer.script(Reply(trouble="silence"))
    sink = Http(url=peer.url)
    async with sink.lifespan():
        sending = asyncio.create_task(sink.send(batch()))
        await peer.wait_for(requests=1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await sink.send(batch())

    assert len(peer.accepted) == 2


@pytest.mark.parametrize("first", [Reply(trouble="half_answer"), Reply(502), Reply(trouble="reset_after_body")])
async def test_a_conflict_after_an_unknown_outcome_is_a_delivery(peer: HttpPeer, first: Reply) -> None:
    """409 then says that the first attempt arrived: sending it for ever would help nobody."""
    sink = Http(url=peer.url)
    async with sink.lifespan():
        await sink.send(batch(1))
        peer.script(first, Reply(409))
        with pytest.raises(Unavailable):
            await sink.send(batch(2))
        await sink.send(batch(2))

    assert len(peer.requests) == 3


async def test_a_conflict_on_the_first_batch_is_a_delivery(peer: HttpPeer) -> None:
    """The process before may have been killed between the answer and noting it."""
    peer.script(Reply(409))
    await send(Http(url=peer.url), batch())

    assert len(peer.requests) == 1


async def test_a_conflict_on_a_batch_never_sent_is_no_delivery(peer: HttpPeer) -> None:
    """Nobody has this batch: to count it as delivered would lose it."""
    sink = Http(url=peer.url)
    async with sink.lifespan():
        await sink.send(batch(1))
        peer.script(Reply(409), Reply(429), Reply(409))
        for _ in range(3):
            with pytest.raises(Unavailable):
                await sink.send(batch(2))

    assert len(peer.accepted) == 1


async def test_a_conflict_can_be_an_error(peer: HttpPeer) -> None:
    """Destinations that mean something else by 409."""
    peer.script(Reply(409))

    assert isinstance(await refusal(Http(url=peer.url, conflict_is_delivered=False), batch()), Unavailable)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "ftp://x/"}, "url must be like https://"),
        ({"url": "https://"}, "url must be like https://"),
        ({"url": "http://[::1"}, "url: "),
        ({"url": "http://x:70000/"}, "url: "),
        ({"url": "http://x/a b"}, "url must be like https://"),
        ({"url": "https://user:pw@x/"}, "must not hold a password"),
        ({"url": "http://x", "timeout_seconds": 0}, "timeout_seconds"),
        ({"url": "http://x", "client_key": "k.pem"}, "client_key is of no use"),
        ({"url": "http://x", "token": Secret("a\n")}, "token: "),
        ({"url": "http://x", "headers": {"X-Key": Secret("ä")}}, "headers.X-Key: "),
        ({"url": "http://x", "headers": {"X Key": "a"}}, "headers.X Key: not the name"),
        ({"url": "http://x", "headers": {"Content-Length": "3"}}, "headers.Content-Length: "),
        ({"url": "http://x", "headers": {"authorization": "a"}, "token": Secret("b")}, "keep one"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], words: str) -> None:
    """Said when the configuration is read, not at the first batch, and without showing a secret."""
    with pytest.raises(ConfigError) as caught:
        Http(**options)

    assert words in str(caught.value)
    assert "pw" not in str(caught.value)


async def test_messages_do_not_show_the_query(unused_tcp_port: int) -> None:
    """Some destinations take their key there."""
    error = await refusal(Http(url=f"http://127.0.0.1:{unused_tcp_port}/in?key=hidden"), batch())

    assert "hidden" not in str(error)


@pytest.mark.parametrize(
    ("url", "warnings"), [("http://collect.example.com/", 1), ("https://collect.example.com/", 0), ("http://[::1]/", 0)]
)
async def test_credentials_in_the_clear_are_warned_of(url: str, warnings: int) -> None:
    """Anyone on the way can read a token that leaves the machine unencrypted."""
    with capture_logs() as logs:
        await send(Http(url=url, token=Secret("s3cret")))

    assert len(logs) == warnings


async def test_unverified_destinations_are_warned_of() -> None:
    """At each start: what was for trying things out is easily forgotten."""
    with capture_logs() as logs:
        await send(Http(url="https://collect.example.com/", verify=False))

    assert ["verify = false" in one["event"] for one in logs] == [True]


async def test_a_missing_certificate_file_is_named(tmp_path: Path) -> None:
    """The message says which option names the file."""
    sinks = [
        Http(url="https://x", ca_file=f"{tmp_path}/ca.pem"),
        Http(url="https://x", client_cert=f"{tmp_path}/cert.pem", client_key=f"{tmp_path}/key.pem"),
    ]
    for sink, key in zip(sinks, ["ca_file", "client_cert"], strict=True):
        with pytest.raises(ConfigError, match=key):
            await send(sink)


def tls_server(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_tls_trusts_the_given_authority(certificate: Path) -> None:
    """A private authority is enough, and it is checked."""
    async with HttpPeer(tls=tls_server(certificate)) as peer:
        await send(Http(url=peer.url, ca_file=str(certificate)), batch())

    assert peer.ids() == batch().ids()


async def test_tls_refuses_a_stranger(certificate: Path) -> None:
    """A certificate that nobody vouches for means that the batch does not leave."""
    async with HttpPeer(tls=tls_server(certificate)) as peer:
        error = await refusal(Http(url=peer.url), batch())

    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert not peer.requests


async def test_tls_checks_can_be_switched_off(certificate: Path) -> None:
    """For trying things out, written out by the user."""
    async with HttpPeer(tls=tls_server(certificate)) as peer:
        await send(Http(url=peer.url, verify=False), batch())

    assert peer.ids() == batch().ids()


async def test_tls_shows_the_clients_certificate(certificate: Path) -> None:
    """Servers may let in known clients only."""
    context = tls_server(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)
    async with HttpPeer(tls=context) as peer:
        await send(Http(url=peer.url, ca_file=str(certificate), client_cert=str(certificate)), batch())

    assert peer.ids() == batch().ids()


async def test_a_proxy_comes_from_the_environment(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every other program on the machine does it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", peer.url)
    await send(Http(url="http://collect.example.com/v1"), batch())

    assert peer.requests[0].path == "http://collect.example.com/v1"
