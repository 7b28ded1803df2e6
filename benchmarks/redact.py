"""Scrubbing whole content (level none): the speed of each engine, and what ordinary texts lose by mistake."""

from __future__ import annotations

import json
import random
import re
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.corpus import MEGABYTE, Texts
from benchmarks.table import spread, table
from forwarder.pipeline.patterns import Engine
from forwarder.pipeline.redaction import Redactor
from forwarder.pipeline.rules import Rules
from forwarder.pipeline.shapes import installed_engines

SAMPLES = Path(__file__).parents[1] / "tests" / "plugins"
SHORTEST = 40  # characters; ids and names are no content
BLOB = re.compile(r"[A-Za-z0-9+/_=-]{40,}")
DIGITS = re.compile(r"\d{2,}")
SHARE_FOR_RE = 20  # of the texts for the standard library's engine, which is so much slower
CHUNK = 20_000  # characters of a source file that a tool shows at once


def redact(*, megabytes: int, rounds: int) -> None:
    """Every engine in every round, over contents of the recorded samples and over seeded source-like texts."""
    redactors: dict[Engine, Redactor] = {e: Redactor(Rules.load_builtin(), engine=e) for e in installed_engines()}
    drawn = random.Random("redact")
    corpora = {
        "samples, a secret in 5 KB": list(sample_texts(drawn, megabytes * MEGABYTE)),
        "samples without secrets": [],
        "source-like, 2 % of texts with one": list(source_texts(drawn, megabytes * MEGABYTE)),
    }
    found = redactors[installed_engines()[0]]
    samples = corpora["samples, a secret in 5 KB"]
    corpora["samples without secrets"] = [text for text in samples if found.scrub(text) == text]
    for name, texts in corpora.items():
        show(f"redact: {name}, {size(texts) / MEGABYTE:.1f} MB in {len(texts):,} texts", redactors, texts, rounds)
        compare(redactors, texts)
    false_positives(redactors[installed_engines()[0]])


def show(title: str, redactors: dict[Engine, Redactor], texts: list[str], rounds: int) -> None:
    """One row an engine; the ratios are of the same round, CPU time is what counts."""
    speeds: dict[Engine, list[float]] = {engine: [] for engine in redactors}
    for _ in range(rounds + 1):  # the first round builds automata
        for engine, redactor in redactors.items():
            some = texts[::SHARE_FOR_RE] if engine == "re" else texts
            started = time.process_time()
            for text in some:
                redactor.scrub(text)
            speeds[engine].append(size(some) / MEGABYTE / (time.process_time() - started))
    rows = [
        [
            engine,
            spread(speeds[engine][1:]),
            spread([one / re for one, re in zip(speeds[engine][1:], speeds["re"][1:], strict=True)], 1),
        ]
        for engine in redactors
    ]
    table(title, ["engine", "MB/s of CPU time", "times re"], rows)


def compare(redactors: dict[Engine, Redactor], texts: list[str]) -> None:
    """Every engine finds the same, rule for rule and place for place; raises `AssertionError` where one does not."""
    for text in texts[::SHARE_FOR_RE]:
        findings = {engine: list(redactor.findings(text)) for engine, redactor in redactors.items()}
        assert all(found == findings["re"] for found in findings.values()), f"engines differ on {text!r}"


def sample_texts(drawn: random.Random, wanted: int) -> Iterator[str]:
    """Contents of the recorded samples over and over, every time with other numbers in them."""
    texts = list(
        dict.fromkeys(text for path in sorted(SAMPLES.glob("*/samples/**/*.jsonl")) for text in contents(path))
    )
    made = 0
    while made < wanted:
        for text in texts:
            yield (
                DIGITS.sub(lambda match: "".join(drawn.choices("0123456789", k=len(match[0]))), text) if made else text
            )
            made += len(text)


def contents(path: Path) -> Iterator[str]:
    """All texts of some length in a session file's lines, apart from encoded ones."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield from strings(json.loads(line))
        except ValueError:
            continue


def strings(value: object) -> Iterator[str]:
    match value:
        case str() if len(value) >= SHORTEST and not BLOB.fullmatch(value):
            yield value.encode("utf-8", "replace").decode()
        case list():
            for one in value:  # pyright: ignore[reportUnknownVariableType]
                yield from strings(one)  # pyright: ignore[reportUnknownArgumentType]
        case dict():
            for one in value.values():  # pyright: ignore[reportUnknownVariableType]
                yield from strings(one)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            pass


def source_texts(drawn: random.Random, wanted: int) -> Iterator[str]:
    """Texts as the seeded corpora have them."""
    texts, made = Texts(drawn), 0
    while made < wanted:
        text = texts.source(drawn.choice((300, 600, 3_000, 8_000, 30_000)))
        made += len(text)
        yield text


def size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def false_positives(redactor: Redactor) -> None:
    """What is taken out of 10 MB of the standard library and of installed packages, where nothing is secret."""
    counts: Counter[str] = Counter()
    taken = read = 0
    for text in ordinary_texts(10 * MEGABYTE):
        read += len(text)
        for rule, start, end in redactor.findings(text):
            counts[rule] += 1
            taken += end - start
    rows = [[rule, f"{count}", f"{count / read * MEGABYTE:.2f}"] for rule, count in counts.most_common(15)]
    rows.append(["in all", f"{counts.total()}", f"{counts.total() / read * MEGABYTE:.1f}"])
    title = (
        f"redact: found in {read / MEGABYTE:.0f} MB of ordinary source and prose: {taken / read:.3%} of the characters"
    )
    table(title, ["rule", "places", "per MB"], rows)


def ordinary_texts(wanted: int) -> Iterator[str]:
    """Python sources and the texts beside them, in pieces; tests hold made-up secrets and are left out."""
    made = 0
    for folder in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        paths = [path for suffix in ("py", "md", "rst", "txt", "pyi") for path in Path(folder).rglob(f"*.{suffix}")]
        random.Random(1).shuffle(paths := sorted(paths))
        half = made + wanted // 2
        for path in paths:
            if made >= half:
                break
            if "test" in str(path.relative_to(folder)) or not path.is_file():
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            made += len(text)
            yield from (text[start : start + CHUNK] for start in range(0, len(text), CHUNK))
