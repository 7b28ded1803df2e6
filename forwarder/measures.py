"""What events come to as numbers: the one list of metrics that sinks for metrics are made of.

Names, units and kinds follow the conventions of metrics: base units (seconds, bytes, ratios from 0 to 1), counters end
in ``_total``. Labels have few values: agents, models, tools, outcomes; never a host, a path or a session, whose values
would never end. A sink that can afford it finds the session beside the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Combine = Literal["last", "sum", "max"]
Fields = Mapping[str, Any]

UNKNOWN = "unknown"  # the value of a label that the event does not tell


class Definition(NamedTuple):
    """What is true of all measures of a name. `combine`: how a gauge's values of several sessions become one."""

    kind: Kind
    help: str
    combine: Combine = "last"


MEASURES: Mapping[str, Definition] = {
    "agent_sessions_started_total": Definition("counter", "Sessions that began or were resumed; seen: found running."),
    "agent_sessions_ended_total": Definition("counter", "Sessions that are over."),
    "agent_sessions": Definition("gauge", "Sessions that have not ended, by what they do.", "sum"),
    "agent_turns_total": Definition("counter", "Turns that are over."),
    "agent_turn_duration_seconds": Definition("histogram", "How long turns took."),
    "agent_prompts_total": Definition("counter", "Prompts that a person or a program submitted."),
    "agent_responses_total": Definition("counter", "Texts that the assistant wrote."),
    "agent_tokens_total": Definition("counter", "Tokens that were billed; the kinds add up without overlap."),
    "agent_cost_usd_total": Definition("counter", "Cost in US dollars, where it is known."),
    "agent_model_changes_total": Definition("counter", "Changes to another model."),
    "agent_model_errors_total": Definition("counter", "Requests that a provider refused or failed."),
    "agent_rate_limit_used_ratio": Definition("gauge", "Used part of a rate limit."),
    "agent_rate_limit_reset_timestamp_seconds": Definition("gauge", "When a rate limit begins anew, in Unix time."),
    "agent_tool_calls_total": Definition("counter", "Tool calls that are over."),
    "agent_tool_call_duration_seconds": Definition("histogram", "How long tool calls took."),
    "agent_user_commands_total": Definition("counter", "Commands that a person ran through the agent's shell."),
    "agent_permissions_total": Definition("counter", "Questions whether a tool may be used, and decisions."),
    "agent_subagents_started_total": Definition("counter", "Sub-agents that were started."),
    "agent_subagents_ended_total": Definition("counter", "Sub-agents that have finished."),
    "agent_context_used_ratio": Definition("gauge", "Used part of the fullest context window.", "max"),
    "agent_compactions_total": Definition("counter", "Histories that were replaced by a summary."),
    "agent_compaction_tokens_before_total": Definition("counter", "Tokens of histories before their compaction."),
    "agent_compaction_tokens_after_total": Definition("counter", "Tokens of histories after their compaction."),
    "agent_compaction_tokens_saved_total": Definition("counter", "Tokens that compactions saved."),
    "agent_compaction_text_chars": Definition("gauge", "Characters of the newest summary."),
    "agent_compaction_duration_seconds": Definition("histogram", "How long compactions took."),
    "agent_notifications_total": Definition("counter", "What agents told their users."),
    "agent_helper_runs_total": Definition("counter", "Invocations in a tool-usage log that are over."),
    "agent_helper_run_duration_seconds": Definition("histogram", "How long invocations in a tool-usage log took."),
    "agent_gaps_total": Definition("counter", "Places in an agent's files that could not be read or used."),
    "agent_gap_bytes_total": Definition("counter", "Bytes that could not be read or used, where known."),
    "agent_unknown_records_total": Definition("counter", "Records of a kind that nobody knows yet."),
    "agent_secrets_found_total": Definition("counter", "Secrets that were taken out, each once a session and rule."),
}


class Measure(NamedTuple):
    """One value of one metric.

    A counter grows by `value`, a histogram takes it in, a gauge has it from the event's time on. `session` is whose
    value it is. A gauge that is to `combine` as ``sum`` or ``max`` has one value for each session: the session's next
    one takes its place, whatever the labels, and it goes when the session does (`ends_session`).
    """

    name: str
    kind: Kind
    value: float
    labels: dict[str, str]
    help: str
    session: str
    combine: Combine


def measures(event: Fields) -> Iterator[Measure]:
    """The measures of an event in its wire form (EVENTS.md); none for a type that has none, or that nobody knows.

    Raises `KeyError` for a field that must be there, as when somebody renamed it, `ValueError` for a time that is none,
    and `OverflowError` for a number beyond all use.
    """
    if measured := _OF_TYPE.get(event["type"]):
        yield from measured(event)


def ends_session(event: Fields) -> bool:
    """Whether the event's session is over, and its gauges with it."""
    is_end = event["type"] == "session_end" or (event["type"] == "session_state" and event["state"] == "ended")
    return is_end and "actor" not in event


def _measure(event: Fields, name: str, value: float = 1, /, **labels: str | None) -> Measure:
    kind, text, combine = MEASURES[name]
    told = {"agent": event["agent"]} | {label: one or UNKNOWN for label, one in labels.items()}
    return Measure(name, kind, value, told, text, event.get("session_id", ""), combine)


