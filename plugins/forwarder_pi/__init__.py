"""Reads the sessions of the pi coding agent."""

from forwarder_pi.source import Pi

__all__ = ["Pi"]
