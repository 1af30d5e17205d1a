"""The engine's process: `python -m edgemed.engine.process.worker FD`, started by `launch`.

llama.cpp aborts its process if an internal check fails, so it runs in this child, not in the interface. One thread
answers and another listens, so that stops and requests for statistics arrive during a computation. FD is one end of a
socket pair (`frames`); this process ends when the other end closes.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
from typing import TYPE_CHECKING

from edgemed import privacy
from edgemed.engine.offload import reach
from edgemed.engine.process.coalesce import coalesced
from edgemed.engine.process.exit_reason import FORGET
from edgemed.engine.process.failures import encode_failure
from edgemed.engine.process.frames import Frames, encode
from edgemed.engine.process.messages import (
    AnyMessage,
    Failed,
    Generate,
    GetPreview,
    GetStats,
    GetStoreState,
    Progress,
    Ready,
    Shrink,
    Start,
    Stop,
    StopWatching,
)
from edgemed.engine.process.protocol import Finished
from edgemed.engine.threads import start_thread
from edgemed.ggml import require_llama

if TYPE_CHECKING:
    from edgemed.engine.pressure import CacheSize
    from edgemed.engine.session import Session

_RECEIVE_BYTES = 1 << 16


class Connection:
    """Sends messages to the interface, from any thread, and receives its messages."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._frames = Frames()
        self._sending = threading.Lock()

    def send(self, message: AnyMessage, request: str = "") -> None:
        with self._sending:
            self._socket.sendall(encode(message, request))

    def receive(self) -> list[tuple[str, AnyMessage]]:
        """Wait for messages and return them; an empty list means that the other end was closed."""
        while data := self._socket.recv(_RECEIVE_BYTES):
            if messages := list(self._frames.feed(data)):
                return messages
        return []


class Worker:
    """Loads the model that `Start` names, then serves `Generate` and `GetPreview` messages one after the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._requests: queue.SimpleQueue[tuple[str, Generate | GetPreview]] = queue.SimpleQueue()
        self._session: Session | None = None
        self._cache: CacheSize  # set together with the session
        # Guards _running and _stopped. Messages arrive in order, so a stop finds its request queued, running or over.
        self._turn = threading.Lock()
        self._running = ""
        self._stopped: dict[str, bool] = {}  # each queued or running request -> whether it was stopped

    def run(self, start: Start, warning: str | None) -> None:
        """Load the model and answer requests for ever. Raises EdgemedError if loading fails."""
        from edgemed.engine.startup import open_session

        def progress(stage: str, fraction: float) -> None:
            self._connection.send(Progress(stage, fraction))

        os.nice(start.settings.niceness)  # before any thread is started, since threads inherit it
        session, self._cache, info = open_session(start.path, start.settings, warning, progress)
        privacy.seal(allow_unsealed=start.settings.allow_unsealed)
        self._session = session
        start_thread(self._listen, "listener")
        self._connection.send(Ready(info, os.getpid()))
        while True:
            os.write(sys.stderr.fileno(), f"{FORGET}\n".encode())
            request, wanted = self._requests.get()
            try:
                if isinstance(wanted, Generate):
                    self._answer(session, request, wanted)
                else:
                    self._connection.send(session.preview(wanted.messages, wanted.continued), request)
            except Exception as error:
                self._connection.send(Failed(*encode_failure(error)), request)

    def _answer(self, session: Session, request: str, wanted: Generate) -> None:
        with self._turn:
            self._running = request
            session.allow()
            if self._stopped.get(request):
                session.stop()
        session.on_progress = lambda progress: self._connection.send(progress, request)
        try:
            events = session.generate(wanted.messages, wanted.sampling, reuse=wanted.reuse, continued=wanted.continued)
            for event in coalesced(events):
                if isinstance(event, Finished):
                    # Save the hot profile before the event is sent: `edgemed generate` ends this process after it.
                    session.loaded.remember_hot()
                self._connection.send(event, request)
        finally:
            with self._turn:
                self._running = ""
                self._stopped.pop(request, None)

    def _listen(self) -> None:
        try:
            while messages := self._connection.receive():
                for request, message in messages:
                    self._take(request, message)
        finally:
            os._exit(0)  # the interface is gone, so drop whatever the other thread computes

    def _take(self, request: str, message: AnyMessage) -> None:
        assert self._session is not None
        match message:
            case Generate():
                with self._turn:
                    self._stopped[request] = False
                self._requests.put((request, message))
            case GetPreview():
                self._requests.put((request, message))
            case Stop():
                with self._turn:
                    if request in self._stopped:
                        self._stopped[request] = True
                    if request == self._running:
                        self._session.stop()
            case GetStats():
                self._connection.send(self._session.stats(), request)
            case GetStoreState():
                self._connection.send(self._session.store_state(), request)
            case Shrink(nbytes):
                self._cache.give_back(nbytes)
            case StopWatching():
                self._session.loaded.stop_watching()


def main(arguments: list[str]) -> int:
    """Run the process. Returns only if loading fails; then the exit code is 1."""
    (descriptor,) = map(int, arguments)
    connection = Connection(socket.socket(fileno=descriptor))
    ((_, start),) = connection.receive()
    assert isinstance(start, Start)
    try:
        require_llama()
        reach(start.settings.offload)  # with an RPC server, only `lock_down` below closes the network
        warning = privacy.lock_down(allow_unsealed=start.settings.allow_unsealed)
        Worker(connection).run(start, warning)
    except Exception as error:
        connection.send(Failed(*encode_failure(error)))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
