"""A demonstration: recorded sessions played as live files, and the real pipeline at work on them."""
