"""docs/security.md names a test for each of its sentences: it may not name one that is gone."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGE = (PROJECT / "docs" / "security.md").read_text()


def test_every_test_that_the_page_names_is_there() -> None:
    """A link reads `[test_name](../tests/file.py)`."""
    links = re.findall(r"\[(test_\w+)\]\(\.\./(\S+?)\)", PAGE)
    sources = {file: (PROJECT / file).read_text() if (PROJECT / file).is_file() else "" for _, file in links}

    assert len(links) > 20
    assert [name for name, file in links if f"def {name}(" not in sources[file]] == []


def test_every_sentence_about_what_somebody_cannot_do_has_a_test() -> None:
    """All but the last part, which says what is not protected."""
    promises, _, _ = PAGE.partition("## What is not protected")
    sentences = re.findall(r"^\* (.+?)(?=^\* |^$)", promises, re.MULTILINE | re.DOTALL)

    assert len(sentences) > 12
    assert [one for one in sentences if "](../tests/" not in one] == []
