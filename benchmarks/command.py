"""Runs the installed `forwarder`, or a peer of it, as a whole process and says what it took."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import OUT

FORWARDER = str(Path(sys.executable).with_name("forwarder"))
MEBIBYTE = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Of one process from its start to its end. `peak_mib` is the kernel's own high-water mark of resident memory."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


class Failed(Exception):
    """The process ended with another status than 0; the text is the end of its standard error."""


def measured(argv: Sequence[str | Path], *, cwd: Path) -> Cost:
    """Run to the end, output to files in `cwd`."""
    with (cwd / "stdout").open("wb") as out, (cwd / "stderr").open("wb") as err:
        start = time.perf_counter()
        process = subprocess.Popen([str(one) for one in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # `Popen` cannot know that it was waited for
    if process.returncode:
        raise Failed(f"{argv[0]} ended with {process.returncode}: {(cwd / 'stderr').read_text()[-600:]}")
    # KiB on Linux, bytes on macOS.
    peak = usage.ru_maxrss / 1024 if sys.platform == "linux" else usage.ru_maxrss / MEBIBYTE
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak)


@contextmanager
def running(argv: Sequence[str | Path], *, cwd: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run beside the block, then stop with SIGTERM; killed when it takes more than a minute."""
    with (cwd / "stdout").open("wb") as out, (cwd / "stderr").open("wb") as err:
        process = subprocess.Popen([str(one) for one in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    try:
        yield process
        if process.poll() is not None:
            raise Failed(f"{argv[0]} ended with {process.returncode}: {(cwd / 'stderr').read_text()[-600:]}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def scratch() -> Generator[Path]:
    """An empty folder on the same disk as the corpora, gone afterwards."""
    OUT.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=OUT))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def cpu_seconds(pid: int) -> float:
    """User and system time of a live process so far, in steps of a hundredth (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a live process: now, or with ``VmHWM`` its highest so far (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024
