"""What another program of the same user can read of a command's processes: `python -m testing.handles REQUEST`.

It opens /proc/PID/mem of every new process every millisecond and keeps each handle that the kernel grants. As long as
the command runs, it reads through them and looks for the planted words. The kernel checks the right to read when a
handle is opened and never again.

REQUEST is JSON: `command`; `typed`, sent to its standard input, which is then closed if `ends`; `until`, a text in its
output ("" for any): by then every process has met the words; and `words`. With `answers` the command runs on a
pseudo-terminal and gets, instead of `typed`, the second text of each pair once the first one is in its output. Prints
one JSON object for each program: [program, handles, words that were read].
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPEN_SECONDS, LIMIT_SECONDS = 0.001, 60.0
PIECE_BYTES, _OVERLAP_BYTES = 4 << 20, 256


@dataclass(frozen=True)
class Handle:
    """Two open files on one address space: its memory, and the list of its regions."""

    memory: int
    regions: int

    def read(self, words: list[bytes]) -> set[bytes]:
        """Which words are in the address space now."""
        found: set[bytes] = set()
        for piece in self.pieces():
            found |= {word for word in words if word in piece}
        return found

    def pieces(self) -> Iterator[bytes]:
        """The writable memory, in pieces that overlap a little; nothing once the address space is gone."""
        try:
            text = b"".join(iter(lambda: os.read(self.regions, 1 << 16), b""))
            os.lseek(self.regions, 0, os.SEEK_SET)
        except OSError:
            return
        for line in text.splitlines():
            extent, rights, *_ = line.split()
            if rights.startswith(b"rw"):
                begin, end = (int(number, 16) for number in extent.split(b"-"))
                for at in range(begin, end, PIECE_BYTES):
                    with contextlib.suppress(OSError):
                        yield os.pread(self.memory, min(PIECE_BYTES + _OVERLAP_BYTES, end - at), at)


class Watch(threading.Thread):
    """Opens handles until `stop` is set; `handles` are those of each process, and `programs` its module or name."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.handles: dict[int, list[Handle]] = defaultdict(list)
        self.programs: dict[int, str] = {}
        self._known = {entry.name for entry in Path("/proc").iterdir()}

    def run(self) -> None:
        while not self.stop.wait(OPEN_SECONDS):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and entry.name not in self._known:
                    self._open(int(entry.name))

    def _open(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            if pid not in self.handles and not below_us(pid):
                self._known.add(str(pid))  # another test may have planted the same words
                return
            memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
            try:
                regions = os.open(f"/proc/{pid}/maps", os.O_RDONLY)
            except OSError:  # it has closed itself between the two
                os.close(memory)
                raise
            self.programs[pid] = program_of(pid)
            self.handles[pid].append(Handle(memory, regions))


def below_us(pid: int) -> bool:
    """Whether this process is an ancestor of `pid`. Raises OSError if there is no such process."""
    while pid > 1 and pid != os.getpid():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == os.getpid()


def program_of(pid: int) -> str:
    """The last word of the command line that names a module of ours, else its first word."""
    words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    return next((word for word in reversed(words) if word.startswith("edgemed.")), words[0])


class Started:
    """The command, on pipes or on a pseudo-terminal. It is killed at the end of the block."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.said = b""
        self._answers: list[list[str]] = request.get("answers", [])
        if self._answers:
            self._ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
            self._process = subprocess.Popen(
                request["command"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
            )
            os.close(theirs)
        else:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(request["command"], stdin=pipe, stdout=pipe)
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(request["typed"].encode())
            self._process.stdin.flush()
            if request["ends"]:
                self._process.stdin.close()
            self._ours = self._process.stdout.fileno()
        os.set_blocking(self._ours, False)

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def step(self) -> None:
        """Read what the command has written, and type the next answer if it is due."""
        with contextlib.suppress(OSError):
            self.said += os.read(self._ours, 1 << 20)
        if self._answers and self._answers[0][0].encode() in self.said:
            os.write(self._ours, self._answers.pop(0)[1].encode())


def main(request: dict[str, Any]) -> int:
    words = [word.encode() for word in request["words"]]
    read: dict[int, set[bytes]] = defaultdict(set)
    watch = Watch()
    with Started(request) as command:
        watch.start()  # only now: until its exec, the new process had our address space, with the words of the request
        limit = time.monotonic() + LIMIT_SECONDS
        while (not command.said or request["until"].encode() not in command.said) and time.monotonic() < limit:
            command.step()
            for pid, handles in list(watch.handles.items()):
                read[pid] |= handles[-1].read(words)
        watch.stop.set()
        watch.join()
        for pid, handles in watch.handles.items():
            for handle in handles:
                read[pid] |= handle.read(words)
        said = command.said
    assert request["until"].encode() in said, said
    for pid, handles in watch.handles.items():
        print(json.dumps([watch.programs[pid], len(handles), sorted(map(bytes.decode, read[pid]))]))
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
