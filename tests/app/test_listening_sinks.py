"""A sink that is asked for what it has: where it listens is a matter of its table, under the rules of receivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forwarder import Accept, Answer, Batch, ConfigError, Listening, Request, Route, Serving, Sink, SystemClock
from forwarder.app.config import Settings, from_values
from forwarder.app.health import Health
from forwarder.app.metrics import Sample
from forwarder.app.registry import SINKS, make_sink
from forwarder.app.serving import Doors, placed
from forwarder.server.address import Address
from tests.app.conftest import Install
from tests.raw_http import exchange, request
from tests.server.acme import Acme

PLUGIN = '''"""Tells what it has."""
from dataclasses import dataclass
from forwarder import Listening, Serving, Sink

@dataclass
class Plugin(Sink, Listening):
    prefix: str = "acme_"

    async def send(self, batch): ...

    def serving(self):
        return Serving("127.0.0.1:0")

    def routes(self):
        return []
'''


@dataclass
class Shown(Sink, Listening):
    """Shows how many events it has; cannot bring any."""

    taken: int = 0

    async def send(self, batch: Batch) -> None:
        self.taken += len(batch)

    def serving(self) -> Serving:
        return Serving("127.0.0.1:0", max_body_bytes=100)

    def routes(self) -> Sequence[Route]:
        return [Route("GET", "/taken", self._show), Route("POST", "/events", self._bring)]

    async def _show(self, _: Request, __: Accept) -> Answer:
        return Answer.json(self.taken)

    async def _bring(self, _: Request, accept: Accept) -> Answer:
        return Answer.json(await accept([]))


async def no_samples() -> list[Sample]:
    return []


OWN = Health(no_samples, lambda: None, SystemClock())


def take_nothing(*_: object) -> Accept:
    raise NotImplementedError


def settings(tmp_path: Path, **sinks: dict[str, Any]) -> Settings:
    tables = {name: {"use": "shown", **table} for name, table in sinks.items()}
    return from_values({"state_dir": str(tmp_path), "sinks": tables}, place="config.toml", folder=tmp_path)


def places(tmp_path: Path, **sinks: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Address, name and limit of each sink that listens."""
    found = placed(settings(tmp_path, **sinks), {}, OWN, accept=take_nothing, sinks={name: Shown() for name in sinks})
    return [
        (str(address), one.name, one.max_body_bytes) for address, routing in found.items() for one in routing.mounts
    ]


def test_the_keys_of_listening_are_not_the_plugins(install: Install, tmp_path: Path) -> None:
    """Its own options stay its own, and an unknown one is named."""
    install(SINKS, "shown", PLUGIN)
    table = {"listen": "127.0.0.1:1", "token": "t", "auth": True, "max_body_bytes": "1KiB", "cors_origins": ["a"]}
    made = make_sink(settings(tmp_path, board={**table, "prefix": "x_"}).sinks["board"])
    with pytest.raises(ConfigError, match=r'config.toml, \[sinks.board\]: unknown option "listn"'):
        make_sink(settings(tmp_path, board={"listn": "127.0.0.1:1"}).sinks["board"])

    assert vars(made) == {"prefix": "x_"}


def test_it_listens_where_its_class_says_unless_its_table_does(tmp_path: Path) -> None:
    """Each under the name of its table."""
    assert places(tmp_path, a={}, b={"listen": "127.0.0.1:7001", "max_body_bytes": 7}) == [
        ("127.0.0.1:0", "sinks.a", 100),
        ("127.0.0.1:7001", "sinks.b", 7),
    ]


def test_an_address_for_others_needs_a_token(tmp_path: Path) -> None:
    """As for receivers: the message says why, and what to write."""
    with pytest.raises(ConfigError, match=r"\[sinks.a\]: .* can be reached from other machines.*auth = true"):
        places(tmp_path, a={"listen": "0.0.0.0:7001"})

    assert places(tmp_path, a={"listen": "0.0.0.0:7001", "token": "t"})


def test_a_receiver_of_the_same_name_has_a_token_of_its_own(tmp_path: Path) -> None:
    """Who may post may not read for that."""
    tables = {"listen": "127.0.0.1:7001", "auth": True}
    configured = from_values(
        {
            "state_dir": str(tmp_path),
            "sinks": {"pi_daemon": {"use": "shown", **tables}},
            "receivers": {"pi_daemon": tables},
        },
        place="config.toml",
        folder=tmp_path,
    )
    (routing,) = placed(
        configured, {"pi_daemon": Acme()}, OWN, accept=take_nothing, sinks={"pi_daemon": Shown()}
    ).values()
    tokens = [one.token.reveal() for one in routing.mounts if one.token]

    assert len(set(tokens)) == 2


async def test_it_answers_and_brings_no_events(tmp_path: Path) -> None:
    """What it has; a handler that would bring events is a bug, and only that request is lost."""
    sink = Shown()
    doors = Doors(settings(tmp_path, board={}), {}, Nowhere(), sinks={"board": sink})  # type: ignore[arg-type]
    async with doors.open(OWN):
        told = {one.name for one in doors.samples()}
        (address,) = [dict(one.labels)["address"] for one in doors.samples()]
        _, port = Address.parse(address)
        await sink.send(Batch((b"{}",)))
        shown = await exchange(port, request("GET", "/taken"))
        brought = await exchange(port, request("POST", "/events"))

    assert (shown.json(), brought.status) == (1, 500)
    assert told == {f'forwarder_open_connections{{address="{address}"}}'}


class Nowhere:
    """Takes nothing."""

    def __init__(self) -> None:
        self.new_events: dict[str, int] = {}

    def accept(self, *_: object) -> Accept:
        raise NotImplementedError

    def clean(self, text: str) -> str:
        return text


def test_a_sink_that_does_not_listen_has_no_place(tmp_path: Path) -> None:
    """`listen` in its table is an option that it does not know."""

    class Plain(Sink):
        async def send(self, batch: Batch) -> None: ...

    configured = settings(tmp_path, a={})

    assert placed(configured, {}, OWN, accept=take_nothing, sinks={"a": Plain()}) == {}
