"""What the tests of this folder start from."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio

from tests.process.faults.world import World, world


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[World]:
    """An empty machine with three sinks, nothing started yet."""
    async with world(tmp_path / "bench") as one:
        yield one
