"""PAI's two observability servers, answering as the documentation has it and as the real one was seen to."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any, cast
from urllib.parse import unquote

from tests.http_peer import TAKEN_IN, HttpPeer, Reply, Request

Row = dict[str, Any]

SEED_TYPES = ("session_start", "tool_use", "agent_spawn", "session_end")
NOT_FOUND = Reply(404, body=b'{"error":"Not found"}')


def reply(code: int, /, **fields: Any) -> Reply:
    return Reply(code, headers={"Content-Type": "application/json"}, body=json.dumps(fields).encode())


class PaiServer(HttpPeer):
    """Answers for itself where the script has a plain `Reply()`, or a trouble that strikes after the body was read.

    `base` is what a client is given. `posts` are all that were stored, in order, as often as they were.
    """

    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self.posts: list[Row] = []
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.row_factory = sqlite3.Row

    @property
    def base(self) -> str:
        return self.url.removesuffix("/v1/events")

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def judge(self, request: Request, reply: Reply) -> Reply:
        """A scripted status or body stands for something in front of the server, which never sees the request."""
        if reply.trouble not in TAKEN_IN | {None} or (reply.status, reply.body) != (200, b"{}"):
            return reply
        own = self.answer(request)
        return Reply(own.status, own.headers, own.body, reply.delay_seconds, reply.trouble)

    def answer(self, request: Request) -> Reply:
        raise NotImplementedError

    def rows(self, query: str, *values: object) -> list[Row]:
        """What the database answers."""
        return [dict(row) for row in self._db.execute(query, values)]


class SeedServer(PaiServer):
    """The documented one. What the documentation leaves open is read strictly: nothing is recognised as a repeat."""

    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self._db.executescript(
            """
            CREATE TABLE sessions (id TEXT PRIMARY KEY, started_at TEXT, ended_at TEXT, status TEXT DEFAULT 'active');
            CREATE TABLE tool_use (session_id TEXT, tool TEXT, args TEXT, timestamp TEXT, duration_ms INTEGER);
            CREATE TABLE agent_spawn
                (session_id TEXT, subagent_type TEXT, prompt TEXT, timestamp TEXT, duration_ms INTEGER);
            """
        )

    def answer(self, request: Request) -> Reply:
        if request.method == "GET" and request.path.startswith("/api/sessions/"):
            return self._session(unquote(request.path.removeprefix("/api/sessions/")))
        if (request.method, request.path) != ("POST", "/api/events"):
            return NOT_FOUND
        try:
            post = json.loads(request.body)
            is_whole = post["type"] in SEED_TYPES and post["session_id"] and isinstance(post["data"], dict)
            datetime.fromisoformat(post["timestamp"])
        except (ValueError, TypeError, KeyError) as error:
            return reply(400, error=str(error))
        if not is_whole:
            return reply(400, error="unknown type, or a field is empty")
        self._store(post)
        self.posts.append(post)
        return reply(201, status="ok", id=str(len(self.posts)))

    def _store(self, post: Row) -> None:
        session, time, data = post["session_id"], post["timestamp"], post["data"]
        self.rows("INSERT OR IGNORE INTO sessions (id) VALUES (?)", session)
        match post["type"]:
            case "session_start":
                self.rows("UPDATE sessions SET started_at = ? WHERE id = ?", time, session)
            case "session_end":
                self.rows("UPDATE sessions SET ended_at = ?, status = 'completed' WHERE id = ?", time, session)
            case "tool_use":
                row = data["tool"], data.get("args"), time, data.get("duration_ms")
                self.rows("INSERT INTO tool_use VALUES (?, ?, ?, ?, ?)", session, *row)
            case _:
                row = data["subagent_type"], data.get("prompt"), time, data.get("duration_ms")
                self.rows("INSERT INTO agent_spawn VALUES (?, ?, ?, ?, ?)", session, *row)

    def _session(self, id: str) -> Reply:
        found = self.rows("SELECT * FROM sessions WHERE id = ?", id)
        if not found:
            return reply(404, error="Session not found")
        return reply(
            200,
            session=found[0],
            tools=self.rows("SELECT tool, args, timestamp, duration_ms FROM tool_use WHERE session_id = ?", id),
            agents=self.rows(
                "SELECT subagent_type, prompt, timestamp, duration_ms FROM agent_spawn WHERE session_id = ?", id
            ),
        )


class RealServer(PaiServer):
    """The one that exists, as it answered in February 2026, its errors included."""

    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self._db.executescript(
            """
            CREATE TABLE events (id TEXT PRIMARY KEY, timestamp TEXT NOT NULL, session_id TEXT NOT NULL,
                event_type TEXT NOT NULL, data TEXT NOT NULL);
            CREATE TABLE sessions (id TEXT PRIMARY KEY, ended_at TEXT, event_count INTEGER DEFAULT 0,
                tool_count INTEGER DEFAULT 0, status TEXT DEFAULT 'active');
            """
        )

    def answer(self, request: Request) -> Reply:
        if request.method == "OPTIONS":
            return Reply(204, body=b"")
        if (request.method, request.path) != ("POST", "/events"):
            return NOT_FOUND
        if not request.body:
            return reply(500, error="Unexpected end of JSON input")
        try:
            event = json.loads(request.body)
        except ValueError:
            return reply(500, error="JSON Parse error: Unexpected EOF")
        if event is None:
            return reply(500, error="null is not an object (evaluating 'event.id')")
        if not isinstance(event, dict):
            return reply(400, error="Missing required fields")
        return self._taken(cast("Row", event))

    def _taken(self, event: Row) -> Reply:
        names = ("id", "timestamp", "session_id", "event_type")
        if not all(event.get(name) for name in names):
            return reply(400, error="Missing required fields")
        if any(isinstance(event[name], dict | list) for name in names):
            return reply(500, error="Binding expected string, TypedArray, boolean, number, bigint or null")
        data = json.dumps(event["data"]) if "data" in event else None
        try:
            self.rows("INSERT INTO events VALUES (?, ?, ?, ?, ?)", *(event[name] for name in names), data)
        except sqlite3.IntegrityError as error:
            return reply(500, error=str(error))
        self.posts.append(event)
        if not isinstance(event["event_type"], str):
            return reply(500, error="event.event_type.startsWith is not a function")
        self._count(event["session_id"], event["event_type"])
        return reply(201, status="ok", id=event["id"])

    def _count(self, session: str, kind: str) -> None:
        self.rows("INSERT OR IGNORE INTO sessions (id) VALUES (?)", session)
        self.rows(
            "UPDATE sessions SET event_count = event_count + 1, tool_count = tool_count + ? WHERE id = ?",
            kind.startswith("tool."),
            session,
        )
        if kind == "session.end":
            self.rows("UPDATE sessions SET ended_at = 'now', status = 'completed' WHERE id = ?", session)
