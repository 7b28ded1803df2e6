"""Hooks about tool calls, permissions and agents."""

from __future__ import annotations

from collections.abc import Iterable

from forwarder import Event, Permission, ToolOutcome
from forwarder_claude_code import facts, results
from forwarder_claude_code.calls import agent_of
from forwarder_claude_code.state import OPEN_CALLS, Live, OpenHook, trim
from forwarder_claude_code.telling import Telling
from forwarder_claude_code.tools import AGENTS, as_text, digest, joined, output_of

WITHOUT_DIALOGS = frozenset({"bypassPermissions", "dontAsk", "auto"})


def on_tool_start(telling: Telling) -> Iterable[Event]:
    """A call after the turn's end: a Stop hook keeps the turn going."""
    hook, live = telling.hook, telling.live
    events = list(_opened(telling))
    yield from events
    is_same_turn = hook.agent_id is None and hook.prompt_id == live.prompt and not live.is_open
    if events and hook.tool_use_id is not None and is_same_turn and live.activity == "waiting_input":
        yield from telling.becomes("working", hook.tool_use_id)


def _opened(telling: Telling) -> Iterable[Event]:
    """Before 2.0.43 a call had no id in its hooks: those are left to the transcript."""
    hook, live, at = telling.hook, telling.live, telling.at
    telling.told()
    if hook.tool_use_id is None or hook.tool_name is None:
        return
    if hook.tool_use_id in live.open or hook.tool_use_id in live.ended:
        return
    live.open[hook.tool_use_id] = OpenHook(hook.tool_name, digest(hook.tool_name, hook.tool_input))
    trim(live.open, OPEN_CALLS)
    if hook.agent_id is None and hook.prompt_id == live.prompt:
        live.calls += 1
    server = hook.mcp_server.name if hook.mcp_server else None
    yield facts.tool_start(at, hook.tool_use_id, hook.tool_name, as_text(hook.tool_input), server)


def on_tool_end(telling: Telling) -> Iterable[Event]:
    """PostToolUse: it ran to its end, or was stopped; of an agent that no other hook told of, its answer tells."""
    hook = telling.hook
    fields = results.fields_of(hook.tool_response)
    yield from _ended(telling, "cancelled" if fields.get("interrupted") is True else "ok")
    if hook.tool_name in AGENTS and fields.get("agentId") not in telling.live.agents:
        yield from agent_of(fields, telling.at.time, telling.at)  # nobody told of its start


def on_tool_failure(telling: Telling) -> Iterable[Event]:
    """It ran and failed, or was interrupted."""
    return _ended(telling, "cancelled" if telling.hook.is_interrupt else "error")


def on_permission_denied(telling: Telling) -> Iterable[Event]:
    """Refused by the classifier of the auto mode: it never ran."""
    hook = telling.hook
    yield from _ended(telling, "denied")
    if hook.tool_use_id is not None and hook.tool_name is not None:
        yield facts.permission(telling.at, hook.tool_use_id, hook.tool_name, "denied", None)


def _ended(telling: Telling, outcome: ToolOutcome) -> Iterable[Event]:
    """A start first if none was seen: hooks run side by side, and some writers lose lines."""
    hook, live = telling.hook, telling.live
    if hook.tool_use_id is None or hook.tool_name is None:
        return
    yield from _opened(telling)
    _close(telling, hook.tool_use_id)
    error = hook.error or hook.reason
    yield facts.tool_end(
        telling.at,
        hook.tool_use_id,
        hook.tool_name,
        outcome,
        output=output_of(hook.tool_response),
        error=error,
        exit_code=results.exit_code(error or ""),
        duration_ms=results.whole_ms(hook.duration_ms),
    )
    is_unsure = telling.state.is_scattered and hook.permission_mode not in WITHOUT_DIALOGS
    if is_unsure or _is_allowed_to_go_on(live):
        yield from telling.becomes("working", hook.tool_use_id)


def _close(telling: Telling, call_id: str) -> bool:
    """Whether the call was open."""
    live = telling.live
    was_open = live.open.pop(call_id, None) is not None
    live.ended[call_id] = None
    trim(live.ended, OPEN_CALLS)
    return was_open


def _is_allowed_to_go_on(live: Live) -> bool:
    """Of parallel calls one can end while the dialog of another is still open."""
    return live.activity == "waiting_permission" and not any(call.is_asked for call in live.open.values())


def on_batch(telling: Telling) -> Iterable[Event]:
    """What the model was given of several calls: of those that never ran, this is all that hooks tell."""
    at = telling.at
    telling.told()
    for call in telling.hook.tool_calls or ():
        text = joined(call.tool_response)
        is_rejected = results.never_ran(text)
        if call.tool_use_id is None or call.tool_name is None or not (is_rejected or results.is_denial(text)):
            continue
        was_known = call.tool_use_id in telling.live.ended
        if not _close(telling, call.tool_use_id) and is_rejected and not was_known:
            telling.live.calls += telling.hook.agent_id is None
            yield facts.tool_start(at, call.tool_use_id, call.tool_name, as_text(call.tool_input))
        outcome: ToolOutcome = "rejected" if is_rejected else "denied"
        yield facts.tool_end(at, call.tool_use_id, call.tool_name, outcome, output=text, error=text)
        if _is_allowed_to_go_on(telling.live):
            yield from telling.becomes("working", call.tool_use_id)


def on_permission_request(telling: Telling) -> Iterable[Event]:
    """It has no call id: the call is the last open one of the same tool and input that nobody was asked about."""
    hook, at = telling.hook, telling.at
    wanted = digest(hook.tool_name, hook.tool_input)
    occurrence = telling.occurrence(wanted)
    if occurrence is None or hook.tool_name is None:
        return
    same = [call_id for call_id, call in telling.live.open.items() if call.input == wanted and not call.is_asked]
    for call_id in same[-1:]:
        telling.live.open[call_id].is_asked = True
    yield Permission(
        key=(at.session.id, hook.prompt_id or "", wanted, occurrence),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        call_id=same[-1] if same else None,
        tool=hook.tool_name,
        decision="asked",
    )
    yield from telling.becomes("waiting_permission", f"{hook.prompt_id or ''} {wanted} {occurrence}")


def on_agent_start(telling: Telling) -> Iterable[Event]:
    """2.0.77 starts agents of its own, which no call asked for."""
    hook, live, at = telling.hook, telling.live, telling.at
    telling.told()
    is_asked = hook.prompt_id is not None or any(call.tool in AGENTS for call in live.open.values())
    if hook.agent_id is not None and hook.agent_type != "" and is_asked:
        live.agents[hook.agent_id] = hook.agent_type or ""
        trim(live.agents, OPEN_CALLS)
        yield facts.agent_spawn(facts.of_main(at), hook.agent_id, hook.agent_type)


def on_agent_stop(telling: Telling) -> Iterable[Event]:
    """A compaction stops an agent of type "" that never started; 2.0.77 does not tell the type, 2.1 always does."""
    hook, live, at = telling.hook, telling.live, telling.at
    telling.told()
    kind = hook.agent_type if hook.agent_type is not None else live.agents.get(hook.agent_id or "")
    if hook.agent_id is not None and kind:
        yield facts.agent_end(facts.of_main(at), hook.agent_id, kind, "completed")
