"""The WebSocket that AIr's extension of pi posts to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from forwarder_air.receive import Air
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from forwarder.testing import Posted, receiving
from tests.plugins.air.samples import event


@asynccontextmanager
async def collecting(posted: Posted, **headers: str) -> AsyncGenerator[ClientConnection]:
    url = f"ws://127.0.0.1:{posted.port}/ws/collector"
    async with connect(url, additional_headers=headers, proxy=None, max_size=None) as socket:
        yield socket


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


def end(number: int) -> str:
    return json.dumps(event("session_end", id=f"e{number}"))


def numbers(posted: Posted) -> list[str | int]:
    return [one.key[1] for one in posted.events]


async def test_each_frame_is_an_event() -> None:
    """As text or as bytes; the same again is the same."""
    async with receiving(Air()) as posted, collecting(posted) as socket:
        for frame in (end(0), end(1).encode(), end(0), end(2)):
            await socket.send(frame)
        await until(lambda: len(posted.events) == 3)

    assert numbers(posted) == ["e0", "e1", "e2"]


@pytest.mark.parametrize(
    "bad", ["", "{", "null", "7", f"[{end(1)}]", b"\xff\xfe", json.dumps(event("cost", model=...))]
)
async def test_a_bad_frame_costs_only_itself(bad: str | bytes) -> None:
    """There is no answer to it; the log says why, and the connection stays."""
    with capture_logs() as logs:
        async with receiving(Air()) as posted, collecting(posted) as socket:
            await socket.send(bad)
            await socket.send(end(2))
            await until(lambda: bool(posted.events))

    assert numbers(posted) == ["e2"]
    assert [one["log_level"] for one in logs] == ["warning"]


async def test_a_large_frame_is_taken() -> None:
    """AIr takes 3 MB, too."""
    frame = json.dumps(event("custom", data="x" * 3_000_000))
    async with receiving(Air()) as posted, collecting(posted) as socket:
        await socket.send(frame)
        await until(lambda: bool(posted.events))

    assert len(posted.events) == 1


async def test_the_start_of_a_session_holds_for_later_frames() -> None:
    """Each is a request of its own."""
    async with receiving(Air()) as posted, collecting(posted) as socket:
        await socket.send(json.dumps(event("session_start")))
        await socket.send(end(1))
        await until(lambda: len(posted.events) == 2)

    assert [one.session.agent for one in posted.events] == ["codex", "codex"]


async def test_a_page_of_another_origin_is_refused() -> None:
    """AIr lets every page in."""
    async with receiving(Air()) as posted:
        with pytest.raises(InvalidStatus, match="403"):
            async with collecting(posted, Origin="https://page.example"):
                pass

    assert posted.events == []


async def test_a_page_that_is_named_is_let_in() -> None:
    """By `cors_origins`."""
    page = "https://page.example"
    async with receiving(Air(), cors_origins=[page]) as posted, collecting(posted, Origin=page) as socket:
        await socket.send(end(1))
        await until(lambda: bool(posted.events))

    assert numbers(posted) == ["e1"]


async def test_a_token_is_asked_for() -> None:
    """Where there is one."""
    async with receiving(Air(), token="secret") as posted:
        with pytest.raises(InvalidStatus, match="401"):
            async with collecting(posted):
                pass
        async with collecting(posted, Authorization="Bearer secret") as socket:
            await socket.send(end(1))
            await until(lambda: bool(posted.events))

    assert numbers(posted) == ["e1"]


async def test_the_end_of_the_server_ends_the_socket() -> None:
    """In good order, so that the client may come again."""
    opened: list[ClientConnection] = []

    async def until_closed(socket: ClientConnection) -> int | None:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        return socket.close_code

    waiting: Awaitable[int | None]
    async with receiving(Air()) as posted:
        opened.append(await connect(f"ws://127.0.0.1:{posted.port}/ws/collector", proxy=None))
        waiting = asyncio.create_task(until_closed(opened[0]))
        await opened[0].send(end(1))
        await until(lambda: bool(posted.events))

    assert await waiting in (1000, 1001, 1012)
