"""Clients that are slow, many, or stay for long, and the end of the server with them at work."""

from __future__ import annotations

import asyncio
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from forwarder.server.address import Address, bound
from forwarder.server.listener import Limits
from forwarder.testing import receiving
from tests.raw_http import exchange, reply, request
from tests.server.acme import Acme

NOTE = b'{"id":"n1"}'


async def until_ended(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("start", [b"", b"POST /notes HTTP/1.1\r\nHost: loc"])
async def test_a_head_that_does_not_come_ends_its_connection(start: bytes) -> None:
    """Whether its sender says nothing, or one byte now and then."""
    async with receiving(Acme(), limits=Limits(header_seconds=0.05)) as posted:
        reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
        writer.write(start)
        rest = await until_ended(reader)
        writer.close()

    assert rest == b""


async def test_a_second_head_has_its_time_too() -> None:
    """A connection that was used once is no way around the limit."""
    async with receiving(Acme(), limits=Limits(header_seconds=0.05)) as posted:
        reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
        writer.write(request("GET", "/health") + b"GET /heal")
        first = await reply(reader)
        rest = await until_ended(reader)
        writer.close()

    assert (first.status, rest) == (200, b"")


async def test_a_request_may_take_longer_than_its_head() -> None:
    """The limit is for clients, not for our own work."""
    acme = Acme()
    async with receiving(acme, limits=Limits(header_seconds=0.02)) as posted:
        asked = asyncio.create_task(exchange(posted.port, request("POST", "/wait")))
        while not acme.asked:
            await asyncio.sleep(0)
        later, writer = await asyncio.open_connection("127.0.0.1", posted.port)
        await until_ended(later)
        writer.close()
        acme.gate.set()

        assert (await asked).status == 200


async def test_a_body_may_take_longer_than_a_head() -> None:
    """It has a limit of its own."""
    async with receiving(Acme(), limits=Limits(header_seconds=0.02)) as posted:
        reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
        writer.write(request("POST", "/notes", NOTE)[: -len(NOTE)])
        later, idle = await asyncio.open_connection("127.0.0.1", posted.port)
        await until_ended(later)
        writer.write(NOTE)
        answer = await reply(reader)
        for one in (writer, idle):
            one.close()

    assert answer.status == 201


@pytest.mark.slow
async def test_200_slow_clients_do_not_delay_a_healthy_one() -> None:
    """Heads and bodies that never end wait beside it; it is answered while none of them is."""
    async with receiving(Acme()) as posted:
        slow = [await asyncio.open_connection("127.0.0.1", posted.port) for _ in range(200)]
        for count, (_, writer) in enumerate(slow):
            writer.write(request("POST", "/notes", b"{", Content_Length="9")[: 30 if count % 2 else None])
        answer = await exchange(posted.port, request("POST", "/notes", NOTE))
        answered = [reader for reader, _ in slow if reader.at_eof()]
        for _, writer in slow:
            writer.close()

    assert (answer.status, len(answered), len(posted.events)) == (201, 0, 1)


async def test_above_the_limit_the_slowest_connection_goes() -> None:
    """So that nobody can shut others out by doing nothing."""
    async with receiving(Acme(), limits=Limits(max_connections=3)) as posted:
        idle = [await asyncio.open_connection("127.0.0.1", posted.port) for _ in range(3)]
        answer = await exchange(posted.port, request("POST", "/notes", NOTE))
        await until_ended(idle[0][0])
        idle[2][1].write(request("GET", "/health"))
        third = await reply(idle[2][0])
        for _, writer in idle:
            writer.close()

    assert (answer.status, third.status) == (201, 200)


async def test_half_a_body_keeps_no_place() -> None:
    """Else as many clients as there are places could shut out all others, each with a byte now and then."""
    async with receiving(Acme(), limits=Limits(max_connections=3)) as posted:
        slow = [await asyncio.open_connection("127.0.0.1", posted.port) for _ in range(3)]
        for _, writer in slow:
            writer.write(request("POST", "/notes", b"{", Content_Length="99"))
        statuses = [(await exchange(posted.port, request("POST", "/notes", NOTE))).status for _ in range(5)]
        rest = await until_ended(slow[0][0])
        for _, writer in slow:
            writer.close()

    assert (statuses, rest) == ([201] * 5, b"")


async def test_when_all_connections_work_the_next_is_told() -> None:
    """In order: those that are served are not ended for one that has asked for nothing yet."""
    acme = Acme()
    async with receiving(acme, limits=Limits(max_connections=2)) as posted:
        busy = [asyncio.create_task(exchange(posted.port, request("POST", "/wait"))) for _ in range(2)]
        while acme.asked < 2:
            await asyncio.sleep(0)
        answer = await exchange(posted.port)
        acme.gate.set()
        served = [(await one).status for one in busy]

    assert (answer.status, answer.json(), served) == (503, {"error": "too many connections"}, [200, 200])


async def test_answers_are_not_held_back() -> None:
    """The system would let the second packet of an answer wait for 40 ms on every connection that is kept."""
    (listening,) = bound(Address("127.0.0.1", 0), place="here")
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(writer)

    async with await asyncio.start_server(take, sock=listening) as server:
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        served = await accepted
        is_immediate = served.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for writer in (client, served):
            writer.close()

    assert is_immediate


async def test_a_stream_is_sent_piece_by_piece() -> None:
    """And ends when its receiver ends it."""
    acme = Acme()
    async with receiving(acme) as posted:
        reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
        writer.write(request("GET", "/stream"))
        head = await reader.readuntil(b"first\r\n")
        acme.gate.set()
        rest = await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    assert (b"text/event-stream" in head, b"second" in rest) == (True, True)


async def test_a_stream_ends_with_its_reader() -> None:
    """Else every page that was closed would be sent to for ever."""
    acme = Acme()
    async with receiving(acme) as posted:
        reader, writer = await asyncio.open_connection("127.0.0.1", posted.port)
        writer.write(request("GET", "/stream"))
        await reader.readuntil(b"first\r\n")
        writer.close()
        async with asyncio.timeout(10):
            while not acme.asked:
                await asyncio.sleep(0)

    assert acme.asked == 1


async def test_the_end_finishes_what_was_asked() -> None:
    """Streams end properly, whole requests are answered, halves are told to come again, idle connections close."""
    acme = Acme()
    async with receiving(acme) as posted:
        stream, half, whole, idle = [await asyncio.open_connection("127.0.0.1", posted.port) for _ in range(4)]
        stream[1].write(request("GET", "/stream"))
        half[1].write(request("POST", "/notes", NOTE, Content_Length="99"))
        whole[1].write(request("POST", "/wait"))
        await stream[0].readuntil(b"first\r\n")
        while not acme.asked:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.02, acme.gate.set)
    ends = await until_ended(stream[0]), await until_ended(half[0]), await until_ended(whole[0]), await idle[0].read()
    for _, writer in (stream, half, whole, idle):
        writer.close()

    assert ends[0] == b"0\r\n\r\n"
    assert ends[1].startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in ends[1]
    assert ends[2].endswith(b"done")
    assert ends[3] == b""


