"""What is asked over a real socket, and what is answered."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator

import pytest

from forwarder.server.listener import Limits
from forwarder.testing import Posted, receiving
from tests.raw_http import exchange, reply, request
from tests.server.acme import Acme

NOTE = b'{"id":"n1","text":"hello"}'


@pytest.fixture
async def posted() -> AsyncGenerator[Posted]:
    async with receiving(Acme()) as posted:
        yield posted


async def test_an_event_is_taken_and_answered(posted: Posted) -> None:
    """The way of nearly all requests."""
    answer = await exchange(posted.port, request("POST", "/notes", NOTE))

    assert (answer.status, answer.json()) == (201, {"new": 1})
    assert [event.key for event in posted.events] == [("n1",)]


async def test_a_repeated_event_is_not_new(posted: Posted) -> None:
    """A client that got no answer sends again."""
    await exchange(posted.port, request("POST", "/notes", NOTE))

    assert (await exchange(posted.port, request("POST", "/notes", NOTE))).json() == {"new": 0}


async def test_parts_of_the_path_and_the_query_are_handed_on(posted: Posted) -> None:
    """Also where they hold what has to be escaped."""
    answer = await exchange(posted.port, request("GET", "/notes/a%20b/text?q=%C3%BC&empty="))

    assert answer.json() == {"id": "a b", "query": {"q": "ü", "empty": ""}}


async def test_one_connection_carries_many_requests(posted: Posted) -> None:
    """Also when they come before the first one is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
    writer.write(request("POST", "/notes", NOTE) + request("GET", "/health") + request("GET", "/nothing"))
    statuses = [(await reply(reader)).status for _ in range(3)]
    writer.close()

    assert statuses == [201, 200, 404]


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [(gzip.compress, "gzip"), (zlib.compress, "deflate"), (bytes, "identity"), (bytes, "Identity")],
)
async def test_a_body_may_be_packed(posted: Posted, pack: type[bytes], encoding: str) -> None:
    """As clients that save bandwidth send it."""
    answer = await exchange(posted.port, request("POST", "/notes", pack(NOTE), Content_Encoding=encoding))

    assert answer.status == 201


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"x" * 1001, {}, 413, "more than 1000 bytes"),
        (gzip.compress(b"x" * 1001, mtime=0), {"Content_Encoding": "gzip"}, 413, "more than 1000 bytes"),
        (gzip.compress(bytes(1 << 20), mtime=0)[:900], {"Content_Encoding": "gzip"}, 413, "more than 1000"),
        (gzip.compress(NOTE, mtime=0)[:-1], {"Content_Encoding": "gzip"}, 400, "too early"),
        (gzip.compress(NOTE, mtime=0) + b"x", {"Content_Encoding": "gzip"}, 400, "too late"),
        (NOTE, {"Content_Encoding": "gzip"}, 400, "not gzip"),
        (NOTE, {"Content_Encoding": "br"}, 415, 'encoding "br"'),
        (NOTE, {"Content_Encoding": "gzip, gzip"}, 415, "encoding"),
        (b"", {}, 400, "not JSON"),
        (b'{"id":NaN}', {}, 400, "not JSON"),
        (b'{"id":1e999}', {}, 400, "out of range"),
        (b"[" * 999, {}, 400, "nested too deeply"),
        (b'"\\ud800"' + b"[" * 900, {}, 400, "not JSON"),
    ],
)
async def test_a_body_that_is_not_taken(
    posted: Posted, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    """Each is answered in the receiver's own form, and costs nothing but its request."""
    answer = await exchange(posted.port, request("POST", "/notes", body, **headers))

    assert (answer.status, words in answer.json()["acme"]) == (status, True), answer
    assert (await exchange(posted.port, request("POST", "/notes", NOTE))).status == 201


@pytest.mark.parametrize("body", [b'{"id":"n1","text":"\\ud83d"}', b'{"id":"n1","text":"\xff"}'])
async def test_half_a_character_is_no_reason_to_lose_an_event(posted: Posted, body: bytes) -> None:
    """Clients cut texts in the middle of emoji."""
    await exchange(posted.port, request("POST", "/notes", body))

    assert [getattr(event, "message", "") for event in posted.events] == ["\ufffd"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/notes/", 404, None),
        ("GET", "/notes", 405, "POST"),
        ("DELETE", "/health", 405, "GET, HEAD"),
        ("PUT", "/notes/x/text", 405, "GET, HEAD"),
        ("GET", "/notes/{id}/text/more", 404, None),
        ("GET", "/socket", 404, None),
    ],
)
async def test_what_is_not_there(posted: Posted, method: str, path: str, status: int, allow: str | None) -> None:
    """A path that is not there, or not with this method, which is then told."""
    answer = await exchange(posted.port, request(method, path))

    assert (answer.status, answer.headers.get("allow")) == (status, allow)


