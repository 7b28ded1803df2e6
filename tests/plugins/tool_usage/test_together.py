"""Log, journal, sink and report together, as processes."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.tool_usage.tracking import FORWARDER, Tracker

pytestmark = pytest.mark.slow

TOKEN = "ghp_" + "a1B2" * 9
CONFIG = """
state_dir = "state"
[sources.tool_usage]
path = "usage/events.jsonl"
[sources.codex]
home = "codex"
[sinks.usage]
use = "tool_usage"
path = "calls/events.jsonl"
starts = true
"""
SESSION = (
    {
        "type": "session_meta",
        "payload": {"id": "s-1", "cwd": "/shop", "originator": "codex_cli_rs", "cli_version": "1"},
    },
    {
        "type": "response_item",
        "payload": {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "call-1"},
    },
    {
        "type": "response_item",
        "payload": {
            "type": "function_call_output",
            "call_id": "call-1",
            "output": '{"output":"","metadata":{"exit_code":1}}',
        },
    },
)


def forwarder(tracker: Tracker, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [FORWARDER, *arguments]
    return subprocess.run(
        argv, env=tracker.env(), cwd=tracker.folder, capture_output=True, text=True, timeout=60, check=False
    )


def replayed(tracker: Tracker, path: Path, *, to: str) -> list[dict[str, Any]]:
    done = forwarder(tracker, "replay", "--config", "config.toml", str(path), "--to", to)
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    """A folder with a configuration, and a session of an agent that made one call."""
    (tmp_path / "config.toml").write_text(CONFIG)
    sessions = tmp_path / "codex" / "sessions" / "2026" / "11" / "21"
    sessions.mkdir(parents=True)
    name = "rollout-2026-11-21T10-00-00-0199f4a2-3c1e-7b60-9a55-3a2f6c1d7e01.jsonl"
    lines = [json.dumps({"timestamp": f"2026-11-21T10:00:0{at}.000Z", **one}) for at, one in enumerate(SESSION)]
    (sessions / name).write_text("\n".join(lines) + "\n")
    return Tracker(tmp_path)


def test_secrets_in_an_error_do_not_leave(tracker: Tracker) -> None:
    """Whoever wrote the log did not scrub it."""
    tracker.log.parent.mkdir()
    tracker.log.write_text(
        '{"ts":"2026-11-21T10:00:00Z","kind":"job","name":"push","cwd":"/shop","scope":"global","status":"failed",'
        f'"error_summary":"bad credentials: {TOKEN}"}}\n'
    )
    (event,) = [one for one in replayed(tracker, tracker.log, to="stdout") if one["type"] == "tool_usage"]

    assert (event["agent"], event["status"]) == ("tool-usage", "failed")
    assert event["error_summary"] == "bad credentials: [REDACTED]"


def test_a_bad_line_is_a_dead_letter_and_the_rest_arrives(tracker: Tracker) -> None:
    """With file and offset in the log of the forwarder."""
    tracker.run("true")
    with tracker.log.open("a") as file:
        file.write('{"half":\n')
    tracker.run("false")
    events = replayed(tracker, tracker.log, to="stdout")

    assert [(event["name"], event["status"]) for event in events] == [("true", "succeeded"), ("false", "failed")]


def test_calls_of_an_agent_are_written_once_however_often_they_are_delivered(tracker: Tracker) -> None:
    """A second replay brings the same events."""
    for _ in range(2):
        replayed(tracker, tracker.folder / "codex", to="usage")
    lines = [json.loads(line) for line in (tracker.folder / "calls" / "events.jsonl").read_text().splitlines()]

    assert [(line["status"], line["invocation_id"]) for line in lines] == [
        ("started", "codex:call-1"),
        ("failed", "codex:call-1"),
    ]


def test_a_report_is_of_the_log_and_of_all_agents(tracker: Tracker) -> None:
    """Read by a running forwarder; what is in the log that its sink writes counts once."""
    for command in ("true", "false"):
        tracker.run(command, options=("--name", "helper"))
    argv = [FORWARDER, "run", "--config", "config.toml", "--log-level", "warning"]
    process = subprocess.Popen(argv, env=tracker.env(), cwd=tracker.folder)
    calls = tracker.folder / "calls" / "events.jsonl"
    try:
        while groups(tracker) != {"helper": (2, 1), "shell": (1, 1)} or not calls.exists():
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0

    assert groups(tracker, "--file", str(calls)) == {"helper": (2, 1), "shell": (1, 1)}


def groups(tracker: Tracker, *arguments: str) -> dict[str, tuple[int, int]]:
    """Of each name how often it was called and how often that failed."""
    done = forwarder(tracker, "report", "tools", "--config", "config.toml", "--format", "json", *arguments)
    report: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"groups": []}
    return {one["value"]: (one["count"], one["failed"]) for one in report["groups"]}
