"""Sessions to play, as the manifest `demo.toml` lists them: each line with the moment at which it is written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

_MOMENT = re.compile(r"@(\d+\.\d+)@")
_HOME = "{home}"


class Line(NamedTuple):
    """One line of a session file: written `at` seconds after the start, at the end of the file at `path`."""

    at: float
    path: Path
    text: str


@dataclass(frozen=True)
class Demonstration:
    """A configuration, in the form of the TOML file, and the lines to write in their order."""

    config: dict[str, Any]
    lines: tuple[Line, ...]

    @property
    def paths(self) -> set[Path]:
        """The files that will be there at the end."""
        return {line.path for line in self.lines}


def load(home: Path, *, start: datetime, speed: float | None) -> Demonstration:
    """The bundled sessions, as if they began at `start` and the agent's home were `home`; at once without a speed."""
    folder = files("forwarder.app.demo")
    manifest = tomllib.loads((folder / "demo.toml").read_text(encoding="utf-8"))
    lines: list[Line] = []
    for one in manifest["recordings"]:
        path = home / start.astimezone().strftime(one["path"])
        text = (folder / one["file"]).read_text(encoding="utf-8")
        lines += _lines(text, path, start=start, speed=speed)
    return Demonstration(_placed(manifest["config"], home), tuple(sorted(lines)))


def _lines(text: str, path: Path, *, start: datetime, speed: float | None) -> Iterator[Line]:
    def stamp(found: re.Match[str]) -> str:
        moment = start.astimezone(UTC) + timedelta(seconds=float(found[1]))
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"

    for line in text.splitlines(keepends=True):
        first = _MOMENT.search(line)
        at = float(first[1]) if first and speed else 0.0
        yield Line(at / (speed or 1.0), path, _MOMENT.sub(stamp, line))


def _placed(config: Any, home: Path) -> Any:
    """The configuration with the scratch folder where the manifest writes ``{home}``."""
    match config:
        case dict():
            return {key: _placed(value, home) for key, value in config.items()}  # pyright: ignore[reportUnknownVariableType]
        case str():
            return config.replace(_HOME, str(home))
        case _:
            return config
