"""From the network to requests: the only room that knows the web server, entered when a receiver is configured."""
