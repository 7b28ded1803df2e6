"""Usage is counted once, whichever of the two records tells of it; gauges are told when they change."""

from __future__ import annotations

from forwarder import ContextSnapshot, CoveredUsage, Event, RateLimit, TokenUsage

from .lines import (
    SECOND,
    THREAD,
    TURN,
    complete,
    context,
    event,
    meta,
    only,
    read,
    response_item,
    started,
    token_count,
    token_record,
    usage,
)


def spent(events: list[Event]) -> list[tuple[int, int, int]]:
    """Input, cached and output tokens of each usage event."""
    return [(u.input_tokens, u.cached_input_tokens, u.output_tokens) for u in only(TokenUsage, events)]


def test_running_totals_become_steps() -> None:
    """The sum of the increments is the last total."""
    events = read(meta(), token_count(usage(10, 4, 2), usage(10, 4, 2)), token_count(usage(30, 9, 5), usage(20, 5, 3)))

    assert spent(events) == [(10, 4, 2), (20, 5, 3)]


def test_repeated_totals_add_nothing() -> None:
    """0.42 to 0.118 write about every second line again because rate limits arrived."""
    once = token_count(usage(10, 4, 2), usage(10, 4, 2))

    assert spent(read(meta(), once, once, once)) == [(10, 4, 2)]


def test_a_line_without_numbers_adds_nothing() -> None:
    """`info` is null in the first line of a turn of 0.42 to 0.118."""
    assert spent(read(meta(), event("token_count", info=None, rate_limits=None))) == []


def test_totals_that_equal_the_last_usage_began_anew() -> None:
    """Before 0.80 a new process counts from zero, and may soon be above the old total."""
    events = read(meta(), token_count(usage(10), usage(10)), token_count(usage(15), usage(15)))

    assert spent(events) == [(10, 0, 0), (15, 0, 0)]


def test_the_same_totals_after_a_new_beginning_are_another_fact() -> None:
    """Two processes can use the same number of tokens first; their keys differ by the generation."""
    lines = [token_count(usage(n), usage(last)) for n, last in ((10, 10), (25, 15), (10, 10))]
    events = read(meta(), *lines)

    assert len({u.key for u in only(TokenUsage, events)}) == 3


def test_an_estimate_is_not_usage() -> None:
    """After a compaction the last usage is all zero but for an estimated total."""
    totals = usage(10, 4, 2)
    events = read(meta(), token_count(totals, totals), token_count(totals, usage(0, total=700)))

    assert spent(events) == [(10, 4, 2)]


def test_an_overflow_resets_the_totals_and_adds_nothing() -> None:
    """The made-up `total_tokens` of a full context is never counted; later totals count on from zero."""
    full = token_count(usage(0, total=1000), usage(0, total=990))
    events = read(meta(), token_count(usage(10), usage(10)), full, token_count(usage(7), usage(7)))

    assert spent(events) == [(10, 0, 0), (7, 0, 0)]


def test_a_record_counts_and_the_totals_behind_it_do_not() -> None:
    """Since 0.153.4 both say the same; the record is the exact one."""
    events = read(meta(), token_record("r1", usage(10, 4, 2)), token_count(usage(10, 4, 2), usage(10, 4, 2)))

    assert [(u.response_id, u.key) for u in only(TokenUsage, events)] == [("r1", (THREAD, "r1"))]


def test_totals_add_what_no_record_told() -> None:
    """A file of two versions holds totals of which records cover only a part."""
    events = read(meta(), token_record("r1", usage(10, 4, 2)), token_count(usage(25, 4, 5), usage(15, 0, 3)))

    assert spent(events) == [(10, 4, 2), (15, 0, 3)]


def test_a_step_beyond_the_last_response_holds_the_one_before_it() -> None:
    """A migration drops the lines of a rolled back turn; its tokens are in the next step, and count once."""
    [used] = only(TokenUsage, events := read(meta(), token_count(usage(25, 4, 5), usage(15, 0, 3))))
    [covered] = only(CoveredUsage, events)
    [before, _] = only(
        TokenUsage,
        read(meta(), token_count(usage(10, 4, 2), usage(10, 4, 2)), token_count(usage(25, 4, 5), usage(15, 0, 3))),
    )

    assert (used.input_tokens, covered.key) == (25, before.key)


def test_what_records_leave_over_has_the_key_of_its_own_response() -> None:
    """The lines of a rolled back turn are gone, and the next turn was written by a version with records."""
    record, total = token_record("r1", usage(15, 0, 3)), token_count(usage(25, 4, 5), usage(15, 0, 3))
    [_, rest] = only(TokenUsage, read(meta(), record, total))
    [before, _] = only(TokenUsage, read(meta(), token_count(usage(10, 4, 2), usage(10, 4, 2)), record, total))

    assert (rest.input_tokens, rest.key) == (10, before.key)


def test_a_record_of_a_known_response_adds_nothing() -> None:
    """Copies of a record must not be covered twice, else the totals behind them lose tokens."""
    record = token_record("r1", usage(10))

    assert spent(read(meta(), record, record)) == [(10, 0, 0)]


