"""Batches of events as HTTP requests to an ingest endpoint."""

from forwarder_http.sink import Http

__all__ = ["Http"]
