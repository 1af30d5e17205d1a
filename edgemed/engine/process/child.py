"""Starting the engine's process, listening to it, and knowing why it ended."""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import selectors
import socket
import subprocess
import sys
import threading
from typing import Any

from edgemed.engine.cores import measure_busy
from edgemed.engine.process.exit_reason import describe_exit, oom_kills
from edgemed.engine.process.frames import Frames, encode
from edgemed.engine.process.protocol import AnyMessage, EngineStats, StoreState
from edgemed.engine.threads import start_thread
from edgemed.errors import EngineDied, EngineError, SetupError

WORKER = "edgemed.engine.process.worker"
LOG_LINES = 60
_CLOSING_SECONDS = 3.0
_RECEIVE_BYTES = 1 << 16

# Variables of libraries inside the engine that could change its results or make it write files.
_SCRUBBED = ("TEXTUAL", "LLAMA_", "GGML_", "GOMP_", "OMP_", "KMP_")
_KEPT = ("GGML_VK_VISIBLE_DEVICES",)  # which GPUs there are, as CUDA_VISIBLE_DEVICES and its like say for others
# How many rounds a thread that waits for the others spins before it sleeps. Alone on the machine 100,000 (some 2 ms)
# make a true-shape token of 34 ms one of 30; beside a dozen busy processes spinning takes their cores from the very
# threads it waits for, and a model whose tokens take 1 ms falls from 70 tokens a second to 5 (docs/decisions.md).
_SPINS_ALONE, _SPINS_BUSY = "100000", "1000"
_BUSY_SHARE, _LOOK_SECONDS = 0.25, 0.05
# libllama's dense weights come from malloc: in huge pages they are read 2 to 6 % faster (docs/decisions.md).
_HUGE_PAGES = "glibc.malloc.hugetlb=1"
# On a failed check ggml would start a debugger on itself, which takes seconds and buries the check's own words.
_NO_DEBUGGER = {"GGML_NO_BACKTRACE": "1"}


class Ended:
    """The last thing a child tells: its end."""


class Woken:
    """Tells a waiting reader to look at the clock."""


class Child:
    """One engine process.

    A keeper thread starts it, collects its messages and reaps it. The same thread must do all three: the kernel ends
    the process together with the thread that started it (PR_SET_PDEATHSIG), which for the caller's own thread, a
    passing one in the chat, would be far too soon.
    """

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[tuple[str, AnyMessage | Ended | Woken]] = queue.SimpleQueue()
        self.stats: queue.SimpleQueue[EngineStats | Ended] = queue.SimpleQueue()
        self.store_states: queue.SimpleQueue[StoreState | Ended] = queue.SimpleQueue()
        self.death: str | None = None
        self.pid = 0
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
        """Raises EngineDied when nobody listens any more."""
        frame = encode(message, request)
        try:
            with self._sending:
                self._socket.sendall(frame)
        except OSError:
            self._keeper.join(_CLOSING_SECONDS)
            raise EngineDied(self.death or "The engine's process has ended. It can be started again.") from None

    def close(self) -> None:
        """End the process and wait until it is gone. May be called twice."""
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
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", WORKER, str(descriptor), str(os.getpid())],
                pass_fds=(descriptor,),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # whatever native code prints must not reach the screen
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
        """Read messages and log until both ends are closed."""
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
                        self._log += [line.decode(errors="replace") for line in lines]
                        rest = rest[-_RECEIVE_BYTES:]
                    else:
                        for request, message in frames.feed(data):
                            self._deliver(request, message)
        if rest:
            self._log.append(rest.decode(errors="replace"))

    def _deliver(self, request: str, message: AnyMessage) -> None:
        if isinstance(message, EngineStats):
            self.stats.put(message)
        elif isinstance(message, StoreState):
            self.store_states.put(message)
        else:
            self.events.put((request, message))


def environment() -> dict[str, str]:
    """The child's: ours without what would change how its libraries work; our choices for OpenMP and malloc."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_SCRUBBED)}
    spins = _SPINS_BUSY if measure_busy(_LOOK_SECONDS) > _BUSY_SHARE else _SPINS_ALONE
    tunables = ":".join(filter(None, (kept.get("GLIBC_TUNABLES"), _HUGE_PAGES)))
    return kept | {"GOMP_SPINCOUNT": spins, "GLIBC_TUNABLES": tunables} | _NO_DEBUGGER


def _read(source: Any) -> bytes:
    try:
        return os.read(source.fileno(), _RECEIVE_BYTES)
    except OSError:  # a reset is an end, too
        return b""
