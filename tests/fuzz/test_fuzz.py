"""The short form of `make fuzz`, what it found before, and that it notices what it is there to notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from forwarder import Prompt, Record, Session, Source
from tests.fuzz.enduring import endure
from tests.fuzz.found import FOUND, Found
from tests.fuzz.mappers import MapperTarget, mapper_targets
from tests.fuzz.mutation import PLANTED
from tests.fuzz.running import Tally, run
from tests.fuzz.target import Broken, Target
from tests.fuzz.targets import targets
from tests.fuzz.watchdog import Hangs, watched

TARGETS = targets()
INPUTS = 30


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_break_no_promise(name: str) -> None:
    """No exception but the documented ones, the same outcome every time, valid events, no secrets, small states."""
    tally = run(TARGETS[name], seconds=60, seed="short", most=INPUTS)

    assert (tally.inputs, tally.found) == (INPUTS, {})


@pytest.mark.slow
@pytest.mark.parametrize("found", FOUND, ids=[one.sentence for one in FOUND])
def test_what_was_found_once_is_not_found_again(found: Found) -> None:
    """Each input broke a promise, and says which."""
    TARGETS[found.target].check(found.data)


@pytest.mark.slow
@pytest.mark.parametrize("target", mapper_targets(), ids=lambda target: str(target.name))
def test_a_state_stays_small_however_much_it_is_given(target: MapperTarget) -> None:
    """The short form of what docs/fuzzing.md tells of 200,000 records."""
    assert 0 < endure(target, number=1000, seed="short") < 100_000


@dataclass
class Memory:
    """What the fake agent's mapper remembers."""

    session: Session
    lines: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Careless(Source[Memory]):
    """A source that breaks a promise for every word that a line may say."""

    count: list[int] = field(default_factory=lambda: [0])

    def patterns(self) -> list[str]:
        return ["/acme/*"]

    def new_state(self, path: Path) -> Memory:
        return Memory(Session(agent="acme", id="s"))

    def map(self, record: Record, state: Memory) -> Iterator[Prompt]:
        line: dict[str, Any] = record.json()
        self.count[0] += 1
        word = line["word"]
        state.lines += [word] * (9000 if word == "grows" else 1)
        while word == "waits":
            pass
        yield Prompt(
            key=(self.count[0] if word == "counts" else record.offset,),
            time=datetime(2026, 1, 1, tzinfo=UTC),
            session=state.session,
            turn=0 if word == "lies" else 1,
            bytes=1,
            chars=1,
            sha256=PLANTED[0] if word == "tells" else "0",
            text=word,
        )


CARELESS = MapperTarget("careless", Careless(), "s.jsonl", [])


@pytest.mark.parametrize(
    ("word", "promise"),
    [
        ("counts", "read again it tells other events"),
        ("lies", "prompt.turn is 0, less than 1"),
        ("grows", "the state has .* bytes"),
    ],
)
def test_a_broken_promise_is_noticed(word: str, promise: str) -> None:
    """Checks that cannot fail prove nothing."""
    line = json.dumps({"word": word}).encode()

    with pytest.raises(Broken, match=promise):
        CARELESS.check(line + b"\n" + line)


def test_what_does_not_end_is_ended() -> None:
    """Also inside the engine, which takes every ordinary exception of a source for a bad record."""
    with pytest.raises(Hangs), watched(0, base_seconds=0.05):
        CARELESS.check(b'{"word":"waits"}')


class Failing(Target):
    """Breaks whenever there is an `x`, and says where it stands."""

    name = "failing"

    def seeds(self) -> list[bytes]:
        return [b"a" * 20]

    def mutated(self, data: bytes, random: Random) -> bytes:
        return data[: random.randrange(20)] + random.choice((b"x", b"y")) + data[: random.randrange(9)]

    def check(self, data: bytes) -> None:
        if b"x" in data:
            raise Broken(f"an x: at {data.index(b'x')}")


def test_of_each_kind_the_shortest_input_is_kept() -> None:
    """Numbers and texts behind the colon make no kinds of their own."""
    tally = run(Failing(), seconds=60, seed="1", most=3000)

    assert tally.found == {"Broken: an x": b"x"}


def test_the_same_seed_gives_the_same_inputs() -> None:
    """Otherwise a finding could not be had again."""

    def inputs(seed: str) -> list[bytes]:
        target, random = TARGETS["codex"], Random(seed)
        return [target.mutated(target.seeds()[0], random) for _ in range(20)]

    assert inputs("1") == inputs("1")
    assert inputs("1") != inputs("2")


def test_findings_are_written_to_files_of_their_own(tmp_path: Path) -> None:
    """Under names that stay the same from run to run."""
    tally = Tally(Failing())
    tally.give(b"ax")
    (line,) = tally.save(tmp_path)
    (file,) = tmp_path.iterdir()

    assert (line, file.read_bytes()) == (f"{file}: Broken: an x", b"ax")
