"""Which units of an interrupted conversion are safely on disk, with their checksums.

A text file beside the unfinished output. Its first line binds it to what is being converted; every other line is a
unit's number and its xxh3-64. A line is written only after the unit's bytes have reached the disk, and a torn last line
(the machine went down while writing it) does not count.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

LINE = re.compile(rb"(\d{1,9}) ([0-9a-f]{16})\n")


class Journal:
    """`done` maps a unit's number to the checksum recorded for it by an earlier run; `knows` whether any unit is on
    disk by now."""

    def __init__(self, path: Path, binding: str, *, resume: bool) -> None:
        """Open the journal at `path`; start it anew unless `resume` is set and it has the same `binding`."""
        self._waiting: dict[int, int] = {}
        head = f"edgemed conversion {binding}\n".encode()
        lines = path.read_bytes().splitlines(keepends=True) if resume and path.exists() else []
        matches = [LINE.fullmatch(line) for line in lines[1:]]
        resumed = bool(lines) and lines[0] == head
        self.done = {int(match[1]): int(match[2], 16) for match in matches if match} if resumed else {}
        # Rewritten whole and put in place at once: a torn line is gone, and no moment knows less than before.
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)  # of a run that was killed
        self._file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            self._append(head + b"".join(_line(number, checksum) for number, checksum in self.done.items()))
            fresh.replace(path)
        except OSError:
            os.close(self._file)
            fresh.unlink()
            raise
        self.knows = bool(self.done)

    def record(self, number: int, checksum: int) -> None:
        """Note a finished unit; it counts from the next `sync` on."""
        if self.done.get(number) != checksum:
            self._waiting[number] = checksum

    def sync(self, output: int) -> None:
        """Bring the file `output`'s bytes to the disk, then the lines that say so."""
        if self._waiting:
            os.fdatasync(output)
            self._append(b"".join(_line(number, checksum) for number, checksum in self._waiting.items()))
            os.fdatasync(self._file)
            self._waiting.clear()
            self.knows = True

    def close(self) -> None:
        os.close(self._file)

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


def _line(number: int, checksum: int) -> bytes:
    return b"%d %016x\n" % (number, checksum)
