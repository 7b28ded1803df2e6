"""The script that hooks run, by a real shell: nothing is lost or torn, and it never harms the agent."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from forwarder_claude_code import ClaudeCode
from forwarder_claude_code.writer import Form, install, script

from forwarder import Record, ToolCallStart
from forwarder.testing import read_lines

from .lines import dumps, only, payload, spooled

WRITERS, EACH = 8, 200
FORMS = pytest.mark.parametrize("form", list(Form))
MEBIBYTE = 1 << 20

# What one agent does: one hook after another, each with a payload of another size.
LOOP = """n=0; while [ $n -lt {each} ]; do
    printf '{{"session_id":"s","hook_event_name":"PreToolUse","tool_use_id":"call-{agent}-%d",%s,"pad":"%*s"}}\\n' \
        $n '"tool_name":"Bash"' $((n * n * 2)) x | "{writer}" || exit 1
    n=$((n + 1))
done"""


def installed(home: Path, form: Form = Form.LINE, *, max_bytes: int = 64 * MEBIBYTE) -> Path:
    return install(home, script(home / "forwarder", form, max_bytes=max_bytes))


def run(writer: Path, content: bytes) -> tuple[int, bytes]:
    """Exit status, and all that was printed: anything would go into the model's context."""
    done = subprocess.run(
        [writer], input=content, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False
    )
    return done.returncode, done.stdout


def call(name: str, **fields: object) -> bytes:
    return dumps(payload("PreToolUse", tool_name="Bash", tool_use_id=name, **fields)) + b"\n"


def kept(home: Path) -> list[bytes]:
    """The events of either form, each as its line or its file."""
    spool = home / "forwarder/hooks.jsonl"
    lines = spool.read_bytes().splitlines() if spool.exists() else []
    return lines + [path.read_bytes() for path in sorted((home / "forwarder").glob("hooks/*.json"))]


def payloads(home: Path) -> list[object]:
    found = [json.loads(one) for one in kept(home)]
    return [one.get("payload", one) for one in found]


def starts(home: Path) -> Iterator[ToolCallStart]:
    """What our source reads from the spool, in whichever form."""
    source = ClaudeCode()
    spool = home / "forwarder/hooks.jsonl"
    if spool.exists():
        yield from only(ToolCallStart, read_lines(source, *spool.read_bytes().splitlines(), path=spool))
    for path in (home / "forwarder").glob("hooks/*.json"):
        content = path.read_bytes()
        yield from only(ToolCallStart, source.map(Record(content, 0, len(content), b""), source.new_state(path)))


@pytest.mark.slow
@FORMS
def test_concurrent_writers_lose_and_tear_nothing(tmp_path: Path, form: Form) -> None:
    """Eight agents at once, payloads up to 80 KB: every event once and whole, with the time of its hook."""
    writer = installed(tmp_path, form, max_bytes=256 * MEBIBYTE)
    loops = [LOOP.format(each=EACH, agent=agent, writer=writer) for agent in range(WRITERS)]
    agents = [subprocess.Popen(["/bin/sh", "-c", loop]) for loop in loops]

    assert [agent.wait(timeout=120) for agent in agents] == [0] * WRITERS
    found = list(starts(tmp_path))
    assert sorted(start.call_id for start in found) == sorted(
        f"call-{a}-{n}" for a in range(WRITERS) for n in range(EACH)
    )
    assert not any(start.time_inferred for start in found)


@pytest.mark.slow
def test_replay_reads_what_the_writer_wrote(tmp_path: Path) -> None:
    """The whole way, by the command: the spool lies where the source looks for it."""
    run(installed(tmp_path), call("one"))
    replay = [sys.executable, "-m", "forwarder", "replay", "--no-config", "--state-dir", str(tmp_path / "state")]
    options = ["--source", "claude_code", "--to", "stdout", str(tmp_path / "forwarder")]
    done = subprocess.run([*replay, *options], capture_output=True, check=True, timeout=60)

    assert [json.loads(line)["call_id"] for line in done.stdout.splitlines()] == ["one"]


@FORMS
def test_a_payload_is_kept_to_the_byte(tmp_path: Path, form: Form) -> None:
    """Quotes, backslashes, percent signs, escaped newlines and NULs, any script of the world, 64 KB and more."""
    writer = installed(tmp_path, form)
    texts = ["'\"`$(id) \\n %s %d", "line\nline\r\n", "\0\u001b", "žluťoučký 日本 🙂", "x" * 65_536, "é" * 200_000]
    given = [payload("UserPromptSubmit", prompt=text) for text in texts]
    for one in given:
        assert run(writer, dumps(one) + b"\n") == (0, b"")

    assert payloads(tmp_path) == given


@FORMS
def test_a_payload_may_lack_its_newline_or_have_several(tmp_path: Path, form: Form) -> None:
    """Releases before 2.1.197 end it with none; an event stays on one line, however it was laid out."""
    writer = installed(tmp_path, form)
    given = payload("Stop", stop_hook_active=False)
    for content in (dumps(given), json.dumps(given, indent=2).encode()):
        run(writer, content)

    assert payloads(tmp_path) == [given, given]


