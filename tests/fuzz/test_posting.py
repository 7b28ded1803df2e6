"""What is posted to the receivers of a running forwarder by those who mean no good, or cannot do better."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.fuzz.posting import Receivers

pytestmark = pytest.mark.slow


@pytest.fixture
async def receivers(tmp_path: Path) -> AsyncGenerator[Receivers]:
    async with Receivers.running(tmp_path) as receivers:
        yield receivers


async def test_the_receivers_do_what_their_description_says(receivers: Receivers) -> None:
    """What it allows is taken, answers are those it tells of, and nothing else that is sent is an error of ours."""
    rounds = [await receivers.round(name, examples=12, seed=1) for name in receivers.ports]

    assert [one.problem for one in rounds if one.problem] == []
    assert all(one.answers.total() > 30 for one in rounds), rounds
