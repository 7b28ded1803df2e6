"""The small table in front of the set of seen facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from forwarder.journal import seen
from forwarder.journal.schema import connect
from forwarder.journal.seen import Seen


def facts(*numbers: int) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in numbers]


def test_a_fact_is_known_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the small table, after a merge into the large one, and in the generation before."""
    monkeypatch.setattr(seen, "LATELY", 3)
    connection = connect(tmp_path)
    known = Seen(connection)
    first = known.add(facts(1, 2, 3, 4), batch=1)  # merged at once
    lately = known.add(facts(5, 1), batch=2)
    known.turn_over()
    after = known.add(facts(1, 5, 6), batch=3)
    connection.close()

    assert (first, lately, after) == (None, [True, False], [False, False, True])


def test_a_fact_merged_by_its_own_batch_counts_as_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that holds duplicates and fills the small table must not take its own facts for known ones."""
    monkeypatch.setattr(seen, "LATELY", 2)
    connection = connect(tmp_path)

    is_new = Seen(connection).add(facts(7, 8, 7), batch=1)
    connection.close()

    assert is_new == [True, True, False]
