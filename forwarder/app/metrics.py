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
    "forwarder_sessions": "sessions that are live now, by agent and state",
    "forwarder_redacted_secrets_total": "secrets that were replaced, by rule",
    "forwarder_received_events_total": "events that a receiver took and that were new",
    "forwarder_received_requests_total": "requests to a receiver, by the status of the answer",
    "forwarder_open_connections": "connections to an address that the forwarder listens at",
    "forwarder_delivered_events_total": "events that a sink acknowledged",
    "forwarder_delivered_batches_total": "batches that a sink acknowledged",
    "forwarder_retries_total": "batches that a sink was given again",
    "forwarder_rejected_events_total": "events that a sink refused for good; they are dead letters",
    "forwarder_behind_events": "events that a sink has still to take or to leave out",
}


class Sample(NamedTuple):
    """One value of one metric; `labels` are names and their values, where there are several of a kind."""

    metric: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """``forwarder_retries_total{sink="team"}``"""
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels)
        return f"{self.metric}{{{labels}}}" if labels else self.metric


def collect(
    senders: Iterable[SenderStatus],
    *,
    journal_events: int,
    journal_bytes: int,
    given_up: int,
    unreadable_files: int,
    sessions: Mapping[tuple[str, str], int],
    redacted: Mapping[str, int],
) -> Iterator[Sample]:
    """Every metric as it stands now. `sessions` counts the live ones by agent and state, `redacted` secrets by rule."""
    yield Sample("forwarder_journal_events_total", journal_events)
    yield Sample("forwarder_journal_bytes", journal_bytes)
    yield Sample("forwarder_given_up_events_total", given_up)
    yield Sample("forwarder_unreadable_files", unreadable_files)
    for (agent, state), count in sessions.items():
        yield Sample("forwarder_sessions", count, (("agent", agent), ("state", state)))
    for rule, count in redacted.items():
        yield Sample("forwarder_redacted_secrets_total", count, (("rule", rule),))
    for sender in senders:
        labels = (("sink", sender.name),)
        yield Sample("forwarder_delivered_events_total", sender.delivered_events, labels)
        yield Sample("forwarder_delivered_batches_total", sender.delivered_batches, labels)
        yield Sample("forwarder_retries_total", sender.retries, labels)
        yield Sample("forwarder_rejected_events_total", sender.dead_lettered, labels)
        yield Sample("forwarder_behind_events", sender.behind, labels)
