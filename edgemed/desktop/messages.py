"""What the screen and the desktop helper say to each other: one word a packet, with a pipe beside `COPY`."""

from __future__ import annotations

# From the screen.
COPY = b"copy"
"""Own the clipboard with what can be read from the pipe that comes along."""
CLEAR = b"clear"
"""Empty the clipboard if it is still ours."""
READY_TO_SLEEP = b"ready to sleep"
"""The chat is locked, so the computer may sleep."""

# From the helper.
LOCK = b"lock"
"""The desktop is locked, or asks this session to lock."""
SLEEP = b"sleep"
"""The computer is about to sleep and waits a few seconds for `READY_TO_SLEEP`."""
COPIED, NOT_COPIED = b"copied", b"not copied"
"""The answer to `COPY`."""

LONGEST = 64
"""Bytes of the longest word."""
