"""One hook's payload into events. Hooks know when, durations and permissions; nothing of tokens (contract, section 2).

No end is inferred here: a call without PostToolUse, a turn without Stop is normal, and only the transcript tells why.
Facts without an id of their own, and those of releases without `prompt_id`, are left to the transcript where it knows
them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal

from forwarder import (
    Activity,
    BadRecord,
    Event,
    Notification,
    Permission,
    Session,
    SessionEnd,
    SessionStart,
    ToolOutcome,
    TurnOutcome,
    UnknownRecord,
)
from forwarder_claude_code import facts, results
from forwarder_claude_code.calls import agent_of
from forwarder_claude_code.facts import NOTIFICATION, Moment
from forwarder_claude_code.records import Hook
from forwarder_claude_code.state import OCCURRENCES, OPEN_CALLS, SESSIONS, Live, OpenHook, State, milliseconds, trim
from forwarder_claude_code.tools import AGENTS, as_text, digest, joined, output_of

# Content only (MessageDisplay), told better by the transcript (compactions, models), or without an event of ours.
IGNORED = frozenset({
    "MessageDisplay", "UserPromptExpansion", "Setup", "PreCompact", "PostCompact", "PreModelSwitch", "PostModelSwitch",
    "TaskCreated", "TaskCompleted", "TeammateIdle", "InstructionsLoaded", "ConfigChange", "CwdChanged",
    "DirectoryAdded", "FileChanged", "WorktreeCreate", "WorktreeRemove",
})  # fmt: skip
END_REASONS: dict[str | None, Literal["exit", "clear", "logout", "switched"]] = {
    "prompt_input_exit": "exit", "clear": "clear", "logout": "logout", "resume": "switched",
}  # fmt: skip
WITHOUT_DIALOGS = frozenset({"bypassPermissions", "dontAsk", "auto"})
NOTICED: dict[str | None, Activity] = {"idle_prompt": "idle", "elicitation_dialog": "waiting_input"}


def on_hook(state: State, hook: Hook, at: datetime, *, is_inferred: bool) -> Iterable[Event]:
    """The events of one payload. Raises `BadRecord` and `UnknownRecord`."""
    name = hook.hook_event_name
    if name is None and (hook.v is not None or hook.spool_v is not None):
        return ()  # an envelope around nothing
    if name is None or hook.session_id is None:
        raise BadRecord("neither a hook's payload nor an envelope")
    handle = HANDLERS.get(name)
    if handle is None:
        if name not in IGNORED:
            raise UnknownRecord(f"hook.{name}")
        return ()
    session = Session(agent="claude-code", id=hook.session_id, actor=hook.agent_id, cwd=hook.cwd)
    live = state.live.pop(hook.session_id, None) or Live()
    state.live[hook.session_id] = live
    trim(state.live, SESSIONS)
    return handle(Telling(state, live, hook, Moment(at, session, is_inferred=is_inferred)))


class Telling:
    """One payload with what its spool said before."""

    __slots__ = ("at", "hook", "live", "state")

    def __init__(self, state: State, live: Live, hook: Hook, at: Moment) -> None:
        self.state = state
        self.live = live
        self.hook = hook
        self.at = at

    def occurrence(self, *parts: Any) -> int | None:
        """A number for a fact without id: its time where the file's name has it, else which occurrence it is.

        None if it is the same event again: the same hook registered in the settings and by a plugin runs twice.
        """
        hook, state, live = self.hook, self.state, self.live
        name = digest(hook.session_id, hook.prompt_id, hook.hook_event_name, parts)
        before, live.last = live.last, name
        if state.file_time is not None:
            return state.file_time // 1_000_000
        if before == name:
            return None
        count = state.occurrences.pop(name, 0) + 1
        state.occurrences[name] = count
        trim(state.occurrences, OCCURRENCES)
        return count

    def becomes(self, activity: Activity, cause: str) -> Iterable[Event]:
        """The session's state, if it is another than before."""
        before, self.live.activity = self.live.activity, activity
        if before != activity and self.hook.agent_id is None:
            yield facts.session_state(self.at, activity, cause, before)

    def told(self) -> None:
        """Something that has an id was told in between."""
        self.live.last = ""


