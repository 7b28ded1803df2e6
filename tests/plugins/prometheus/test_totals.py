"""What a batch changes of the totals, and what is kept of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from forwarder_prometheus.counting import counted
from forwarder_prometheus.exposition import rendered
from forwarder_prometheus.remembering import notes_of, recall
from forwarder_prometheus.series import MAX_LABEL_CHARS
from forwarder_prometheus.totals import Changes, Limits, Totals
from msgspec import msgpack

from forwarder import Rejected
from forwarder.pipeline.redaction import Redactor
from forwarder.pipeline.rules import Rules
from tests.plugins.prometheus.telling import NOW, batch, event, page, state, tool_call
from tests.test_measures import LEAST, MORE
from tests.test_measures import event as one_of

HOUR = 3600.0
# As broad as rules for secrets come: a word, then whatever stands like a value behind it.
BROAD = rb"""[[rules]]
id = "broad"
regex = '''(?i)(?:key|secret|token|auth)[\w .-]{0,20}["']?[\s]{0,3}(?:=|>|:|,)[\s"'=]{0,5}([\w.=-]{6,150})'''
keywords = ["key", "secret", "token", "auth"]
"""


class Counting:
    """Totals that a test fills, and what the journal would hold of them."""

    def __init__(self, *, series: int = 10_000, per_metric: int = 1_000) -> None:
        self.limits = Limits(series, per_metric)
        self.totals = Totals(self.limits)
        self.notes: dict[str, bytes] = {}
        self.now = NOW

    async def take(self, *events: Mapping[str, Any]) -> Rejected | None:
        changes, rejection = await counted(self.totals, batch(*events), self.now)
        for key, body in notes_of(changes).items():
            if body is None:
                self.notes.pop(key, None)
            else:
                self.notes[key] = body
        self.totals.apply(changes)
        return rejection

    def restart(self) -> None:
        self.totals = Totals(self.limits)
        recall(self.totals, self.notes)

    def page(self) -> dict[str, float]:
        return page(rendered(Changes(self.totals, self.now).snapshot(), "text"))


@pytest.fixture
def counting() -> Counting:
    return Counting()


async def test_equal_labels_add_up(counting: Counting) -> None:
    """Counters and histograms are absolute, over all batches."""
    await counting.take(tool_call(1, duration_ms=200), tool_call(2, duration_ms=40_000))
    await counting.take(tool_call(3), tool_call(4, outcome="error"))
    found = counting.page()

    assert found['agent_tool_calls_total{agent="acme",outcome="ok",tool="bash"}'] == 3
    assert found['agent_tool_calls_total{agent="acme",outcome="error",tool="bash"}'] == 1
    assert found['agent_tool_call_duration_seconds_sum{agent="acme",tool="bash"}'] == 40.2
    buckets = {
        key: found[f'agent_tool_call_duration_seconds_bucket{{agent="acme",le="{key}",tool="bash"}}']
        for key in ("0.1", "0.25", "30.0", "60.0", "+Inf")
    }
    assert buckets == {"0.1": 0, "0.25": 1, "30.0": 1, "60.0": 2, "+Inf": 2}


async def test_adding_small_sums_up_leaves_no_error(counting: Counting) -> None:
    """A tenth has no exact float; a thousand of them are a hundred all the same."""
    usage = {"input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "cost_usd": 0.1}
    await counting.take(*(event(number, "token_usage", model="m", **usage) for number in range(1_000)))

    assert counting.page() == {'agent_cost_usd_total{agent="acme",model="m",source="unknown"}': 100.0}


async def test_notes_bring_everything_back(counting: Counting) -> None:
    """After a restart the page is the same, whatever kinds of series it had."""
    await counting.take(
        tool_call(1, duration_ms=200),
        state(2, "working"),
        state(3, "idle", session_id="s2"),
        event(4, "context_snapshot", pressure="normal", percent=61.5),
        event(5, "rate_limit", window="primary", used_percent=12.5, resets_at="2026-11-21T02:00:00Z"),
    )
    before = counting.page()
    counting.restart()

    assert counting.page() == before
    assert 'agent_sessions{agent="acme",state="idle"}' in before


async def test_a_batch_that_was_not_acknowledged_is_counted_once(counting: Counting) -> None:
    """Killed between counting and the commit, the notes are those from before it."""
    await counting.take(tool_call(1))
    await counted(counting.totals, batch(tool_call(2)), NOW)
    counting.restart()
    await counting.take(tool_call(2))

    assert counting.page()['agent_tool_calls_total{agent="acme",outcome="ok",tool="bash"}'] == 2


async def test_only_changed_series_are_noted(counting: Counting) -> None:
    """The journal is not written anew with every batch."""
    await counting.take(*(tool_call(number, f"tool{number}") for number in range(50)))
    changes, _ = await counted(counting.totals, batch(tool_call(60, "tool7")), NOW)

    assert len(notes_of(changes)) == 1


async def test_a_note_that_cannot_be_read_costs_one_series(counting: Counting) -> None:
    """An older release finds what a newer one noted, and goes on with the rest."""
    await counting.take(tool_call(1), event(2, "prompt"))
    counting.notes["series new"] = msgpack.encode({"type": "Quantum"})
    counting.restart()

    assert len(counting.page()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("rules", [Rules.load_builtin(), Rules.from_toml(BROAD, origin="broad")], ids=["ours", "broad"])
async def test_no_note_looks_like_a_secret(counting: Counting, rules: Rules) -> None:
    """The journal forgets notes in which it finds one: a series whose name says `tokens` would begin anew each time."""
    words = ("get_token", "api-key", "auth login", "claude-sonnet-4-5-20250929", "mcp__vault__read_secret")
    told = [
        one_of(kind, **MORE.get(kind, {}), agent=agent, session_id=f"{kind} {agent}")
        for kind in LEAST
        for agent in ("claude-code", "pi", "secrets-agent")
    ]
    calls = [tool_call(number, f"{word}{number:03}") for number, word in enumerate(words * 8)]
    usage = {"input_tokens": 9, "cached_input_tokens": 1, "output_tokens": 1}
    spent = [event(900 + number, "token_usage", model=word, **usage) for number, word in enumerate(words)]
    await counting.take(*told, *calls, *spent)
    redactor = Redactor(rules)

    assert len(counting.notes) > 150
    assert [
        key for key, body in counting.notes.items() if redactor.has_secret(f"{key}\n{body.decode(errors='replace')}")
    ] == []


async def test_above_the_limit_of_a_metric_labels_become_other(counting: Counting) -> None:
    """Ten thousand names of tools are one series more, and the sum stays right."""
    counting = Counting(per_metric=3)
    await counting.take(*(tool_call(number, f"tool{number}") for number in range(10)), tool_call(99, "tool1"))
    found = counting.page()

    assert found == {
        'agent_tool_calls_total{agent="acme",outcome="ok",tool="tool0"}': 1,
        'agent_tool_calls_total{agent="acme",outcome="ok",tool="tool1"}': 2,
        'agent_tool_calls_total{agent="acme",outcome="ok",tool="tool2"}': 1,
        'agent_tool_calls_total{agent="other",outcome="other",tool="other"}': 7,
        'forwarder_series_overflow_total{metric="agent_tool_calls_total"}': 7,
    }


async def test_all_metrics_together_have_a_limit_too() -> None:
    """Each bucket of a histogram is a series to the server."""
    counting = Counting(series=40)
    await counting.take(*(tool_call(number, f"tool{number}", duration_ms=5) for number in range(30)))
    kept = {key for key in counting.page() if "other" not in key and "overflow" not in key}

    assert len(kept) <= 40
    assert sum(value for key, value in counting.page().items() if key.startswith("agent_tool_calls_total")) == 30


async def test_the_limit_holds_after_a_restart() -> None:
    """What was noted takes room like what was counted."""
    counting = Counting(per_metric=2)
    await counting.take(tool_call(1, "a"), tool_call(2, "b"))
    counting.restart()
    await counting.take(tool_call(3, "c"))

    assert counting.page()['agent_tool_calls_total{agent="other",outcome="other",tool="other"}'] == 1


async def test_label_bombs_leave_short_clean_values(counting: Counting) -> None:
    """Names come from models: line breaks, quotes, terminal codes, a megabyte."""
    bombs = ["x" * 1_000_000, 'a"} 1\nfake_total{a="', "\x1b[31mred\x00", "  ", "\ud7ff\ufffe grün"]
    await counting.take(*(tool_call(number, bomb) for number, bomb in enumerate(bombs)))
    labels = [
        label
        for name, labels in counting.totals.series
        if name == "agent_tool_calls_total"
        for key, label in labels
        if key == "tool"
    ]

    assert all(label.isprintable() and 0 < len(label) <= MAX_LABEL_CHARS for label in labels)
    assert len(counting.page()) == len(bombs)


async def test_agents_by_state_follows_each_session(counting: Counting) -> None:
    """A session is in one state; one that ended is in none."""
    await counting.take(state(1, "working"), state(2, "working", session_id="s2"), state(3, "idle", session_id="s3"))
    await counting.take(
        state(4, "waiting_permission", time="2026-11-21T01:10:00.000Z"),
        event(5, "session_end", session_id="s3", reason="exit", time="2026-11-21T01:10:00.000Z"),
    )
    found = {key: value for key, value in counting.page().items() if key.startswith("agent_sessions{")}

    assert found == {
        'agent_sessions{agent="acme",state="waiting_permission"}': 1,
        'agent_sessions{agent="acme",state="working"}': 1,
    }


@pytest.mark.parametrize("seed", range(5))
async def test_the_order_of_two_files_does_not_matter(counting: Counting, seed: int) -> None:
    """Hooks and transcripts tell of one session at different speeds; the newest fact stands."""
    told = [
        state(1, "working", time="2026-11-21T01:00:01.000Z"),
        state(2, "idle", time="2026-11-21T01:00:05.000Z"),
        event(3, "session_end", reason="exit", time="2026-11-21T01:00:09.000Z"),
        event(4, "rate_limit", window="w", used_percent=10.0, time="2026-11-21T01:00:01.000Z"),
        event(5, "rate_limit", window="w", used_percent=20.0, time="2026-11-21T01:00:02.000Z"),
    ]
    random.Random(seed).shuffle(told)
    await counting.take(*told)

    found = {key: value for key, value in counting.page().items() if not key.endswith('total{agent="acme"}')}
    assert found == {
        'agent_sessions_ended_total{agent="acme",reason="exit"}': 1,
        'agent_rate_limit_used_ratio{agent="acme",window="w"}': 0.2,
    }


async def test_a_resumed_session_is_live_again(counting: Counting) -> None:
    """Its end was true then; a start that follows takes it back."""
    await counting.take(
        event(1, "session_end", reason="exit"),
        event(2, "session_start", reason="resume", time="2026-11-21T01:00:00.500Z"),
        state(3, "working", time="2026-11-21T01:00:00.500Z"),
    )

    assert counting.page()['agent_sessions{agent="acme",state="working"}'] == 1


async def test_a_session_that_never_ends_is_forgotten(counting: Counting) -> None:
    """A closed window says nothing; after a night of silence nobody waits for it."""
    await counting.take(state(1, "working"), state(2, "idle", session_id="s2"))
    counting.now += 15 * HOUR
    await counting.take(event(3, "prompt", time="2026-11-21T16:00:00.000Z"))
    counting.now += 2 * HOUR
    await counting.take()
    counting.restart()

    assert [key for key in counting.page() if key.startswith("agent_sessions{")] == [
        'agent_sessions{agent="acme",state="working"}'
    ]
    assert len([key for key in counting.notes if key.startswith("session")]) == 1


async def test_an_end_by_a_coarse_clock_stands(counting: Counting) -> None:
    """A hook's clock without fractions tells the end up to a second before what preceded it."""
    await counting.take(
        event(1, "session_end", reason="exit", time="2026-11-21T01:00:09.000Z"),
        state(2, "idle", time="2026-11-21T01:00:09.400Z"),
    )

    assert counting.page() == {'agent_sessions_ended_total{agent="acme",reason="exit"}': 1}


