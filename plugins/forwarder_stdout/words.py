"""An event in the words of the live feed: a mark, a sentence, and how loud it is."""

from __future__ import annotations

from typing import Literal, NamedTuple

from forwarder_stdout.records import Shown

Tone = Literal["quiet", "plain", "strong", "good", "money", "waiting", "bad"]

PERMISSION_TONES: dict[str, Tone] = {"asked": "waiting", "denied": "bad"}
HIGH_PERCENT = 80  # of a rate limit or a context window: worth a look


class Said(NamedTuple):
    """`mark` is one character; `words` may hold anything that an agent wrote."""

    mark: str
    words: str
    tone: Tone


def say(event: Shown) -> Said:
    """What happened, for any type of event; one that is not known shows its type."""
    match event.type:
        case "prompt":
            return Said("›", event.text or f"prompt of {_size(event.bytes)}", "strong")
        case "response":
            return Said("‹", event.text or f"response of {_size(event.bytes)}", "plain")
        case "tool_call_start":
            return Said("→", _join(event.tool, event.input), "quiet")
        case "tool_call_end" | "user_command":
            return _call(event)
        case "token_usage":
            return Said("Σ", _usage(event), "money")
        case "permission":
            return Said(
                "?", f"permission for {event.tool} {event.decision}", PERMISSION_TONES.get(event.decision, "quiet")
            )
        case "session_state":
            return _activity(event)
        case _:
            return _turn_or_session(event)


def _turn_or_session(event: Shown) -> Said:
    match event.type:
        case "session_start":
            return Said("●", _join("session", event.reason, event.model), "good")
        case "session_end":
            return Said("○", _join("session ended", event.reason, _duration(event.duration_ms)), "quiet")
        case "turn_start":
            return Said("▸", _join("turn", event.trigger), "quiet")
        case "turn_end":
            noun = "tool call" if event.tool_calls == 1 else "tool calls"
            calls = f"{event.tool_calls} {noun}" if event.tool_calls else ""
            tone: Tone = "quiet" if event.outcome == "completed" else "bad" if event.outcome == "failed" else "waiting"
            return Said("▪", _join("turn", event.outcome, _duration(event.duration_ms), calls), tone)
        case "agent_spawn":
            return Said("⑂", _join("sub-agent", event.child, event.description), "plain")
        case "agent_end":
            return Said(
                "⑂", _join("sub-agent ended", event.child, event.outcome, _duration(event.duration_ms)), "quiet"
            )
        case "compaction":
            tokens = f"{_count(event.tokens_before)} → {_count(event.tokens_after)}" if event.tokens_before else ""
            return Said("⇣", _join("context compacted", event.trigger, tokens), "plain")
        case _:
            return _signal(event)


def _signal(event: Shown) -> Said:
    match event.type:
        case "model_error":
            return Said("✗", _join("model error", event.status, event.error_type, event.message), "bad")
        case "model_change":
            return Said("⇄", _join("model", event.model), "plain")
        case "rate_limit":
            tone: Tone = "waiting" if event.used_percent >= HIGH_PERCENT else "quiet"
            return Said("%", f"rate limit {event.window} at {event.used_percent:g} %", tone)
        case "context_snapshot":
            percent = "" if event.percent is None else f"{event.percent:g} %"
            tone = "quiet" if event.pressure == "normal" else "waiting"
            return Said("%", _join("context", event.pressure.replace("_", " "), percent), tone)
        case "tool_usage":
            return _helper(event)
        case "notification":
            return Said("!", _join(event.kind, event.message), "waiting")
        case "gap":
            return Said("✗", _join("gap", event.reason, _size(event.bytes)), "bad")
        case "secret_found":
            return Said("!", _join("secret found:", event.rule), "bad")
        case "unknown_record":
            return Said("!", _join("unknown record", event.record_type), "waiting")
        case _:
            return _instrument(event)


