"""The wheel as a stranger gets it, and the README's examples as a stranger would build them on it.

The environments see the libraries of the one that runs the tests, but no package of the tree: only built wheels.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.http_peer import HttpPeer

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[1]
EXAMPLE = re.compile(r"<!-- example: (?P<name>\S+) -->\n```\w+\n(?P<text>.*?)\n```\n", re.DOTALL)

ACME_SESSION = """\
{"type":"header","model":"acme-large"}
{"type":"reply","id":"r1","at":"2026-11-21T10:00:00Z","total_input":100,"total_output":10}
{"type":"autosave"}
{"type":"reply","id":"r2","at":"2026-11-21T10:00:09Z","total_input":250,"total_output":25}
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with a home of its own. `run` fails on an exit status other than 0."""

    folder: Path

    def install(self, *wheels: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.folder / "bin" / "python"), "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-index", *wheels], check=True)

    def run(self, command: str, *arguments: str | Path) -> str:
        """What the command of this environment prints."""
        return subprocess.run(
            self.argv(command, *arguments),
            cwd=self.folder,
            env=self.env(),
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        ).stdout

    def argv(self, command: str, *arguments: str | Path) -> list[str]:
        return [str(self.folder / "bin" / command), *map(str, arguments)]

    def env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, built from the tree."""
    return built(PROJECT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def acme_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third party's wheel of exactly what the README prints."""
    folder = tmp_path_factory.mktemp("acme")
    examples = readme_examples()
    (folder / "pyproject.toml").write_text(examples["pyproject.toml"])
    package = folder / "acme_forwarder"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("source.py", "instances.py", "sink.py", "receiver.py"):
        (package / name).write_text(examples[name])
    return built(folder, folder / "dist")


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with our wheel alone."""
    return environment(tmp_path_factory.mktemp("plain"), wheel)


@pytest.fixture(scope="module")
def stranger(wheel: Path, acme_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with our wheel and the third party's beside it."""
    return environment(tmp_path_factory.mktemp("stranger"), wheel, acme_wheel)


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A small session of the README's agent."""
    path = tmp_path / "acme-1.jsonl"
    path.write_text(ACME_SESSION)
    return path


def readme_examples() -> dict[str, str]:
    """The README's marked code blocks by file name."""
    return {found["name"]: found["text"] + "\n" for found in EXAMPLE.finditer((PROJECT / "README.md").read_text())}


def built(folder: Path, out: Path) -> Path:
    """The wheel of the project in `folder`, built with the tools that are installed here."""
    argv: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, folder]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return next(out.glob("*.whl"))


def environment(folder: Path, *wheels: Path) -> Environment:
    """A path file makes our libraries importable; editable installs are path files too, and those are not followed."""
    venv.create(folder, symlinks=True)
    made = Environment(folder)
    made.install(*wheels)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return made


def total(events: Sequence[dict[str, Any]], field: str) -> int:
    """A field of all token_usage events, added up."""
    return sum(event[field] for event in events if event["type"] == "token_usage")


def test_every_package_of_the_wheel_is_typed_and_explained(wheel: Path) -> None:
    """`py.typed` and the plugins' own pages are files that only the wheel's contents can prove."""
    names = set(zipfile.ZipFile(wheel).namelist())
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]
    plugins = {re.split("[.:]", value)[0] for group in scripts.values() for value in group.values()}

    assert {f"{package}/py.typed" for package in plugins | {"forwarder"}} <= names
    assert {f"{package}/README.md" for package in plugins} <= names
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/", "plugins/"))}


def test_the_tree_cannot_be_imported_from_the_wheels_environment(plain: Environment) -> None:
    """Else every test here would pass on a wheel that lacks half of its modules."""
    where = plain.run("python", "-c", "import forwarder, forwarder_codex; print(forwarder_codex.__file__)")

    assert Path(where).is_relative_to(plain.folder)


def test_the_installed_command_explains_itself(plain: Environment) -> None:
    """The first thing that a user types."""
    text = plain.run("forwarder", "--help")

    assert all(
        command in text for command in ("run", "replay", "check", "status", "plugins", "schema", "redact", "demo")
    )


def test_the_installed_command_lists_our_own_plugins(plain: Environment) -> None:
    """Ours come through the same entry points as a stranger's."""
    text = plain.run("forwarder", "plugins")

    assert all(name in text for name in ("codex", "stdout", "jsonl", "http"))


def test_a_third_partys_plugins_are_found(stranger: Environment) -> None:
    """An entry point is all that a package needs to say."""
    text = stranger.run("forwarder", "plugins")

    assert "acme" in text
    assert "webhook" in text


def test_the_readmes_source_replays_a_session(stranger: Environment, session: Path) -> None:
    """The guide's source, as printed, counts what its agent spent."""
    lines = stranger.run("forwarder", "replay", "--no-config", "--source", "acme", "--to", "stdout", session)
    events = [json.loads(line) for line in lines.splitlines()]

    assert [event["agent"] for event in events] == ["acme", "acme"]
    assert (total(events, "input_tokens"), total(events, "output_tokens")) == (250, 25)


async def test_the_readmes_sink_delivers_a_session(stranger: Environment, session: Path) -> None:
    """The guide's sink, as printed, brings every event to a real server."""
    async with HttpPeer() as peer:
        config = session.with_name("config.toml")
        config.write_text(f'[sinks.team]\nuse = "webhook"\nurl = "{peer.url}"\n')
        argv = stranger.argv("forwarder", "replay", "--config", config, "--source", "acme", "--to", "team", session)
        process = await asyncio.create_subprocess_exec(*argv, env=stranger.env())

        assert await process.wait() == 0
        assert total(peer.events(), "output_tokens") == 25


def test_the_readmes_own_test_passes(stranger: Environment, tmp_path: Path) -> None:
    """Whoever follows the guide sees green at its end."""
    (tmp_path / "test_acme.py").write_text(readme_examples()["test_acme.py"])

    assert "4 passed" in stranger.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path)