async def test_what_hangs_is_left_behind_at_the_deadline(capsys: pytest.CaptureFixture[str]) -> None:
    """A stop has to come to its end; what is late is named."""
    acme = Acme()
    async with receiving(acme, drain_seconds=0.01) as posted:
        hanging = asyncio.create_task(exchange(posted.port, request("POST", "/wait")))
        while not acme.asked:
            await asyncio.sleep(0)
    await asyncio.wait([hanging])

    assert "1 requests at 127.0.0.1" in capsys.readouterr().out
    assert hanging.exception() is not None or hanging.result().status == 500


async def test_a_socket_takes_and_sends_messages() -> None:
    """Text and bytes, each an event here."""
    async with receiving(Acme()) as posted, connect(f"ws://127.0.0.1:{posted.port}/socket") as socket:
        await socket.send("one")
        text = await socket.recv()
        await socket.send(b"two")
        data = await socket.recv()

    assert (text, data, len(posted.events)) == ("taken one", b"two", 2)


@pytest.mark.parametrize(("message", "code"), [("bug", 1008), ("refuse", 1008), ("x" * 1001, 1009)])
async def test_a_socket_that_goes_wrong_is_closed_with_a_reason(message: str, code: int) -> None:
    """And nobody else notices."""
    async with receiving(Acme()) as posted:
        async with connect(f"ws://127.0.0.1:{posted.port}/socket") as socket:
            await socket.send(message)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        answer = await exchange(posted.port, request("GET", "/health"))

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, "secret" in closed.value.rcvd.reason, answer.status) == (code, False, 200)


async def test_a_socket_is_guarded_like_a_request() -> None:
    """Browsers let every page open one."""
    async with receiving(Acme(), token="right") as posted:
        url = f"ws://127.0.0.1:{posted.port}"
        found: list[int] = []
        for path, headers, origin in (
            ("/socket", {}, None),
            ("/socket", {"Authorization": "Bearer right"}, "https://page.example"),
            ("/nothing", {}, None),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url + path, additional_headers=headers, origin=origin).__aenter__()  # type: ignore[arg-type]
            found.append(refused.value.response.status_code)
        async with connect(url + "/socket", additional_headers={"Authorization": "Bearer right"}) as socket:
            await socket.send("one")
            answer = await socket.recv()

    assert (found, answer) == ([401, 403, 404], "taken one")


async def test_the_end_closes_sockets() -> None:
    """With the code that tells a client to come back."""
    async with receiving(Acme()) as posted:
        socket = await connect(f"ws://127.0.0.1:{posted.port}/socket").__aenter__()
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
