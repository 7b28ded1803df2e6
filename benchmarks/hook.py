"""What a hook costs the agent, which waits for it: the writer of `forwarder hook`, in both forms."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from forwarder_claude_code.writer import Form, install, script

from benchmarks.command import scratch
from benchmarks.table import quantile, spread, table

SIZES = {"1.5 KB": 1_500, "60 KB": 60_000}  # what most calls carry, and a file that was written
GIBIBYTE = 1 << 30


def hook(*, times: int = 200) -> None:
    """From the start of the process to its end; beside it `cat`, the least that reads its input."""
    rows: list[list[str]] = []
    for size, count in SIZES.items():
        payload = b'{"session_id":"s","pad":"' + b"x" * count + b'"}\n'
        rows.append(_row("cat", size, [_milliseconds(Path("/bin/cat"), payload) for _ in range(times)]))
        for form in Form:
            with scratch() as home:
                writer = install(home, script(home / "forwarder", form, max_bytes=GIBIBYTE))
                rows.append(_row(f"--form {form}", size, [_milliseconds(writer, payload) for _ in range(times)]))
    table(f"hook, {times} times", ["writer", "payload", "ms", "p99"], rows)


def _row(name: str, size: str, milliseconds: list[float]) -> list[str]:
    return [name, size, spread(milliseconds, digits=1), f"{quantile(milliseconds, 0.99):.1f}"]


def _milliseconds(program: Path, payload: bytes) -> float:
    start = time.perf_counter()
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        process.communicate(payload)
    return (time.perf_counter() - start) * 1000
