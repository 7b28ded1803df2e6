"""A stranger's package: what the Acme agent writes, for the forwarder."""
