"""The recorded sessions of three agents as lanes of a play: how their files grew, moved and were rewritten."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.process.machine import FORWARDER, Machine
from tests.process.playing import Act, Append, Hook, Lane, Move, Replace, Rewrite, Until, pieces

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PLUGINS = Path(__file__).parents[1] / "plugins"
CODEX, CLAUDE, PI = (PLUGINS / name / "samples" for name in ("codex", "claude_code", "pi"))
WRITERS = 8
CHILDREN = {"fork", "after_revert", "worker_a", "child", "reviewer"}  # roles of files that go on from another file
CLAUDE_FORK = "8f5d26b9-a81e-430b-8440-71535f771b68"
IN_FILES = "c08-one-file-per-event"  # its hooks wrote a file each
BEFORE, AFTER = "migrate-before-A", "migrate-after-A"  # the same sessions; recordings of the others stand alone
PIECES = 30  # of a file: about as many as a writer has hooks


@dataclass
class Lanes:
    """`parents` are sessions of their own, `children` go on from another file: forks, sub-agents, reviews."""

    parents: list[Lane] = field(default_factory=list[Lane])
    children: list[Lane] = field(default_factory=list[Lane])

    def add(self, lane: Lane, *, is_child: bool) -> None:
        (self.children if is_child else self.parents).append(lane)


@dataclass(frozen=True)
class Agents:
    """The agents of a machine, each with a folder in its home; Claude Code has two, for both forms of its hooks."""

    machine: Machine
    random: Random

    def tables(self) -> list[str]:
        """A table of the configuration for each agent."""
        homes = [str(self._claude(form)) for form in ("line", "file")]
        return [
            f'[sources.codex]\nhome = "{self.machine.home}/codex"\n',
            f"[sources.claude_code]\nhome = {homes}\n",
            f'[sources.pi]\nhome = "{self.machine.home}/pi"\n',
        ]

    def install_hooks(self) -> None:
        """As a user does it."""
        for form in ("line", "file"):
            home = self._claude(form)
            home.mkdir(parents=True)
            command = [FORWARDER, "hook", "--home", str(home), "--form", form, "--release", "2.1.329"]
            subprocess.run(command, env=self.machine.env(), capture_output=True, check=True, timeout=30)

    def rollouts(self) -> Lanes:
        """Of Codex: one is compressed at its end, two are archived, and two are migrated once they are read."""
        expected = json.loads((CODEX / "expected.json").read_text())
        lanes = Lanes()
        for scenario in sorted(expected.keys() - {AFTER}):
            for name, facts in expected[scenario].items():
                lanes.add(self._rollout(scenario, name), is_child=facts["role"] in CHILDREN)
        return lanes

    def transcripts(self) -> Lanes:
        """Of Claude Code."""
        lanes = Lanes()
        for root in claude_scenarios():
            for path in sorted((root / "transcripts").rglob("*.jsonl")):
                target = self._claude(_form(root)) / "projects" / path.relative_to(root / "transcripts")
                is_child = path.stem == CLAUDE_FORK or path.stem.startswith("agent-")
                lanes.add(self._cut(target, path.read_bytes()), is_child=is_child)
        return lanes

    def hooks(self) -> list[Lane]:
        """The recorded payloads from eight writers, each of which plays some sessions to their end."""
        writers: list[list[Act]] = [[] for _ in range(WRITERS)]
        for root in claude_scenarios():
            script = self._claude(_form(root)) / "forwarder" / "hook.sh"
            min(writers, key=len).extend(Hook(script, payload) for payload in payloads(root))
        return [*writers]

    def sessions(self, *, is_reversed: bool) -> list[Lane]:
        """Of pi, a lane a scenario: files grow by the recorded steps, or one after another, the last first."""
        lanes: list[Lane] = []
        for log in sorted(PI.glob("*/session-growth.jsonl")):
            steps = [json.loads(line) for line in log.read_text().splitlines()]
            if is_reversed:
                names = list(dict.fromkeys(step["file"] for step in steps))
                steps.sort(key=lambda step: -names.index(step["file"]))
            grown = [self._grown(log.parent, step["file"], step["size"] - step["grew"], step["size"]) for step in steps]
            lanes.append([act for acts in grown for act in acts])
        return lanes

    def _claude(self, form: str) -> Path:
        return self.machine.home / f"claude-{form}"

    def _cut(self, path: Path, content: bytes) -> list[Act]:
        return pieces(path, content, self.random, count=PIECES)

    def _rollout(self, scenario: str, name: str) -> list[Act]:
        home = self.machine.home / "codex"
        path, content = home / name, (CODEX / scenario / name).read_bytes()
        if path.suffix == ".zst":
            plain = path.with_suffix("")
            return [*self._cut(plain, zstd.decompress(content)), Replace(path, content, instead_of=plain)]
        if name.startswith("archived_sessions"):
            live = home / "sessions" / path.name
            return [*self._cut(live, content), Move(live, path)]
        if scenario == BEFORE:
            after = (CODEX / AFTER / name).read_bytes()
            return [*self._cut(path, content), self._read(path), Replace(path, after, instead_of=path)]
        return self._cut(path, content)

    def _grown(self, scenario: Path, name: str, start: int, end: int) -> list[Act]:
        """One step in two pieces. Up to the size that it had then, a file is what it was before its migration."""
        path, content = self.machine.home / "pi" / "sessions" / name, (scenario / "sessions" / name).read_bytes()
        before = scenario / "sessions-before-migration" / name
        old = before.read_bytes() if before.exists() else b""
        if old and start == len(old):
            return [self._read(path), Rewrite(path, content[:end])]
        content = old if end <= len(old) else content
        cut = self.random.randrange(start, end)
        return [Append(path, part) for part in (content[start:cut], content[cut:end]) if part]

    def _read(self, path: Path) -> Until:
        return Until(lambda: self.machine.has_read(path))


def claude_scenarios() -> list[Path]:
    """The folders of all recorded scenarios of Claude Code."""
    return sorted(path for path in CLAUDE.iterdir() if path.is_dir())


def spool(scenario: Path) -> list[Path]:
    """Of several layouts, the one that holds every event."""
    folder = scenario / "spool"
    return sorted((folder / "d").glob("*.json")) or [folder / "hooks.jsonl"]


def payloads(scenario: Path) -> Iterator[bytes]:
    """What each hook was given, in order, ended as its release ends it."""
    ending = b"" if "release" in scenario.name else b"\n"
    for path in spool(scenario):
        rest = path.read_text().lstrip()
        while rest:
            _, end = json.JSONDecoder().raw_decode(rest)
            yield rest[:end].encode() + ending
            rest = rest[end:].lstrip()


def recordings() -> list[Path]:
    """All that is played, as it was recorded, before any of it was migrated."""
    rollouts = [path for path in sorted(CODEX.iterdir()) if path.is_dir() and path.name != AFTER]
    spools = [path for root in claude_scenarios() for path in spool(root)]
    return [*rollouts, *spools, *CLAUDE.glob("*/transcripts"), *PI.glob("*/sessions")]


def _form(scenario: Path) -> str:
    return "file" if scenario.name == IN_FILES else "line"