# --- sessions ---


def _on_session_start(telling: Telling) -> Iterable[Event]:
    """A startup is held back: `--init-only` starts and ends a session of which nothing is ever asked."""
    hook, live, at = telling.hook, telling.live, telling.at
    if hook.source == "compact":
        return
    about = (hook.source, hook.model, hook.context_tokens, hook.seconds_since_last_response)
    occurrence = telling.occurrence(about)
    if occurrence is None:
        return
    live.is_open = False
    if hook.source in {"startup", "resume"}:
        live.trigger = "human" if hook.model is not None else "sdk"
    if hook.source == "resume":
        yield SessionStart(
            key=(at.session.id, digest(about), occurrence),
            time=at.time,
            time_inferred=at.is_inferred,
            session=at.session,
            reason="resume",
            model=hook.model,
        )
    elif hook.source in {"clear", "fork"}:
        yield facts.session_start(at, "clear" if hook.source == "clear" else "fork", hook.model)
    else:
        live.start, live.is_start_inferred, live.model = at.time, at.is_inferred, hook.model
        if live.prompt:
            yield from _started(telling)  # hooks that run in the background come in any order
    yield from telling.becomes("waiting_input", f"start {digest(about)} {occurrence}")


def _on_session_end(telling: Telling) -> Iterable[Event]:
    hook, live, at = telling.hook, telling.live, telling.at
    occurrence = telling.occurrence(hook.reason)
    if occurrence is None:
        return
    was_used = hook.prompt_id is not None or (live.start is None and not telling.state.is_scattered)
    if live.start is not None and was_used:
        yield from _started(telling)
    live.start, live.is_open = None, False
    if was_used:
        yield SessionEnd(
            key=(at.session.id, hook.prompt_id or "", occurrence),
            time=at.time,
            time_inferred=at.is_inferred,
            session=at.session,
            reason=END_REASONS.get(hook.reason, "other"),
        )
    yield from telling.becomes("ended", f"end {hook.prompt_id or ''} {occurrence}")


def _started(telling: Telling) -> Iterable[Event]:
    """The start that was held back; where each event has a file of its own, the first prompt's time stands for it."""
    live, at = telling.live, telling.at
    if live.start is not None:
        then = Moment(live.start, at.session, is_inferred=live.is_start_inferred)
        yield facts.session_start(then, "startup", live.model)
        live.start = None
    elif telling.state.is_scattered:
        yield facts.session_start(at, "startup")


# --- turns ---


def _on_prompt(telling: Telling) -> Iterable[Event]:
    hook, live, at = telling.hook, telling.live, telling.at
    text = hook.prompt or ""
    yield from _started(telling)
    telling.told()
    if hook.prompt_id is None or live.is_open:
        return  # before its turn was over: whether it steers that turn, and under which id, the transcript knows
    live.prompt, live.prompted, live.calls = hook.prompt_id, None if at.is_inferred else at.time, 0
    live.is_open = True
    is_machine = text.startswith(NOTIFICATION)
    if is_machine or live.trigger is not None:
        yield facts.turn_start(at, hook.prompt_id, hook.prompt_id, "machine" if is_machine else live.trigger or "human")
    if not is_machine:
        yield facts.prompt(at, (hook.prompt_id,), text)
    yield from telling.becomes("working", hook.prompt_id)


def _on_stop(telling: Telling) -> Iterable[Event]:
    yield from _turn_end(telling, "completed")
    if telling.hook.prompt_id is not None and not telling.hook.background_tasks:
        yield from telling.becomes("waiting_input", telling.hook.prompt_id)


