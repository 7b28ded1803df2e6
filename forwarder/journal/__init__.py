"""The durable middle: events, stream positions and sink cursors in one SQLite file."""
