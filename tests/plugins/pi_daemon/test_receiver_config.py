"""pi-daemon's own ``config.json``, read as it is, at the start and again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from forwarder_pi_daemon.receive import PiDaemon
from structlog.testing import capture_logs

from forwarder import ConfigError, Secret
from forwarder.app.access import ReceiverSettings
from forwarder.app.registry import make_receiver
from tests.plugins.pi_daemon.posting import COUNTER, daemon, made


def written(path: Path, content: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_without_a_file_its_defaults_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As pi-daemon's documentation has them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    serving = PiDaemon(config=written(tmp_path / "c.json", {})).serving()

    assert (serving.listen, serving.max_body_bytes, serving.token, serving.auth) == (
        "127.0.0.1:9876",
        1 << 20,
        None,
        False,
    )


def test_the_users_own_file_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where pi-daemon looks for it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path / ".pi" / "daemon" / "config.json", {"server": {"port": 1234}})

    assert PiDaemon().serving().listen == "127.0.0.1:1234"


def test_the_variable_names_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it does for pi-daemon; the table of the forwarder's configuration comes first."""
    monkeypatch.setenv("PI_DAEMON_CONFIG", written(tmp_path / "a.json", {"server": {"port": 1}}))
    mine = written(tmp_path / "b.json", {"server": {"port": 2}})
    tables: list[dict[str, object]] = [{}, {"config": mine}]
    receivers = [make_receiver(ReceiverSettings("p", "pi_daemon", options=table)) for table in tables]

    assert [one.serving().listen for one in receivers] == ["127.0.0.1:1", "127.0.0.1:2"]


def test_what_the_file_says_holds(tmp_path: Path) -> None:
    """Addresses of both kinds, limits, tokens; a token counts only where it is asked for."""
    server = {"listenAddress": "::1", "port": 7, "maxPayloadSize": 99}
    serving = made(tmp_path, {"server": server, "auth": {"enabled": True, "token": "t"}}).serving()
    off = made(tmp_path, {"auth": {"enabled": False, "token": "t"}}).serving()

    assert (serving.listen, serving.max_body_bytes, serving.token) == ("[::1]:7", 99, Secret("t"))
    assert (off.token, off.auth, made(tmp_path, {"auth": {"enabled": True}}).serving().auth) == (None, False, True)


def test_what_the_file_says_beyond_is_left_alone(tmp_path: Path) -> None:
    """It is another program's."""
    assert made(tmp_path, {"server": {"tls": True}, "future": 1}).serving().listen == "127.0.0.1:9876"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"server": {"port": "9876"}}, "server.port: Expected `int`, got `str`"),
        ({"server": {"port": 70000}}, "server.port: Expected `int` <= 65535"),
        ({"server": {"maxPayloadSize": 0}}, "server.maxPayloadSize: Expected `int` >= 1"),
        ({"server": 7}, "server: Expected `object`, got `int`"),
        ({"metrics": {"retentionMinutes": 0}}, "metrics.retentionMinutes: Expected `float` > 0"),
        ({"metrics": {"maxLabelCount": -1}}, "metrics.maxLabelCount: Expected `int` >= 0"),
        ({"metrics": {"maxMetricNames": True}}, "metrics.maxMetricNames: Expected `int`, got `bool`"),
        ({"auth": {"token": ""}}, "auth.token: Expected `str` of length >= 1"),
        ({"auth": {"token": 12345}}, "auth.token: Expected `str | null`, got `int`"),
        ({"logging": {"level": "loud"}}, "logging.level: Invalid enum value 'loud'"),
        ([], "Expected `object`, got `array`"),
        ("{", "is not JSON: "),
        ("", "is not JSON: "),
    ],
    ids=str,
)
def test_a_wrong_value_names_file_and_key(tmp_path: Path, content: object, words: str) -> None:
    """Before anything is started."""
    path = written(tmp_path / "config.json", content)
    with pytest.raises(ConfigError) as complaint:
        PiDaemon(config=path)

    assert str(complaint.value).startswith(path)
    assert words in str(complaint.value)


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    """Defaults in its place would let everybody in."""
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.json: No such file"):
        PiDaemon(config=str(tmp_path / "nowhere.json"))


