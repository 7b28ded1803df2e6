"""The description of what the receivers take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import Struct

from forwarder import Answer, ConfigError, Operation, Receiver, Refused, Route, Secret, Serving, SocketRoute
from forwarder.app.cli import cli
from forwarder.app.config import Settings, from_values
from forwarder.app.openapi import described, document
from forwarder.server.address import Address
from forwarder.server.routing import Mount, Routing
from tests.app.conftest import Install
from tests.server.acme import Acme


class Note(Struct):
    """What is noted."""

    id: str
    data: dict[str, object] = {}


@dataclass
class Notes(Acme):
    """Describes what it takes; says no with 200."""

    def routes(self) -> Sequence[Route | SocketRoute]:
        query: dict[str, object] = {"is_new": bool}
        return [
            Route("POST", "/notes/{book}", self.take, operation=Operation("Note.", Note, {201: Note}, query)),
            Route("GET", "/health", self.health, is_open=True, operation=Operation("Is it well?", answers={200: str})),
            SocketRoute("/socket", self.listen, operation=Operation("Listen.", Note)),
        ]

    def refuse(self, refusal: Refused) -> Answer:
        return Answer.json({"ok": False, "why": str(refusal)})


def routing(receiver: Receiver, name: str = "acme", token: Secret | None = None) -> Routing:
    def accept(*_: object) -> Any:
        raise NotImplementedError

    return Routing([Mount(name, "[receivers.acme]", receiver, accept, max_body_bytes=1, token=token)])


def paths(receiver: Receiver, *, token: Secret | None = None) -> dict[str, Any]:
    found: dict[str, Any] = described({Address("127.0.0.1", 1): routing(receiver, token=token)})["paths"]
    return found


def settings(tmp_path: Path, **tables: object) -> Settings:
    return from_values({"state_dir": str(tmp_path), **tables}, place="config.toml", folder=tmp_path)


def operations(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{key} {path}": one
        for path, item in found["paths"].items()
        for key, one in item.items()
        if isinstance(one, dict)
    }


def test_everything_that_listens_is_described(tmp_path: Path) -> None:
    """Whoever wants to post to us finds every route in one document, with words about it."""
    found = operations(document(settings(tmp_path), is_all=True))

    assert {"post /api/events", "post /events", "get /health", "get /metrics"} <= found.keys()
    assert [name for name, one in found.items() if "Not described" in one["summary"]] == []


def test_a_body_and_its_answer_are_described_by_their_types() -> None:
    """A client can be written, or generated, from the document alone."""
    note = paths(Notes())["/notes/{book}"]["post"]

    assert note["requestBody"]["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Note"}}}
    assert note["responses"]["201"]["content"] == note["requestBody"]["content"]
    assert note["parameters"] == [
        {"name": "book", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
        {"name": "is_new", "in": "query", "schema": {"type": "boolean"}},
    ]


def test_what_may_be_anything_is_described_as_that() -> None:
    """Plugins say `object`, which is no type of JSON's."""
    note = described({Address("127.0.0.1", 1): routing(Notes())})["components"]["schemas"]["Note"]

    assert note["properties"]["data"]["additionalProperties"] == {"description": "anything"}


def test_a_refusal_is_described_in_the_receivers_own_form() -> None:
    """Some servers say no with 200: who reads the document knows where to look."""
    note = paths(Notes())["/notes/{book}"]["post"]

    assert sorted(note["responses"]) == ["200", "201"]
    assert note["responses"]["200"]["content"]["application/json"]["example"] == {"ok": False, "why": "the reason"}


def test_a_token_is_described_where_it_is_asked_for() -> None:
    """An open route needs none, and nobody's token is in the document."""
    found = paths(Notes(), token=Secret("hidden"))

    assert found["/notes/{book}"]["post"]["security"] == [{"token": []}]
    assert "security" not in found["/health"]["get"]
    assert "hidden" not in json.dumps(found)


def test_a_socket_is_described_beside_its_path() -> None:
    """OpenAPI knows no WebSockets; what their messages are is told all the same."""
    assert paths(Notes())["/socket"]["x-websocket"] == {
        "summary": "Listen.",
        "tags": ["acme"],
        "message": {"$ref": "#/components/schemas/Note"},
    }


def test_one_path_at_two_addresses_is_described_for_both() -> None:
    """Health checks have the same path everywhere."""
    places = {Address("127.0.0.1", 1): routing(Notes()), Address("127.0.0.1", 2): routing(Health(), "other")}
    health = described(places)["paths"]["/health"]

    assert health["servers"] == [{"url": "http://127.0.0.1:1"}, {"url": "http://127.0.0.1:2"}]
    assert health["get"]["tags"] == ["acme", "other"]
    assert health["get"]["responses"]["200"]["content"] == {
        "text/plain": {"schema": {"type": "string"}},
        "application/json": {"schema": {"$ref": "#/components/schemas/Note"}},
    }


@dataclass
class Health(Acme):
    """A health check in JSON."""

    def routes(self) -> Sequence[Route | SocketRoute]:
        return [Route("GET", "/health", self.health, operation=Operation("Are you?", answers={200: Note}))]

    def serving(self) -> Serving:
        return Serving("127.0.0.1:2")


def test_only_what_is_configured_is_described(tmp_path: Path) -> None:
    """The document is that of this machine, with its addresses."""
    found = document(settings(tmp_path, receivers={"mine": {"use": "pai", "listen": "127.0.0.1:8889"}}))

    assert found["paths"]["/events"]["servers"] == [{"url": "http://127.0.0.1:8889"}]
    assert "/metrics" not in found["paths"]


def test_one_receiver_can_be_asked_for(tmp_path: Path) -> None:
    """Its paths alone, as somebody needs who writes a client for it."""
    assert list(document(settings(tmp_path), name="forwarder")["paths"]) == ["/health", "/metrics"]


def test_a_receiver_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With what may have been meant."""
    with pytest.raises(ConfigError, match='nothing named "pay" listens, did you mean "pai"'):
        document(settings(tmp_path), name="pay")


LISTENING = """
from dataclasses import dataclass
from forwarder import Batch, Listening, Operation, Route, Serving, Sink

@dataclass
class Plugin(Sink, Listening):
    async def send(self, batch): ...
    def serving(self): return Serving("127.0.0.1:7")
    def routes(self): return [Route("GET", "/totals", None, operation=Operation("All totals.", answers={200: str}))]
"""


@pytest.mark.parametrize("sinks", [{}, {"mine": {"use": "totals", "listen": "127.0.0.1:7"}}])
def test_a_sink_that_listens_is_described(install: Install, tmp_path: Path, sinks: dict[str, Any]) -> None:
    """It is asked like a receiver, configured or not; one that does not listen is not made for this."""
    install("forwarder.sinks", "totals", LISTENING)
    others = {"team": {"use": "http", "url": "http://localhost", "token": {"env": "NOT_SET"}}}
    found = document(settings(tmp_path, sinks=sinks | others))

    assert found["paths"]["/totals"]["servers"] == [{"url": "http://127.0.0.1:7"}]
    assert ("/events" in found["paths"]) is not bool(sinks)


def test_the_command_prints_the_document() -> None:
    """It is one JSON object, ready for a tool."""
    done = CliRunner().invoke(cli, ["openapi", "--no-config", "--all"])

    assert json.loads(done.output)["openapi"] == "3.1.0"
