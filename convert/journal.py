"""The journal of a conversion: which work units are safely on disk, with their checksums, so that it can be resumed.

The journal is a text file beside the partial file. Its first line identifies the conversion; every other line holds a
unit's number, the xxh3-64 of its bytes in the output, and that of its bytes in the checkpoint. A line is written only
after the unit's bytes are on disk. An incomplete last line, left when
the machine went down during the write, is ignored.

Why: docs/decisions.md#resumable-conversion.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from edgemed.outputs import sync

PLACING = b"placing\n"
LINE = re.compile(rb"(\d{1,9}) ([0-9a-f]{16}) ([0-9a-f]{16})\n")


class Checksums(NamedTuple):
    """xxh3-64 of one unit's bytes in the output, and of the checkpoint's bytes that they were made from."""

    output: int
    source: int


class Journal:
    """done: checksums by unit number, as recorded by an earlier run. knows: whether any unit is on disk. placing:
    whether the output's parts, all complete, have begun to get their final names."""

    def __init__(self, path: Path, binding: str, *, resume: bool) -> None:
        """Open the journal at `path`. It starts empty unless `resume` is set and the stored `binding` is the same."""
        self._waiting: dict[int, Checksums] = {}
        head = f"edgemed conversion {binding}\n".encode()
        lines = path.read_bytes().splitlines(keepends=True) if resume and path.exists() else []
        matches = [LINE.fullmatch(line) for line in lines[1:]]
        resumed = bool(lines) and lines[0] == head
        self.done = (
            {int(match[1]): Checksums(int(match[2], 16), int(match[3], 16)) for match in matches if match}
            if resumed
            else {}
        )
        self.placing = resumed and PLACING in lines[1:]
        # Write a new file and replace the old one with it. That removes an incomplete line, and at no moment are
        # finished units missing from the journal.
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)  # left by a run that was killed
        self._file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            kept = [_line(number, checksums) for number, checksums in self.done.items()]
            self._append(head + b"".join(kept) + PLACING * self.placing)
            fresh.replace(path)
        except OSError:
            os.close(self._file)
            fresh.unlink()
            raise
        self.knows = bool(self.done)

    def record(self, number: int, checksums: Checksums) -> None:
        """Note a finished unit. It is written to the journal at the next `sync`."""
        if self.done.get(number) != checksums:
            self._waiting[number] = checksums

    def sync(self, *outputs: int) -> None:
        """Flush the output's files to disk, then write and flush the lines of the units noted since."""
        if self._waiting:
            for output in outputs:
                sync(output)
            self._append(b"".join(_line(number, checksums) for number, checksums in self._waiting.items()))
            sync(self._file)
            self._waiting.clear()
            self.knows = True

    def begin_placing(self) -> None:
        """Note, on disk, that every part is complete and on disk, and will be renamed now."""
        if not self.placing:
            self._append(PLACING)
            sync(self._file)
            self.placing = True

    def close(self) -> None:
        os.close(self._file)

    def _append(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


def _line(number: int, checksums: Checksums) -> bytes:
    return b"%d %016x %016x\n" % (number, *checksums)
