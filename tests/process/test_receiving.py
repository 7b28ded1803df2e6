"""`forwarder run` with a receiver: others post to it while it is killed, stopped and crowded."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.process.machine import Machine, ids
from tests.process.posting import answered, free_port
from tests.raw_http import exchange, reply, request

pytestmark = pytest.mark.slow


def receiver(port: int, more: str = "") -> str:
    return f'[receivers.pai]\nlisten = "127.0.0.1:{port}"\n{more}'


def post(id: str, text: str = "", **headers: str) -> bytes:
    event = {"id": id, "timestamp": "2026-02-05T10:00:00Z", "session_id": "s1", "event_type": "acme", "data": text}
    return request("POST", "/events", json.dumps(event).encode(), **headers)


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [json.loads(event["message"]) for event in events if event["type"] == "notification"]


async def test_what_was_answered_survives_a_kill(machine: Machine) -> None:
    """Killed right behind an answer, again and again: all that was answered is there, each once, and is delivered."""
    port = free_port()
    machine.configure(machine.archive_sink(), receiver(port))
    sent: list[str] = []
    for life in range(4):
        process = await machine.started()
        for number in range(life + 1):
            sent.append(f"{life}.{number}")
            answer = await answered(machine, port, post(sent[-1], sent[-1]), process)
            assert answer.status == 201
        process.kill()
        await process.wait()
    before = messages(machine.journalled())
    async with machine.running() as process:
        for text in sent:
            await answered(machine, port, post(text, text), process)
        await machine.until(lambda: len(machine.archived()) == len(sent), "all is delivered", process=process)

    assert before == messages(machine.archived()) == sent
    assert len(set(ids(machine.archived()))) == len(sent)


async def test_a_secret_is_on_no_disk(machine: Machine) -> None:
    """What is posted is redacted before it is kept, and no log line has it."""
    token, port = "ghp_" + "Zc9bQ7rT2yVx4Lm8Np6Kd3Hs5Jw1Gf0Ae9Ru", free_port()
    machine.configure(machine.archive_sink(), receiver(port))
    async with machine.running() as process:
        await answered(machine, port, post("u1", f"it is {token}"), process)
        bad = await exchange(port, request("POST", "/events", f'{{"id":"{token}'.encode()))
        await machine.until(lambda: len(machine.archived()) == 2, "all is delivered", process=process)
        holding = [path for path in machine.folder.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]

    assert (bad.status, holding) == (400, [])
    assert {event["type"] for event in machine.archived()} == {"notification", "secret_found"}


class Slow:
    """Clients whose requests come byte by byte: of one half the heads, of the other half the bodies."""

    def __init__(self) -> None:
        self.clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, Iterator[int]]] = []

    async def connect(self, number: int, port: int) -> None:
        for count in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head, _, body = post(f"slow {count}", Content_Length="9999").partition(b"\r\n\r\n")
            writer.write(head[:40] if count % 2 else head + b"\r\n\r\n")
            self.clients.append((reader, writer, iter(head[40:] if count % 2 else body)))

    def drip(self) -> None:
        """One more byte of each."""
        for _, writer, rest in self.clients:
            if not writer.is_closing():
                writer.write(bytes([next(rest)]))

    def open_ones(self) -> int:
        return sum(not (reader.at_eof() or reader.exception()) for reader, _, _ in self.clients)

    def close(self) -> None:
        for _, writer, _ in self.clients:
            writer.close()


@pytest.mark.parametrize(("max_connections", "left"), [(512, 200), (200, 199)])
async def test_200_slow_clients_do_not_keep_others_waiting(machine: Machine, max_connections: int, left: int) -> None:
    """While they send byte by byte a healthy client is served twenty times; at the limit the slowest gives way."""
    port, slow = free_port(), Slow()
    machine.configure(machine.archive_sink(), receiver(port), f"[server]\nmax_connections = {max_connections}\n")
    async with machine.running() as process:
        await machine.until(lambda: f"127.0.0.1:{port}" in machine.log.read_text(), "it listens", process=process)
        await slow.connect(200, port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        statuses: list[int] = []
        for number in range(20):
            slow.drip()
            writer.write(post(str(number)))
            statuses.append((await reply(reader)).status)
        open_ones = slow.open_ones()
        slow.close()
        writer.close()

    assert (statuses, open_ones) == ([201] * 20, left)
    assert len(machine.journalled()) == 20


async def test_a_stop_answers_what_was_asked(machine: Machine) -> None:
    """The event behind the last answer is delivered, a half request is told to come again, and the status is 0."""
    port = free_port()
    machine.configure(machine.archive_sink(), receiver(port))
    process = await machine.started()
    await answered(machine, port, post("u1", "one"), process)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("u2", "two", Content_Length="9999"))
    await exchange(port, request("GET", "/health"))
    process.terminate()
    half = await reply(reader)
    writer.close()

    assert (half.status, half.headers["retry-after"], await process.wait()) == (503, "5", 0)
    assert messages(machine.archived()) == ["one"]


async def test_a_token_is_made_shown_once_and_asked_for(machine: Machine) -> None:
    """The log never has it; the next start knows it."""
    port = free_port()
    machine.configure(machine.archive_sink(), receiver(port, "auth = true\n"))
    async with machine.running() as process:
        without = await answered(machine, port, post("u1"), process)
        (kept,) = (machine.state / "tokens").iterdir()
        token = kept.read_text().strip()
        with_it = await exchange(port, post("u1", Authorization=f"Bearer {token}"))
    shown = machine.log.read_text().count(token)
    async with machine.running() as process:
        again = await answered(machine, port, post("u2", Authorization=f"Bearer {token}"), process)

    assert (without.status, with_it.status, again.status) == (401, 201, 201)
    assert (shown, machine.log.read_text().count(token)) == (1, 1)


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("127.0.0.1:{taken}", "[receivers.pai]: 127.0.0.1:{taken} is in use by another program"),
        ("0.0.0.0:{taken}", "[receivers.pai]: 0.0.0.0:{taken} can be reached from other machines"),
    ],
)
async def test_a_table_that_cannot_listen_is_named(machine: Machine, listen: str, words: str) -> None:
    """With the status of a wrong configuration, and without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        address = listen.format(taken=port)
        machine.configure(machine.archive_sink(), f'[receivers.pai]\nlisten = "{address}"\n')
        status, said = await machine.said("run")

    assert (status, words.format(taken=port) in said, "Traceback" in said) == (2, True, False)


async def test_the_forwarder_tells_about_itself(machine: Machine) -> None:
    """At an address of its own, with what came in and went out."""
    port, own = free_port(), free_port()
    machine.configure(machine.archive_sink(), receiver(port), f'[server]\nlisten = "127.0.0.1:{own}"\n')
    async with machine.running() as process:
        await answered(machine, port, post("u1"), process)
        await machine.until(lambda: len(machine.archived()) == 1, "it is delivered", process=process)
        health = (await exchange(own, request("GET", "/health"))).json()
        metrics = (await exchange(own, request("GET", "/metrics"))).body.decode().splitlines()
        status, checked = await machine.said("check")

    assert health["status"] == "ok"
    assert 'forwarder_received_events_total{receiver="pai"} 1.0' in metrics
    assert 'forwarder_received_requests_total{receiver="pai",status="201"} 1.0' in metrics
    assert (status, f"listen   pai: at 127.0.0.1:{port}, without a token" in checked) == (0, True)
