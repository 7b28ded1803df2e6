"""What agents write: the recorded sessions, made-up ones of any length, and files that grow in pieces."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

SAMPLES = Path(__file__).parents[1] / "plugins" / "codex" / "samples"
TIME = "2026-11-21T01:12:22.418Z"


class Pieces:
    """Writes contents to files in pieces of random sizes that end anywhere, also inside a character."""

    def __init__(self, contents: dict[Path, bytes], random: Random, *, largest: int) -> None:
        self._rest = {path: memoryview(content) for path, content in contents.items()}
        self._random = random
        self._largest = largest

    @property
    def is_done(self) -> bool:
        return not self._rest

    def write(self, count: int) -> None:
        """So many pieces, each to a file that is not complete yet."""
        for _ in range(count):
            if self._rest:
                path = self._random.choice(list(self._rest))
                rest = self._rest[path]
                size = self._random.randint(1, self._largest)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab", buffering=0) as file:
                    file.write(rest[:size])
                self._rest[path] = rest[size:]
                if not self._rest[path]:
                    del self._rest[path]


def recordings() -> list[Path]:
    """The folders of all recorded scenarios, each laid out like an agent's home."""
    return sorted(path for path in SAMPLES.iterdir() if path.is_dir())


def sessions(home: Path) -> dict[Path, bytes]:
    """The recorded plain session files, as they would lie in `home`, up to their last newline.

    A scenario that is another's files after a migration is left out: its files have the same names.
    """
    found: dict[Path, bytes] = {}
    for scenario in recordings():
        if scenario.name != "migrate-after-A":
            for path in scenario.rglob("rollout-*.jsonl"):
                content = path.read_bytes()
                found[home / path.relative_to(scenario)] = content[: content.rfind(b"\n") + 1]
    return found


def answering(home: Path, *, files: int, answers: int) -> dict[Path, bytes]:
    """Made-up sessions of one day: a header and so many answers, which read ``FILE.ANSWER 東京 🙂``."""
    day = home / "sessions" / "2026" / "11" / "21"
    found: dict[Path, bytes] = {}
    for number in range(files):
        session = f"0beec0de-70a0-77a3-bf05-{number:012x}"
        lines = [_line("session_meta", {"id": session, "timestamp": TIME, "cwd": "/home/dev", "source": "cli"})]
        lines += [
            _line("event_msg", {"type": "agent_message", "message": text}) for text in answers_of(number, answers)
        ]
        found[day / f"rollout-2026-11-21T01-12-22-{session}.jsonl"] = "".join(lines).encode()
    return found


def answers_of(number: int, answers: int) -> list[str]:
    """The texts of one made-up session."""
    return [f"{number}.{answer} 東京 🙂" for answer in range(answers)]


def _line(kind: str, payload: dict[str, str]) -> str:
    """As the agent writes it, with characters of several bytes as they are."""
    return json.dumps({"timestamp": TIME, "type": kind, "payload": payload}, ensure_ascii=False) + "\n"
