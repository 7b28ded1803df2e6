"""Which events the two servers know, and in which words.

The documented names and those of the real server's client stand in the repository's README and client of February 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import msgspec

from forwarder_pai.inputs import Inputs

Profile = Literal["seed", "server"]
Told = tuple[str, dict[str, Any]]  # the server's type, and its `data`

PREVIEW_CHARS = 200  # of a call's arguments, as the real client tells them
NOT_USED = ("denied", "rejected")  # outcomes of a call that never ran
SUCCESS = {"ok": True, "completed": True, "error": False, "cancelled": False, "failed": False, "killed": False}

# What the receiver keeps as notifications, and other programs may tell in the same words.
CLIENTS = {
    "context.loaded",
    "isc.validated",
    "learning.captured",
    "message.assistant",
    "rating.explicit",
    "rating.implicit",
    "security.warn",
    "voice.sent",
}


class Outgoing(NamedTuple):
    """One post: `id` is the event's, `time` is as it stands there."""

    id: str
    kind: str
    session_id: str
    time: str
    data: dict[str, Any]

    def body(self, profile: Profile) -> bytes:
        """The JSON that is posted."""
        if profile == "seed":
            post = {"type": self.kind, "session_id": self.session_id, "timestamp": self.time, "data": self.data}
        else:
            post = {
                "id": self.id,
                "timestamp": self.time,
                "session_id": self.session_id,
                "event_type": self.kind,
                "data": self.data,
            }
        return msgspec.json.encode(post)

    def says_the_same_as(self, other: Outgoing) -> bool:
        """Whether the documented form, which has no id, can tell them apart."""
        return self[1:] == other[1:]


def outgoing(events: Iterable[dict[str, Any]], profile: Profile, inputs: Inputs) -> list[Outgoing]:
    """The posts of these events, in order; what the server has no type for is left out."""
    tellers = SEED if profile == "seed" else SERVER
    posts: list[Outgoing] = []
    for event in events:
        if event["type"] == "tool_call_start":
            inputs.hold(event)
        given = inputs.take(event) if event["type"] == "tool_call_end" else None
        if (tell := tellers.get(event["type"])) and (told := tell(event, given)):
            posts.append(Outgoing(event["id"], told[0], event["session_id"], event["time"], told[1]))
    return posts


def _known(**data: object) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None}


def _seed_session_start(event: dict[str, Any], _: str | None) -> Told | None:
    return None if "actor" in event else ("session_start", {})


def _seed_session_end(event: dict[str, Any], _: str | None) -> Told | None:
    return None if "actor" in event else ("session_end", {})


def _seed_tool_use(event: dict[str, Any], given: str | None) -> Told | None:
    if event["outcome"] in NOT_USED:
        return None
    args = None if given is None else _json_text(given)
    return "tool_use", _known(tool=event["tool"], args=args, duration_ms=event.get("duration_ms"))


def _seed_agent_spawn(event: dict[str, Any], _: str | None) -> Told:
    """When it starts: an end, and with it a duration, may never come."""
    return "agent_spawn", _known(subagent_type=event.get("agent_type", "unknown"), prompt=event.get("description"))


def _session_start(event: dict[str, Any], _: str | None) -> Told | None:
    told = _known(model=event.get("model"), working_directory=event.get("cwd"))
    return None if "actor" in event else ("session.start", told)


def _session_end(event: dict[str, Any], _: str | None) -> Told | None:
    return None if "actor" in event else ("session.end", _known(duration_ms=event.get("duration_ms")))


def _tool_execute(event: dict[str, Any], given: str | None) -> Told:
    if event["outcome"] in NOT_USED:
        return "tool.blocked", {"tool": event["tool"], "reason": event["outcome"]}
    args = _table(given)
    return "tool.execute", _known(
        tool=event["tool"],
        args_keys=None if args is None else list(args),
        args_preview=None if given is None else given[:PREVIEW_CHARS],
        duration_ms=event.get("duration_ms"),
        success=SUCCESS.get(event["outcome"]),
    )


def _security_block(event: dict[str, Any], _: str | None) -> Told | None:
    """The server counts these: what a person did not allow is none of them."""
    if event["decision"] != "denied" or event.get("by") not in ("rule", "mode"):
        return None
    return "security.block", {"tool": event["tool"], "reason": f"denied by {event['by']}"}


def _message_user(event: dict[str, Any], _: str | None) -> Told:
    return "message.user", {"content_length": event["chars"]}


def _message_assistant(event: dict[str, Any], _: str | None) -> Told:
    return "message.assistant", _known(content_length=event["chars"], messageId=event.get("response_id"))


def _agent_started(event: dict[str, Any], _: str | None) -> Told:
    return "agent.spawn", {"task_id": event["child"], "agent_type": event.get("agent_type", "unknown")}


def _agent_complete(event: dict[str, Any], _: str | None) -> Told:
    return "agent.complete", _known(
        task_id=event["child"],
        agent_type=event.get("agent_type", "unknown"),
        duration_ms=event.get("duration_ms"),
        success=SUCCESS.get(event.get("outcome", "")),
    )


def _as_it_came(event: dict[str, Any], _: str | None) -> Told | None:
    """What was posted to the receiver and has no type of its own; its words may have been cut, or be gone."""
    if event["kind"] not in CLIENTS:
        return None
    message: str | None = event.get("message")
    data = _table(message)
    return event["kind"], _known(message=message) if data is None else data


SEED: dict[str, Callable[[dict[str, Any], str | None], Told | None]] = {
    "session_start": _seed_session_start,
    "session_end": _seed_session_end,
    "tool_call_end": _seed_tool_use,
    "agent_spawn": _seed_agent_spawn,
}
SERVER: dict[str, Callable[[dict[str, Any], str | None], Told | None]] = {
    "session_start": _session_start,
    "session_end": _session_end,
    "tool_call_end": _tool_execute,
    "permission": _security_block,
    "prompt": _message_user,
    "response": _message_assistant,
    "agent_spawn": _agent_started,
    "agent_end": _agent_complete,
    "notification": _as_it_came,
}


def _table(text: str | None) -> dict[str, Any] | None:
    """The JSON object that the text is; None for any other text, also for an object that was cut."""
    try:
        return None if text is None else _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _json_text(given: str) -> str:
    """Arguments are JSON text there; a text that is none, such as a preview that was cut, becomes part of one."""
    return given if _table(given) is not None else msgspec.json.encode({"input": given}).decode()


_decode = msgspec.json.Decoder(dict[str, Any]).decode
