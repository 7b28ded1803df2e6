"""Metrics that agents post to pi-daemon, and pi-daemon as a place to post them to."""
