"""Reads the sessions of the pi coding agent, and says what its running instances are doing."""

from forwarder_pi.document import derived_snapshot, snapshot, to_json
from forwarder_pi.source import Pi

__all__ = ["Pi", "derived_snapshot", "snapshot", "to_json"]
