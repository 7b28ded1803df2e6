"""What is posted and answered, as the description of the receiver shows it: narrower than what is taken."""

from __future__ import annotations

from typing import Annotated, Any, Union

from msgspec import Meta, Struct, defstruct

from forwarder import Operation
from forwarder_air.answers import Words
from forwarder_air.facts import TYPES
from forwarder_air.posts import LONGEST_NAME, NEEDS

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Milliseconds = Annotated[int, Meta(ge=0, le=4_102_444_800_000)]  # up to the year 2100; later times are taken too
Number = Annotated[float, Meta(ge=0, le=1e9)]


def _event(kind: str) -> Any:
    """The shape of a type of event with what AIr does not take it without."""
    _, texts, numbers = NEEDS.get(kind, ("", (), ()))
    fields: dict[str, Any] = {"id": Name, "sessionId": Name, "timestamp": Milliseconds}
    fields |= dict.fromkeys(texts, str) | {name: Number for name in numbers if "." not in name}
    for outer in dict.fromkeys(name.partition(".")[0] for name in numbers if "." in name):
        inner = [(name.partition(".")[2], Number) for name in numbers if name.startswith(f"{outer}.")]
        fields[outer] = defstruct(f"{kind}_{outer}", inner)
    return defstruct(kind, list(fields.items()), tag_field="type", tag=kind)


Posted: Any = Union[tuple(_event(kind) for kind in sorted(TYPES))]  # noqa: UP007 - of as many as there are


class Rag(Struct, omit_defaults=True, rename="camel"):
    """What is told of an index; each kind of request has some of these."""

    source: Name
    session_id: Name
    query: str = ""
    model: str = ""
    result_count: Number = 0
    document_count: Number = 0
    input_tokens: Number = 0
    total_tokens: Number = 0
    duration_ms: Number = 0


class Provider(Struct, omit_defaults=True, rename="camel"):
    """An index."""

    name: Name
    type: str = ""
    description: str = ""
    embedding_model: str = ""
    dimensions: Number = 0


class Taken(Struct):
    """It is on the disk."""

    ok: bool


class BatchTaken(Taken):
    """All of it is; `count` is how many events were posted."""

    count: int


class ProviderTaken(Taken):
    """The index is registered."""

    provider: str


class Problem(Struct):
    """Why it was not taken."""

    ok: bool
    error: str


class Unfit(Struct):
    """An event of a batch that was not taken."""

    index: int
    error: str


class BatchProblem(Problem, omit_defaults=True):
    """Of a batch that could be read, the other `count` events were taken."""

    count: int = 0
    errors: list[Unfit] = []


class Listed(Struct, rename="camel"):
    """An event that was taken."""

    id: str
    session_id: str
    timestamp: int
    type: str


class Health(Struct, rename="camel"):
    """Seconds since the receiver began to listen. Each sink has a level of redaction of its own."""

    status: str
    uptime: float
    dashboard_clients: int
    redaction_level: str


class Config(Struct, rename="camel"):
    """What is there of AIr, and what was registered."""

    redaction_level: str
    drift_detection: bool
    budget_limit: float | None
    providers: dict[str, list[dict[str, Any]]]
    features: list[str]


class Verdict(Struct, omit_defaults=True):
    """AIr's answer to nearly everything: `ok` says whether it was taken."""

    ok: bool
    error: str = ""
    count: int = 0
    provider: str = ""


class WebProblem(Struct, rename="camel", omit_defaults=True):
    """AIr's answer to a request that it cannot read."""

    status_code: int
    error: str
    message: str
    code: str = ""


def operations(words: Words) -> dict[str, Operation]:
    """What may be posted, by the last part of its path, with the answers in these words."""
    posted: dict[str, tuple[str, Any, Any, Any]] = {
        "ingest": ("Take an event", Posted, Taken, Problem),
        "batch": ("Take events", list[Posted], BatchTaken, BatchProblem),
        "providers": ("Register an index", Provider, ProviderTaken, Problem),
        "rag": ("Take what was done with an index", Rag, Taken, Problem),
    }
    if words == "air":
        return {
            name: Operation(summary, body, {200: Verdict} | dict.fromkeys((400, 415, 503), WebProblem))
            for name, (summary, body, _, _) in posted.items()
        }
    return {
        name: Operation(summary, body, {200: taken, 400: problem, 415: Problem, 503: Problem})
        for name, (summary, body, taken, problem) in posted.items()
    }


COLLECTOR = Operation("Take one event in each message", Posted)
EVENTS = Operation("List events of a session that were taken lately", answers={200: list[Listed]})
HEALTH = Operation("Say that it is there", answers={200: Health})
CONFIG = Operation("Say what there is", answers={200: Config})
