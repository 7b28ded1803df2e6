"""What plugin authors test with."""

from forwarder.testing.clock import ManualClock
from forwarder.testing.memory import MemorySink
from forwarder.testing.sources import check_source, read_lines

__all__ = ["ManualClock", "MemorySink", "check_source", "read_lines"]