def _on_stop_failure(telling: Telling) -> Iterable[Event]:
    hook = telling.hook
    if hook.prompt_id is not None and hook.agent_id is None:
        message = hook.last_assistant_message or as_text(hook.error_details)
        yield facts.model_error(telling.at, hook.prompt_id, hook.error, message)
        yield from _turn_end(telling, "failed")
        yield from telling.becomes("waiting_input", hook.prompt_id)


def _turn_end(telling: Telling, outcome: TurnOutcome) -> Iterable[Event]:
    """Only of a turn whose calls were all counted here; of any other the transcript tells the end."""
    hook, live, at = telling.hook, telling.live, telling.at
    telling.told()
    if hook.agent_id is not None:
        return
    live.is_open = False
    if hook.prompt_id is None or hook.prompt_id != live.prompt:
        return
    is_timed = live.prompted is not None and not at.is_inferred
    duration = milliseconds(at.time) - milliseconds(live.prompted) if is_timed and live.prompted else None
    yield facts.turn_end(at, hook.prompt_id, hook.prompt_id, outcome, calls=live.calls, duration_ms=duration)


# --- tool calls ---


def _on_tool_start(telling: Telling) -> Iterable[Event]:
    """Before 2.0.43 a call had no id in its hooks: those are left to the transcript."""
    hook, live, at = telling.hook, telling.live, telling.at
    telling.told()
    if hook.tool_use_id is None or hook.tool_name is None or hook.tool_use_id in live.open:
        return
    live.open[hook.tool_use_id] = OpenHook(hook.tool_name, digest(hook.tool_name, hook.tool_input))
    trim(live.open, OPEN_CALLS)
    if hook.agent_id is None and hook.prompt_id == live.prompt:
        live.calls += 1
    server = hook.mcp_server.name if hook.mcp_server else None
    yield facts.tool_start(at, hook.tool_use_id, hook.tool_name, as_text(hook.tool_input), server)


def _on_tool_end(telling: Telling) -> Iterable[Event]:
    hook = telling.hook
    fields = results.fields_of(hook.tool_response)
    yield from _ended(telling, "cancelled" if fields.get("interrupted") is True else "ok")
    if hook.tool_name in AGENTS and fields.get("agentId") not in telling.live.agents:
        yield from agent_of(fields, telling.at.time, telling.at)  # nobody told of its start


def _on_tool_failure(telling: Telling) -> Iterable[Event]:
    return _ended(telling, "cancelled" if telling.hook.is_interrupt else "error")


def _on_permission_denied(telling: Telling) -> Iterable[Event]:
    hook = telling.hook
    yield from _ended(telling, "denied")
    if hook.tool_use_id is not None and hook.tool_name is not None:
        yield facts.permission(telling.at, hook.tool_use_id, hook.tool_name, "denied", None)


def _ended(telling: Telling, outcome: ToolOutcome) -> Iterable[Event]:
    """A start first if none was seen: hooks run side by side, and some writers lose lines."""
    hook, live = telling.hook, telling.live
    if hook.tool_use_id is None or hook.tool_name is None:
        return
    yield from _on_tool_start(telling)
    live.open.pop(hook.tool_use_id, None)
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
    if live.activity == "waiting_permission" or is_unsure:
        yield from telling.becomes("working", hook.tool_use_id)


def _on_batch(telling: Telling) -> Iterable[Event]:
    """What the model was given of several calls: of those that never ran, this is all that hooks tell."""
    at = telling.at
    telling.told()
    for call in telling.hook.tool_calls or ():
        text = joined(call.tool_response)
        is_rejected = results.never_ran(text)
        if call.tool_use_id is None or call.tool_name is None or not (is_rejected or results.is_denial(text)):
            continue
        if telling.live.open.pop(call.tool_use_id, None) is None and is_rejected:
            telling.live.calls += telling.hook.agent_id is None
            yield facts.tool_start(at, call.tool_use_id, call.tool_name, as_text(call.tool_input))
        outcome: ToolOutcome = "rejected" if is_rejected else "denied"
        yield facts.tool_end(at, call.tool_use_id, call.tool_name, outcome, output=text, error=text)


