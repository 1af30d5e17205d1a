"""What another program of the same user can read of a command's processes: `python -m testing.handles REQUEST`.

It opens /proc/PID/mem of every new process every millisecond and keeps each handle that the kernel grants. As long as
the command runs, it reads through them and looks for the planted words. The kernel checks the right to read when a
handle is opened and never again.

REQUEST is JSON: `command`; `typed`, sent to its standard input, which is then closed if `ends`; `until`, a text in its
output ("" for any): by then every process has met the words; and `words`. Prints one JSON object for each program:
[program, handles, words that were read].
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPEN_SECONDS, LIMIT_SECONDS = 0.001, 60.0
PIECE_BYTES = 4 << 20


@dataclass(frozen=True)
class Handle:
    """Two open files on one address space: its memory, and the list of its regions."""

    memory: int
    regions: int

    def read(self, words: list[bytes]) -> set[bytes]:
        """Which words are in the address space now."""
        found: set[bytes] = set()
        try:
            text = b"".join(iter(lambda: os.read(self.regions, 1 << 16), b""))
            os.lseek(self.regions, 0, os.SEEK_SET)
        except OSError:  # the address space is gone
            return found
        for line in text.splitlines():
            extent, rights, *_ = line.split()
            if rights.startswith(b"rw"):
                begin, end = (int(number, 16) for number in extent.split(b"-"))
                for at in range(begin, end, PIECE_BYTES):
                    with contextlib.suppress(OSError):
                        piece = os.pread(self.memory, min(PIECE_BYTES, end - at), at)
                        found |= {word for word in words if word in piece}
        return found


class Watch(threading.Thread):
    """Opens handles on the processes of this session until `stop` is set; `handles` are those of each process, and
    `programs` its module or name."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.handles: dict[int, list[Handle]] = defaultdict(list)
        self.programs: dict[int, str] = {}

    def run(self) -> None:
        while not self.stop.wait(OPEN_SECONDS):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    self._open(int(entry.name))

    def _open(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            if os.getsid(pid) != os.getsid(0):
                return
            memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
            try:
                regions = os.open(f"/proc/{pid}/maps", os.O_RDONLY)
            except OSError:  # it has closed itself between the two
                os.close(memory)
                raise
            self.programs[pid] = program_of(pid)
            self.handles[pid].append(Handle(memory, regions))


def program_of(pid: int) -> str:
    """The last word of the command line that names a module of ours, else its first word."""
    words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    return next((word for word in reversed(words) if word.startswith("edgemed.")), words[0])


def main(request: dict[str, Any]) -> int:
    words = [word.encode() for word in request["words"]]
    read: dict[int, set[bytes]] = defaultdict(set)
    os.setsid()  # the command's processes belong to this session, and no others do
    watch = Watch()
    watch.start()
    pipe = subprocess.PIPE
    with subprocess.Popen(request["command"], stdin=pipe, stdout=pipe) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        command.stdin.write(request["typed"].encode())
        command.stdin.flush()
        if request["ends"]:
            command.stdin.close()
        os.set_blocking(command.stdout.fileno(), False)
        said, limit = b"", time.monotonic() + LIMIT_SECONDS
        while (not said or request["until"].encode() not in said) and time.monotonic() < limit:
            said += command.stdout.read() or b""
            for pid, handles in list(watch.handles.items()):
                read[pid] |= handles[-1].read(words)
        watch.stop.set()
        watch.join()
        for pid, handles in watch.handles.items():
            for handle in handles:
                read[pid] |= handle.read(words)
        command.kill()
    assert request["until"].encode() in said, said
    for pid, handles in watch.handles.items():
        print(json.dumps([watch.programs[pid], len(handles), sorted(map(bytes.decode, read[pid]))]))
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
