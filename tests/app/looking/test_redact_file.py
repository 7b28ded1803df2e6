"""What `redact` tells about a file."""

from __future__ import annotations

import io

import pytest

from forwarder.app.config import load
from forwarder.app.looking import redact_file
from forwarder.app.looking.redact_file import Examination, examine, report_lines

AWS = b"AKIAW5NO4GHZXSOEL25B"
KEY = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"A" * 64 + b"\n-----END RSA PRIVATE KEY-----\n"


def examined(content: bytes) -> Examination:
    return examine(io.BytesIO(content), load(is_ignored=True))


def test_findings_are_counted_by_rule_with_their_lines() -> None:
    """Two on one line are two; lines count from 1 also behind characters of several bytes."""
    report = examined("naïve 世界\n".encode() + AWS + b" " + AWS + b"\nnothing\n" + AWS)

    assert [(one.count, one.lines) for one in report.rules] == [(3, [2, 2, 4])]


def test_a_secret_of_many_lines_is_one_finding() -> None:
    """A private key is found as a whole, on the line where it begins."""
    assert [(one.rule, one.lines) for one in examined(b"\n\n" + KEY).rules] == [("private-key", [3])]


def test_lines_are_right_behind_the_first_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of any size is read in pieces, and a secret is never cut between two of them."""
    monkeypatch.setattr(redact_file, "CHUNK_BYTES", 16)
    content = b"".join(b"line %d\n" % number for number in range(9)) + AWS + b"\n" + AWS

    assert examined(content).rules[0].lines == [10, 11]


def test_the_value_is_never_shown() -> None:
    """The report may be pasted anywhere."""
    text = "\n".join(report_lines(examined(AWS + b"\n" + KEY)))

    assert "     1  private-key  line 2" in text
    assert "     2  in all" in text
    assert AWS.decode() not in text


def test_a_clean_file_says_so() -> None:
    """Nothing found is an answer too."""
    assert list(report_lines(examined(b"hello\n")))[1:] == ["     0  in all"]
