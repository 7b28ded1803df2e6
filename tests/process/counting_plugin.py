"""A stranger's package for the tests: a sink that counts and is asked for it, and a receiver that numbers its posts.

Installed as `install` does, it stands in a folder of its own. The sink kills the process where the file ``die`` beside
its working directory says, once: at the beginning of a `send`, or behind it, before the acknowledgement is saved.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from forwarder import (
    Accept,
    Answer,
    Batch,
    Listening,
    Notes,
    Notification,
    Receiver,
    Request,
    Route,
    Serving,
    Session,
    Sink,
)

TIME = datetime(2026, 11, 21, tzinfo=UTC)
DIE = Path("die")


def install(site: Path) -> None:
    """Put the package into `site`, as a package manager leaves it there."""
    (site / "counting-1.0.dist-info").mkdir(parents=True)
    (site / "counting_plugin.py").write_text(Path(__file__).read_text())
    (site / "counting-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 1.0\n")
    (site / "counting-1.0.dist-info" / "entry_points.txt").write_text(
        "[forwarder.sinks]\ntally = counting_plugin:Tally\n[forwarder.receivers]\nnumbers = counting_plugin:Numbers\n"
    )


def die_at(place: str) -> None:
    """End this process as a power cut would, if this is the place."""
    if DIE.exists() and DIE.read_text() == place:
        DIE.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Tally(Sink, Listening):
    """Counts events by type."""

    counts: ClassVar[bool] = True
    _totals: Counter[str] = field(default_factory=Counter[str], init=False)

    def recall(self, notes: Mapping[str, bytes]) -> None:
        self._totals = Counter({key: int(body) for key, body in notes.items()})

    async def send(self, batch: Batch) -> None:
        die_at("before")
        self._totals.update(event["type"] for event in batch.events())

    def notes(self) -> Notes:
        die_at("behind")
        return {key: b"%d" % count for key, count in self._totals.items()}

    def serving(self) -> Serving:
        return Serving("127.0.0.1:9")

    def routes(self) -> Sequence[Route]:
        return [Route("GET", "/totals", self._show)]

    async def _show(self, _: Request, __: Accept) -> Answer:
        return Answer.json(self._totals)


@dataclass
class Numbers(Receiver):
    """Answers each post with its number, and goes on after a restart."""

    _count: int = field(default=0, init=False)

    def recall(self, notes: Mapping[str, bytes]) -> None:
        self._count = int(notes.get("count", b"0"))

    def serving(self) -> Serving:
        return Serving("127.0.0.1:9")

    def routes(self) -> Sequence[Route]:
        return [Route("POST", "/number", self._take)]

    async def _take(self, _: Request, accept: Accept) -> Answer:
        self._count += 1
        number = self._count
        session = Session(agent="acme", id="s")
        said = Notification(key=(str(number),), time=TIME, session=session, kind="number", message=str(number))
        await accept([said], notes={"count": b"%d" % number})
        return Answer.json({"number": number})
