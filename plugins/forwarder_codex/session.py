"""The session itself: who it is, where it runs, whom it comes from, which model it uses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from forwarder import Event, ModelChange, Session, SessionStart, Trigger
from forwarder_codex import lineage
from forwarder_codex.records import BareHeader, Line, SessionMeta, TurnContext
from forwarder_codex.state import State, milliseconds

SCREENS = ("codex-tui", "codex_cli", "codex_vscode")  # programs in which a person types
ENTRYPOINTS = {"cli": "cli", "exec": "exec", "mcp": "rpc"}


def on_meta(state: State, line: Line[SessionMeta]) -> Iterable[Event]:
    """Only the file's own header counts; a second one is the parent's."""
    meta = line.payload
    if state.has_header or meta.id != (state.thread or meta.id):
        if meta.id != state.session.id:
            lineage.second_header(state, line.timestamp)
        return ()
    state.has_header = True
    state.provider = meta.model_provider
    state.session = _session(meta)
    state.trigger = _trigger(meta)
    state.turn.is_review = meta.source == {"subagent": "review"}
    lineage.begin(state, meta, line.timestamp)
    if state.is_revert:
        return ()
    is_fork = meta.forked_from_id is not None and meta.parent_thread_id is None
    return [
        SessionStart(
            key=(meta.id,),
            time=meta.timestamp or line.timestamp,
            session=state.session,
            reason="fork" if is_fork else "startup",
            provider=meta.model_provider,
            entrypoint=_entrypoint(meta),
        )
    ]


def on_bare_header(state: State, header: BareHeader) -> Iterable[Event]:
    """Up to 0.29: the id and the only time that the file has."""
    if state.has_header:
        return ()
    time = header.timestamp if header.timestamp.tzinfo else header.timestamp.replace(tzinfo=UTC)
    state.has_header, state.header_time = True, time
    branch = header.git.branch if header.git else None
    state.session = Session(agent="codex", id=header.id, git_branch=branch)
    return [SessionStart(key=(header.id,), time=time, session=state.session, reason="startup")]


def on_turn_context(state: State, line: Line[TurnContext]) -> Iterable[Event]:
    """The folder and the model from here on; repeated with every request until 0.104."""
    context = line.payload
    if context.cwd and context.cwd != state.session.cwd:
        state.session = _moved(state.session, as_path(context.cwd))
    before, model = state.model, context.model
    if model is None or model == before:
        return ()
    state.model = model
    return [_model_change(state, line.timestamp, model, before)] if before is not None else ()


def _moved(session: Session, cwd: str) -> Session:
    return session if session.cwd == cwd else msgspec.structs.replace(session, cwd=cwd)


def as_path(text: str) -> str:
    """Newer versions write some paths as `file://` URIs."""
    return unquote(urlsplit(text).path) if text.startswith("file://") else text


def _model_change(state: State, at: datetime, model: str, before: str) -> ModelChange:
    return ModelChange(
        key=(state.session.id, milliseconds(at), model),
        time=at,
        session=state.session,
        turn=state.turn.count or None,
        model=model,
        previous_model=before,
        provider=state.provider,
    )


def _session(meta: SessionMeta) -> Session:
    return Session(
        agent="codex",
        id=meta.id,
        agent_version=meta.cli_version,
        parent_id=meta.parent_thread_id or meta.forked_from_id,
        actor=meta.id if _is_subagent(meta) else None,
        cwd=as_path(meta.cwd) if meta.cwd else None,
        git_branch=meta.git.branch if meta.git else None,
    )


def _is_subagent(meta: SessionMeta) -> bool:
    source: str | dict[str, Any] | None = meta.source
    return meta.parent_thread_id is not None or (isinstance(source, dict) and "subagent" in source)


def _trigger(meta: SessionMeta) -> Trigger:
    """`vscode` is also the source of every program that uses the app server, so the program's name decides."""
    if _is_subagent(meta):
        return "machine"
    if meta.source == "cli":
        return "human"
    is_shared = meta.source is None or meta.source == "vscode"
    return "human" if is_shared and (meta.originator or "").startswith(SCREENS) else "sdk"


def _entrypoint(meta: SessionMeta) -> str | None:
    if meta.source == "vscode":
        return "ide" if (meta.originator or "").startswith("codex_vscode") else "rpc"
    return ENTRYPOINTS.get(meta.source) if isinstance(meta.source, str) else None
