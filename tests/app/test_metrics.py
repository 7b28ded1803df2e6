"""The forwarder's own counters."""

from __future__ import annotations

import re

from forwarder.app.metrics import METRICS, Sample, collect
from forwarder.delivery.retry import Circuit
from forwarder.delivery.status import SenderStatus

SENDER = SenderStatus(
    name="team",
    state=Circuit.CLOSED,
    acked=7,
    behind=3,
    delivered_events=5,
    delivered_batches=2,
    events_per_second=0.0,
    retries=4,
    dead_lettered=2,
    last_error=None,
    last_error_time=None,
    next_try=None,
)

# Told by those who listen (test_serving.py).
RECEIVED = {"forwarder_received_events_total", "forwarder_received_requests_total", "forwarder_open_connections"}


def samples() -> list[Sample]:
    counts = {"journal_events": 10, "journal_bytes": 999, "given_up": 1, "unreadable_files": 6}
    return list(collect([SENDER], sessions={("acme", "working"): 2}, redacted={"aws": 8}, **counts))


def test_every_counter_has_its_own_value_and_label() -> None:
    """A number under the wrong name is worse than none."""
    assert {one.name.removeprefix("forwarder_"): one.value for one in samples()} == {
        "journal_events_total": 10,
        "journal_bytes": 999,
        "given_up_events_total": 1,
        "unreadable_files": 6,
        'sessions{agent="acme",state="working"}': 2,
        'redacted_secrets_total{rule="aws"}': 8,
        'delivered_events_total{sink="team"}': 5,
        'delivered_batches_total{sink="team"}': 2,
        'retries_total{sink="team"}': 4,
        'rejected_events_total{sink="team"}': 2,
        'behind_events{sink="team"}': 3,
    }


def test_names_are_listed_once_and_follow_the_rule() -> None:
    """Dashboards are built on them: one list, one form."""
    assert {one.metric for one in samples()} == set(METRICS) - RECEIVED
    assert all(re.fullmatch(r"forwarder(_[a-z]+)+", name) for name in METRICS)
