"""What a process gets from the program that starts it: its command line and its open files."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

_STREAMS = ("Standard input", "Standard output", "Standard error")
_ARG_START, _ARG_END = 48, 49  # the fields of /proc/PID/stat (proc_pid_stat(5)), counted from 1
_FIRST_AFTER_NAME = 3


def close_inherited() -> None:
    """Close every file except the standard streams: one of them may be a socket that leads off this machine."""
    os.closerange(len(_STREAMS), os.sysconf("SC_OPEN_MAX"))


def network_stream() -> str | None:
    """Why text would leave this machine through a standard stream, as a sentence; None if no stream is a socket.

    Sockets between processes of this machine (AF_UNIX) are not network sockets.
    """
    for number, name in enumerate(_STREAMS):
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            import socket

            with socket.socket(fileno=os.dup(number)) as stream:
                if stream.family != socket.AF_UNIX:
                    return f"{name} is a network connection, so the text would leave this computer"
    return None


def erase_arguments(texts: Iterable[str]) -> None:
    """Overwrite each argument that ends with one of `texts`, from there on, where /proc/PID/cmdline shows it.

    The kernel reads the command line from this process's own memory, at an address that it tells this process only.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = (int(fields[number - _FIRST_AFTER_NAME]) for number in (_ARG_START, _ARG_END))
    if not start:
        return
    shown = (ctypes.c_char * (end - start)).from_address(start)
    arguments = shown.raw.split(b"\0")
    for text in filter(None, map(os.fsencode, texts)):
        arguments = [
            argument[: -len(text)] + b"." * len(text) if argument.endswith(text) else argument for argument in arguments
        ]
    shown.raw = b"\0".join(arguments)
