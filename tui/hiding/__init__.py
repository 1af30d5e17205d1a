"""Hiding and locking: the key that hides, the clock that hides, and the PIN that shows the chat again."""
