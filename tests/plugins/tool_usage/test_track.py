"""`forwarder track`: the command behaves as if nobody stood before it, and its line gets into the log."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from forwarder_tool_usage import log
from forwarder_tool_usage.source import ToolUsageLog
from forwarder_tool_usage.track import parse

from forwarder.testing import read_lines
from tests.plugins.tool_usage.lines import usages
from tests.plugins.tool_usage.tracking import Tracker, counting

pytestmark = pytest.mark.slow


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return Tracker(tmp_path)


def test_input_and_output_are_the_commands(tracker: Tracker) -> None:
    """Bytes in, bytes out; what goes to stderr goes there."""
    done = tracker.run("sh", "-c", "cat; echo oops >&2", input=b"\x00\xff\n" * 1000)

    assert (done.stdout, done.stderr) == (b"\x00\xff\n" * 1000, b"oops\n")


def test_arguments_arrive_as_they_are(tracker: Tracker) -> None:
    """Also those that look like options of ours, or are no text."""
    done = tracker.run("printf", "%s|", "--name", "x y", "--", "*", "", os.fsdecode(b"\xff"))

    assert done.stdout == b"--name|x y|--|*||\xff|"


@pytest.mark.parametrize("status", [0, 1, 3, 126, 255])
def test_the_exit_status_is_the_commands(tracker: Tracker, status: int) -> None:
    """Scripts decide by it."""
    assert tracker.run("sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("name", ["KILL", "SEGV", "PIPE", "TERM", "INT"])
def test_a_killed_command_has_the_status_that_shells_report(tracker: Tracker, name: str) -> None:
    """128 and the signal's number. A broken pipe kills, although Python ignores that signal."""
    done = tracker.run("sh", "-c", f"kill -{name} $$")

    assert done.returncode == 128 + getattr(signal, f"SIG{name}")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"])
def test_a_signal_that_only_we_get_is_passed_on(tracker: Tracker, name: str) -> None:
    """A supervisor knows our process only."""
    process = tracker.start(*counting(name))
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(getattr(signal, name))
    assert process.stdout.readline() == b"got it\n"
    process.send_signal(signal.SIGALRM)

    assert process.wait(30) == 41
    process.communicate()


def test_a_terminal_interrupts_the_command_once(tracker: Tracker) -> None:
    """Ctrl-C reaches the whole group: a second one from us would cut the command's cleaning up short."""
    controller, terminal = os.openpty()
    process = tracker.start_on(terminal, *counting("SIGINT"))
    os.close(terminal)
    read_until(controller, b"ready")
    os.write(controller, b"\x03")
    read_until(controller, b"got it")
    process.send_signal(signal.SIGALRM)

    assert process.wait(30) == 41
    os.close(controller)


def read_until(fd: int, words: bytes) -> None:
    seen = b""
    while words not in seen:
        seen += os.read(fd, 1000)


def test_a_stopped_command_stops_us_and_goes_on_with_us(tracker: Tracker) -> None:
    """Ctrl-Z and `fg`: the shell waits for our process."""
    process = tracker.start("sh", "-c", "echo ready; read line; exit 7")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGTSTP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    is_stopped = os.WIFSTOPPED(status)
    os.killpg(process.pid, signal.SIGCONT)
    process.communicate(b"\n", timeout=30)

    assert (is_stopped, process.returncode) == (True, 7)


def test_an_ignored_signal_stays_ignored(tracker: Tracker) -> None:
    """`nohup` and shells that run something in the background do that."""
    script = "trap '' INT; \"$@\""
    inner = tracker.argv("sh", "-c", "kill -INT $$; exit 5")
    done = subprocess.run(["sh", "-c", script, "sh", *inner], env=tracker.env(), timeout=30, check=False)

    assert done.returncode == 5


def test_a_caller_that_ignores_its_children_is_no_trouble(tracker: Tracker) -> None:
    """The kernel then keeps no exit status, unless we ask for it."""
    done = tracker.run("sh", "-c", "exit 5", before=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))

    assert done.returncode == 5


def test_open_files_are_passed_on(tracker: Tracker) -> None:
    """A jobserver's pipe, a lock."""
    reader, writer = os.pipe()
    tracker.run("sh", "-c", f"echo hi >/dev/fd/{writer}", pass_fds=[writer])
    os.close(writer)

    assert os.read(reader, 10) == b"hi\n"
    os.close(reader)


