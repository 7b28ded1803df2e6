"""The README lists every metric as it is, and names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import forwarder_prometheus
from forwarder_prometheus.metrics import HELP, OVERFLOW, PI_NAMES, type_of

from forwarder import measures
from tests.test_measures import LEAST, MORE, event

PROJECT = Path(__file__).parents[3]
PAGE = (Path(forwarder_prometheus.__file__).parent / "README.md").read_text()
ROWS = [[cell.strip() for cell in row] for row in re.findall(r"^\| (`\w+`) \| (\w+) \| (.*?) \| (.*?) \|$", PAGE, re.M)]


def test_the_table_has_every_metric_with_its_type() -> None:
    """A metric that is not in the list is found by nobody."""
    named = dict(re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram|unknown) \|", PAGE, re.MULTILINE))

    assert named == {name: type_of(name) for name in HELP}


def test_the_table_has_the_labels_and_the_event_of_every_metric() -> None:
    """Whoever writes a query goes by them."""
    made = {
        one.name: (", ".join(sorted(one.labels)), kind)
        for kind in LEAST
        for one in measures(event(kind, **MORE.get(kind, {})))
    }
    listed = {
        name.strip("`"): (labels, source.split("`")[1])
        for name, _, labels, source in ROWS
        if name.strip("`") != OVERFLOW and "`" in source
    }

    assert listed == made


def test_pis_names_stand_beside_what_they_are() -> None:
    """They follow from ours, so the table may not say otherwise."""
    assert dict(re.findall(r"^\| `(pi_\w+)` \| \w+ \| `(\w+)` \|$", PAGE, re.MULTILINE)) == {
        name: like for like, name in PI_NAMES.items()
    }


def test_every_test_that_the_page_names_is_there() -> None:
    """A link reads `[test_name](../../tests/file.py)`."""
    links = re.findall(r"\[(test_\w+)\]\(\.\./\.\./(\S+?)\)", PAGE)

    assert len(links) >= 8
    assert [name for name, file in links if f"def {name}(" not in (PROJECT / file).read_text()] == []
