"""The start of the command: what is quick is found by its entry point, and everything else starts as ever."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import forwarder_launcher


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's package with a quick command."""
    metadata = tmp_path / "acme-1.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text(
        "[forwarder.quick_commands]\nfirst = acme_quick:no\n second=acme_quick:run \n"
        "\n[other]\nthird = acme_quick:run\n"
    )
    (tmp_path / "acme_quick.py").write_text("def run(arguments): return len(arguments)\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "gone.zip"), ""])
    return tmp_path


def test_our_own_entry_points_are_found() -> None:
    """The same that `importlib.metadata` finds."""
    points = entry_points(group="forwarder.quick_commands")

    assert {point.name: point.value for point in points} == {
        point.name: forwarder_launcher.find(point.name) for point in points
    }


@pytest.mark.parametrize(
    ("name", "value"), [("second", "acme_quick:run"), ("third", None), ("--help", None), ("run", None)]
)
def test_only_the_group_counts(installed: Path, name: str, value: str | None) -> None:
    """Other groups have such names too, and an option is no command."""
    assert forwarder_launcher.find(name) == value


def test_a_quick_command_gets_its_arguments(installed: Path) -> None:
    """And says its exit status."""
    assert forwarder_launcher.call("acme_quick:run", ["a", "b"]) == 2


@pytest.mark.parametrize("point", ["no_such_module:run", "acme_quick:no"])
def test_what_cannot_be_imported_is_left_to_the_slow_way(installed: Path, point: str) -> None:
    """Which says why."""
    assert forwarder_launcher.call(point, []) is None


@pytest.mark.slow
def test_other_commands_start_as_ever() -> None:
    """The script that is installed starts here."""
    argv = [str(Path(sys.executable).with_name("forwarder")), "--version"]

    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.startswith("forwarder, version")
