"""All targets by name."""

from __future__ import annotations

from tests.fuzz.configuring import ConfigTarget
from tests.fuzz.journals import JournalTarget
from tests.fuzz.mappers import mapper_targets
from tests.fuzz.reading import ReaderTarget
from tests.fuzz.redacting import RedactorTarget, RulesTarget
from tests.fuzz.target import Target


def targets() -> dict[str, Target]:
    """Made anew, in the order of the table in docs/fuzzing.md."""
    found = [*mapper_targets(), ReaderTarget(), ConfigTarget(), RulesTarget(), RedactorTarget(), JournalTarget()]
    return {target.name: target for target in found}
