"""The chat's end of the connection to the desktop helper.

desktop = start()                  # in the supervisor, before the seal
loop.add_reader(desktop.fileno(), lambda: [act(word) for word in desktop.receive()])
desktop.copy("text")               # False: the terminal must copy
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading

from edgemed.desktop import messages
from edgemed.engine.process.launch import launch

ANSWER_SECONDS = 2.0


class Desktop:
    """The connection that a supervisor gives to its screens. Only one screen uses it at a time."""

    def __init__(self, end: socket.socket, helper: subprocess.Popen[bytes]) -> None:
        self._end = end
        self._helper = helper
        self.alive = True
        """False once the helper has ended."""

    def fileno(self) -> int:
        return self._end.fileno()

    def receive(self) -> list[bytes]:
        """The words that have come, without waiting."""
        words: list[bytes] = []
        try:
            while word := self._end.recv(messages.LONGEST, socket.MSG_DONTWAIT):
                words.append(word)
        except BlockingIOError:
            return words
        except OSError:
            pass
        self.alive = False
        return words

    def copy(self, text: str) -> bool:
        """Ask for the text to be put on the clipboard; False if there is no helper. The answer comes as a word."""
        reading, writing = os.pipe()
        try:
            socket.send_fds(self._end, [messages.COPY], [reading])
        except OSError:
            os.close(writing)
            return False
        finally:
            os.close(reading)
        # On a thread, because a long text does not fit into the pipe, and nobody may be reading.
        threading.Thread(target=_write, args=(writing, text.encode(errors="replace")), daemon=True).start()
        return True

    def copied(self) -> bool:
        """Wait for the answer to `copy`. For programs that do nothing else in the meantime."""
        self._end.settimeout(ANSWER_SECONDS)
        try:
            while word := self._end.recv(messages.LONGEST):
                if word in (messages.COPIED, messages.NOT_COPIED):
                    return word == messages.COPIED
        except OSError:
            pass
        finally:
            self._end.settimeout(None)
        return False

    def clear(self) -> None:
        """Empty the clipboard if it is still ours."""
        self._say(messages.CLEAR)

    def ready_to_sleep(self) -> None:
        """Let the computer sleep: the chat is locked."""
        self._say(messages.READY_TO_SLEEP)

    def close(self) -> None:
        """End the helper. For the process that started it."""
        self._end.close()
        self._helper.wait()

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            self._end.send(word)


def start() -> Desktop | None:
    """Start the helper; None if this machine cannot. Call it before the seal, in a process without text or key."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        descriptor = theirs.fileno()
        null = subprocess.DEVNULL
        helper = launch(
            "edgemed.desktop.helper",
            descriptor,
            env=os.environ,
            pass_fds=(descriptor,),
            stdin=null,
            stdout=null,
            stderr=null,
        )
    except OSError:
        ours.close()
        return None
    finally:
        theirs.close()
    return Desktop(ours, helper)


def _write(pipe: int, data: bytes) -> None:
    with contextlib.suppress(OSError), open(pipe, "wb") as file:
        file.write(data)
