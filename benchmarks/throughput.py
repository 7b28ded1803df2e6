"""Files to sinks as fast as it goes: whole processes, start-up included, interleaved rounds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Thread

from benchmarks.command import FORWARDER, Cost, measured, scratch
from benchmarks.corpus import MEGABYTE, corpus
from benchmarks.table import spread, table

HERE = Path(__file__).parent
RSYSLOG = """\
global(workDirectory="{folder}" maxMessageSize="1m")
module(load="imfile" mode="inotify")
template(name="line" type="string" string="%msg%\\n")
ruleset(name="out") {{ action(type="omfile" file="{folder}/out" template="line") }}
input(type="imfile" file="{file}" tag="bench" ruleset="out")
"""

Case = Callable[[Path, Path], tuple[Cost, int]]  # a file and an empty folder; the cost, and the events that arrived


def throughput(*, megabytes: int, rounds: int) -> None:
    """Replay one file of each corpus into an archive and into an HTTP endpoint, beside a bare decode and rsyslog."""
    with peer() as port:
        cases: dict[str, Case] = {
            "bare typed decode": decode,
            "forwarder to archive": archive,
            "forwarder to HTTP": lambda file, folder: http(file, folder, port),
        }
        if rsyslogd := shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin"):
            cases["rsyslog imfile to omfile"] = lambda file, folder: rsyslog(file, folder, rsyslogd)
        for kind in ("real", "short"):
            file = corpus(kind, megabytes)
            results = interleaved(cases, file, rounds)
            show(f"throughput, {kind} lines, {megabytes} MB in one file, {rounds} rounds", file, results)


def interleaved(cases: dict[str, Case], file: Path, rounds: int) -> dict[str, list[tuple[Cost, int]]]:
    """Every case once a round, so that what the machine does beside meets all of them alike."""
    results: dict[str, list[tuple[Cost, int]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            with scratch() as folder:
                results[name].append(case(file, folder))
    return results


def show(title: str, file: Path, results: dict[str, list[tuple[Cost, int]]]) -> None:
    """One row a case; ratios to the bare decode are of the same round."""
    size = file.stat().st_size / MEGABYTE
    bare = [cost.seconds for cost, _ in results["bare typed decode"]]
    rows: list[list[str]] = []
    for name, runs in results.items():
        costs = [cost for cost, _ in runs]
        events = runs[0][1]
        rows.append(
            [
                name,
                spread([size / cost.seconds for cost in costs]),
                f"{events / median(cost.seconds for cost in costs):,.0f}" if events else "",
                spread([cost.cpu_seconds for cost in costs], 2),
                spread([cost.peak_mib for cost in costs]),
                f"{median(one / cost.seconds for one, cost in zip(bare, costs, strict=True)):.2f}",
            ]
        )
    table(title, ["case", "MB/s", "events/s", "CPU s", "peak MiB", "of bare decode"], rows)


def decode(file: Path, folder: Path) -> tuple[Cost, int]:
    """Typed decode of every line."""
    return measured([sys.executable, HERE / "decode.py", file], cwd=folder), 0


def archive(file: Path, folder: Path) -> tuple[Cost, int]:
    """Redacted at preview, through the journal into one JSON Lines file."""
    cost = replay(file, folder, f'[sinks.bench]\nuse = "jsonl"\npath = "{folder}/archive/{{date}}.jsonl"\n')
    return cost, sum(map(lines, (folder / "archive").glob("*")))


def lines(path: Path) -> int:
    """How many there are; read in pieces, since a child's peak begins with what its parent has resident."""
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def http(file: Path, folder: Path, port: int) -> tuple[Cost, int]:
    """Redacted at preview, through the journal to a process of ours that acknowledges at once."""
    before = taken(port)
    cost = replay(file, folder, f'[sinks.bench]\nuse = "http"\nurl = "http://127.0.0.1:{port}/"\n')
    return cost, taken(port) - before


def replay(file: Path, folder: Path, sink: str) -> Cost:
    """`forwarder replay` with an empty journal."""
    config = folder / "config.toml"
    config.write_text(f'redaction = "preview"\n\n{sink}')
    argv: list[str | Path] = [
        FORWARDER,
        "replay",
        "--config",
        config,
        "--state-dir",
        folder / "state",
        "--to",
        "bench",
        file,
    ]
    return measured(argv, cwd=folder)


def rsyslog(file: Path, folder: Path, rsyslogd: str) -> tuple[Cost, int]:
    """Lines as they are, without parsing, redaction or acknowledgement; stopped when all bytes were written."""
    config = folder / "rsyslog.conf"
    config.write_text(RSYSLOG.format(folder=folder, file=file))
    Thread(target=stop_when_complete, args=(folder / "out", file, folder / "pid")).start()
    return measured([rsyslogd, "-n", "-f", config, "-i", folder / "pid"], cwd=folder), 0


def stop_when_complete(out: Path, file: Path, pid: Path) -> None:
    """End the process of the pid file as soon as `out` has the size of `file`."""
    while not out.exists() or out.stat().st_size < file.stat().st_size:
        time.sleep(0.005)
    os.kill(int(pid.read_text()), signal.SIGTERM)


@contextmanager
def peer() -> Generator[int]:
    """Our HTTP endpoint in a process of its own; gives its port."""
    argv = [sys.executable, str(HERE / "peer.py")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        yield int(process.stdout.readline())
        process.stdin.close()


def taken(port: int) -> int:
    """How many events the endpoint has accepted so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        return int(json.load(answer)["events"])
