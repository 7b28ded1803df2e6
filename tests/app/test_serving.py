"""Who answers where, who may ask, and what the forwarder says about itself."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from forwarder import ConfigError, MissingExtra, Receiver, Refused, Request, Serving, SystemClock
from forwarder.app.config import Settings, from_values
from forwarder.app.health import Health, exposition
from forwarder.app.metrics import METRICS, Sample
from forwarder.app.serving import Doors, placed, places_to_be
from forwarder.receiver import Accept
from forwarder.server.address import Address
from forwarder.testing import ask, receiving
from tests.app.test_metrics import RECEIVED
from tests.raw_http import exchange, request
from tests.server.acme import Acme


class Nothing:
    """Is never taken."""

    async def __call__(self, events: Iterable[object], /, *, notes: object = None) -> int:
        raise Refused("nothing is taken", status=503)

    def clean(self, text: str, /) -> str:
        return text


class Nowhere:
    """Takes nothing."""

    def __init__(self) -> None:
        self.new_events = {"acme": 3}

    def accept(self, *_: object) -> Accept:
        return Nothing()

    def clean(self, text: str) -> str:
        return text


async def no_samples() -> list[Sample]:
    return []


OWN = Health(no_samples, lambda: None, SystemClock())


def settings(tmp_path: Path, **tables: dict[str, Any]) -> Settings:
    return from_values({"state_dir": str(tmp_path), **tables}, place="config.toml", folder=tmp_path)


def places(tmp_path: Path, **receivers: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """The names at each address, each with its token."""
    configured = settings(tmp_path, receivers=receivers)
    found = placed(configured, {name: Acme() for name in receivers}, OWN, accept=Nowhere().accept)
    return {
        str(address): [(one.name, one.token.reveal() if one.token else "") for one in routing.mounts]
        for address, routing in found.items()
    }


def test_without_a_table_nothing_listens(tmp_path: Path) -> None:
    """Off by default."""
    assert placed(settings(tmp_path), {}, OWN, accept=Nowhere().accept) == {}


def test_a_receiver_listens_where_its_class_says(tmp_path: Path) -> None:
    """Unless its table says something else."""
    assert places(tmp_path, acme={}) == {"127.0.0.1:0": [("acme", "")]}


def test_receivers_of_one_address_may_not_want_the_same(tmp_path: Path) -> None:
    """Which of them would get it?"""
    with pytest.raises(ConfigError, match=r"\[receivers.b\]: a answers POST /notes at this address already"):
        places(tmp_path, a={"listen": "127.0.0.1:7001"}, b={"listen": "127.0.0.1:7001"})


def test_each_table_has_its_own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, a file, or as it stands there."""
    monkeypatch.setenv("ACME_TOKEN", "from the environment")
    (tmp_path / "token").write_text("from a file\n")

    assert places(
        tmp_path,
        a={"listen": "127.0.0.1:1", "token": {"env": "ACME_TOKEN"}},
        b={"listen": "127.0.0.1:2", "token": {"file": str(tmp_path / "token")}},
        c={"listen": "127.0.0.1:3", "token": "plain"},
    ) == {
        "127.0.0.1:1": [("a", "from the environment")],
        "127.0.0.1:2": [("b", "from a file")],
        "127.0.0.1:3": [("c", "plain")],
    }


def test_a_token_is_made_and_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kept for this user alone, and the same at the next start."""
    first = places(tmp_path, **{"../acme": {"auth": True}})
    shown = capsys.readouterr().err
    second = places(tmp_path, **{"../acme": {"auth": True}})
    token = first["127.0.0.1:0"][0][1]
    (kept,) = (tmp_path / "tokens").iterdir()

    assert (len(token), token in shown, capsys.readouterr().err, second) == (43, True, "", first)
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@dataclass
class Careful(Acme):
    """Wants a token by itself."""

    def serving(self) -> Serving:
        return Serving("127.0.0.1:0", auth=True)


@pytest.mark.parametrize(("table", "has_token"), [({}, True), ({"auth": False}, False)])
def test_a_receiver_may_want_a_token_by_itself(tmp_path: Path, table: dict[str, Any], has_token: bool) -> None:
    """Its own configuration may say so; the user's table has the last word."""
    configured = settings(tmp_path, receivers={"acme": table})
    ((_, routing),) = placed(configured, {"acme": Careful()}, OWN, accept=Nowhere().accept).items()

    assert (routing.mounts[0].token is not None) == has_token


