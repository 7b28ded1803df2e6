"""Symbolic links: what is read of an agent stays inside of the folder that is watched for it.

An agent may be talked into making a link. The folder itself may be one, and links in it may lead to its other files.
"""

from __future__ import annotations

import os


def leads_out(root: str, path: str) -> bool:
    """Whether a link between `root` and `path`, or `path` itself, leads to somewhere outside of `root`. Blocks."""
    if not _has_link(root, path):
        return False
    return not os.path.realpath(path).startswith(os.path.join(os.path.realpath(root), ""))


def _has_link(root: str, path: str) -> bool:
    """Asked of every file, and answered with a call for each folder in between: `realpath` takes five times as long."""
    place = root
    for name in path[len(root) :].strip("/").split("/"):
        place = f"{place}/{name}"
        if os.path.islink(place):
            return True
    return False
