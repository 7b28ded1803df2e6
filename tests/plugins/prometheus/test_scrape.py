"""The sink `prometheus`: the page that it answers with, and when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from forwarder_prometheus.exposition import wanted
from forwarder_prometheus.scrape import SETTLED_SECONDS, Prometheus

from forwarder import Answer, ConfigError, Event, Notes, Request, Route
from forwarder.testing import ManualClock
from tests.plugins.prometheus.telling import batch, event, openmetrics_families, page, state, tool_call

CALLS = 'agent_tool_calls_total{agent="acme",outcome="ok",tool="bash"}'
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Nothing:
    """What the handlers of a sink get: it takes nothing."""

    async def __call__(self, events: Iterable[Event], /, *, notes: Notes | None = None) -> int:
        raise AssertionError(f"a page takes no {events} and no {notes}")

    def clean(self, text: str, /) -> str:
        raise AssertionError(f"a page shows no {text}")


def made() -> tuple[Prometheus, ManualClock]:
    sink = Prometheus()
    sink.clock = clock = ManualClock(datetime(2026, 11, 21, 2, tzinfo=UTC))
    return sink, clock


async def asked(sink: Prometheus, **headers: str) -> Answer:
    (route,) = sink.routes()
    assert isinstance(route, Route)
    return await route.handler(Request("GET", "/metrics", headers), Nothing())


async def shown(sink: Prometheus) -> dict[str, float]:
    body = (await asked(sink)).body
    assert isinstance(body, bytes)
    return page(body)


async def test_what_was_counted_is_shown() -> None:
    """All series, once they are in the journal."""
    sink, clock = made()
    await sink.send(batch(tool_call(1), tool_call(2)))
    clock.advance(SETTLED_SECONDS)

    assert await shown(sink) == {CALLS: 2}


async def test_nothing_is_shown_that_a_crash_could_take_back() -> None:
    """A counter that falls is one that began anew, to the server: all of it would count again."""
    sink, _ = made()
    await sink.send(batch(tool_call(1)))
    before = await shown(sink)
    await sink.send(batch(tool_call(2)))

    assert (before, await shown(sink)) == ({}, {CALLS: 1})


async def test_notes_are_those_of_the_newest_batch() -> None:
    """They go into the journal with its acknowledgement, not with the next one's."""
    sink, clock = made()
    await sink.send(batch(tool_call(1)))
    notes = {key: body for key, body in sink.notes().items() if body is not None}
    again, _ = made()
    again.recall(notes)

    clock.advance(SETTLED_SECONDS)
    assert await shown(again) == await shown(sink) == {CALLS: 1}


async def test_a_session_leaves_the_page_without_an_event() -> None:
    """The page is made when it is asked for, so a night of silence shows at once."""
    sink, clock = made()
    await sink.send(batch(state(1, "working")))
    clock.advance(3600)
    before = await shown(sink)
    clock.advance(16 * 3600)

    assert (len(before), await shown(sink)) == (1, {})


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "text"),
        ("*/*", "text"),
        ("text/plain", "text"),
        ("application/openmetrics-text", "openmetrics"),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "openmetrics"),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", "text"),
        ("application/openmetrics-text;q=0", "text"),
        ("application/openmetrics-text;q=much, text/plain", "text"),
        ("Application/OpenMetrics-Text ; version=1.0.0", "openmetrics"),
        ("application/json", "text"),
        (";;;,,,q=;", "text"),
    ],
)
def test_the_format_is_what_is_asked_for(accept: str, form: str) -> None:
    """Servers say what they read best; whoever says nothing gets the format that all read."""
    assert wanted(accept) == form


async def test_both_formats_hold_the_same() -> None:
    """The type of pi's counters without `_total` is one that both know."""
    sink, clock = made()
    await sink.send(
        batch(
            tool_call(1, duration_ms=70),
            event(2, "session_start", agent="pi", reason="startup"),
            event(3, "context_snapshot", pressure="normal", percent=12.5),
        )
    )
    clock.advance(SETTLED_SECONDS)
    text, openmetrics = await asked(sink), await asked(sink, accept=OPENMETRICS)

    assert (text.headers["Content-Type"], openmetrics.headers["Content-Type"]) == (TEXT, OPENMETRICS)
    assert isinstance(openmetrics.body, bytes)
    assert isinstance(text.body, bytes)
    families = openmetrics_families(openmetrics.body)
    assert {one.name: one.type for one in families}["pi_sessions_started"] == "unknown"
    assert b"_created" not in openmetrics.body + text.body
    assert sum(len(one.samples) for one in families) == len(page(text.body))
    assert openmetrics.body.endswith(b"# EOF\n")


def test_it_asks_for_a_token_where_one_is_set() -> None:
    """What agents cost is nobody's business; the route is not one of those that are open to all."""
    sink, _ = made()

    assert [one.is_open for one in sink.routes()] == [False]
    assert sink.serving().listen.startswith("127.0.0.1:")


@pytest.mark.parametrize("options", [{"max_series": 0}, {"max_series_per_metric": 0}])
def test_a_limit_of_nothing_is_refused(options: dict[str, Any]) -> None:
    """It would be a page without a metric, told by nobody."""
    with pytest.raises(ConfigError, match="must be at least 1"):
        Prometheus(**options)