def _instrument(event: Shown) -> Said:
    """What programs tell of themselves."""
    match event.type:
        case "metric":
            return Said("#", _join(event.name, event.op, f"{event.value:g}"), "quiet")
        case "mcp_request":
            return Said("→", _join(event.server_name, event.method, event.tool_name), "quiet")
        case "mcp_response":
            return _done(event, event.server_name, event.method, event.tool_name)
        case "rag_retrieval" | "rag_embedding" | "rag_index":
            count = event.result_count if event.document_count is None else event.document_count
            found = None if count is None else f"({count})"
            return _done(event, event.type.replace("_", " "), event.source, event.model, event.query, found)
        case "custom":
            return _done(event, event.provider, event.event_name, event.data)
        case _:
            return _judgement(event)


def _judgement(event: Shown) -> Said:
    match event.type:
        case "latency":
            return Said("#", _join("latency of", event.operation, event.percentile, _duration(event.total_ms)), "quiet")
        case "cost":
            return Said("Σ", f"{event.total_cost:.4f} {_join(event.currency, event.model)}", "money")
        case "output_eval" | "prompt_rating":
            rating = event.user_rating if event.rating is None else event.rating
            rated = None if rating is None else f"rated {rating:g}"
            return Said("#", _join(event.type.replace("_", " "), event.variant, event.model, rated), "plain")
        case "drift":
            words = _join(event.metric, event.model, event.severity, f"{event.deviation_percent:+g} %")
            return Said("!", f"drift: {words}", "quiet" if event.severity == "info" else "bad")
        case _:
            rest = (event.tool, event.name, event.kind, event.status, event.text, event.message)
            return Said("·", _join(event.type.replace("_", " "), *rest), "quiet")


def _call(event: Shown) -> Said:
    exit_code = f"exit {event.exit_code}" if event.exit_code else ""
    if event.type == "user_command":
        tone: Tone = "bad" if event.exit_code else "plain"
        return Said("$", _join(event.input or "command", exit_code, _duration(event.duration_ms)), tone)
    outcome = "" if event.outcome == "ok" else event.outcome
    words = _join(event.tool, _duration(event.duration_ms), outcome, exit_code, event.error)
    if event.outcome == "ok":
        return Said("✓", words, "good")
    if event.outcome == "unknown":
        return Said("·", words, "plain")
    return Said("✗", words, "bad" if event.outcome == "error" else "waiting")


def _done(event: Shown, *words: str | None) -> Said:
    said = _join(*words, _duration(event.duration_ms), event.error_message)
    return Said("✗", said, "bad") if event.is_error else Said("✓", said, "quiet")


def _helper(event: Shown) -> Said:
    exit_code = f"exit {event.exit_code}" if event.exit_code else ""
    words = _join(event.kind.replace("_", " "), event.name, _duration(event.duration_ms))
    match event.status:
        case "started":
            return Said("→", words, "quiet")
        case "succeeded":
            return Said("✓", words, "good")
        case status:
            tone: Tone = "bad" if status == "failed" else "waiting"
            return Said("✗", _join(words, status, exit_code, event.error_summary), tone)


def _usage(event: Shown) -> str:
    cached = f"({_count(event.cached_input_tokens)} cached)" if event.cached_input_tokens else ""
    cost = "" if event.cost_usd is None else f"${event.cost_usd:.4f}"
    return _join(_count(event.input_tokens), "in", cached, _count(event.output_tokens), "out", cost, event.model)


def _activity(event: Shown) -> Said:
    match event.state:
        case "waiting_input":
            return Said("?", "waits for input", "waiting")
        case "waiting_permission":
            return Said("?", "waits for permission", "waiting")
        case "stalled":
            return Said("!", "stalled", "bad")
        case state:
            return Said("·", state, "quiet")


def _join(*parts: str | int | None) -> str:
    return " ".join(str(part) for part in parts if part)


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return ""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _count(number: int | None) -> str:
    if number is None:
        return "?"
    if number < 1_000:
        return str(number)
    return f"{number / 1_000:.1f}k" if number < 1_000_000 else f"{number / 1_000_000:.2f}M"


def _size(size: int | None) -> str:
    return "unknown size" if size is None else f"{size} bytes"
