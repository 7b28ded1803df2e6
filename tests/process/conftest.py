"""What all tests of the installed command start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """An empty scratch machine."""
    return Machine(tmp_path)
