"""`forwarder log`: lines of scripts that report by themselves, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from forwarder_tool_usage.source import ToolUsageLog

from forwarder.app.cli import cli
from forwarder.testing import read_lines
from tests.plugins.tool_usage.lines import usages

Call = Callable[..., Result]


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "usage" / "events.jsonl"


@pytest.fixture
def call(log_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """`forwarder log` with these arguments, without a configuration."""
    for name, value in (("TOOL_USAGE_LOG", log_file), ("HOME", tmp_path), ("XDG_CONFIG_HOME", tmp_path)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("FORWARDER_CONFIG", raising=False)
    return lambda *arguments: CliRunner().invoke(cli, ["log", *arguments])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_whole_line(call: Call, log_file: Path) -> None:
    """Every field that a script may know."""
    given = "write --kind extension_tool --name ask --cwd /shop --scope project --session s1 --task T-1 --invocation i1"
    ended = (
        "--status failed --exit-code 4 --duration-ms 12.6 --error timeout --usage total_tokens=5 --usage cost_usd=.5"
    )
    done = call(*given.split(), *ended.split())
    (line,) = lines(log_file)

    assert (done.exit_code, done.output) == (0, "")
    assert line.pop("ts").endswith("Z")
    assert line == {
        "kind": "extension_tool",
        "name": "ask",
        "cwd": "/shop",
        "scope": "project",
        "session_id": "s1",
        "task_id": "T-1",
        "status": "failed",
        "exit_code": 4,
        "error_summary": "timeout",
        "usage": {"total_tokens": 5, "cost_usd": 0.5},
        "duration_ms": 13,
        "invocation_id": "i1",
    }


def test_the_source_reads_what_is_written(call: Call, log_file: Path) -> None:
    """Two programs, one format."""
    call("write", "--name", "ask", "--exit-code", "0")
    (event,) = usages(read_lines(ToolUsageLog(), log_file.read_bytes().rstrip(b"\n")))

    assert (event.kind, event.name, event.status, event.session.cwd) == ("script", "ask", "succeeded", str(Path.cwd()))


@pytest.mark.parametrize(
    ("code", "status"), [(0, "succeeded"), (1, "failed"), (130, "cancelled"), (143, "cancelled"), (-9, "failed")]
)
def test_the_exit_code_decides_the_status(call: Call, log_file: Path, code: int, status: str) -> None:
    """As for `forwarder track`."""
    call("write", "--name", "x", f"--exit-code={code}")

    assert lines(log_file)[0]["status"] == status


def test_a_start_and_its_end(call: Call, log_file: Path) -> None:
    """The end takes over what the start said, and measures the time."""
    started = call("start", "--kind", "job", "--name", "sync", "--task", "T-1", "--cwd", "/shop")
    done = call("finish", started.output.strip(), "--exit-code", "3", "--error", "hung\nup")
    start, end = lines(log_file)

    assert done.exit_code == 0
    assert (start["status"], end["status"], end["error_summary"]) == ("started", "failed", "hung up")
    assert "duration_ms" not in start
    assert 0 <= end["duration_ms"] < 60_000
    shared = ("kind", "name", "task_id", "cwd", "scope", "invocation_id")
    assert [start[name] for name in shared] == [end[name] for name in shared]


def test_the_start_is_found_among_other_lines(call: Call, log_file: Path) -> None:
    """Bad ones, and such that only mention the id."""
    id = call("start", "--name", "sync").output.strip()
    start = log_file.read_text()
    other = start.replace(f'"invocation_id":"{id}"', f'"task_id":"{id}"').replace("sync", "other")
    log_file.write_text(f'{other}{{"{id}"\n{{"name":"{id}","ts":"no"}}\n{start}')
    done = call("finish", id, "--status", "cancelled")
    end = json.loads(log_file.read_text().splitlines()[-1])

    assert done.exit_code == 0
    assert (end["name"], end["status"], end["invocation_id"]) == ("sync", "cancelled", id)


def test_secrets_are_taken_out_of_an_error(call: Call, log_file: Path) -> None:
    """The log is a plain file that others read too. Scrubbed first, then cut."""
    token = "ghp_" + "a1B2" * 9
    call("write", "--name", "x", "--status", "failed", "--error", f"{'y' * 190} {token}")
    (line,) = lines(log_file)

    assert "ghp_" not in line["error_summary"]
    assert len(line["error_summary"]) <= 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("write --name x", "say how it ended"),
        ("write --exit-code 0", "Missing option '--name'"),
        ("write --name= --exit-code 0", "--name is empty"),
        ("write --name x --status started", "'started' is not one of"),
        ("write --name x --kind cron --exit-code 0", "'cron' is not one of"),
        ("write --name x --exit-code no", "'no' is not a valid integer"),
        ("write --name x --exit-code 0 --duration-ms -1", "-1"),
        ("write --name x --exit-code 0 --error oops", "--error goes with a failure, not with succeeded"),
        ("write --name x --exit-code 0 --usage tokens=1", "--usage has no 'tokens'"),
        ("write --name x --exit-code 0 --usage input_tokens=x", "wants a number, not 'x'"),
        ("write --name x --exit-code 0 --usage cost_usd=nan", "cost_usd cannot be nan"),
        ("finish i1 --exit-code 0", "has no start of i1"),
        ("finish i1", "say how it ended"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(call: Call, log_file: Path, arguments: str, words: str) -> None:
    """Exit status 2, the option, and what it wants."""
    log_file.parent.mkdir()
    log_file.write_text('{"invocation_id":"i2"}\n')
    done = call(*arguments.split())

    assert done.exit_code == 2
    assert words in done.output
    assert log_file.read_text() == '{"invocation_id":"i2"}\n'


def test_an_invocation_ends_once(call: Call, log_file: Path) -> None:
    """A second end would contradict the first."""
    id = call("start", "--name", "x").output.strip()
    call("finish", id, "--exit-code", "0")
    again = call("finish", id, "--exit-code", "1")

    assert (again.exit_code, len(lines(log_file))) == (2, 2)
    assert f"{id} is over already" in again.output


def test_a_log_that_cannot_be_used_is_named(call: Call, log_file: Path) -> None:
    """Exit status 1: the arguments were right."""
    reading = call("finish", "i1", "--exit-code", "0")
    log_file.mkdir(parents=True)
    writing = call("write", "--name", "x", "--exit-code", "0")

    assert (reading.exit_code, writing.exit_code) == (1, 1)
    assert f"cannot read {log_file}: No such file or directory" in reading.output
    assert f"cannot write {log_file}: Is a directory" in writing.output


def test_an_empty_log_has_no_start(call: Call, log_file: Path) -> None:
    """There is nothing to map into memory."""
    log_file.parent.mkdir()
    log_file.touch()

    assert "has no start of i1" in call("finish", "i1", "--exit-code", "0").output