async def test_sessions_have_a_limit(counting: Counting) -> None:
    """Whoever invents sessions by the thousand takes no more room than that; the newest stay."""
    times = [f"2026-11-21T01:00:00.{number:03}Z" for number in range(4)]
    await counting.take(*(state(number, "idle", session_id=f"s{number}", time=at) for number, at in enumerate(times)))
    changes = Changes(counting.totals, NOW)
    changes.forget_silent(most=3)

    assert list(changes.sessions.values()) == [None]
    assert counting.totals.sessions[next(iter(changes.sessions))].heard == NOW - HOUR


async def test_history_makes_nobody_live(counting: Counting) -> None:
    """A backfill of last month, or a clock of 1970, counts, but nobody waits for an answer there."""
    await counting.take(
        state(1, "working", time="1970-01-01T00:00:00.000Z"), event(2, "prompt", time="2026-10-21T01:00:00.000Z")
    )

    assert counting.page() == {'agent_prompts_total{agent="acme"}': 1}


async def test_a_clock_that_is_ahead_does_not_win_for_ever(counting: Counting) -> None:
    """A value of 2970 would be the newest until then."""
    await counting.take(event(1, "rate_limit", window="w", used_percent=99.0, time="2970-01-01T00:00:00.000Z"))
    counting.now += HOUR
    await counting.take(event(2, "rate_limit", window="w", used_percent=20.0, time="2026-11-21T02:30:00.000Z"))

    assert counting.page() == {'agent_rate_limit_used_ratio{agent="acme",window="w"}': 0.2}


