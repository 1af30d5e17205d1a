"""The engine as a child process: how it is started, the protocol between the two sides, and why it ended."""
