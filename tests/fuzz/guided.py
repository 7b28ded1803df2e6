"""The same with atheris: inputs that reach code which none before has reached are mutated further."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.running import Tally

PACKAGES = ["forwarder", "forwarder_codex", "forwarder_claude_code", "forwarder_pi", "forwarder_tool_usage"]
LONGEST = 400_000  # bytes of an input


def run(name: str, *, seconds: float, seed: str, folder: Path) -> None:
    """Ends the process, as libFuzzer does; the row of the table and what was found are printed before."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=PACKAGES):
        targets = importlib.import_module("tests.fuzz.targets").targets()
    tally = Tally(targets[name], engine="atheris")

    def one(data: bytes) -> None:
        tally.give(data)
        if time.monotonic() - tally.began > seconds:
            tally.finish()
            print(tally.row(), *tally.save(folder), sep="\n", flush=True)
            os._exit(1 if tally.found else 0)

    def mutate(data: bytes, max_size: int, number: int) -> bytes:
        mutated = tally.target.mutated(bytes(data), Random(f"{seed}/{number}"))
        return mutated if len(mutated) <= max_size else bytes(data)[:max_size]

    with tempfile.TemporaryDirectory(prefix="forwarder-fuzz-corpus-") as corpus:
        for number, content in enumerate(tally.target.seeds()):
            (Path(corpus) / str(number)).write_bytes(content)
        number = sum(seed.encode()) + 1
        arguments = [sys.argv[0], f"-max_len={LONGEST}", f"-seed={number}", "-rss_limit_mb=0", "-verbosity=0", corpus]
        atheris.Setup(arguments, one, custom_mutator=mutate)
        atheris.Fuzz()
