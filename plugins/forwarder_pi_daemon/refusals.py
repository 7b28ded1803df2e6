"""The error form: ``{"error", "code", "details"}``, with the seven codes that pi-daemon's documentation has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from forwarder import Answer, Refused, WrongToken

Code = Literal[
    "VALIDATION_ERROR",
    "INGESTION_ERROR",
    "AUTH_MISSING",
    "AUTH_INVALID",
    "DUPLICATE_REQUEST",
    "RATE_LIMITED",
    "INTERNAL_ERROR",
]

COMES_AGAIN = 503  # how the engine says that the request may come again; the documentation's word for it is 429
RATE_LIMITED = 429


NOTHING: Mapping[str, object] = MappingProxyType({})


class ErrorForm(Struct):
    """What every refused request is answered with."""

    error: str
    code: Code
    details: dict[str, object]


class Problem(Refused):
    """What is wrong with a request or with one metric of it, as the client will read it."""

    def __init__(self, message: str, *, code: Code, status: int = 400, details: Mapping[str, object] = NOTHING) -> None:
        super().__init__(message, status=status)
        self.code: Code = code
        self.details = dict(details)


def invalid(message: str, *, field: str = "") -> Problem:
    """A metric is not what the documentation asks for, in one of its fields."""
    return Problem(message, code="VALIDATION_ERROR", details={"field": field} if field else NOTHING)


def not_ingested(message: str, *, field: str = "") -> Problem:
    """A metric is well formed, but there is no place for it."""
    return Problem(message, code="INGESTION_ERROR", details={"field": field} if field else NOTHING)


def answer_to(refusal: Refused) -> Answer:
    """The answer to any refusal, also to the server's own ones."""
    if isinstance(refusal, Problem):
        return Answer.json(ErrorForm(str(refusal), refusal.code, refusal.details), refusal.status)
    status = {COMES_AGAIN: RATE_LIMITED}.get(refusal.status, refusal.status)
    if isinstance(refusal, WrongToken):
        status = 403
    return Answer.json(ErrorForm(str(refusal), _code_of(status), {}), status)


def _code_of(status: int) -> Code:
    match status:
        case 401:
            return "AUTH_MISSING"
        case 403:
            return "AUTH_INVALID"
        case 429:
            return "RATE_LIMITED"
        case _:
            return "INTERNAL_ERROR" if status >= 500 else "VALIDATION_ERROR"
