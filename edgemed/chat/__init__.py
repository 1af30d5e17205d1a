"""A conversation and the one way to ask about it, whatever shows the answer."""
