"""What plugins need that speak HTTP to a destination.

Not part of `forwarder` itself, since the library behind it takes tens of milliseconds to import: a plugin that needs it
writes ``from forwarder.http import connect``.
"""

from forwarder.errors import NotSent
from forwarder.http.address import check_header, checked_url, place_of, warn_if_exposed
from forwarder.http.answer import HttpAnswer, failure, retry_after
from forwarder.http.client import Client, Tls, connect

__all__ = [
    "Client",
    "HttpAnswer",
    "NotSent",
    "Tls",
    "check_header",
    "checked_url",
    "connect",
    "failure",
    "place_of",
    "retry_after",
    "warn_if_exposed",
]
