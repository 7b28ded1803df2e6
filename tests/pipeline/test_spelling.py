"""Texts with JSON escapes, read plain and traced back."""

import json

from hypothesis import given
from hypothesis import strategies as st

from forwarder.pipeline.spelling import Unescaped


def test_spans_lead_back_to_the_escapes() -> None:
    """What is found in the plain text is replaced in the original."""
    original = rb"a\u0040b\\u002Ec"

    text = Unescaped(original)

    assert text.data == b"a@b.c"
    assert text.original(0, 5) == (0, len(original))
    assert original[slice(*text.original(1, 2))] == rb"\u0040"
    assert original[slice(*text.original(2, 4))] == rb"b\\u002E"


@given(st.lists(st.sampled_from(["a", "é", "@", "\\u0041", "\\\\u0042", "\\n"]), max_size=12), st.data())
def test_every_span_means_the_same_in_both(pieces: list[str], data: st.DataObject) -> None:
    """Whatever is plain or escaped around it."""
    original = "".join(pieces).encode()
    text = Unescaped(original)
    if not text.data:
        return
    start = data.draw(st.integers(0, len(text.data) - 1))
    end = data.draw(st.integers(start + 1, len(text.data)))

    assert Unescaped(original[slice(*text.original(start, end))]).data == text.data[start:end]


def test_json_decodes_to_the_same() -> None:
    """One level of escapes means what JSON says it means."""
    assert Unescaped(rb"x\u0021\u007e").data.decode() == json.loads(rb'"x\u0021\u007e"')
