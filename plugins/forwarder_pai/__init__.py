"""Events that agents post to a PAI observability server."""

from forwarder_pai.receive import Pai

__all__ = ["Pai"]
