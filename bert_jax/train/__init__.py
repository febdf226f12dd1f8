"""Training of one run, from its start to its result."""