async def test_a_head_has_no_body(posted: Posted) -> None:
    """Health checks of some load balancers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
    writer.write(request("HEAD", "/health", Connection="close"))
    raw = await reader.read()
    writer.close()

    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert raw.endswith(b"\r\n\r\n")


async def test_a_full_journal_is_said(posted: Posted) -> None:
    """Instead of waiting for ever: the client knows that nothing was taken, and when to come again."""
    posted.is_full = True
    answer = await exchange(posted.port, request("POST", "/notes", NOTE))

    assert (answer.status, answer.headers["retry-after"], posted.events) == (503, "1", [])


async def test_a_bug_tells_nothing_of_ours(posted: Posted, capsys: pytest.CaptureFixture[str]) -> None:
    """The log has the rest; the next request is served."""
    answer = await exchange(posted.port, request("POST", "/bug"))

    assert (answer.status, b"secret" in answer.body) == (500, False)
    assert "a secret of ours" in capsys.readouterr().out


async def test_an_event_that_cannot_be_sent_is_refused() -> None:
    """A receiver that builds a wrong event finds out at once, and so does its client."""
    async with receiving(Acme(is_timeless=True)) as posted:
        answer = await exchange(posted.port, request("POST", "/notes", NOTE))

    assert (answer.status, "no time zone" in answer.json()["acme"]) == (400, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
        b"POST /notes HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /notes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (17 << 10),
        b"POST /notes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http(posted: Posted, raw: bytes) -> None:
    """TLS to a plain port, lengths that contradict each other, endless headers: said once, and closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
    writer.write(raw)
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 400 ") or (answer == b"" and b"chunked" in raw)
    assert (await exchange(posted.port, request("GET", "/health"))).status == 200


async def test_a_body_shorter_than_it_says_is_given_up() -> None:
    """The rest may never come; a reader that waits for it would wait for ever."""
    async with receiving(Acme(), limits=Limits(body_seconds=0.05)) as posted:
        answer = await exchange(posted.port, request("POST", "/notes", NOTE, Content_Length="100"))

    assert (answer.status, answer.headers["connection"], posted.events) == (408, "close", [])


async def test_a_body_longer_than_it_says_is_cut() -> None:
    """What follows is read as the next request, and is none."""
    async with receiving(Acme()) as posted:
        reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
        writer.write(request("POST", "/notes", NOTE + b"{garbage}\r\n\r\n", Content_Length=str(len(NOTE))))
        first = await reply(reader)
        rest = await reader.read()
        writer.close()

    assert first.status == 201
    assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_leaves_in_its_body_costs_nothing(posted: Posted) -> None:
    """Nothing of a half request is taken."""
    _, writer = await asyncio.open_connection("127.0.0.1", posted.port)
    writer.write(request("POST", "/notes", NOTE[:5], Content_Length="30"))
    writer.close()
    answer = await exchange(posted.port, request("POST", "/notes", NOTE))

    assert (answer.status, len(posted.events)) == (201, 1)


async def test_a_large_body_is_read_to_its_end_so_that_the_answer_arrives(posted: Posted) -> None:
    """A client that is still writing would see a broken connection in place of the answer."""
    answer = await exchange(posted.port, request("POST", "/notes", bytes(2 << 20)))

    assert answer.status == 413


async def test_a_body_that_is_announced_as_huge_is_not_waited_for(posted: Posted) -> None:
    """Nobody sends gigabytes to learn that they are too many."""
    head = request("POST", "/notes", Content_Length=str(1 << 40))
    answer = await exchange(posted.port, head)

    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_a_body_without_an_end_is_not_read_for_ever(posted: Posted) -> None:
    """It has no length that could be looked at first."""
    head = b"POST /notes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n%b\r\n" % bytes(1 << 20)
    answer = await exchange(posted.port, head, *[chunk] * 17)

    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_a_client_that_asks_first_is_told_before_it_sends(posted: Posted) -> None:
    """curl does so with large bodies."""
    large = await exchange(posted.port, request("POST", "/notes", Content_Length="2000", Expect="100-continue"))
    reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
    writer.write(request("POST", "/notes", Content_Length=str(len(NOTE)), Expect="100-continue"))
    go_on = await reply(reader)
    writer.write(NOTE)
    answer = await reply(reader)
    writer.close()

    assert (large.status, go_on.status, answer.status) == (413, 100, 201)


async def test_a_receiver_hears_of_every_answer() -> None:
    """By route, not by path: what is not there has none."""
    acme = Acme()
    async with receiving(acme) as posted:
        for method, path, body in (
            ("POST", "/notes", b'{"id":"n1"}'),
            ("POST", "/notes", b"{"),
            ("GET", "/notes/7/text", b""),
            ("PUT", "/notes/7/text", b""),
            ("GET", "/nowhere", b""),
            ("POST", "/bug", b""),
        ):
            await exchange(posted.port, request(method, path, body))

    assert acme.answers == [
        ("POST", "/notes", 201),
        ("POST", "/notes", 400),
        ("GET", "/notes/{id}/text", 200),
        ("PUT", "/notes/{id}/text", 405),
        ("GET", "", 404),
        ("POST", "/bug", 500),
    ]
