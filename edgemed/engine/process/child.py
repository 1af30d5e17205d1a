"""Starts the engine's process, receives its messages, and finds out why it ended."""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import selectors
import socket
import subprocess
import threading
from collections.abc import Iterable
from typing import Any

from edgemed.engine.process.exit_reason import FORGET, describe_exit, oom_kills
from edgemed.engine.process.frames import Frames, encode
from edgemed.engine.process.launch import launch
from edgemed.engine.process.messages import AnyMessage, Ready
from edgemed.engine.process.protocol import EngineStats, StoreState
from edgemed.engine.threads import start_thread
from edgemed.errors import EngineDied, EngineError, SetupError

WORKER = "edgemed.engine.process.worker"
LOG_LINES = 60
_CLOSING_SECONDS = 3.0
_RECEIVE_BYTES = 1 << 16


class Ended:
    """The last event of a child: it has ended."""


class Woken:
    """Wakes a waiting reader, so that it checks the time."""


class Child:
    """One engine process.

    A keeper thread starts the process, collects its messages and reaps it. The kernel kills the process when the thread
    that started it ends (PR_SET_PDEATHSIG), so that thread must live as long as the process. The caller's thread may
    not: in the chat it is short-lived.
    """

    def __init__(self, *, network: bool = False) -> None:
        self.events: queue.SimpleQueue[tuple[str, AnyMessage | Ended | Woken]] = queue.SimpleQueue()
        self.stats: queue.SimpleQueue[EngineStats | Ended] = queue.SimpleQueue()
        self.store_states: queue.SimpleQueue[StoreState | Ended] = queue.SimpleQueue()
        self.death: str | None = None
        self.pid = 0
        """The process that computes, once it is ready; until then the one that waits for it (`launch`)."""
        self._network = network
        self._socket, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sending = threading.Lock()
        self._log: collections.deque[str] = collections.deque(maxlen=LOG_LINES)
        self._oom_kills = oom_kills()
        self._process: subprocess.Popen[bytes] | None = None
        started = threading.Event()
        self._fault: OSError | None = None
        try:
            self._keeper = start_thread(lambda: self._keep(started), "engine-keeper")
        except SetupError:
            self._socket.close()
            self._theirs.close()
            raise
        started.wait()
        if self._fault is not None:
            raise EngineError(f"The engine's process cannot be started: {self._fault.strerror}.")

    def send(self, message: AnyMessage, request: str = "") -> None:
        """Send a message. Raises EngineDied if the process has ended."""
        frame = encode(message, request)
        try:
            with self._sending:
                self._socket.sendall(frame)
        except OSError:
            self._keeper.join(_CLOSING_SECONDS)
            raise EngineDied(self.death or "The model has stopped.") from None

    def close(self) -> None:
        """End the process and wait for it. May be called twice."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._keeper.join(_CLOSING_SECONDS)
        if self._keeper.is_alive() and self._process is not None:
            self._process.kill()
            self._keeper.join()
        self._socket.close()

    def _keep(self, started: threading.Event) -> None:
        descriptor = self._theirs.fileno()
        try:
            process = self._process = launch(
                WORKER,
                descriptor,
                network=self._network,
                pass_fds=(descriptor,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # output of native code must not reach the screen
                bufsize=0,
            )
        except OSError as error:
            self._fault = error
            self._socket.close()
            return
        finally:
            self._theirs.close()
            started.set()
        self.pid = process.pid
        nonsense: str | None = None
        try:
            self._listen(process)
        except EngineError as error:
            nonsense = str(error)
            process.kill()
        try:
            status = process.wait(_CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        assert process.stdout is not None
        process.stdout.close()
        self.death = nonsense or describe_exit(status, self._log, out_of_memory=oom_kills() > self._oom_kills)
        self.events.put(("", Ended()))
        self.stats.put(Ended())
        self.store_states.put(Ended())

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Read messages and log until both are closed."""
        frames, log = Frames(), process.stdout
        assert log is not None
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(log, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    source: Any = key.fileobj
                    data = _read(source)
                    if not data:
                        selector.unregister(source)
                    elif source is log:
                        *lines, rest = (rest + data).split(b"\n")
                        self._note(line.decode(errors="replace") for line in lines)
                        rest = rest[-_RECEIVE_BYTES:]
                    else:
                        for request, message in frames.feed(data):
                            self._deliver(request, message)
        if rest:
            self._note([rest.decode(errors="replace")])

    def _note(self, lines: Iterable[str]) -> None:
        """Add lines to the log; forget it at each FORGET."""
        for line in lines:
            if line == FORGET:
                self._log.clear()
            else:
                self._log.append(line)

    def _deliver(self, request: str, message: AnyMessage) -> None:
        if isinstance(message, EngineStats):
            self.stats.put(message)
        elif isinstance(message, StoreState):
            self.store_states.put(message)
        else:
            if isinstance(message, Ready):
                self.pid = message.pid
            self.events.put((request, message))


def _read(source: Any) -> bytes:
    try:
        return os.read(source.fileno(), _RECEIVE_BYTES)
    except OSError:  # a reset connection has ended, too
        return b""
