"""The live feed: what people see on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl

import pytest
from forwarder_stdout import Stdout
from forwarder_stdout.feed import Feed, neutral
from forwarder_stdout.records import decode
from forwarder_stdout.words import say
from rich.cells import cell_len

from forwarder import EVENT_TYPES, Batch

STYLE = re.compile(r"\x1b\[[0-9;]*m")
WIDTH = 60


def event(kind: str, /, **fields: object) -> bytes:
    head = {"id": "0" * 32, "type": kind, "time": "2026-11-20T10:00:00.000Z", "agent": "codex", "session_id": "s-1234"}
    return json.dumps(head | {"cwd": "/home/me/shop"} | fields, ensure_ascii=False).encode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pseudo-terminal of 60 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    primary, secondary = pty.openpty()
    ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    yield secondary
    os.close(primary)
    os.close(secondary)


def shown(fd: int, *events: bytes) -> list[str]:
    """The rendered lines."""
    rendered = Feed(fd).render(Batch(events)).decode()
    assert rendered.endswith("\n")
    return rendered[:-1].split("\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (event("prompt", text="fix the login", bytes=13), "› fix the login"),
        (event("prompt", bytes=13), "› prompt of 13 bytes"),
        (event("response", text="done", bytes=4), "‹ done"),
        (event("tool_call_start", tool="exec_command", input="ls -l"), "→ exec_command ls -l"),
        (event("tool_call_end", tool="exec_command", outcome="ok", duration_ms=1234), "✓ exec_command 1.2 s"),
        (
            event(
                "tool_call_end", tool="exec_command", outcome="error", exit_code=2, duration_ms=5, error="no such file"
            ),
            "✗ exec_command 5 ms error exit 2 no such file",
        ),
        (event("user_command", input="make", exit_code=1), "$ make exit 1"),
        (
            event(
                "token_usage",
                input_tokens=12_345,
                cached_input_tokens=9_000,
                output_tokens=99,
                cost_usd=0.0123,
                model="m",
            ),
            "Σ 12.3k in (9.0k cached) 99 out $0.0123 m",
        ),
        (event("token_usage", input_tokens=1, cached_input_tokens=0, output_tokens=2_500_000), "Σ 1 in 2.50M out"),
        (event("permission", tool="bash", decision="asked"), "? permission for bash asked"),
        (event("session_state", state="waiting_input"), "? waits for input"),
        (event("session_state", state="waiting_permission"), "? waits for permission"),
        (event("session_state", state="stalled"), "! stalled"),
        (event("session_state", state="idle"), "· idle"),
        (event("session_start", reason="startup", model="gpt-5"), "● session startup gpt-5"),
        (event("session_end", reason="exit", duration_ms=90_000), "○ session ended exit 1 min 30 s"),
        (event("turn_start", trigger="human"), "▸ turn human"),
        (event("turn_end", outcome="completed", tool_calls=3), "▪ turn completed 3 tool calls"),
        (event("turn_end", outcome="completed", tool_calls=1), "▪ turn completed 1 tool call"),
        (event("agent_spawn", child="c1", description="look"), "⑂ sub-agent c1 look"),
        (event("agent_end", child="c1", outcome="ok"), "⑂ sub-agent ended c1 ok"),
        (event("compaction", trigger="auto", tokens_before=200_000), "⇣ context compacted auto 200.0k → ?"),
        (
            event("model_error", status=529, error_type="overloaded", message="busy"),
            "✗ model error 529 overloaded busy",
        ),
        (event("model_change", model="m2"), "⇄ model m2"),
        (event("rate_limit", window="primary", used_percent=83.0), "% rate limit primary at 83 %"),
        (event("context_snapshot", pressure="near_limit", percent=91.5), "% context near limit 91.5 %"),
        (event("notification", kind="idle", message="hi"), "! idle hi"),
        (event("gap", reason="truncated"), "✗ gap truncated unknown size"),
        (event("secret_found", rule="aws"), "! secret found: aws"),
        (event("unknown_record", record_type="zap", count=1), "! unknown record zap"),
        (event("tool_usage", name="grep", kind="script", status="started"), "→ script grep"),
        (event("tool_usage", name="grep", kind="script", status="succeeded", duration_ms=7), "✓ script grep 7 ms"),
        (
            event("tool_usage", name="ask", kind="extension_tool", status="failed", exit_code=3, error_summary="no"),
            "✗ extension tool ask failed exit 3 no",
        ),
        (event("metric", name="jobs", op="increment", value=2.0), "# jobs increment 2"),
        (event("mcp_request", method="tools/call", tool_name="look", server_name="docs"), "→ docs tools/call look"),
        (
            event(
                "mcp_response",
                method="tools/call",
                server_name="docs",
                duration_ms=7,
                is_error=True,
                error_message="no",
            ),
            "✗ docs tools/call 7 ms no",
        ),
        (
            event("rag_retrieval", source="kb", query="how", result_count=0, duration_ms=7),
            "✓ rag retrieval kb how (0) 7 ms",
        ),
        (event("rag_index", source="kb", document_count=3), "✓ rag index kb (3)"),
        (event("rag_embedding", source="kb", model="m"), "✓ rag embedding kb m"),
        (event("custom", provider="shop", event_name="sold", data="{}"), "✓ shop sold {}"),
        (event("latency", operation="turn", percentile="p95", total_ms=1500.0), "# latency of turn p95 1.5 s"),
        (event("cost", total_cost=0.25, currency="USD", model="m"), "Σ 0.2500 USD m"),
        (event("output_eval", model="m", user_rating=4), "# output eval m rated 4"),
        (event("prompt_rating", variant="b", model="m"), "# prompt rating b m"),
        (
            event("drift", metric="latency", model="m", severity="critical", deviation_percent=214.3),
            "! drift: latency m critical +214.3 %",
        ),
        (event("some_day", text={"not": "text"}), "· some day"),
    ],
)
def test_every_type_of_event_has_its_words(line: bytes, words: str) -> None:
    """Who did what, for how long, at what price; a type of tomorrow is shown by its name."""
    said = say(decode(line))

    assert f"{said.mark} {said.words}" == words


def test_no_type_of_the_schema_is_forgotten() -> None:
    """A new type of event gets words of its own."""
    known = {kind.__struct_config__.tag for kind in EVENT_TYPES}
    shapeless = {kind for kind in known if say(decode(event(str(kind)))).mark == "·"}

    assert shapeless <= {"session_state"}


def test_a_line_says_when_who_and_where(terminal: int) -> None:
    """Local time, agent, project and the end of the session's id."""
    (line,) = shown(terminal, event("prompt", text="hi", bytes=2))

    assert re.fullmatch(r"\d\d:\d\d:\d\d codex {7}shop·1234 {12}› hi", STYLE.sub("", line))


