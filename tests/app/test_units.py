"""Sizes, durations, moments and speeds as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from forwarder.app.units import parse_bytes, parse_moment, parse_seconds, parse_speed, show_bytes, show_seconds

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GiB", 1 << 30), ("512 MiB", 512 << 20), ("10MB", 10_000_000), ("1.5 kib", 1536), (" 7 ", 7), (4096, 4096)],
)
def test_a_size_is_read_in_any_unit(text: object, size: int) -> None:
    """People write what their other tools taught them; all of it means one number of bytes."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize("wrong", ["", "GiB", "1 XB", "-1", -1, True, 1.5, None])
def test_what_is_no_size_is_said_to_be_none(wrong: object) -> None:
    """A limit that was misread would be worse than a start that fails."""
    with pytest.raises(ValueError, match="wants a size"):
        parse_bytes(wrong)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7d", 604800.0), ("24h", 86400.0), ("90s", 90.0), ("1h 30m", 5400.0), ("250ms", 0.25), (7.5, 7.5), (10, 10.0)],
)
def test_a_duration_is_read_in_any_unit(text: object, seconds: float) -> None:
    """Numbers are seconds, words carry their unit."""
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("wrong", ["", "soon", "3 fortnights", "7d later", -1, float("inf"), float("nan"), False, []])
def test_what_is_no_duration_is_said_to_be_none(wrong: object) -> None:
    """A time that was misread would keep too little or wait for ever."""
    with pytest.raises(ValueError, match="wants a time"):
        parse_seconds(wrong)


def test_a_moment_is_a_date_a_time_or_how_long_ago() -> None:
    """`--since` takes what one has at hand."""
    assert parse_moment("2026-05-01T12:00Z", now=NOW) == datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert parse_moment("2026-05-01T12:00+02:00", now=NOW) == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert parse_moment("36h", now=NOW) == datetime(2026, 5, 9, tzinfo=UTC)
    assert parse_moment("2026-05-01", now=NOW).tzinfo is UTC


@pytest.mark.parametrize("wrong", ["yesterday", "2026-13-01", "99999999999d"])
def test_what_is_no_moment_is_said_to_be_none(wrong: str) -> None:
    """A replay of the wrong days would go unnoticed."""
    with pytest.raises(ValueError, match="is no time: write"):
        parse_moment(wrong, now=NOW)


def test_a_speed_is_a_factor_or_max() -> None:
    """Max is no number: there is nothing to wait for."""
    assert [parse_speed(text) for text in ("1x", "10", "0.5x", "max")] == [1.0, 10.0, 0.5, None]


@pytest.mark.parametrize("wrong", ["0x", "-1x", "fast", "x"])
def test_what_is_no_speed_is_said_to_be_none(wrong: str) -> None:
    """At speed 0 a replay would never end."""
    with pytest.raises(ValueError, match="is no speed"):
        parse_speed(wrong)


def test_sizes_and_durations_are_shown_in_the_unit_that_fits() -> None:
    """What `status` shows is read at a glance."""
    assert [show_bytes(size) for size in (0, 1023, 1536, 1 << 30, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "1 GiB",
        "3.0 TiB",
    ]
    assert [show_seconds(one) for one in (0.0, 45.0, 240.0, 9000.0, 604800.0)] == [
        "0 s",
        "45 s",
        "4 min",
        "2.5 h",
        "7 d",
    ]
