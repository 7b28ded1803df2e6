"""Globs as the sources write them: where to look, and which paths match."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple


class Pattern(NamedTuple):
    """A glob: `root` is its longest leading folder without wildcards, `matches` decides about an absolute path."""

    root: str
    expression: re.Pattern[str]

    def matches(self, path: str) -> bool:
        return self.expression.fullmatch(path) is not None


def compile_pattern(text: str) -> Pattern:
    """``*`` and ``?`` stay inside one name, ``**`` spans any number of folders, ``~`` is the user's home."""
    absolute = os.path.abspath(os.path.expanduser(text))
    parts = Path(absolute).parts
    fixed = next((i for i, part in enumerate(parts) if set(part) & set("*?[")), len(parts) - 1)
    root = str(Path(*parts[:fixed]))
    return Pattern(root, re.compile(_translate(absolute)))


def _translate(glob: str) -> str:
    pieces = {"**/": "(?:.+/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    split = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", glob)
    return "".join(pieces.get(one, one if one[:1] == "[" and one[-1:] == "]" else re.escape(one)) for one in split)
