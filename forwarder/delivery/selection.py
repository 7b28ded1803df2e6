"""Which events a sink takes, told from the encoded lines: nearly all of them are passed on without being decoded."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import msgspec

_GLOB = re.compile(r"[*?\[]")


class _Place(msgspec.Struct, gc=False):
    cwd: str | None = None


_PLACE = msgspec.json.Decoder(_Place)


@dataclass(frozen=True)
class Selection:
    """The `types`, `agents` and `projects` that a sink takes; an empty one takes all.

    A project without a slash is the name of the folder that the agent worked in (`forwarder`, `client-*`), one with a
    slash is that folder or one above it (`~/code/acme`, `/srv/*/app`). Events without a folder belong to no project.
    """

    types: Collection[str] = ()
    agents: Collection[str] = ()
    projects: Collection[str] = ()
    _known: dict[str, bool] = field(default_factory=dict[str, bool], init=False, repr=False, compare=False)

    @property
    def takes_all(self) -> bool:
        return not (self.types or self.agents or self.projects)

    def accepts(self, line: bytes) -> bool:
        """Whether the sink takes the event with this encoded line."""
        if not self._has_type_and_agent(line):
            return False
        return not self.projects or self._is_in_project(_PLACE.decode(line).cwd)

    @cached_property
    def _head(self) -> re.Pattern[bytes]:
        # One match of a line's fixed beginning (forwarder/pipeline/encoding.py) costs a fifth of decoding the line.
        return re.compile(
            rb'\{"id":".{32}","type":"%b","time":".{24}","agent":"%b"' % (_one_of(self.types), _one_of(self.agents))
        )

    def _has_type_and_agent(self, line: bytes) -> bool:
        return self._head.match(line) is not None

    def _is_in_project(self, cwd: str | None) -> bool:
        if cwd is None:
            return False
        if (known := self._known.get(cwd)) is None:
            known = self._known[cwd] = any(matches_project(cwd, project) for project in self.projects)
        return known


def matches_project(cwd: str, project: str) -> bool:
    """Whether an agent that worked in the folder `cwd` worked on `project` (a name, a path or a glob of either)."""
    cwd = cwd.replace("\\", "/").rstrip("/")
    project = project.replace("\\", "/").rstrip("/")
    if "/" not in project and not project.startswith("~"):
        return fnmatchcase(cwd.rpartition("/")[2], project)
    project = str(Path(project).expanduser())
    if _GLOB.search(project):
        return fnmatchcase(cwd, project) or fnmatchcase(cwd, f"{project}/*")
    return cwd == project or cwd.startswith(f"{project}/")


def _one_of(names: Collection[str]) -> bytes:
    """A pattern of the names as JSON writes them."""
    if not names:
        return rb'[^"\\]*(?:\\.[^"\\]*)*'
    return b"(?:%b)" % b"|".join(re.escape(msgspec.json.encode(name)[1:-1]) for name in names)
