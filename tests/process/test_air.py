"""Recorded sessions of three agents through the installed command into AIr: its summaries are what the events say."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.air.server import AirServer
from tests.plugins.air.telling import expected, shown
from tests.process.machine import Machine

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[1] / "plugins"
RECORDED = {  # agent: where its sessions lie in its home and in the recordings
    "codex": ("sessions", ["codex/samples/multitool-A/sessions", "codex/samples/compaction-A/sessions"]),
    "claude_code": ("projects", ["claude_code/samples/c03-subagents/transcripts"]),
    "pi": ("sessions", ["pi/samples/rpc-main-0.87.1/sessions"]),
}


def install(machine: Machine, server: AirServer) -> None:
    """The recordings as the homes of three agents, and AIr as the sink beside an archive."""
    tables: list[str] = []
    for agent, (folder, samples) in RECORDED.items():
        for sample in samples:
            shutil.copytree(SAMPLES / sample, machine.home / agent / folder, dirs_exist_ok=True)
        tables.append(f'[sources.{agent}]\nhome = "{machine.home / agent}"\n')
    sink = f'[sinks.air]\nurl = "{server.url}"\nbatch_events = 40\n'
    machine.config.write_text("\n".join(['start = "all"\n', *tables, machine.archive_sink(), sink]))


async def delivered(machine: Machine) -> list[dict[str, Any]]:
    """Run until everything is read and delivered; the events as they are in the archive."""
    async with machine.running() as process:
        files = list(machine.home.rglob("*.jsonl"))
        await machine.until(lambda: machine.has_read(*files), "everything is read", process=process)
    return machine.archived()


async def test_recorded_sessions_are_shown_as_they_were(machine: Machine) -> None:
    """Tokens, calls, turns, compactions and money of every session, and no event under two ids."""
    async with AirServer() as server:
        install(machine, server)
        events = await delivered(machine)

    of_sessions = [event for event in events if event.get("session_id")]
    assert {event["agent"] for event in of_sessions} == {"codex", "claude-code", "pi"}
    assert shown(server.sessions) == expected(of_sessions)
    assert len(server.arrivals) == len(set(server.arrivals))