async def test_context_is_that_of_the_fullest_session(counting: Counting) -> None:
    """The one that is about to compact is the one to know of."""
    await counting.take(
        event(1, "context_snapshot", pressure="normal", percent=20),
        event(2, "context_snapshot", pressure="near_limit", percent=90, session_id="s2"),
    )

    assert counting.page() == {'agent_context_used_ratio{agent="acme"}': 0.9}


async def test_pis_compactions_have_the_names_of_its_extension(counting: Counting) -> None:
    """A dashboard made for pi-daemon finds its series, and no agent but pi is in them."""
    compaction = {
        "trigger": "auto",
        "tokens_before": 900,
        "tokens_after": 100,
        "summary_chars": 77,
        "duration_ms": 3000,
    }
    await counting.take(
        event(1, "session_start", agent="pi", reason="startup"),
        event(2, "compaction", agent="pi", **compaction),
        event(3, "compaction", **compaction),
        event(4, "session_end", agent="pi", reason="exit"),
    )
    found = {key: value for key, value in counting.page().items() if key.startswith("pi_") and "bucket" not in key}

    assert found == {
        "pi_compaction_duration_seconds_count": 1,
        "pi_compaction_duration_seconds_sum": 3,
        "pi_compaction_summary_length": 77,
        "pi_compaction_tokens_after": 100,
        "pi_compaction_tokens_before": 900,
        "pi_compaction_tokens_saved": 800,
        "pi_compaction_total": 1,
        "pi_sessions_ended": 1,
        "pi_sessions_started": 1,
    }


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"agent": ...}, "no field 'agent'"),
        ({"outcome": ...}, "no field 'outcome'; does `rename` hide it?"),
        ({"duration_ms": -5}, "agent_tool_call_duration_seconds cannot take -0.005"),
        ({"duration_ms": 10**400}, "too large"),
        ({"time": "yesterday"}, "yesterday"),
    ],
    ids=["no agent", "renamed", "negative", "huge", "time"],
)
async def test_an_event_that_cannot_be_counted_costs_itself(
    counting: Counting, broken: dict[str, Any], said: str
) -> None:
    """Nothing of it is counted, all of the rest is, and its id says which it was."""
    bad = {key: value for key, value in {**tool_call(1, duration_ms=1), **broken}.items() if value is not ...}
    rejection = await counting.take(bad, tool_call(2))

    assert rejection is not None
    assert rejection.refused == {f"{1:032x}"}
    assert said in str(rejection)
    assert counting.page() == {'agent_tool_calls_total{agent="acme",outcome="ok",tool="bash"}': 1}


async def test_a_type_that_nobody_knows_yet_is_no_trouble(counting: Counting) -> None:
    """An event type of a later release is left out."""
    assert await counting.take(event(1, "telepathy", strength=3)) is None
    assert counting.page() == {}
