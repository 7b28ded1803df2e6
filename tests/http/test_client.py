"""The HTTP client of the plugins against a real server on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from forwarder import ConfigError, NotSent, Unavailable
from forwarder.http import Client, Tls, check_header, checked_url, connect, place_of
from tests.http_peer import HttpPeer, Reply, Trouble


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[HttpPeer]:
    async with HttpPeer() as server:
        yield server


async def failure(url: str, *, timeout_seconds: float = 5.0) -> Unavailable:
    async with connect(url=url, place=url, headers={}, tls=Tls(), timeout_seconds=timeout_seconds) as client:
        with pytest.raises(Unavailable) as caught:
            await client.post(b"x" * 4_000_000, {})
    return caught.value


async def ask(url: str, path: str) -> None:
    async with connect(url=url, place=url, headers={}, tls=Tls(), timeout_seconds=5.0) as client:
        await client.request("GET", path)


async def test_nothing_was_sent_where_nobody_listens(unused_tcp_port: int) -> None:
    """A destination that counts repeats can be sent the same again."""
    assert isinstance(await failure(f"http://127.0.0.1:{unused_tcp_port}/"), NotSent)


async def test_nothing_was_sent_to_an_unknown_name() -> None:
    """The name could not be looked up: there was no connection at all."""
    assert isinstance(await failure("http://nobody.invalid/"), NotSent)


async def test_nothing_was_sent_before_the_handshake_ended(unused_tcp_port: int) -> None:
    """A server that does not speak TLS has read no word of ours."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", unused_tcp_port)
    async with server:
        error = await failure(f"https://127.0.0.1:{unused_tcp_port}/")

    assert isinstance(error, NotSent)


async def test_nothing_was_sent_when_time_ran_out_before_the_handshake_ended() -> None:
    """The kernel accepts for a server that hangs; the time limit ends that, too."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        error = await failure(f"https://127.0.0.1:{hanging.getsockname()[1]}/", timeout_seconds=0.1)

    assert isinstance(error, NotSent)


async def test_nothing_was_sent_through_a_proxy_that_refuses(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the proxy was asked for is a tunnel, which carries nothing yet."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", peer.url)
    peer.script(Reply(403))

    assert isinstance(await failure("https://collect.example.com/"), NotSent)


@pytest.mark.parametrize("trouble", ["reset_before_body", "reset_in_body", "reset_after_body", "half_answer"])
async def test_once_writing_began_the_outcome_is_unknown(peer: HttpPeer, trouble: Trouble) -> None:
    """Whoever was sent a part may have taken the whole."""
    peer.script(Reply(trouble=trouble))
    error = await failure(peer.url)

    assert not isinstance(error, NotSent)


async def test_no_answer_in_time_leaves_the_outcome_unknown(peer: HttpPeer) -> None:
    """The request is there whole."""
    peer.script(Reply(trouble="silence"))
    error = await failure(peer.url, timeout_seconds=0.2)

    assert not isinstance(error, NotSent)


@pytest.mark.parametrize(
    ("base", "path", "asked"),
    [
        ("", "/api/x", "/api/x"),
        ("/", "/api/x?limit=5", "/api/x?limit=5"),
        ("/air/", "/api/x", "/air/api/x"),
        ("/air?key=1", "/api/x?limit=5", "/air/api/x?limit=5&key=1"),
    ],
)
async def test_paths_are_below_the_url(peer: HttpPeer, base: str, path: str, asked: str) -> None:
    """A destination may live in a folder of a server, and want its key in each request."""
    await ask(peer.url.removesuffix("/v1/events") + base, path)

    assert peer.requests[0].path == asked


async def test_an_answer_is_read_as_far_as_asked_for(peer: HttpPeer) -> None:
    """Looking things up needs more of an answer than its message."""
    peer.otherwise = Reply(body=b"x" * 300_000)
    async with connect(url=peer.url, place=peer.url, headers={}, tls=Tls(), timeout_seconds=5.0) as client:
        lengths = [await _length(client, most) for most in (1_000, 1 << 20)]

    assert lengths[0] < lengths[1] == 300_000


async def _length(client: Client, most: int) -> int:
    return len((await client.request("GET", "/", max_answer_bytes=most)).text)


async def test_a_cancelled_request_lets_the_cancellation_through(peer: HttpPeer) -> None:
    """The drain deadline must end a request that hangs."""
    peer.script(Reply(trouble="silence"))
    asking = asyncio.create_task(ask(peer.url, "/"))
    await peer.wait_for(requests=1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert asking.cancelled()


def test_a_message_shows_the_url_without_its_query() -> None:
    """Some destinations take their key there."""
    assert place_of(checked_url("https://x.example:8443/in?key=hidden#x")) == "https://x.example:8443/in"


def test_a_wrong_url_is_named_by_its_key() -> None:
    """The plugin's own option, and an example that fits it."""
    with pytest.raises(ConfigError, match="endpoint must be like http://x/v1, not 'ftp://x'"):
        checked_url("ftp://x", key="endpoint", example="http://x/v1")


def test_a_plugin_can_keep_headers_for_itself() -> None:
    """Two of them would contradict each other."""
    with pytest.raises(ConfigError, match="sets this header itself"):
        check_header("X-Scope", "a", key="headers.X-Scope", ours={"x-scope"})