@FORMS
def test_no_payload_is_no_event(tmp_path: Path, form: Form) -> None:
    """A hook that is given nothing leaves nothing behind."""
    assert run(installed(tmp_path, form), b"") == (0, b"")
    assert kept(tmp_path) == []
    assert list((tmp_path / "forwarder").glob("hooks/.*")) == []


def test_an_event_is_one_write(tmp_path: Path) -> None:
    """What keeps concurrent lines whole, at any size: a second write of the newline alone would tear them."""
    writer = installed(tmp_path)
    trace = tmp_path / "trace"
    argv = ["strace", "-f", "-e", "trace=write", "-e", "signal=none", "-s", "8", "-o", str(trace), str(writer)]
    try:
        subprocess.run(argv, input=call("one", pad="x" * 300_000), check=True, timeout=10)
    except FileNotFoundError:
        pytest.skip("needs strace")

    size = (tmp_path / "forwarder/hooks.jsonl").stat().st_size
    assert len([line for line in trace.read_text().splitlines() if line.endswith(f" = {size}")]) == 1


@FORMS
def test_a_full_spool_drops_and_counts(tmp_path: Path, form: Form) -> None:
    """A collector that is down may not cost the disk; once it has emptied the spool, events are kept again."""
    writer = installed(tmp_path, form, max_bytes=20_000)
    dropped, told = tmp_path / "forwarder/dropped", 0
    while not (dropped.exists() and dropped.stat().st_size == 3):
        told += 1
        assert run(writer, call(str(told), pad="x" * 3000)) == (0, b"")

    assert len(kept(tmp_path)) == told - 3
    assert form is Form.FILE or told - 3 == 7
    for path in [tmp_path / "forwarder/hooks.jsonl", *tmp_path.glob("forwarder/hooks/*.json")]:
        path.unlink(missing_ok=True)
    run(writer, call("after"))
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize("name", ["hooks.jsonl", "dropped", "full", "torn"])
def test_a_symlink_in_the_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    """Else whoever places one has prompts appended to a file of their choice."""
    writer = installed(tmp_path, max_bytes=1)
    target = tmp_path / "target"
    (tmp_path / "forwarder" / name).symlink_to(target)

    assert run(writer, call("one")) == (0, b"")
    assert not target.exists()


@FORMS
def test_a_symlinked_spool_folder_is_not_followed(tmp_path: Path, form: Form) -> None:
    """Neither the folder of one file per event, nor the one that holds everything."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    writer = installed(home, form).rename(tmp_path / "hook.sh")
    (home / "forwarder").rmdir()
    (home / "forwarder").symlink_to(elsewhere)

    assert run(writer, call("one")) == (0, b"")
    assert list(elsewhere.iterdir()) == []


@FORMS
def test_an_unwritable_place_costs_the_agent_nothing(tmp_path: Path, form: Form) -> None:
    """Exit status 2 would block the call, any other put a notice into the transcript; also root is refused here."""
    home = tmp_path / "home"
    home.mkdir()
    writer = installed(home, form).rename(tmp_path / "hook.sh")
    (home / "forwarder").rmdir()
    home.rmdir()

    assert run(writer, call("one")) == (0, b"")
    home.write_text("a file where the folder was")
    assert run(writer, call("one")) == (0, b"")


def test_a_pipe_in_place_of_the_spool_does_not_hang(tmp_path: Path) -> None:
    """To open one waits for a reader, and the agent would wait with it."""
    writer = installed(tmp_path)
    os.mkfifo(tmp_path / "forwarder/hooks.jsonl")

    assert run(writer, call("one")) == (0, b"")


@FORMS
def test_a_lost_folder_is_made_again(tmp_path: Path, form: Form) -> None:
    """For its owner alone, as everything that the writer makes, whatever the agent's umask."""
    writer = installed(tmp_path, form).rename(tmp_path / "hook.sh")
    (tmp_path / "forwarder").rmdir()
    run(writer, call("one"))
    made = [tmp_path / "forwarder", *(tmp_path / "forwarder").rglob("*")]

    assert len(kept(tmp_path)) == 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700, 0o600}


def test_a_stump_costs_only_itself(tmp_path: Path) -> None:
    """A write that a full disk cut short has no newline: the next event begins with one."""
    writer = installed(tmp_path)
    run(writer, call("whole"))
    limit = (tmp_path / "forwarder/hooks.jsonl").stat().st_size + 50
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # as a disk with room for 50 bytes more
    try:
        subprocess.run([writer], input=call("stump"), restore_signals=False, check=True, timeout=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run(writer, call("next"))
    lines = kept(tmp_path)

    assert len(lines) == 3
    assert [start.call_id for start in only(ToolCallStart, spooled(lines[0], lines[2]))] == ["whole", "next"]
