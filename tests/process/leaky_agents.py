"""Homes of three agents that hold a planted secret wherever an agent can write one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.plugins.claude_code import lines as claude
from tests.plugins.codex import lines as codex
from tests.plugins.pi import lines as pi
from tests.process.planted import Planted

LONG = 1_000  # characters around a secret in a long line


def write_homes(home: Path, secrets: list[Planted]) -> None:
    """Sessions of Codex, Claude Code with its hooks' spool, and pi with heartbeats; one of each for a secret."""
    for number, one in enumerate(secrets):
        _write(home / f"codex/sessions/2026/03/01/rollout-2026-03-01T13-00-00-{_id(number)}.jsonl", _codex(one, number))
        _write(home / f"claude/projects/-home-dev/{_id(number)}.jsonl", _claude(one, number))
        _write(home / f"pi/sessions/--home-dev--/2026-03-01T12-00-00-000Z_{_id(number)}.jsonl", _pi(one, number))
        _write(home / f"pi/telemetry/instances/{number + 1}.json", [_heartbeat(one, number)])
    _write(home / "claude/forwarder/hooks.jsonl", [one for n, s in enumerate(secrets) for one in _hooks(s, n)])
    for one in secrets:
        if name := _as_name(one.text):
            _write(home / f"claude/projects/-srv-{name}/session.jsonl", [claude.user(f"Hello {one.text}")])
            _write(home / f"codex/sessions/rollout-{name}.jsonl", [codex.meta(), garbage(one)])
            _write(home / f"pi/sessions/--{name}--/{name}.jsonl", [pi.header(), pi.prompt(), b"{garbage"])


def garbage(one: Planted) -> bytes:
    """A line that is no JSON; a key stands on one line, as in a string."""
    return b"garbage " + one.text.replace("\n", "\\n").encode()


def _id(number: int) -> str:
    return codex.uuid7(0, number + 1)


def _as_name(text: str) -> str | None:
    """What fits into a file name and is a secret there."""
    return text if len(text) < 150 and not set(text) & set('/\n"\\ ') else None


