"""Seeded corpora that look like what a coding agent writes; the same arguments give the same bytes.

    python benchmarks/corpus.py real 200        # 200 MB, lines of 7.5 KB on average, one file; prints its path

**real**: 60 % of the lines have 300-800 B, 30 % 2-8 KB, 9 % 20-60 KB and 1 % 200 KB. **short**: only the first class,
560 B on average: what an event costs. Texts are source-like (indents, quotes, escapes, ANSI colours, URLs, some
non-ASCII), and two percent of them carry a made-up secret. A file is one session, as Codex 0.58 writes it.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

OUT = Path(__file__).parent / "out"
MEGABYTE = 1_000_000

# Share of the lines, then the range of their sizes in bytes.
CLASSES = {"small": (0.60, 300, 800), "medium": (0.30, 2_000, 8_000), "large": (0.09, 20_000, 60_000)}
HUGE = (195_000, 205_000)

WORDS = re.findall(
    r"\w+",
    """request response client server table column index cursor buffer stream parse render commit branch merge tests
    fixture assert module package import export return yield await async class struct enum match string number list
    config option default value error retry timeout deadline schema migrate deploy cache token session limit window
    straße élève 会議 журнал""",
)
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
LETTERS = BASE64[:62]
TAG = "0beec0de"  # the part of every id that another variant of a corpus replaces
NAME = f"rollout-2026-11-21T01-12-22-{TAG}-70a0-77a3-bf05-44d2e9da75c7.jsonl"


def corpus(kind: str, megabytes: int, *, seed: int = 1) -> Path:
    """The file of this corpus, made when it is not there yet."""
    path = OUT / f"{kind}-{megabytes}-{seed}" / NAME
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb", buffering=1 << 20) as file:
            for line in Session(kind, seed=seed).lines(megabytes * MEGABYTE):
                file.write(line)
        os.replace(part, path)
    return path


def variants(original: Path, folder: Path, count: int) -> list[Path]:
    """As many copies of a corpus, each a session of its own: every id differs, nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for number in range(count):
        tag = f"{number + 1:08x}"
        path = folder / original.name.replace(TAG, tag)
        with original.open("rb") as source, path.open("wb") as target:
            for line in source:
                target.write(line.replace(TAG.encode(), tag.encode()))
        paths.append(path)
    return paths


Build = Callable[[int], bytes]  # a line with about so many characters of text


class Texts:
    """Draws what fills the lines: source-like text with now and then a made-up secret, and blobs."""

    def __init__(self, drawn: random.Random) -> None:
        self._random = drawn
        self._source = self._source_like(600_000)
        self._blob = "".join(self._random.choices(BASE64, k=400_000))

    def source(self, length: int) -> str:
        """So many characters of source-like text, two times in a hundred with a secret in it."""
        start = self._random.randrange(len(self._source) - length)
        text = self._source[start : start + length]
        if self._random.random() < 0.02:
            cut = self._random.randrange(length + 1)
            return f"{text[:cut]} {self._secret()} {text[cut:]}"
        return text

    def blob(self, length: int) -> str:
        """So many characters of base64."""
        start = self._random.randrange(len(self._blob) - length)
        return self._blob[start : start + length]

    def _secret(self) -> str:
        drawn = "".join(self._random.choices(LETTERS, k=48))
        # Glued together here, so that this file holds nothing that looks like a key.
        forms = (
            "s" + f"k-proj-{drawn}",
            "gh" + f"p_{drawn[:36]}",
            "AK" + f"IA{drawn[:16].upper()}",
            f"Authorization: Bear{'er'} {drawn}",
            f"pass{'word'}={drawn[:16]}",
            f"postgres://app:{drawn[:14]}@db.example.com:5432/app",
        )
        return self._random.choice(forms)

    def _source_like(self, size: int) -> str:
        lines: list[str] = []
        length = 0
        while length < size:
            lines.append(self._source_line())
            length += len(lines[-1])
        return "".join(lines)

    def _source_line(self) -> str:
        words = self._random.choices(WORDS, k=self._random.randint(2, 11))
        text, indent = " ".join(words), "    " * self._random.randint(0, 4)
        match self._random.randrange(50):
            case 0 | 1:
                return f"{indent}# see https://example.com/{words[0]}/{self._random.randint(1, 9999)}?q={words[1]}\n"
            case 2:
                return f"{indent}@{words[0]}.{words[1]}({text})\n"
            case 3 | 4:
                return f"\x1b[32m{text}\x1b[0m\n"
            case 5 | 6 | 7:
                return f"src/{words[0]}/{words[1]}.py:{self._random.randint(1, 900)}: {text}\n"
            case number if number < 16:
                return f'{indent}"{words[0]}": "{text}\\n",\n'
            case number if number < 19:
                return f"\t{text}\n"
            case _:
                return f"{indent}{text}\n"


