"""AIr, a server that watches coding agents: as a destination (`sink`) and in its place (`receive`)."""
