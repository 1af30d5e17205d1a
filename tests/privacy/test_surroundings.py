"""Files and streams that a command inherits must not lead off this machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# What `chat` and `generate` do first; then it prints which descriptors are open.
COMMAND = """
import argparse, json, os, sys
from edgemed.cli import main
from edgemed.commands import _private, chat
def look(args):
    sealed = _private.close_process(args)
    os.write(1, json.dumps([sealed, os.listdir("/proc/self/fd")]).encode())
    return 0
chat.run = look
sys.exit(main(["chat", *sys.argv[1:]]))
"""


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection over the loopback device."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        other, _ = server.accept()
        with other:
            yield one, other


def run(*words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run([sys.executable, "-c", COMMAND, *words], timeout=60, check=False, **streams)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_an_inherited_connection_is_closed() -> None:
    with connected() as (one, other):
        done = run(pass_fds=(one.fileno(),))
        one.close()
        assert other.recv(1) == b"", "nobody holds the other end any more"
    sealed, descriptors = json.loads(done.stdout)
    assert sealed
    assert len(descriptors) == 4, "three streams, and the folder that was listed"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_network_connection_as_a_stream_is_refused(name: str) -> None:
    with connected() as (one, other):
        done = run(**{name: one})
        one.close()
        said = done.stderr if name != "stderr" else other.recv(1000)
    assert done.returncode == 1
    (line,) = said.decode().splitlines()
    stream = {"stdin": "Standard input", "stdout": "Standard output", "stderr": "Standard error"}[name]
    assert line.startswith(f"edgemed: {stream} is a network connection, so the text would leave this computer; ")
    assert not done.stdout


@pytest.mark.slow
def test_a_network_connection_can_be_allowed_and_then_the_chat_is_not_sealed() -> None:
    with connected() as (one, _):
        done = run("--allow-unsealed", stdin=one, pass_fds=())
    assert b"Standard input is a network connection" in done.stderr


@pytest.mark.slow
def test_a_socket_between_processes_of_this_machine_is_no_network() -> None:
    one, other = socket.socketpair()
    with one, other:
        done = run(stdin=one)
    assert json.loads(done.stdout)[0] is True, done.stderr