@pytest.mark.parametrize("text", ["x" * 500, "你好" * 100, "🎉" * 100, "e\u0301" * 200, "a\u200db" * 90])
def test_a_line_never_wraps(terminal: int, text: str) -> None:
    """Measured in the cells that the terminal draws, wide characters included."""
    (line,) = shown(terminal, event("prompt", text=text, bytes=1))
    visible = STYLE.sub("", line)

    assert WIDTH - 3 <= cell_len(visible) < WIDTH
    assert visible.endswith("…")


def test_content_cannot_steer_the_terminal(terminal: int) -> None:
    """Escape sequences, titles, line ends, C1 controls and changes of direction show as a mark and do nothing."""
    evil = "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b1A\r\n\b\x7f\u202e\u2028\x00\ufeff"
    lines = shown(
        terminal, event("prompt", text=evil, bytes=1), event("tool_call_start", tool=evil, input="", cwd=evil)
    )

    assert len(lines) == 2
    for line in lines:
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\ufeff]", STYLE.sub("", line))


def test_markup_in_content_is_text(terminal: int) -> None:
    """Square brackets are common in code."""
    (line,) = shown(terminal, event("prompt", text="[b]a[0]", bytes=1))

    assert STYLE.sub("", line).endswith("› [b]a[0]")


def test_errors_are_red(terminal: int) -> None:
    """They must not be overlooked."""
    (line,) = shown(terminal, event("model_error", message="m"))

    assert "\x1b[1;31mmodel error m" in line


def test_no_color_is_respected(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """https://no-color.org: no colours; bold and dim may stay."""
    monkeypatch.setenv("NO_COLOR", "1")
    (line,) = shown(terminal, event("model_error", message="m"))

    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", line)


def test_a_pipe_gets_no_control_sequences() -> None:
    """The feed can be asked for without a terminal; then it is plain text."""
    read_end, write_end = os.pipe()
    (line,) = shown(write_end, event("model_error", message="m"))
    os.close(read_end)
    os.close(write_end)

    assert "\x1b" not in line


def test_neutral_text_is_one_line() -> None:
    """Blanks of any kind become one."""
    assert neutral(" a\n\n b\tc\x1b ") == "a b c\ufffd"


async def test_a_terminal_gets_the_feed(terminal: int) -> None:
    """`auto` looks at what standard output is."""

    class OnTerminal(Stdout):
        fd = terminal

    sink = OnTerminal()
    async with sink.lifespan():
        assert sink._feed  # pyright: ignore[reportPrivateUsage]


@pytest.mark.slow
def test_json_does_not_load_the_terminal_library() -> None:
    """Start-up time and memory are paid for by those who look."""
    code = """
import asyncio, sys
from forwarder import Batch
from forwarder_stdout import Stdout

async def main():
    sink = Stdout()
    async with sink.lifespan():
        await sink.send(Batch((b"{}",)))

asyncio.run(main())
sys.exit("rich" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)

    assert (done.returncode, done.stdout) == (0, b"{}\n")
