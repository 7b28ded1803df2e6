"""The shape of a heartbeat: one file a process, rewritten every 1.5 s by the extension pi-telemetry (schema version 2).

Its versions differ in what they leave out, so every part is optional but the process and the session. The assistant's
last text (`messages`) is content that the session file tells; it is skipped unbuilt.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class Process(Struct, gc=False, rename="camel"):
    """Times in ms since 1970; `started_at` is when the extension was loaded, `heartbeat_seq` counts from 1."""

    pid: int
    started_at: int
    updated_at: int
    heartbeat_seq: int
    uptime_ms: int = 0
    heartbeat_ms: int = 1500


class System(Struct, gc=False):
    """Only which machine it is."""

    host: str | None = None


class Git(Struct, gc=False):
    """Absent outside of git."""

    branch: str | None = None


class Workspace(Struct, gc=False):
    """Where pi runs."""

    cwd: str | None = None
    git: Git | None = None


class SessionFile(Struct, gc=False):
    """`file` is absent with `--no-session`, and may not exist yet."""

    id: str
    file: str | None = None


class Model(Struct, gc=False):
    """Absent until one is chosen."""

    provider: str | None = None
    id: str | None = None


class Published(Struct, gc=False, rename="camel"):
    """What pi says it is doing: wrong since 0.65 (see `activity`)."""

    activity: str | None = None
    has_pending_messages: bool = False


class Context(Struct, gc=False, rename="camel"):
    """`tokens` and `percent` are null after a compaction until the next answer; `pressure` is then `normal`."""

    tokens: int | None = None
    context_window: int | None = None
    percent: float | None = None
    pressure: str | None = None


class Capabilities(Struct, gc=False):
    """`hasUI` is true for the terminal and for RPC, false for print and JSON mode."""

    has_ui: bool | None = field(default=None, name="hasUI")


class Heartbeat(Struct, gc=False, rename="camel", kw_only=True):
    """One whole document."""

    schema_version: Literal[2]
    process: Process
    session: SessionFile
    system: System | None = None
    workspace: Workspace | None = None
    model: Model | None = None
    state: Published | None = None
    context: Context | None = None
    capabilities: Capabilities | None = None
    last_event: str | None = None


class Version(Struct, gc=False, rename="camel"):
    """Which schema a document claims to be of."""

    schema_version: int | str | None = None
