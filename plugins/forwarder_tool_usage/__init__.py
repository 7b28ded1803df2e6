"""The tool-usage log: one JSON object a line for every invocation of a helper. Read, written, and reported on.

Nothing is re-exported: `forwarder track` must not wait for what a source or a sink imports.
"""
