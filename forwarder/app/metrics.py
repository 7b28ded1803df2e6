"""The forwarder's own counters, named in one place.

They are collected where they are counted (the senders, the journal, the redactor) when somebody asks: the hot path
knows nothing of them. What ends in `_total` only ever grows while the process lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from forwarder.delivery.status import SenderStatus

METRICS = {
    "forwarder_journal_events_total": "events in the journal since it was made, delivered or not",
    "forwarder_journal_bytes": "size of the events that the journal holds now",
    "forwarder_given_up_events_total": "events that a full journal cost, where the configuration says drop",
    "forwarder_unreadable_files": "files that cannot be read at the moment",
    "forwarder_redacted_secrets_total": "secrets that were replaced, by rule",
    "forwarder_delivered_events_total": "events that a sink acknowledged",
    "forwarder_delivered_batches_total": "batches that a sink acknowledged",
    "forwarder_retries_total": "batches that a sink was given again",
    "forwarder_rejected_events_total": "events that a sink refused for good; they are dead letters",
    "forwarder_behind_events": "events that a sink has still to take or to leave out",
}


class Sample(NamedTuple):
    """One value of one metric; `label` is a name and its value, where there are several of a kind."""

    metric: str
    value: float
    label: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """``forwarder_retries_total{sink="team"}``"""
        return self.metric + (f'{{{self.label[0]}="{self.label[1]}"}}' if self.label else "")


def collect(
    senders: Iterable[SenderStatus],
    *,
    journal_events: int,
    journal_bytes: int,
    given_up: int,
    unreadable_files: int,
    redacted: Mapping[str, int],
) -> Iterator[Sample]:
    """Every metric as it stands now. `redacted` counts secrets by the rule that found them."""
    yield Sample("forwarder_journal_events_total", journal_events)
    yield Sample("forwarder_journal_bytes", journal_bytes)
    yield Sample("forwarder_given_up_events_total", given_up)
    yield Sample("forwarder_unreadable_files", unreadable_files)
    for rule, count in redacted.items():
        yield Sample("forwarder_redacted_secrets_total", count, ("rule", rule))
    for sender in senders:
        label = ("sink", sender.name)
        yield Sample("forwarder_delivered_events_total", sender.delivered_events, label)
        yield Sample("forwarder_delivered_batches_total", sender.delivered_batches, label)
        yield Sample("forwarder_retries_total", sender.retries, label)
        yield Sample("forwarder_rejected_events_total", sender.dead_lettered, label)
        yield Sample("forwarder_behind_events", sender.behind, label)
