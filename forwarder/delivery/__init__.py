"""From events to sinks."""

from forwarder.delivery.batching import Batcher, Stretch, Transform
from forwarder.delivery.dead_letter import Reason, count_dead_letters, list_dead_letters
from forwarder.delivery.retry import Circuit, Pace
from forwarder.delivery.selection import Selection, matches_project
from forwarder.delivery.sender import Sender
from forwarder.delivery.status import SenderStatus

__all__ = [
    "Batcher",
    "Circuit",
    "Pace",
    "Reason",
    "Selection",
    "Sender",
    "SenderStatus",
    "Stretch",
    "Transform",
    "count_dead_letters",
    "list_dead_letters",
    "matches_project",
]
