"""`forwarder sessions` beside a running forwarder: what several agents do, as they do it, and after a kill."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.process.machine import FORWARDER, PATIENCE_SECONDS, Machine

pytestmark = pytest.mark.slow

CLAUDE = "11111111-1111-4111-8111-111111111111"
CODEX = "01a1fbaa-efc4-74d1-a3b1-859953c24a74"
OLD = "01800000-efc4-74d1-a3b1-859953c24a74"


class Agents:
    """Claude Code with hooks and Codex, writing their files now; `show` is what `forwarder sessions` tells of both."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.spool = machine.home / "claude" / "forwarder" / "hooks.jsonl"
        self.transcript = machine.home / "claude" / "projects" / "-home-dev-shop" / f"{CLAUDE}.jsonl"
        machine.config.write_text(
            f'start = "all"\nsweep_seconds = "500ms"\n[sources.codex]\nhome = "{machine.home}/codex"\n'
            f'[sources.claude_code]\nhome = "{machine.home}/claude"\n{machine.archive_sink()}'
        )

    def hook(self, event: str, **fields: object) -> None:
        """As the hooks' writer does it."""
        payload = {"session_id": CLAUDE, "cwd": "/home/dev/shop", "hook_event_name": event, "prompt_id": "p1"} | fields
        nanoseconds = int(datetime.now(UTC).timestamp() * 1e6) * 1000
        append(self.spool, {"v": 1, "ts": nanoseconds, "payload": payload})

    def say(self, text: str) -> None:
        """A prompt in Claude Code's transcript."""
        message = {"role": "user", "content": text}
        line: dict[str, object] = {
            "type": "user",
            "uuid": "u1",
            "timestamp": stamp(),
            "cwd": "/home/dev/shop",
            "gitBranch": "main",
        }
        line |= {"sessionId": CLAUDE, "version": "2.1.329", "promptId": "p1", "message": message}
        append(self.transcript, line | {"isSidechain": False, "entrypoint": "cli"})

    def roll(self, kind: str, payload: Mapping[str, object], *, thread: str = CODEX, time: str | None = None) -> None:
        """A line of a Codex rollout."""
        path = self.machine.home / "codex" / "sessions" / f"rollout-2026-11-21T01-14-06-{thread}.jsonl"
        append(path, {"timestamp": time or stamp(), "type": kind, "payload": payload})

    def begin(self, *, thread: str = CODEX, time: str | None = None) -> None:
        """A Codex session with an open turn."""
        meta = {"id": thread, "timestamp": time or stamp(), "cwd": "/home/dev/api", "source": "cli"}
        self.roll("session_meta", meta, thread=thread, time=time)
        self.roll("event_msg", {"type": "task_started", "turn_id": "t1"}, thread=thread, time=time)

    def show(self) -> list[dict[str, Any]]:
        """What the command prints for scripts."""
        machine = self.machine
        told = ["--config", str(machine.config), "--state-dir", str(machine.state)]
        command = [FORWARDER, "sessions", "--format", "json", *told]
        done = subprocess.run(command, env=machine.env(), capture_output=True, timeout=PATIENCE_SECONDS)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def states(self) -> list[tuple[str, str | None]]:
        """Who does what, in the order of the list."""
        return [(one["agent"], one.get("state")) for one in self.show()]


def append(path: Path, line: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


def stamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture
def agents(machine: Machine) -> Agents:
    """Two agents of one machine."""
    return Agents(machine)


async def test_states_are_told_in_turn_and_outlive_a_kill(machine: Machine, agents: Agents) -> None:
    """Who waits for a person stands first; what happened while no forwarder ran is there after the next start."""
    process = await machine.started()

    async def until(*states: tuple[str, str]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await asyncio.to_thread(agents.states) != list(states):
                assert process.returncode is None, machine.log.read_text()

    agents.begin()
    agents.begin(thread=OLD, time="2024-05-01T12:00:00.000Z")
    agents.hook("SessionStart", source="startup")
    await until(("claude-code", "waiting_input"), ("codex", "working"))
    agents.hook("UserPromptSubmit", prompt="hi")
    agents.say("hi")
    agents.roll("event_msg", {"type": "task_complete", "turn_id": "t1", "last_agent_message": "done"})
    await until(("codex", "waiting_input"), ("claude-code", "working"))
    process.kill()
    await process.wait()
    before = agents.show()
    agents.hook("Stop", stop_hook_active=False, background_tasks=[])
    process = await machine.started()
    await until(("claude-code", "waiting_input"), ("codex", "waiting_input"))
    await machine.stopped(process)

    [claude, codex] = agents.show()
    assert [one["state"] for one in before] == ["waiting_input", "working"]
    assert codex == before[0]
    assert (claude["session_id"], claude["cwd"], claude["git_branch"]) == (CLAUDE, "/home/dev/shop", "main")


async def test_a_replay_touches_no_state(machine: Machine, agents: Agents) -> None:
    """It has a journal of its own, also in the same state folder."""
    agents.begin()
    async with machine.running() as process:
        await machine.until(lambda: agents.states() == [("codex", "working")], "it is seen", process=process)
        agents.spool = machine.folder / "hooks.jsonl"
        agents.hook("SessionStart", source="startup")
        replay = await machine.started("replay", "--dry-run", agents.spool)
        assert await replay.wait() == 0

    assert agents.states() == [("codex", "working")]
