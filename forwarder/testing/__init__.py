"""What plugin authors test with."""

from forwarder.testing.clock import ManualClock
from forwarder.testing.contents import read_contents
from forwarder.testing.memory import MemorySink
from forwarder.testing.receivers import Posted, ask, check_receiver, receiving
from forwarder.testing.sinks import Destination, check_sink
from forwarder.testing.sources import check_source, read_lines

__all__ = [
    "Destination",
    "ManualClock",
    "MemorySink",
    "Posted",
    "ask",
    "check_receiver",
    "check_sink",
    "check_source",
    "read_contents",
    "read_lines",
    "receiving",
]
