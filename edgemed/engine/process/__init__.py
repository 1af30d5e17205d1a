"""The engine as a process: who starts it, how the two sides talk, and why it ended."""
