"""A whole team on one machine: instances of pi that beat every 1.5 s and sessions of Claude Code that wait."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.command import FORWARDER, cpu_seconds, resident_mib, running, scratch
from benchmarks.corpus import compact
from benchmarks.live import QUIET_SECONDS, settled, stamp
from benchmarks.peer import Tally, serving
from benchmarks.table import table

BEAT_SECONDS = 1.5
WARM_SECONDS = 45.0  # steady files are told by the clock after 20 s, and events are asked for less often after 20 more


class Instance:
    """A process of pi that waits for its user: of its heartbeats only time and number change."""

    def __init__(self, folder: Path, number: int) -> None:
        self._path = folder / f"{20_000 + number}.json"
        now = int(time.time() * 1000)
        process = {"pid": os.getpid(), "ppid": 1, "startedAt": now, "updatedAt": now, "uptimeMs": 0}
        process |= {"heartbeatSeq": 0, "heartbeatMs": int(BEAT_SECONDS * 1000)}
        self._document: dict[str, Any] = {
            "schemaVersion": 2,
            "source": "pi-telemetry",
            "process": process,
            "system": {"host": os.uname().nodename, "user": "dev", "platform": "linux", "arch": "x64"},
            "workspace": {"cwd": "/home/dev/shop", "git": {"branch": "main", "commit": "aa1bb75"}},
            "session": {"id": f"01a1fb92-b8d3-7719-b4bd-{number:012x}", "file": f"/home/dev/{number}.jsonl"},
            "model": {"provider": "acme", "id": "acme-large-1", "name": "Acme Large 1"},
            "state": {"activity": "working", "isIdle": False, "hasPendingMessages": False, "busy": True},
            "context": {"tokens": 11680, "contextWindow": 200000, "percent": 5.84, "pressure": "normal"},
            "routing": {"tty": "?", "source": "none", "env": {}},
            "capabilities": {"hasUI": True},
            "messages": {"lastAssistantText": "The tests are green. " * 40, "lastAssistantUpdatedAt": now},
            "lastEvent": "agent_end",
        }

    def beat(self) -> None:
        """As the extension writes: a file of its own, renamed onto the old one."""
        process = self._document["process"]
        process["heartbeatSeq"] += 1
        process["updatedAt"] = int(time.time() * 1000)
        process["uptimeMs"] = process["updatedAt"] - process["startedAt"]
        temporary = self._path.with_name(f"{self._path.name}.tmp-1")
        temporary.write_text(compact(self._document))
        temporary.rename(self._path)


def fleet(*, instances: int = 500, sessions: int = 2_000, seconds: float = 30.0) -> None:
    """What it costs that hundreds of agents live and none of them does anything."""
    asyncio.run(_fleet(instances, sessions, seconds))


async def _fleet(instances: int, sessions: int, seconds: float) -> None:
    with scratch() as folder:
        telemetry = folder / "pi" / "instances"
        telemetry.mkdir(parents=True)
        _begin_sessions(folder / "claude", sessions)
        async with serving(Tally()) as port:
            with running(_command(folder, port), cwd=folder) as process:
                await settled(process.pid)
                await asyncio.sleep(QUIET_SECONDS)
                rows = [[f"{sessions:,} sessions wait", *await _cost(process.pid, seconds)]]
                beating = asyncio.create_task(_beat([Instance(telemetry, number) for number in range(instances)]))
                await asyncio.sleep(WARM_SECONDS)
                rows.append([f"and {instances} instances beat", *await _cost(process.pid, seconds)])
                beating.cancel()
    table(f"a fleet at rest, {seconds:.0f} s", ["case", "% of a core", "resident MiB", "files open"], rows)


async def _cost(pid: int, seconds: float) -> list[str]:
    before, most_open = cpu_seconds(pid), 0
    for _ in range(int(seconds)):
        await asyncio.sleep(1)
        most_open = max(most_open, _files_open(pid))
    used = (cpu_seconds(pid) - before) / seconds * 100
    return [f"{used:.2f}", f"{resident_mib(pid):.0f}", str(most_open)]


def _files_open(pid: int) -> int:
    """Regular files of the agents that the process has open (Linux)."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    names = [os.readlink(link) for link in links if link.is_symlink()]
    return sum(name.endswith((".jsonl", ".json")) for name in names)


async def _beat(instances: list[Instance]) -> None:
    """Spread evenly over the interval, for ever."""
    start, beats = time.monotonic(), 0
    while True:
        for instance in instances:
            instance.beat()
            beats += 1
            ahead = start + beats * BEAT_SECONDS / len(instances) - time.monotonic()
            await asyncio.sleep(max(ahead, 0))


def _begin_sessions(home: Path, count: int) -> None:
    """Transcripts of sessions that answered once and wait for their users, a hundred to a project."""
    for number in range(count):
        session = f"b1a7c0de-0000-4000-8000-{number:012x}"
        project = home / "projects" / f"-home-dev-project-{number // 100}"
        project.mkdir(parents=True, exist_ok=True)
        shared = {"sessionId": session, "version": "2.1.200", "cwd": "/home/dev/shop", "isSidechain": False}
        asked = {"type": "user", "uuid": f"u{number}", "timestamp": stamp(), "promptId": f"p{number}"}
        said = {"type": "assistant", "uuid": f"a{number}", "timestamp": stamp(), "requestId": f"r{number}"}
        usage = {"input_tokens": 9, "output_tokens": 3}
        message = {"id": f"m{number}", "model": "acme-large-1", "role": "assistant", "stop_reason": "end_turn"}
        answer = message | {"content": [{"type": "text", "text": "Done."}], "usage": usage}
        lines = [
            asked | shared | {"message": {"role": "user", "content": "Fix it"}},
            said | shared | {"message": answer},
        ]
        (project / f"{session}.jsonl").write_text("".join(compact(line) + "\n" for line in lines))


def _command(folder: Path, port: int) -> list[str | Path]:
    config = folder / "config.toml"
    config.write_text(
        f'[sources.claude_code]\nhome = "{folder}/claude"\n\n'
        f'[sources.pi]\nhome = "{folder}/pi"\ntelemetry = "{folder}/pi/instances"\n\n'
        f'[sinks.bench]\nuse = "http"\nurl = "http://127.0.0.1:{port}/"\n'
    )
    return [FORWARDER, "run", "--config", config, "--state-dir", folder / "state"]
