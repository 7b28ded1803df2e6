"""One hook's payload into events. Hooks know when, durations and permissions; nothing of tokens (contract, section 2).

No end is inferred here: a call without PostToolUse, a turn without Stop is normal, and only the transcript tells why.
Facts without an id of their own, and those of releases without `prompt_id`, are left to the transcript where it knows
them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal

from forwarder import (
    Activity,
    BadRecord,
    Event,
    Notification,
    Session,
    SessionEnd,
    SessionStart,
    TurnOutcome,
    UnknownRecord,
)
from forwarder_claude_code import facts, tool_hooks
from forwarder_claude_code.facts import NOTIFICATION, Moment
from forwarder_claude_code.records import Hook
from forwarder_claude_code.state import SESSIONS, Live, State, milliseconds, trim
from forwarder_claude_code.telling import Telling
from forwarder_claude_code.tools import as_text, digest

# Content only (MessageDisplay), told better by the transcript (compactions, models), or without an event of ours.
IGNORED = frozenset({
    "MessageDisplay", "UserPromptExpansion", "Setup", "PreCompact", "PostCompact", "PreModelSwitch", "PostModelSwitch",
    "TaskCreated", "TaskCompleted", "TeammateIdle", "InstructionsLoaded", "ConfigChange", "CwdChanged",
    "DirectoryAdded", "FileChanged", "WorktreeCreate", "WorktreeRemove",
})  # fmt: skip
END_REASONS: dict[str | None, Literal["exit", "clear", "logout", "switched"]] = {
    "prompt_input_exit": "exit", "clear": "clear", "logout": "logout", "resume": "switched",
}  # fmt: skip
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
    telling.answered()
    if hook.prompt_id is None or live.is_open:
        if hook.prompt_id is not None and live.activity == "waiting_permission":
            yield from telling.becomes("working", hook.prompt_id)
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
    """A hook can keep a turn going that has stopped; then it stops again, for which the prompt's id is no cause."""
    hook = telling.hook
    yield from _turn_end(telling, "completed")
    if hook.prompt_id is None or hook.agent_id is not None or hook.background_tasks:
        return
    again = f" again {telling.occurrence('stop')}" if hook.stop_hook_active else ""
    yield from telling.becomes("waiting_input", hook.prompt_id + again)


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
    telling.answered()
    if hook.prompt_id is None or hook.prompt_id != live.prompt:
        return
    duration = None
    if live.prompted is not None and not at.is_inferred:
        duration = max(0, milliseconds(at.time) - milliseconds(live.prompted))  # clocks are set back at times
    yield facts.turn_end(at, hook.prompt_id, hook.prompt_id, outcome, calls=live.calls, duration_ms=duration)


# --- notices ---


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
    "PreToolUse": tool_hooks.on_tool_start,
    "PostToolUse": tool_hooks.on_tool_end,
    "PostToolUseFailure": tool_hooks.on_tool_failure,
    "PostToolBatch": tool_hooks.on_batch,
    "PermissionRequest": tool_hooks.on_permission_request,
    "PermissionDenied": tool_hooks.on_permission_denied,
    "Stop": _on_stop,
    "StopFailure": _on_stop_failure,
    "SubagentStart": tool_hooks.on_agent_start,
    "SubagentStop": tool_hooks.on_agent_stop,
    "Notification": _on_notification,
    "Elicitation": _on_question,
    "ElicitationResult": _on_reply,
}