def _on_permission_request(telling: Telling) -> Iterable[Event]:
    """It has no call id: the call is the last open one of the same tool and input."""
    hook, at = telling.hook, telling.at
    wanted = digest(hook.tool_name, hook.tool_input)
    occurrence = telling.occurrence(wanted)
    if occurrence is None or hook.tool_name is None:
        return
    same = [call_id for call_id, call in telling.live.open.items() if call.input == wanted]
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


# --- agents and notices ---


def _on_agent_start(telling: Telling) -> Iterable[Event]:
    """2.0.77 starts agents of its own, which no call asked for."""
    hook, live, at = telling.hook, telling.live, telling.at
    telling.told()
    is_asked = hook.prompt_id is not None or any(call.tool in AGENTS for call in live.open.values())
    if hook.agent_id is not None and hook.agent_type != "" and is_asked:
        live.agents[hook.agent_id] = hook.agent_type or ""
        trim(live.agents, OPEN_CALLS)
        yield facts.agent_spawn(_of_main(at), hook.agent_id, hook.agent_type)


def _on_agent_stop(telling: Telling) -> Iterable[Event]:
    """A compaction stops an agent of type "" that never started; 2.0.77 does not tell the type, 2.1 always does."""
    hook, live, at = telling.hook, telling.live, telling.at
    telling.told()
    kind = hook.agent_type if hook.agent_type is not None else live.agents.get(hook.agent_id or "")
    if hook.agent_id is not None and kind:
        yield facts.agent_end(_of_main(at), hook.agent_id, kind, "completed")


def _of_main(at: Moment) -> Moment:
    session = Session(agent=at.session.agent, id=at.session.id, cwd=at.session.cwd)
    return Moment(at.time, session, is_inferred=at.is_inferred)


def _on_notification(telling: Telling) -> Iterable[Event]:
    hook, at = telling.hook, telling.at
    kind, message = hook.notification_type or "other", hook.message or ""
    occurrence = telling.occurrence(kind, message)
    if occurrence is None:
        return
    yield Notification(
        key=(at.session.id, hook.prompt_id or "", kind, digest(message), occurrence),
        time=at.time,
        time_inferred=at.is_inferred,
        session=at.session,
        kind=kind,
        message=message,
    )
    if (activity := NOTICED.get(hook.notification_type)) is not None:
        yield from telling.becomes(activity, f"{hook.prompt_id or ''} {kind} {occurrence}")


def _on_question(telling: Telling) -> Iterable[Event]:
    """An MCP server asks the person something."""
    if (occurrence := telling.occurrence("asked")) is not None:
        yield from telling.becomes("waiting_input", f"{telling.hook.prompt_id or ''} question {occurrence}")


def _on_reply(telling: Telling) -> Iterable[Event]:
    if (occurrence := telling.occurrence("replied")) is not None:
        yield from telling.becomes("working", f"{telling.hook.prompt_id or ''} reply {occurrence}")


HANDLERS: dict[str, Callable[[Telling], Iterable[Event]]] = {
    "SessionStart": _on_session_start,
    "SessionEnd": _on_session_end,
    "UserPromptSubmit": _on_prompt,
    "PreToolUse": _on_tool_start,
    "PostToolUse": _on_tool_end,
    "PostToolUseFailure": _on_tool_failure,
    "PostToolBatch": _on_batch,
    "PermissionRequest": _on_permission_request,
    "PermissionDenied": _on_permission_denied,
    "Stop": _on_stop,
    "StopFailure": _on_stop_failure,
    "SubagentStart": _on_agent_start,
    "SubagentStop": _on_agent_stop,
    "Notification": _on_notification,
    "Elicitation": _on_question,
    "ElicitationResult": _on_reply,
}
