"""A pi-daemon receiver for those tests that need nothing but one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.plugins.pi_daemon.posting import Daemon, daemon


@pytest.fixture
async def pi(tmp_path: Path) -> AsyncGenerator[Daemon]:
    async with daemon(tmp_path) as one:
        yield one
