"""The indexes and MCP servers that were registered or seen, for ``GET /api/config``; in memory, as in AIr."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from forwarder_air.posts import Post

ACTIVE_SECONDS = 300  # in which AIr calls active what was heard of
MAX_PROVIDERS = 1_000  # of each kind; names come from outside
FIELDS = ("type", "description", "embeddingModel", "dimensions")
SEEN = {"type": "auto-detected", "description": "Auto-registered from incoming events"}
NAMES = {
    "rag_retrieval": "source",
    "rag_embedding": "source",
    "rag_index": "source",
    "mcp_request": "serverName",
    "mcp_response": "serverName",
}

Clean = Callable[[str], str]


class Providers:
    """By kind (``rag``, ``mcp``) and name."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, dict[str, Any]]] = {"rag": {}, "mcp": {}}

    def register(self, name: str, fields: Mapping[str, object], clean: Clean) -> None:
        """An index; one of this name is replaced, and counted anew. `clean` makes a text such as may be shown."""
        told = {field: fields[field] for field in FIELDS if fields.get(field) is not None}
        shown = {field: clean(value) if isinstance(value, str) else value for field, value in told.items()}
        self._add("rag", name, {"name": clean(name), "eventCount": 0, **shown})

    def defaults(self, name: str) -> dict[str, object]:
        """What is known of an index's embeddings."""
        known = self._known["rag"].get(name, {})
        names = {"embeddingModel": "model", "dimensions": "dimensions"}
        return {names[field]: known[field] for field in names if field in known}

    def see(self, posts: Iterable[Post], clean: Clean) -> None:
        """Count what was taken."""
        for post in posts:
            name = post.fields.get(NAMES[post.type]) if post.type in NAMES else None
            if isinstance(name, str) and name:
                kind = post.type[:3]
                known = self._known[kind].get(name) or self._add(
                    kind, name, {"name": clean(name), **SEEN, "eventCount": 0}
                )
                known["eventCount"] += 1
                known["lastSeen"] = max(round(post.time.timestamp() * 1000), known.get("lastSeen", 0))

    def listed(self, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """As AIr lists them."""
        since = (now.timestamp() - ACTIVE_SECONDS) * 1000
        return {
            kind: [known | {"active": known.get("lastSeen", 0) >= since} for known in names.values()]
            for kind, names in self._known.items()
        }

    def _add(self, kind: str, name: str, known: dict[str, Any]) -> dict[str, Any]:
        names = self._known[kind]
        names.pop(name, None)
        names[name] = known
        if len(names) > MAX_PROVIDERS:
            del names[next(iter(names))]
        return known