@pytest.mark.parametrize("listen", ["0.0.0.0:7001", "[::]:7001", "192.168.1.7:7001", "workstation:7001"])
def test_an_address_for_others_needs_a_token(tmp_path: Path, listen: str) -> None:
    """The message says why, and what to write."""
    with pytest.raises(ConfigError, match=r"\[receivers.acme\]: .* can be reached from other machines.*auth = true"):
        places(tmp_path, acme={"listen": listen})

    assert places(tmp_path, acme={"listen": listen, "token": "t"})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"token": ""}, "the token is empty"),
        ({"token": "t", "auth": False}, "take one of them out"),
        ({"token": 5}, "token wants a secret"),
        ({"listen": 9876}, "listen wants HOST:PORT, not a whole number"),
        ({"listen": "9876"}, "listen wants HOST:PORT"),
        ({"max_body_bytes": 0}, "max_body_bytes wants at least 1 byte"),
        ({"cors_origins": "*"}, "cors_origins wants a list"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, table: dict[str, Any], words: str) -> None:
    """With file, table and key."""
    with pytest.raises(ConfigError, match=words) as complaint:
        places(tmp_path, acme=table)

    assert str(complaint.value).startswith("config.toml, [receivers.acme]: ")


async def test_the_address_of_the_forwarders_own(tmp_path: Path) -> None:
    """May be a receiver's too, as long as they answer different things."""
    configured = settings(tmp_path, server={"listen": "127.0.0.1:0"}, receivers={"acme": {}})
    with pytest.raises(ConfigError, match=r"\[server\]: acme answers GET /health at this address already"):
        placed(configured, {"acme": Acme()}, OWN, accept=Nowhere().accept)


async def test_doors_open_and_close(tmp_path: Path) -> None:
    """While they are open, what comes in is counted."""
    doors = Doors(settings(tmp_path, server={"listen": "127.0.0.1:0"}), {}, Nowhere())  # type: ignore[arg-type]
    async with doors.open(OWN):
        (address,) = [dict(one.labels)["address"] for one in doors.samples() if one.metric.endswith("connections")]
        host, port = Address.parse(address)
        answer = await exchange(port, request("GET", "/health"))
        told = {one.name for one in doors.samples()}
        left = await doors.close(5.0)

    assert answer.status == 200
    assert {name.partition("{")[0] for name in told} == RECEIVED
    assert 'forwarder_received_requests_total{receiver="forwarder",status="200"}' in told
    assert 4.0 < left <= 5.0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port))


async def test_a_port_in_use_opens_nothing(tmp_path: Path) -> None:
    """What was opened before it is closed again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        configured = settings(tmp_path, receivers={"a": {}, "b": {"listen": listen}})
        doors = Doors(configured, {"a": Acme(), "b": Acme()}, Nowhere())  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"config.toml, \[receivers.b\]: .* is in use by another program"):
            async with doors.open(OWN):
                pytest.fail("it must not open")


async def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever configures a receiver learns what to install."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "forwarder.server.listener", raising=False)
    doors = Doors(settings(tmp_path, receivers={"a": {}}), {"a": Acme()}, Nowhere())  # type: ignore[arg-type]
    with pytest.raises(MissingExtra, match=r"\[receivers.a\]: listening needs .* 'agent-forwarder\[server\]'"):
        async with doors.open(OWN):
            pytest.fail("it must not open")


async def asked(own: Receiver, path: str) -> tuple[int, str]:
    async with receiving(own) as posted:
        answer = await ask(posted, Request("GET", path))
    return answer.status_code, answer.text


async def test_health_tells_what_is_wrong() -> None:
    """For whoever restarts or pages."""
    fine = await asked(OWN, "/health")
    failing = await asked(replace(OWN, problem=lambda: "disk full"), "/health")

    assert (fine[0], json.loads(fine[1])["status"]) == (200, "ok")
    assert (failing[0], json.loads(failing[1])["problem"]) == (503, "disk full")


async def test_metrics_are_told_in_their_text_format() -> None:
    """Names, help, types, labels and values, such as every scraper reads."""

    async def samples() -> list[Sample]:
        return [
            Sample("forwarder_retries_total", 3, (("sink", 'a"b'),)),
            Sample("forwarder_retries_total", 4, (("sink", "c"),)),
            Sample("forwarder_journal_bytes", 1e9),
        ]

    status, text = await asked(replace(OWN, samples=samples), "/metrics")

    assert status == 200
    assert text.splitlines() == [
        f"# HELP forwarder_retries_total {METRICS['forwarder_retries_total']}",
        "# TYPE forwarder_retries_total counter",
        'forwarder_retries_total{sink="a\\"b"} 3.0',
        'forwarder_retries_total{sink="c"} 4.0',
        f"# HELP forwarder_journal_bytes {METRICS['forwarder_journal_bytes']}",
        "# TYPE forwarder_journal_bytes gauge",
        "forwarder_journal_bytes 1e+09",
    ]


def test_a_missing_format_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for every optional package."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match="server"):
        exposition([])


def test_a_check_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started; and it makes no token."""
    configured = settings(tmp_path, receivers={"acme": {"auth": True}})
    ((mount,),) = (routing.mounts for routing in places_to_be(configured, {"acme": Acme()}).values())
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtra, match="listening needs"):
        places_to_be(configured, {"acme": Acme()})

    assert (mount.name, mount.token is not None, list(tmp_path.iterdir())) == ("acme", True, [])