@pytest.mark.skipif(
    sys.platform != "linux", reason="only /proc knows what the environment was before Python changed it"
)
def test_the_environment_is_the_callers(tracker: Tracker) -> None:
    """In the C locale Python adds an LC_CTYPE of its own, which would change how the command sorts and prints."""
    env = {**tracker.env(), "LANG": "C", "ODD": os.fsdecode(b"\xff")}
    done = tracker.run("env", env=env)

    assert {name for name in done.stdout.split(b"\n") if name} == {
        os.fsencode(f"{name}={value}") for name, value in env.items()
    }


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("nobody-has-this", 127, "No such file or directory"),
        ("./missing/x", 127, "No such file or directory"),
        ("./plain", 126, "Permission denied"),
        ("./folder", 126, "Permission denied"),
    ],
)
def test_a_command_that_cannot_start(tracker: Tracker, command: str, status: int, words: str) -> None:
    """The statuses of shells; it is said, and logged as a failure."""
    (tracker.folder / "plain").touch()
    (tracker.folder / "folder").mkdir()
    done = tracker.run(command)

    assert done.returncode == status
    assert done.stderr.decode() == f"forwarder track: {command}: {words}\n"
    line = tracker.line()
    assert (line["status"], line["exit_code"], line["error_summary"]) == ("failed", status, words)


def test_a_script_without_its_first_line_runs(tracker: Tracker) -> None:
    """Shells run it, and so a helper may lack it without anybody having noticed."""
    script = tracker.folder / "helper"
    script.write_text("exit $1\n")
    script.chmod(0o700)

    assert tracker.run("./helper", "6").returncode == 6


def test_the_line_says_what_is_known(tracker: Tracker) -> None:
    """The fields of the log, and no more: arguments may hold secrets."""
    options = ("--kind=job", "--name", "nightly", "--task", "T-1", "--session", "s1", "--scope", "project")
    tracker.run("sh", "-c", "exit 3 # token", options=options)
    line = tracker.line()
    ids = line.pop("ts"), line.pop("invocation_id"), line.pop("duration_ms")

    assert all(ids)
    assert line == {
        "kind": "job",
        "name": "nightly",
        "cwd": str(tracker.folder),
        "scope": "project",
        "session_id": "s1",
        "task_id": "T-1",
        "status": "failed",
        "exit_code": 3,
        "error_summary": "exit status 3",
    }


def test_the_source_reads_what_is_written(tracker: Tracker) -> None:
    """Two programs, one format."""
    tracker.run("true")
    (event,) = usages(read_lines(ToolUsageLog(), tracker.log.read_bytes().rstrip(b"\n")))

    assert (event.kind, event.name, event.status, event.exit_code) == ("script", "true", "succeeded", 0)


@pytest.mark.parametrize(
    ("script", "status", "summary"),
    [
        ("exit 0", "succeeded", None),
        ("exit 9", "failed", "exit status 9"),
        ("kill -KILL $$", "failed", "killed by SIGKILL"),
        ("kill -TERM $$", "cancelled", None),
        ("kill -INT $$", "cancelled", None),
        ("exit 130", "cancelled", None),
    ],
)
def test_how_it_ended(tracker: Tracker, script: str, status: str, summary: str | None) -> None:
    """Who is interrupted, terminated or hung up was cancelled; a shell says so with its exit status."""
    tracker.run("sh", "-c", script)
    line = tracker.line()

    assert (line["status"], line.get("error_summary")) == (status, summary)


def test_the_duration_is_the_commands(tracker: Tracker) -> None:
    """In milliseconds, and the time is that of the end."""
    before = time.time()
    tracker.run("sleep", "0.2")
    (event,) = usages(read_lines(ToolUsageLog(), tracker.log.read_bytes().rstrip(b"\n")))

    assert event.duration_ms is not None
    assert 200 <= event.duration_ms < 5_000
    assert event.time.timestamp() >= before + 0.199


def test_a_helper_in_the_repository_has_project_scope(tracker: Tracker) -> None:
    """Below the folder with `.git`; everything else is global."""
    (tracker.folder / ".git").mkdir()
    (tracker.folder / "bin").mkdir()
    (tracker.folder / "bin" / "helper").symlink_to("/bin/sh")
    helper = tracker.folder / "helper"
    helper.write_text("#!/bin/sh\n")
    helper.chmod(0o700)
    for command in ("./helper", "./bin/helper", "true"):
        tracker.run(command, input=b"")

    lines = [json.loads(line) for line in tracker.log.read_text().splitlines()]
    assert [line["scope"] for line in lines] == ["project", "global", "global"]


def test_a_log_that_cannot_be_written_changes_nothing(tracker: Tracker) -> None:
    """One line says so; the command's own output and exit status stay."""
    tracker.log.mkdir(parents=True)
    done = tracker.run("sh", "-c", "echo out; exit 3")

    assert (done.stdout, done.returncode) == (b"out\n", 3)
    complaint = f"forwarder track: cannot write {tracker.log}: Is a directory; this invocation is not recorded\n"
    assert done.stderr.decode() == complaint


def test_without_stderr_the_exit_status_stays(tracker: Tracker) -> None:
    """There is nobody to complain to."""
    tracker.log.mkdir(parents=True)
    inner = tracker.argv("sh", "-c", "exit 3")
    done = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *inner], env=tracker.env(), timeout=30, check=False)

    assert done.returncode == 3