class Session:
    """Draws the lines of one session. Calls are answered in the order in which they were made."""

    def __init__(self, kind: str, *, seed: int) -> None:
        self._random = random.Random(f"{kind} {seed}")
        self._is_short = kind == "short"
        self._time = datetime(2026, 11, 21, 1, 12, 22, tzinfo=UTC)
        self._texts = Texts(self._random)
        self._open_calls: deque[str] = deque()
        self._totals = [0, 0, 0, 0]

    def lines(self, size: int) -> Iterator[bytes]:
        """Encoded lines with their newlines, until `size` bytes are reached."""
        written = 0
        line = self._encode("session_meta", self._header())
        while written < size:
            yield line
            written += len(line)
            line = self._line()

    def _line(self) -> bytes:
        low, high, build = self._drawn()
        # Escapes and non-ASCII make a line about a tenth longer than its characters, the envelope takes some 200 bytes.
        return build(int((self._random.randint(low, high) - 200) * 0.9))

    def _drawn(self) -> tuple[int, int, Build]:
        share, kind = self._random.random(), self._random.random()
        for name, (limit, low, high) in CLASSES.items():
            if share < limit or self._is_short:
                return low, high, self._build(name, kind)
            share -= limit
        return *HUGE, self._build("huge", kind)

    def _build(self, size: str, kind: float) -> Build:
        if size == "small":
            bounds = ((0.40, self._usage), (0.70, self._call), (0.90, self._message), (1.01, self._turn))
            return next(build for limit, build in bounds if kind < limit)
        if size == "medium" and kind < 0.3:
            return self._reasoning
        if size == "medium" and kind < 0.5:
            return self._item_message
        if size == "huge" and kind < 0.4:
            return self._image
        return self._output if self._open_calls else self._item_message

    def _header(self) -> dict[str, object]:
        return {
            "id": NAME[28:64],
            "timestamp": self._stamp(),
            "cwd": "/home/dev/shop",
            "originator": "codex_cli_rs",
            "cli_version": "0.58.0",
            "instructions": self._texts.source(900),
            "source": "cli",
            "model_provider": "openai",
            "git": {"commit_hash": self._hex(40), "branch": "main"},
        }

    def _usage(self, _: int) -> bytes:
        spent = [self._random.randint(500, 90_000), 0, self._random.randint(10, 4_000), 0]
        spent[1], spent[3] = int(spent[0] * self._random.random()), int(spent[2] * self._random.random())
        self._totals = [total + part for total, part in zip(self._totals, spent, strict=True)]
        info = {
            "total_token_usage": usage(self._totals),
            "last_token_usage": usage(spent),
            "model_context_window": 272_000,
        }
        used = round(self._random.random() * 100, 1)
        limits = {"primary": {"used_percent": used, "window_minutes": 300, "resets_in_seconds": 900}}
        return self._encode("event_msg", {"type": "token_count", "info": info, "rate_limits": limits})

    def _call(self, room: int) -> bytes:
        call = f"call_{TAG}{self._hex(16)}"
        self._open_calls.append(call)
        arguments = compact({"command": ["bash", "-lc", self._texts.source(room)], "workdir": "/home/dev/shop"})
        return self._item("function_call", name="shell", arguments=arguments, call_id=call)

    def _output(self, room: int) -> bytes:
        metadata = {"exit_code": int(self._random.random() < 0.1), "duration_seconds": round(self._random.random(), 2)}
        output = compact({"output": self._texts.source(room), "metadata": metadata})
        return self._item("function_call_output", call_id=self._open_calls.popleft(), output=output)

    def _message(self, room: int) -> bytes:
        return self._encode("event_msg", {"type": "agent_message", "message": self._texts.source(room)})

    def _turn(self, room: int) -> bytes:
        turn = {
            "cwd": "/home/dev/shop",
            "approval_policy": "on-request",
            "sandbox_policy": {"mode": "workspace-write", "network_access": False},
            "model": "gpt-5-codex",
            "summary": self._texts.source(room),
        }
        return self._encode("turn_context", turn)

    def _reasoning(self, room: int) -> bytes:
        summary = [{"type": "summary_text", "text": self._texts.source(160)}]
        return self._item("reasoning", summary=summary, content=None, encrypted_content=self._texts.blob(room))

    def _item_message(self, room: int) -> bytes:
        role, part = self._random.choice((("user", "input_text"), ("assistant", "output_text")))
        return self._item("message", role=role, content=[{"type": part, "text": self._texts.source(room)}])

    def _image(self, room: int) -> bytes:
        image = {"type": "input_image", "image_url": "data:image/png;base64," + self._texts.blob(room)}
        return self._item("message", role="user", content=[image])

    def _item(self, kind: str, **payload: object) -> bytes:
        return self._encode("response_item", {"type": kind, **payload})

    def _encode(self, kind: str, payload: Mapping[str, object]) -> bytes:
        return compact({"timestamp": self._stamp(), "type": kind, "payload": payload}).encode() + b"\n"

    def _stamp(self) -> str:
        self._time += timedelta(seconds=self._random.random() * 2)
        return self._time.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"


def usage(parts: list[int]) -> dict[str, int]:
    """Codex's form of input, cached input, output and reasoning tokens."""
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    return dict(zip(names, parts, strict=True)) | {"total_tokens": parts[0] + parts[2]}


def compact(value: object) -> str:
    """JSON as the agents write it: no spaces, non-ASCII as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    print(corpus(sys.argv[1], int(sys.argv[2])))
