"""What is posted and answered, as the description of the receiver shows it.

Narrower than what is taken: labels may also begin with a digit, and there may be as many as ``maxLabelCount`` says.
Whether a name is taken depends on what was told under it before.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from forwarder import Operation
from forwarder_pi_daemon.own import Stats
from forwarder_pi_daemon.posted import LATEST_MS, LONGEST_NAME, LONGEST_VALUE
from forwarder_pi_daemon.refusals import Code, ErrorForm
from forwarder_pi_daemon.requests import LONGEST_ID
from forwarder_pi_daemon.settings import DaemonConfig

LARGEST = 1e300  # of a value in the description; sums of larger ones may be no number any more

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=LONGEST_NAME)]
LabelName = Annotated[str, Meta(pattern=r"^[a-zA-Z][a-zA-Z0-9_]*$", max_length=LONGEST_NAME)]
LabelValue = Annotated[str, Meta(max_length=LONGEST_VALUE)]
Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Increment = Annotated[float, Meta(ge=0, le=LARGEST)]
RequestId = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
Timestamp = Annotated[int, Meta(ge=0, le=LATEST_MS)]


class _Posted(Struct, tag_field="type", kw_only=True):
    name: Name
    labels: Annotated[dict[LabelName, LabelValue], Meta(max_length=10)] | UnsetType = UNSET
    timestamp: Timestamp | UnsetType = UNSET


class CounterPost(_Posted, tag="counter"):
    """Adds `increment`."""

    increment: Increment = 1.0


class GaugePost(_Posted, tag="gauge"):
    """Is `set`; one with `delta` instead moves by it."""

    set: Number


class HistogramPost(_Posted, tag="histogram"):
    """Takes in what was observed."""

    observe: Number


class SummaryPost(_Posted, tag="summary"):
    """Takes in what was observed."""

    observe: Number


MetricPost = CounterPost | GaugePost | HistogramPost | SummaryPost


class BatchPost(Struct, rename="camel"):
    """Several metrics; the same `request_id` again within five minutes is a 409."""

    metrics: list[MetricPost]
    request_id: RequestId | UnsetType = UNSET


class Batch(Struct, rename="camel"):
    """A batch as it is read: what is wrong with one metric costs that one."""

    metrics: list[Any]
    request_id: RequestId | UnsetType = UNSET


class Failed(Struct):
    """A metric of a batch that was not taken; `index` counts from 0."""

    index: int
    name: str
    error: str
    code: Code


class BatchResult(Struct):
    """How many metrics are on the disk, and which are not."""

    success: int
    failed: list[Failed]


class Health(Struct):
    """`uptime` in seconds."""

    status: Literal["ok"]
    uptime: float
    version: str


class Reloaded(Struct, omit_defaults=True):
    """The configuration was read again; keys that changed and hold only after a restart are named."""

    status: Literal["reloaded"]
    restart: list[str] = []


METRICS = Operation("All series in Prometheus' text format.", answers={200: str})
POST = Operation("Tell one metric.", body=MetricPost, answers={204: None, 400: ErrorForm, 429: ErrorForm})
BATCH = Operation(
    "Tell several metrics.",
    body=BatchPost,
    answers={200: BatchResult, 400: ErrorForm, 409: ErrorForm, 429: ErrorForm},
)
REGISTRY = Operation("The names of all metrics.", answers={200: list[str]})
HEALTH = Operation("Say that it is there.", answers={200: Health})
CONFIG = Operation("The configuration, without the token.", answers={200: DaemonConfig})
STATS = Operation("The process in numbers.", answers={200: Stats})
RELOAD = Operation("Read the configuration again.", answers={200: Reloaded, 500: ErrorForm})
