"""Runs the installed `forwarder track` as a script would."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORWARDER = str(Path(sys.executable).with_name("forwarder"))

# Says that it is ready and that a signal came; SIGALRM, or half a minute, ends it with 40 and the number of them.
# The handler in C leaves a byte of each, while of two that come at once Python's own may notice only one.
COUNTING = """
import os, signal, sys
reader, writer = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(writer)
def end(*_):
    os._exit(40 + os.read(reader, 100).count(signal.{signal}))
signal.signal(signal.SIGALRM, end)
signal.alarm(30)
signal.signal(signal.{signal}, lambda *_: os.write(1, b"got it\\n"))
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""


@dataclass(frozen=True)
class Tracker:
    """`forwarder track` with a log of its own in `folder`, which is also where it runs."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "usage" / "events.jsonl"

    def argv(self, *command: str | Path, options: tuple[str, ...] = ()) -> list[str]:
        return [FORWARDER, "track", *options, "--", *map(str, command)]

    def env(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH",)}
        return kept | {"HOME": str(self.folder), "TOOL_USAGE_LOG": str(self.log)} | more

    def run(
        self,
        *command: str | Path,
        options: tuple[str, ...] = (),
        input: bytes | None = None,
        env: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        before: Callable[[], object] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end; `before` is called in the new process."""
        return subprocess.run(
            self.argv(*command, options=options),
            input=input,
            env=env or self.env(),
            cwd=self.folder,
            pass_fds=pass_fds,
            preexec_fn=before,
            capture_output=True,
            timeout=30,
            check=False,
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Run in a process group of its own, with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.argv(*command), env=self.env(), cwd=self.folder, stdin=pipe, stdout=pipe, process_group=0
        )

    def start_on(self, terminal: int, *command: str) -> subprocess.Popen[bytes]:
        """Run as the foreground of this terminal."""
        return subprocess.Popen(
            self.argv(*command),
            env=self.env(),
            cwd=self.folder,
            stdin=terminal,
            stdout=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the test has no threads
        )

    def line(self) -> dict[str, Any]:
        """The only line of the log."""
        (text,) = self.log.read_text().splitlines()
        line: dict[str, Any] = json.loads(text)
        return line


def counting(signal: str) -> list[str]:
    """A command that counts this signal."""
    return [sys.executable, "-c", COUNTING.format(signal=signal)]
