"""Plugins of a third party, installed as a package manager would leave them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forwarder.app import registry

Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install(group, name, code)` makes a package `third_NAME` with a class `Plugin` and its entry point."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    clear = registry._points.cache_clear  # pyright: ignore[reportPrivateUsage] - installing happens between processes

    def add(group: str, name: str, code: str) -> None:
        (site / f"third_{name}.py").write_text(code)
        metadata = site / f"third_{name}-1.2.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: third-{name}\nVersion: 1.2\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = third_{name}:Plugin\n")
        clear()

    clear()
    yield add
    clear()
    for module in [one for one in sys.modules if one.startswith("third_")]:
        del sys.modules[module]