def test_a_record_of_another_thread_adds_nothing() -> None:
    """It was copied from the parent, whose own file tells it."""
    assert spent(read(meta(), token_record("r1", usage(10), thread="other"))) == []


def test_a_fork_without_copies_counts_from_its_parents_totals() -> None:
    """Its first total holds the parent's tokens; only what records tell is its own until then."""
    base = {"thread_id": "x", "end_ordinal_exclusive": 9}
    head = meta(forked_from_id="x", history_base=base)
    first = [token_record("r1", usage(13)), token_count(usage(46), usage(13))]
    events = read(head, *first, token_count(usage(50), usage(4)))

    assert spent(events) == [(13, 0, 0), (4, 0, 0)]


def test_usage_names_model_provider_and_turn() -> None:
    """The model of a turn stands only in its turn_context."""
    [used] = only(TokenUsage, read(meta(), started(), context("gpt-6"), token_record("r1", usage(10, 4, 2, 1))))

    assert (used.model, used.provider, used.turn, used.reasoning_tokens, used.total_tokens) == (
        "gpt-6",
        "openai",
        1,
        1,
        12,
    )


def test_the_usage_of_a_summary_is_that_of_a_compaction() -> None:
    """Since 0.155 the summary is marked; the next ordinary response is not."""
    summary = (
        response_item("message", role="assistant", content=[]).removesuffix(b"}")
        + b',"metadata":{"compaction_output":true}}'
    )
    events = read(meta(), started(), summary, token_record("r1", usage(10)), token_record("r2", usage(5)))

    assert [used.purpose for used in only(TokenUsage, events)] == ["compaction", None]


def window(used: float, **fields: object) -> dict[str, object]:
    return {"used_percent": used, "window_minutes": 300} | fields


def limits(**windows: object) -> bytes:
    return event("token_count", info=None, rate_limits={"limit_id": "codex"} | windows)


def test_a_rate_limit_is_told_when_it_changed() -> None:
    """It is a gauge that comes with every response; a window that goes null keeps its last value."""
    first = limits(primary=window(12.5, resets_at=1795230000), secondary=window(40, resets_at=1795800000))
    events = read(
        meta(), first, first, limits(primary=None, secondary=None), limits(primary=window(13, resets_at=1795230000))
    )

    told = [(limit.window, limit.used_percent, limit.resets_at) for limit in only(RateLimit, events)]
    assert told == [
        ("primary", 12.5, "2026-11-21T03:00:00Z"),
        ("secondary", 40.0, "2026-11-27T17:20:00Z"),
        ("primary", 13.0, "2026-11-21T03:00:00Z"),
    ]


def test_seconds_until_the_reset_are_no_change() -> None:
    """Older versions count them down with every line."""
    events = read(
        meta(), limits(primary=window(5, resets_in_seconds=900)), limits(primary=window(5, resets_in_seconds=800))
    )

    assert [limit.resets_at for limit in only(RateLimit, events)] == ["2026-03-01T12:15:01Z"]


def test_another_limit_has_its_own_name() -> None:
    """Two limits with a primary window each are two gauges."""
    other = event("token_count", info=None, rate_limits={"limit_id": "codex_mini", "primary": window(1)})

    assert [limit.window for limit in only(RateLimit, read(meta(), limits(primary=window(2)), other))] == [
        "primary",
        "codex_mini.primary",
    ]


def test_the_context_is_told_at_the_end_of_a_turn() -> None:
    """How full it is follows from the last response and the window."""
    [end] = only(
        ContextSnapshot, read(meta(), started(), token_count(usage(300, 0, 50), usage(300, 0, 50)), complete())
    )

    assert (end.used_tokens, end.context_window, end.percent, end.pressure) == (350, 1000, 35.0, "normal")


def test_a_change_of_pressure_is_told_at_once() -> None:
    """75, 90 and 100 percent are the steps; less of it is a change too."""
    lines = [token_count(usage(n), usage(n), at=n) for n in (700, 760, 800, 950, 1000, 100)]
    events = read(meta(), started(TURN), *lines, complete(), started(SECOND, at=2000))

    told = [(e.previous_pressure, e.pressure) for e in only(ContextSnapshot, events)]
    assert told == [
        ("normal", "approaching_limit"),
        ("approaching_limit", "near_limit"),
        ("near_limit", "at_limit"),
        ("at_limit", "normal"),
        (None, "normal"),
    ]


def test_an_unchanged_high_pressure_is_told_once() -> None:
    """Only changes are news between the ends of turns."""
    events = read(meta(), *[token_count(usage(n), usage(n), at=n) for n in (910, 920)])

    assert [e.pressure for e in only(ContextSnapshot, events)] == ["near_limit"]


def test_a_context_of_nothing_is_not_told() -> None:
    """An empty usage says nothing about the context."""
    assert only(ContextSnapshot, read(meta(), started(), token_count(usage(0), usage(0)), complete())) == []
