"""What plugin authors test with."""

from forwarder.testing.clock import ManualClock

__all__ = ["ManualClock"]
