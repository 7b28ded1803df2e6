"""Gives inputs to a target for some time and keeps what goes wrong, the shortest input of each kind."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random

from tests.fuzz.target import Broken, Target
from tests.fuzz.watchdog import Hangs, resident_bytes, watched

GENERATIONS = 4  # an input that a promise was kept for is mutated again, so often at most
POOL = 400  # inputs that are mutated further, beside the seeds
WARM_INPUTS = 500  # caches fill up before memory is looked at
GROWN_BYTES = 96 << 20  # held more than after these: what is no cache, then


@dataclass
class Tally:
    """What was tried, and what was found: the shortest input by what went wrong."""

    target: Target
    engine: str = "own"
    inputs: int = 0
    slowest: float = 0.0
    warm_bytes: int = 0
    found: dict[str, bytes] = field(default_factory=dict[str, bytes])
    began: float = field(default_factory=time.monotonic)

    def give(self, data: bytes) -> bool:
        """Check one input; whether all promises are kept."""
        self.inputs += 1
        if self.inputs == WARM_INPUTS:
            self.warm_bytes = resident_bytes()
        started = time.process_time()
        try:
            with watched(len(data)):
                self.target.check(data)
        except (Exception, Hangs) as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            kind = kind_of(error)
            if kind not in self.found or len(data) < len(self.found[kind]):
                self.found[kind] = data
            return False
        finally:
            self.slowest = max(self.slowest, time.process_time() - started)
        return True

    @property
    def grown_bytes(self) -> int:
        """How much more memory the process holds than when it was warm."""
        return max(0, resident_bytes() - self.warm_bytes) if self.warm_bytes else 0

    def finish(self) -> None:
        """Memory that grew is something found, too."""
        if self.grown_bytes > GROWN_BYTES:
            self.found[f"memory grew by {self.grown_bytes >> 20} MiB in {self.inputs} inputs"] = b""

    def row(self) -> str:
        """One row of the table in docs/fuzzing.md."""
        seconds = time.monotonic() - self.began
        return (
            f"| {self.target.name} | {self.engine} | {seconds:.0f} | {self.inputs:,} | {self.slowest:.2f} | "
            f"{self.grown_bytes >> 20} | {len(self.found)} |"
        )

    def save(self, folder: Path) -> Iterator[str]:
        """Keep what was found as files, and say of each where."""
        for kind, data in self.found.items():
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{self.target.name}-{blake2b(kind.encode(), digest_size=4).hexdigest()}"
            path.write_bytes(data)
            yield f"{path}: {kind}"


def kind_of(error: BaseException) -> str:
    """What went wrong, and where in the program: two inputs of one kind are one finding."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "forwarder" in frame.filename]
    where = f" in {frames[-1].name}" if frames and not isinstance(error, Broken) else ""
    return f"{type(error).__name__}{where}: {str(error).partition(':')[0][:80]}"


def run(target: Target, *, seconds: float, seed: str, most: int | None = None) -> Tally:
    """Mutations of seeds, and of inputs that were made before, for so long or so many inputs."""
    tally, random = Tally(target), Random(f"{target.name}/{seed}")
    seeds = target.seeds()
    for one in seeds[:most]:
        tally.give(one)
    pool: list[tuple[bytes, int]] = []
    while time.monotonic() - tally.began < seconds and (most is None or tally.inputs < most):
        parent, generation = random.choice(pool) if pool and random.random() < 0.3 else (random.choice(seeds), 0)
        data = target.mutated(parent, random)
        if tally.give(data) and generation < GENERATIONS and random.random() < 0.1:
            pool.append((data, generation + 1))
            if len(pool) > POOL:
                del pool[random.randrange(POOL)]
    tally.finish()
    return tally
