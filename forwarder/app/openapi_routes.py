"""Routes in OpenAPI's words: what is sent to each, and how it answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from forwarder.errors import Refused, WrongToken
from forwarder.receiver import Answer, Operation, Route, SocketRoute
from forwarder.server.address import Address
from forwarder.server.asgi import refused
from forwarder.server.routing import Mount, params_of

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/{name}"
TOKEN = "token"

MISSING_TOKEN = (Refused("the reason", status=401), "The bearer token is missing.")
WRONG_TOKEN = (WrongToken("the reason", status=401), "The bearer token is wrong.")
ANYWHERE = (
    (Refused("the reason", status=400), "The request is not understood; the answer says why."),
    (Refused("the reason", status=403), "It was meant for another host, or comes from a page of another origin."),
)
WITH_BODY = (
    (Refused("the reason", status=408), "The body did not come in time."),
    (Refused("the reason", status=413), "The body is too large, as it is sent or as it is unpacked."),
    (Refused("the reason", status=415), "The content encoding is none of gzip and deflate."),
    (Refused("the reason", status=503), "Nothing was taken, come again: the journal is full or cannot be written."),
)


class Described(NamedTuple):
    """A route in its place."""

    address: Address
    mount: Mount
    route: Route | SocketRoute

    @property
    def operation(self) -> Operation:
        return self.route.operation or Operation("Not described.")


class Schemas(NamedTuple):
    """Types with their schemas; a type need not be hashable."""

    types: list[object]
    schemas: tuple[Json, ...]

    def of(self, wanted: object) -> Json:
        return self.schemas[self.types.index(wanted)]


def schemas_of(found: Iterable[Described]) -> tuple[Schemas, Json]:
    """All types at once: msgspec then tells those of one name apart."""
    types: list[object] = []
    for one in found:
        operation = one.operation
        for wanted in (operation.body, *operation.answers.values(), *operation.query.values()):
            if wanted is not None and wanted not in types:
                types.append(wanted)
    schemas, components = msgspec.json.schema_components(types, schema_hook=_foreign, ref_template=SCHEMAS)
    return Schemas(types, schemas), components


def _foreign(wanted: type) -> Json:
    """`object` is anything; of any other type that msgspec cannot describe it says so, in a TypeError."""
    if wanted is object:
        return {"description": "anything"}
    raise NotImplementedError


def paths_of(found: Iterable[Described], schemas: Schemas) -> Json:
    paths: Json = {}
    for one in found:
        item = paths.setdefault(one.route.path, {"servers": []})
        if (server := _server(one.address)) not in item["servers"]:
            item["servers"].append(server)
        if isinstance(one.route, SocketRoute):
            item["x-websocket"] = _socket(one, schemas)
        else:
            method = one.route.method.lower()
            described = _operation(one, schemas)
            item[method] = _merged(item[method], described) if method in item else described
    return paths


def _server(address: Address) -> Json:
    return {"url": f"http://{address}"}


def _merged(first: Json, second: Json) -> Json:
    """One operation for the same method of the same path at several addresses, as health checks are."""
    merged = {**first, **second, "tags": first["tags"] + second["tags"]}
    if first["summary"] != second["summary"]:
        merged["summary"] = f"{first['summary']} {second['summary']}"
    if "requestBody" in first and "requestBody" in second:
        merged["requestBody"] = _either(first["requestBody"], second["requestBody"])
    if ("security" in first) != ("security" in second):
        merged["security"] = [{}, {TOKEN: []}]
    both = {**first["responses"], **second["responses"]}
    merged["responses"] = {
        status: _either(first["responses"].get(status, one), one) for status, one in sorted(both.items())
    }
    return merged


def _either(first: Json, second: Json) -> Json:
    """What holds content of one form or another."""
    content: Json = {**second.get("content", {}), **first.get("content", {})}
    for kind, other in second.get("content", {}).items():
        if (one := content[kind]) != other:
            content[kind] = {"schema": {"anyOf": [one.get("schema", {}), other.get("schema", {})]}}
    return {**first, "content": content} if content else first


def _socket(one: Described, schemas: Schemas) -> Json:
    """OpenAPI has no words for WebSockets."""
    wanted = one.operation.body
    message = {} if wanted is None else {"message": schemas.of(wanted)}
    return {"summary": one.operation.summary, "tags": [one.mount.name], **message}


def _operation(one: Described, schemas: Schemas) -> Json:
    operation = one.operation
    described: Json = {"summary": operation.summary, "tags": [one.mount.name]}
    if parameters := list(_parameters(one, schemas)):
        described["parameters"] = parameters
    if operation.body is not None:
        content = {"application/json": {"schema": schemas.of(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    if _wants_token(one):
        described["security"] = [{TOKEN: []}]
    described["responses"] = dict(sorted(_answers(one, schemas).items()))
    return described


def _parameters(one: Described, schemas: Schemas) -> Iterator[Json]:
    for name in params_of(one.route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for name, wanted in one.operation.query.items():
        yield {"name": name, "in": "query", "schema": schemas.of(wanted)}


def _answers(one: Described, schemas: Schemas) -> Json:
    answers: Json = {}
    for refusal, why in _refusals(one):
        answer = refused(one.mount.receiver, refusal)
        before = answers.get(str(answer.status))
        words = f"{before['description']} {why}" if before else why
        answers[str(answer.status)] = {"description": words, "content": _example(answer)}
    for status, wanted in one.operation.answers.items():
        answers[str(status)] = {"description": HTTPStatus(status).phrase, **_content(wanted, schemas)}
    return answers


def _example(answer: Answer) -> Json:
    """How an answer looks, by its media type."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    assert isinstance(answer.body, bytes)
    return {kind: {"example": json.loads(answer.body) if kind == "application/json" else answer.body.decode()}}


def _refusals(one: Described) -> Iterator[tuple[Refused, str]]:
    """What the server itself may say, whatever the receiver."""
    yield from ANYWHERE
    if _wants_token(one):
        yield from (MISSING_TOKEN, WRONG_TOKEN)
    if one.operation.body is not None:
        yield from WITH_BODY


def _content(wanted: object, schemas: Schemas) -> Json:
    if wanted is None:
        return {}
    return {"content": {"text/plain" if wanted is str else "application/json": {"schema": schemas.of(wanted)}}}


def _wants_token(one: Described) -> bool:
    return one.mount.token is not None and not one.route.is_open