def _write(path: Path, lines: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def _texts(one: Planted) -> list[str]:
    """Across the cut of a preview, and far inside a long text; alone and in prose, as which all spellings are equal."""
    text = one.text
    long = f"{'word ' * (LONG // 5)}\n{text}\n{'word ' * (LONG // 5)}"
    across = f"{'The configuration of the shop says so:':<42} {text}\n"
    return [across, long, text, f"I found {text} in the logs."] if one.spelling == "plain" else [across, long]


def _codex(one: Planted, number: int) -> Iterable[bytes]:
    text, thread = one.text, _id(number)
    git = {"branch": f"fix/{text}", "repository_url": f"https://host/{text}", "commit_hash": "0" * 40}
    yield codex.meta(thread=thread, cwd=f"/srv/{text}/app", git=git, originator=text, model_provider=text, source=text)
    yield codex.started()
    yield codex.context(model=text, cwd=f"/srv/{text}/app")
    for at, words in enumerate(_texts(one)):
        call = f"call_{number}_{at}"
        yield codex.prompt(words, name=f"u{at}")
        yield codex.answer(words, name=f"m{at}")
        yield codex.call(name=text, call_id=call, arguments=json.dumps({"command": words, words: 1}))
        yield codex.output(words, call_id=call)
        yield codex.command(f"cmd_{number}_{at}", command=["/bin/bash", "-lc", words], aggregated_output=words, code=1)
        yield codex.event("error", message=words, codex_error_info=text)
        yield codex.event("stream_error", message=words)
    yield codex.script(text, call_id=f"script_{number}")
    yield codex.token_count(codex.usage(5, o=number + 1), codex.usage(5, o=1), rate_limits={"limit_id": text})
    yield codex.line(text, {"type": text, "text": text})
    yield codex.event(text, message=text)
    yield garbage(one)
    yield b'{"type": "event_msg", "payload": {"type": "agent_message", "message": 5, ' + codex.dumps(text) + b": 1"
    yield codex.line("event_msg", {"type": "item_completed", "item": text})
    yield codex.line("session_meta", {"id": 5, "cwd": text})
    yield codex.complete()


def _claude(one: Planted, number: int) -> Iterable[bytes]:
    text = one.text
    place = {"cwd": f"/srv/{text}/app", "gitBranch": f"fix/{text}"}
    home: dict[str, Any] = {"sessionId": _id(number), "version": text, **place}
    for at, words in enumerate(_texts(one)):
        call, at_message = f"toolu_{number}_{at}", {"id": f"msg_{number}_{at}", "model": text}
        uuid: dict[str, Any] = {"uuid": f"{number}-{at}"}
        yield claude.user(words, **home, **uuid)
        yield claude.answer(claude.text(words), message=at_message, **home, **uuid)
        yield claude.answer(claude.use(call, text, command=words), message=at_message, **home, **uuid)
        yield claude.result(words, call=call, is_error=True, toolUseResult=words, **home, **uuid)
        error = {"status": 500, "message": words, "error": {"message": words, "type": text}}
        yield claude.line("system", subtype="api_error", error=error, retryAttempt=1, **home, **uuid)
    yield claude.line(text, text=text, **home)
    yield claude.line("system", subtype=text, content=text, **home)
    yield garbage(one)
    yield claude.line("assistant", message={"content": text, "usage": text}, **home)
    dated: dict[str, Any] = {**home, "timestamp": text}
    yield claude.line("user", message=text, **dated)


def _hooks(one: Planted, number: int) -> Iterable[bytes]:
    text = one.text
    home: dict[str, object] = {"session_id": _id(number), "cwd": f"/srv/{text}/app", "transcript_path": f"/srv/{text}"}
    yield claude.hook("SessionStart", None, source="startup", model=text, **home)
    for at, words in enumerate(_texts(one)):
        call = f"toolu_{number}_{at}"
        yield claude.hook("UserPromptSubmit", f"{number}-{at}", prompt=words, **home)
        about: dict[str, object] = {"tool_name": text, "tool_input": {"command": words}} | home
        yield claude.tool_hook("PreToolUse", call, **about)
        yield claude.tool_hook("PostToolUse", call, tool_response=words, **about)
        yield claude.tool_hook("PostToolUseFailure", call + "f", error=words, **about)
        yield claude.tool_hook("PermissionRequest", call, **about)
        yield claude.hook("Notification", message=words, notification_type=text, **home)
    yield claude.hook(text, text=text, **home)
    yield claude.hook("SessionEnd", reason=text, **home)
    yield garbage(one)


def _pi(one: Planted, number: int) -> Iterable[bytes]:
    text = one.text
    yield pi.header(session=_id(number), cwd=f"/srv/{text}/app")
    yield pi.entry("model_change", "mc", provider=text, modelId=text)
    for at, words in enumerate(_texts(one)):
        call = f"call{number}-{at}"
        yield pi.prompt(f"p{at}", text=words)
        yield pi.answer(f"a{at}", text=words, model=text, provider=text)
        blocks = [{"type": "toolCall", "id": call, "name": text, "arguments": {"command": words, words: 1}}]
        yield pi.answer(f"c{at}", content=blocks, stop="toolUse")
        yield pi.result(call, f"r{at}", text=words, toolName=text, isError=True)
        yield pi.answer(f"e{at}", stop="error", errorMessage=words)
        yield pi.message("bashExecution", f"b{at}", command=words, output=words, exitCode=1)
    yield pi.entry(text, "u1", text=text)
    yield pi.message(text, "u2", text=text)
    yield garbage(one)
    yield pi.entry("message", "u3", message=text)


def _heartbeat(one: Planted, number: int) -> bytes:
    """Of a process that lives: this one."""
    text = one.text
    process = {"pid": os.getpid(), "startedAt": pi.ms(0), "updatedAt": pi.ms(1), "heartbeatSeq": 1, "uptimeMs": 1000}
    return pi.dumps(
        {
            "schemaVersion": 2,
            "process": process | {"heartbeatMs": 1500},
            "system": {"host": text, "user": text},
            "workspace": {"cwd": f"/srv/{text}", "git": {"branch": text, "remote": text}},
            "session": {"id": _id(number), "file": f"/srv/{text}", "name": text},
            "model": {"provider": text, "id": text, "name": text},
            "state": {"activity": "working", "isIdle": False, "hasPendingMessages": False},
            "context": {"tokens": 10, "contextWindow": 100, "percent": 10.0, "closeToLimit": False, "nearLimit": False},
            "messages": {"lastAssistantText": text},
            "lastEvent": "agent_start",
            "routing": {"tty": text},
            text: text,
        }
    )