def test_there_is_room_for_a_series_at_least(tmp_path: Path) -> None:
    """An option of ours."""
    with pytest.raises(ConfigError, match="max_series must be 1 or more, not 0"):
        made(tmp_path, max_series=0)


def test_a_token_is_in_no_repr(tmp_path: Path) -> None:
    """Where tracebacks and logs would take it from."""
    receiver = made(tmp_path, {"auth": {"enabled": True, "token": "hush"}})

    assert "hush" not in repr(receiver) + repr(receiver.serving()) + repr(vars(receiver))


@pytest.mark.parametrize("config", [{"metrics": {"enabled": False}}, {"plugins": {"metrics": False}}])
async def test_metrics_can_be_switched_off(tmp_path: Path, config: dict[str, Any]) -> None:
    """Then there are none; the rest is there."""
    async with daemon(tmp_path, config) as pi:
        paths = ("/metrics", "/api/metrics/registry", "/health", "/config", "/admin/stats")
        statuses = [(await pi.send("GET", path)).status for path in paths]
        posted = await pi.tell(COUNTER)

    assert (statuses, posted.status) == ([404, 404, 200, 200, 200], 404)


async def test_a_reload_takes_limits_over(tmp_path: Path) -> None:
    """At once, and shows them."""
    async with daemon(tmp_path) as pi:
        written(tmp_path / "config.json", {"metrics": {"maxMetricNames": 1, "maxLabelCount": 0}})
        answer = await pi.send("POST", "/admin/reload")
        shown = await pi.get("/config")
        statuses = [(await pi.tell(COUNTER | more)).status for more in ({"labels": {"a": "b"}}, {}, {"name": "b"})]

    assert (answer.json(), shown["metrics"]["maxMetricNames"], statuses) == ({"status": "reloaded"}, 1, [400, 204, 400])


async def test_a_reload_says_what_needs_a_restart(tmp_path: Path) -> None:
    """The address, the tokens and the parts stay as they are, and are shown so."""
    async with daemon(tmp_path) as pi:
        new = {"server": {"port": 1}, "auth": {"enabled": True, "token": "t"}, "metrics": {"enabled": False}}
        written(tmp_path / "config.json", new | {"plugins": {"metrics": False}})
        answer = await pi.send("POST", "/admin/reload")
        shown, still = await pi.get("/config"), await pi.tell(COUNTER)

    assert answer.json() == {"status": "reloaded", "restart": ["server", "plugins", "auth", "metrics.enabled"]}
    assert (shown["server"]["port"], shown["auth"]["enabled"], still.status) == (9876, False, 204)


async def test_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    """The answer says that, the log which key it is."""
    with capture_logs() as logs:
        async with daemon(tmp_path, {"metrics": {"maxMetricNames": 7}}) as pi:
            written(tmp_path / "config.json", {"metrics": {"maxMetricNames": "8"}})
            answer = await pi.send("POST", "/admin/reload")
            shown = await pi.get("/config")

    assert (answer.status, answer.json()["code"], shown["metrics"]["maxMetricNames"]) == (500, "INTERNAL_ERROR", 7)
    assert "metrics.maxMetricNames: Expected `int`, got `str`" in logs[0]["event"]


async def test_sighup_reads_it_again(tmp_path: Path) -> None:
    """As it does for pi-daemon; a broken file changes nothing then either."""
    with capture_logs() as logs:
        async with daemon(tmp_path) as pi:
            written(tmp_path / "config.json", {"metrics": {"maxMetricNames": 5}})
            os.kill(os.getpid(), signal.SIGHUP)
            while (await pi.get("/config"))["metrics"]["maxMetricNames"] != 5:
                pass
            written(tmp_path / "config.json", "{")
            os.kill(os.getpid(), signal.SIGHUP)
            while not logs:
                await pi.get("/health")
            names = (await pi.get("/config"))["metrics"]["maxMetricNames"]

    assert (names, "stays as it was" in logs[0]["event"]) == (5, True)