def _duration(event: Fields, name: str, /, **labels: str | None) -> Iterator[Measure]:
    if (milliseconds := event.get("duration_ms")) is not None:
        yield _measure(event, name, milliseconds / 1000, **labels)


def _session_start(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_sessions_started_total", reason=event["reason"])


def _session_end(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_sessions_ended_total", reason=event["reason"])


def _session_state(event: Fields) -> Iterator[Measure]:
    if event["state"] != "ended" and "actor" not in event:  # a sub-agent is no session of its own
        yield _measure(event, "agent_sessions", state=event["state"])


def _turn_end(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_turns_total", outcome=event["outcome"])
    yield from _duration(event, "agent_turn_duration_seconds")


def _prompt(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_prompts_total")


def _response(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_responses_total")


def _token_usage(event: Fields) -> Iterator[Measure]:
    model = event.get("model")
    for kind, tokens in token_kinds(event).items():
        if tokens:
            yield _measure(event, "agent_tokens_total", tokens, model=model, kind=kind)
    if (cost := event.get("cost_usd")) is not None:
        yield _measure(event, "agent_cost_usd_total", float(cost), model=model, source=event.get("cost_source"))


def token_kinds(event: Fields) -> dict[str, int]:
    """A `token_usage` in parts that add up to its input and output, also where a part is said to exceed the whole."""
    all_input, all_output = event["input_tokens"], event["output_tokens"]
    cached = min(event["cached_input_tokens"], all_input)
    written = min(event.get("cache_write_tokens", 0), all_input - cached)
    reasoning = min(event.get("reasoning_tokens", 0), all_output)
    return {
        "input": all_input - cached - written,
        "cached_input": cached,
        "cache_write": written,
        "output": all_output - reasoning,
        "reasoning": reasoning,
    }


def _model_change(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_model_changes_total", model=event["model"])


def _model_error(event: Fields) -> Iterator[Measure]:
    status = event.get("status")
    yield _measure(
        event,
        "agent_model_errors_total",
        error_type=event.get("error_type"),
        status=None if status is None else str(status),
    )


def _rate_limit(event: Fields) -> Iterator[Measure]:
    window = event["window"]
    yield _measure(event, "agent_rate_limit_used_ratio", event["used_percent"] / 100, window=window)
    if resets_at := event.get("resets_at"):
        when = datetime.fromisoformat(resets_at).timestamp()
        yield _measure(event, "agent_rate_limit_reset_timestamp_seconds", when, window=window)


def _tool_call_end(event: Fields) -> Iterator[Measure]:
    tool = event["tool"]
    yield _measure(event, "agent_tool_calls_total", tool=tool, outcome=event["outcome"])
    yield from _duration(event, "agent_tool_call_duration_seconds", tool=tool)


def _user_command(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_user_commands_total")


def _permission(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_permissions_total", tool=event["tool"], decision=event["decision"])


def _agent_spawn(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_subagents_started_total")


def _agent_end(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_subagents_ended_total", outcome=event.get("outcome"))


def _context_snapshot(event: Fields) -> Iterator[Measure]:
    if (percent := event.get("percent")) is not None and "actor" not in event:
        yield _measure(event, "agent_context_used_ratio", percent / 100)


def _compaction(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_compactions_total", trigger=event["trigger"])
    before, after = event.get("tokens_before"), event.get("tokens_after")
    if before is not None:
        yield _measure(event, "agent_compaction_tokens_before_total", before)
    if after is not None:
        yield _measure(event, "agent_compaction_tokens_after_total", after)
    if before is not None and after is not None and before > after:
        yield _measure(event, "agent_compaction_tokens_saved_total", before - after)
    if (chars := event.get("summary_chars")) is not None:
        yield _measure(event, "agent_compaction_text_chars", chars)
    yield from _duration(event, "agent_compaction_duration_seconds")


def _notification(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_notifications_total", kind=event["kind"])


def _tool_usage(event: Fields) -> Iterator[Measure]:
    if event["status"] != "started":
        kind, tool = event["kind"], event["name"]
        yield _measure(event, "agent_helper_runs_total", kind=kind, tool=tool, status=event["status"])
        yield from _duration(event, "agent_helper_run_duration_seconds", kind=kind, tool=tool)


def _gap(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_gaps_total", event.get("count", 1), reason=event["reason"])
    if (lost := event.get("bytes")) is not None:
        yield _measure(event, "agent_gap_bytes_total", lost, reason=event["reason"])


def _unknown_record(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_unknown_records_total", event["count"])


def _secret_found(event: Fields) -> Iterator[Measure]:
    yield _measure(event, "agent_secrets_found_total", rule=event["rule"])


_OF_TYPE: Mapping[str, Callable[[Fields], Iterator[Measure]]] = {
    "session_start": _session_start,
    "session_end": _session_end,
    "session_state": _session_state,
    "turn_end": _turn_end,
    "prompt": _prompt,
    "response": _response,
    "token_usage": _token_usage,
    "model_change": _model_change,
    "model_error": _model_error,
    "rate_limit": _rate_limit,
    "tool_call_end": _tool_call_end,
    "user_command": _user_command,
    "permission": _permission,
    "agent_spawn": _agent_spawn,
    "agent_end": _agent_end,
    "context_snapshot": _context_snapshot,
    "compaction": _compaction,
    "notification": _notification,
    "tool_usage": _tool_usage,
    "gap": _gap,
    "unknown_record": _unknown_record,
    "secret_found": _secret_found,
}
