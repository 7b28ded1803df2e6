"""What requests are answered: in honest status codes, or as AIr's server does, which says 200 to nearly everything."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from forwarder import Answer, Refused, Request
from forwarder_air.posts import Unfit

Words = Literal["honest", "air"]

JSON_TYPE, TEXT_TYPE = "application/json", "text/plain"
NO_BODY = 'SyntaxError: "undefined" is not valid JSON'


class Unreadable(Refused):
    """A request whose body is no JSON to begin with. `code` is the one of AIr's web server."""

    def __init__(self, message: str, *, code: str, air: str, status: int = 400) -> None:
        super().__init__(message, status=status)
        self.code = f"FST_ERR_CTP_{code}"
        self.air = air


INVALID = "Body is not valid JSON but content-type is set to 'application/json'"
EMPTY = "Body cannot be empty when content-type is set to 'application/json'"


def body_of(request: Request, words: Words) -> Any:
    """The body as plain Python objects; AIr takes a text for what it is. Raises `Refused`."""
    told = request.headers.get("content-type", "").partition(";")[0].strip()
    kind = told.lower()
    if words == "air":
        if not kind and not request.body:
            raise Unfit("the body is empty", air=NO_BODY)
        if kind == TEXT_TYPE:
            return request.body.decode("utf-8", "replace")
    if (words == "air" or kind) and kind != JSON_TYPE:
        raise Unreadable(
            f"cannot read {told or 'a body of no type'}: post {JSON_TYPE}",
            code="INVALID_MEDIA_TYPE",
            air="Unsupported Media Type",
            status=415,
        )
    if not request.body:
        raise Unreadable("the body is empty", code="EMPTY_JSON_BODY", air=EMPTY)
    if words == "air" and b'"__proto__"' in request.body:
        raise Unreadable("a key is __proto__", code="INVALID_JSON_BODY", air=INVALID)
    try:
        return request.json()
    except Refused as refusal:
        raise Unreadable(str(refusal), code="INVALID_JSON_BODY", air=INVALID) from refusal


def taken(**more: object) -> Answer:
    """Everything is on the disk."""
    return Answer.json({"ok": True, **more})


def partly_taken(count: int, unfit: list[tuple[int, Unfit]], words: Words) -> Answer:
    """`count` events of a batch are on the disk; `unfit` are the others by their index."""
    index, first = unfit[0]
    if words == "air":
        return refused(first, words)
    more = f" (and {len(unfit) - 1} more)" if len(unfit) > 1 else ""
    errors = [{"index": index, "error": str(one)} for index, one in unfit]
    return Answer.json({"ok": False, "error": f"event {index}: {first}{more}", "count": count, "errors": errors}, 400)


def refused(refusal: Refused, words: Words) -> Answer:
    """Nothing was taken."""
    if words == "honest":
        return Answer.json({"ok": False, "error": str(refusal)}, refusal.status)
    if isinstance(refusal, Unfit):
        return Answer.json({"ok": False, "error": refusal.air})
    name = HTTPStatus(refusal.status).phrase
    if refusal.status in (404, 405):
        return Answer.json({"message": f"Route not found: {refusal}", "error": "Not Found", "statusCode": 404}, 404)
    if refusal.status == 413:
        code, name, message = "FST_ERR_CTP_BODY_TOO_LARGE", "Payload Too Large", "Request body is too large"
    elif isinstance(refusal, Unreadable):
        code, message = refusal.code, refusal.air
    else:
        return Answer.json({"statusCode": refusal.status, "error": name, "message": str(refusal)}, refusal.status)
    return Answer.json({"statusCode": refusal.status, "code": code, "error": name, "message": message}, refusal.status)


def no_route(request: Request) -> Answer:
    """What AIr says to a method that a path has not."""
    route = f"Route {request.method}:{request.path} not found"
    return Answer.json({"message": route, "error": "Not Found", "statusCode": 404}, 404)
