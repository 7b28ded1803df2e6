"""docs/reliability.md names a test for each promise: it may not name one that is gone."""

from __future__ import annotations

import re
from pathlib import Path

from tests.process.faults.operations import BY_NAME

PROJECT = Path(__file__).parents[1]
PAGE = (PROJECT / "docs" / "reliability.md").read_text()


def test_every_test_that_the_page_names_is_there() -> None:
    """A link reads `[test_name](../tests/file.py)`."""
    links = re.findall(r"\[(test_\w+)\]\(\.\./(\S+?)\)", PAGE)
    sources = {file: (PROJECT / file).read_text() if (PROJECT / file).is_file() else "" for _, file in links}

    assert len(links) > 50
    assert [name for name, file in links if f"def {name}(" not in sources[file]] == []


def test_every_fault_that_the_page_names_is_one_of_the_drivers() -> None:
    """`driver:` is followed by names of operations."""
    lists = re.findall(r"driver: ((?:`\w+`(?:, )?)+)", PAGE)
    names = [name for one in lists for name in re.findall(r"`(\w+)`", one)]

    assert len(names) > 20
    assert [name for name in names if name not in BY_NAME] == []


def test_each_of_the_twenty_cases_has_a_test() -> None:
    """One row each, and a link in every row."""
    rows = re.findall(r"^\| (\d+) \|.*\]\(\.\./tests/", PAGE, re.MULTILINE)

    assert [int(number) for number in rows] == list(range(1, 21))