@pytest.mark.parametrize("linked", ["usage", "usage/events.jsonl"])
def test_no_symlink_is_followed(tracker: Tracker, linked: str) -> None:
    """Neither as the log nor as its folder."""
    elsewhere = tracker.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "events.jsonl").touch()
    link = tracker.folder / linked
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere if linked == "usage" else elsewhere / "events.jsonl")
    done = tracker.run("true")

    assert b"this invocation is not recorded" in done.stderr
    assert (elsewhere / "events.jsonl").read_bytes() == b""


def test_a_fifo_is_no_log(tracker: Tracker) -> None:
    """To open it would wait for a reader."""
    tracker.log.parent.mkdir()
    os.mkfifo(tracker.log)

    assert b"no regular file" in tracker.run("true").stderr


def test_the_log_is_the_owners_alone(tracker: Tracker) -> None:
    """Whatever the umask says."""
    tracker.run("true", before=lambda: os.umask(0))

    assert [stat.S_IMODE(one.stat().st_mode) for one in (tracker.log, tracker.log.parent)] == [0o600, 0o700]


def test_lines_of_many_writers_stay_whole(tmp_path: Path) -> None:
    """Each is one write at the end of the file."""
    path = tmp_path / "events.jsonl"

    def write(number: int) -> None:
        for _ in range(100):
            log.append(str(path), log.encoded({"name": str(number) * 2000}))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))

    names = [json.loads(line)["name"] for line in path.read_text().splitlines()]
    assert sorted(names) == sorted(str(number) * 2000 for number in range(8) for _ in range(100))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], "Run COMMAND and add a line"),
        ([], "Missing argument 'COMMAND...'"),
        (["--"], "Missing argument 'COMMAND...'"),
        (["--kind", "cron", "true"], "'cron' is not one of"),
        (["--scope=all", "true"], "'all' is not one of"),
        (["--nmae", "x", "true"], "--nmae"),
        (["--name"], "Option '--name' requires an argument"),
    ],
)
def test_what_is_no_call_is_explained(tracker: Tracker, arguments: list[str], words: str) -> None:
    """By the slow way, which is the same for all commands."""
    argv = [tracker.argv()[0], "track", *arguments]
    done = subprocess.run(argv, env=tracker.env(), capture_output=True, text=True, timeout=30, check=False)

    assert words in done.stdout + done.stderr
    assert done.returncode == (0 if arguments == ["--help"] else 2)


def test_both_ways_of_starting_it_do_the_same(tracker: Tracker) -> None:
    """`python -m forwarder` goes through click."""
    argv = [sys.executable, "-m", "forwarder", "track", "--task", "T-1", "sh", "-c", "exit 3"]
    done = subprocess.run(argv, env=tracker.env(), cwd=tracker.folder, capture_output=True, timeout=30, check=False)

    assert (done.returncode, done.stderr, tracker.line()["task_id"]) == (3, b"", "T-1")


NO_OPTIONS: dict[str, str] = {}


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [
        (["true"], (NO_OPTIONS, ["true"])),
        (["--", "--odd"], (NO_OPTIONS, ["--odd"])),
        (["--name=a=b", "ls", "-l", "--", "x"], ({"name": "a=b"}, ["ls", "-l", "--", "x"])),
        (["--task", "-1", "--", "ls"], ({"task": "-1"}, ["ls"])),
        (["-k", "job", "ls"], None),
        (["--", ""], (NO_OPTIONS, [""])),
    ],
)
def test_arguments_are_told_from_the_command(
    arguments: list[str], parsed: tuple[dict[str, str], list[str]] | None
) -> None:
    """As click reads them."""
    assert parse(arguments) == parsed


WATCHING_IMPORTS = """
import sys
from forwarder_launcher import main
try:
    main()
except SystemExit as end:
    print(end.code, {"forwarder", "click", "typing", "subprocess", "msgspec"} & set(sys.modules))
"""


def test_nothing_slow_is_imported(tracker: Tracker) -> None:
    """Each of these costs more than the whole command may."""
    argv = [sys.executable, "-c", WATCHING_IMPORTS, "track", "--", "true"]
    done = subprocess.run(argv, env=tracker.env(), capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout == "0 set()\n"


def test_a_tracked_command_takes_little_longer(tracker: Tracker) -> None:
    """60 milliseconds at most, start of the interpreter included; of a processor's time, since other tests run too."""
    best = [min(milliseconds(argv, tracker) for _ in range(15)) for argv in (["true"], tracker.argv("true"))]

    assert best[1] - best[0] < 60


def milliseconds(argv: list[str], tracker: Tracker) -> float:
    process = subprocess.Popen(argv, env=tracker.env())
    _, process.returncode, usage = os.wait4(process.pid, 0)
    return (usage.ru_utime + usage.ru_stime) * 1000
