"""JSON and numbers as JavaScript has them; the wanted forms were printed by Node."""

from __future__ import annotations

import math
from typing import Any

import pytest
from forwarder_pi.javascript import MISSING, is_truthy, member, number, number_text, parse, plain, stringify, text


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (30001, "30001"),
        (5.84, "5.84"),
        (84.89999999999999, "84.89999999999999"),
        (-1.5, "-1.5"),
        (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_have_javascripts_form(value: float, wanted: str) -> None:
    """The digits are Python's, the place where an exponent begins is not."""
    assert number_text(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("", 0),
        (" \ufeff\u00a060000\u2028", 60000),
        ("0xEA60", 60000),
        ("0b101", 5),
        ("0o17", 15),
        ("017", 17),
        ("6e4", 60000),
        (".5", 0.5),
        ("5.", 5),
        ("-Infinity", -math.inf),
        ("0x" + "f" * 300, math.inf),
        (None, 0),
        (True, 1),
        ([], 0),
        ([7], 7),
        ([None], 0),
        (7, 7),
    ],
)
def test_what_is_a_number_to_javascript(value: object, wanted: float) -> None:
    """An empty text and an empty list are 0."""
    assert number(value) == wanted


@pytest.mark.parametrize(
    "value", ["abc", "1_000", "-0x1", ".", "1e", "infinity", "٣", "5\x85", "\x1c5", {}, [1, 2], MISSING]
)
def test_what_is_none(value: object) -> None:
    """Python would take some of these, and trim others."""
    assert math.isnan(number(value))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("a", "a"),
        (True, "true"),
        (False, "false"),
        (1.0, "1"),
        (None, "null"),
        ([1, [2, None], "x"], "1,2,,x"),
        ({"a": 1}, "[object Object]"),
        (MISSING, "undefined"),
    ],
)
def test_everything_has_a_text(value: object, wanted: str) -> None:
    """Keys of objects are made of these."""
    assert text(value) == wanted


@pytest.mark.parametrize("value", [[], {}, "false", 1, True])
def test_empty_lists_and_objects_are_true(value: object) -> None:
    """Unlike empty texts and zero."""
    assert is_truthy(value)


@pytest.mark.parametrize("value", ["", 0, 0.0, False, None, MISSING])
def test_nothing_is_false(value: object) -> None:
    """As in JavaScript."""
    assert not is_truthy(value)


@pytest.mark.parametrize(
    ("value", "wanted"), [({"id": 1}, 1), ({}, MISSING), ([], MISSING), ("id", MISSING), (None, MISSING)]
)
def test_only_objects_have_members(value: object, wanted: object) -> None:
    """A heartbeat may hold anything anywhere."""
    assert member(value, "id") is wanted


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (
            '{"b":1,"10":2,"9":3,"01":4,"-1":5,"4294967294":6,"4294967295":7}',
            '{"9":3,"10":2,"4294967294":6,"b":1,"01":4,"-1":5,"4294967295":7}',
        ),
        ('{"a":1,"b":2,"a":3}', '{"a":3,"b":2}'),
        ('{"__proto__":{"x":1}}', '{"__proto__":{"x":1}}'),
        ('"\\ud83d x"', '"\\ud83d x"'),
        ('"\\ud83d\\ude00"', '"😀"'),
        ('"\u2028\u2029\x7fé"', '"\u2028\u2029\x7fé"'),
        ('"\\u0000\\u001F\\b\\f\\n\\r\\t\\"\\\\\\/"', '"\\u0000\\u001f\\b\\f\\n\\r\\t\\"\\\\/"'),
        (" [1.0, 1e2, 9007199254740993, 1e400, -0]\t\r\n", "[1,100,9007199254740992,null,0]"),
        ("[{}, [], null, true, false]", "[{},[],null,true,false]"),
    ],
)
def test_documents_keep_their_form(source: str, wanted: str) -> None:
    """Keys that look like indexes come first, lone surrogates are escaped, other text is raw."""
    assert stringify(parse(source)) == wanted


def test_an_indent_breaks_lines() -> None:
    """But not empty lists and objects."""
    assert stringify(parse('{"a":[1,{"b":[]}],"c":{}}'), indent="  ") == (
        '{\n  "a": [\n    1,\n    {\n      "b": []\n    }\n  ],\n  "c": {}\n}'
    )


@pytest.mark.parametrize("source", ["NaN", "[Infinity]", "\ufeff1", "\u00a01", "01", '"\x01"', "[1,]", "", "nul"])
def test_what_javascript_refuses_is_refused(source: str) -> None:
    """Python's own parser takes the first two."""
    with pytest.raises(ValueError, match=r".+"):
        parse(source)


def test_whole_numbers_are_ints_as_far_as_doubles_are_exact() -> None:
    """So that a document is as handy in Python as one from `json`."""
    got: list[Any] = [plain(value) for value in (5.0, 0.5, 2.0**53, 2.0**54, math.inf)]

    assert [type(value) for value in got] == [int, float, int, float, float]


def test_what_has_no_json_form_is_an_error() -> None:
    """A mistake of ours, not of a file's."""
    with pytest.raises(TypeError, match="set has no JSON form"):
        stringify({"a": set[int]()})
