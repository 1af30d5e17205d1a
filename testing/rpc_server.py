"""A llama.cpp RPC server on 127.0.0.1 for tests, and a proxy that counts what passes.

with rpc_server() as endpoint: ...
with rpc_server() as endpoint, counting(endpoint) as (seen, there): ...
python -m testing.rpc_server ENDPOINT                              the server process
"""

import collections
import contextlib
import ctypes
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from edgemed.engine.process.launch import environment
from edgemed.ggml import library_folder

SET_TENSOR, GET_TENSOR = 6, 8  # from enum rpc_cmd, protocol version 7
_WEIGHTS = 1 << 16  # bytes; no activation of these tests is as large
_HEAD = 9  # bytes of a request's head: one of command, eight of length

needs_rpc = pytest.mark.skipif(
    not (library_folder() / "libggml-rpc.so.0").exists(),
    reason='llama-cpp-python was built without RPC (CMAKE_ARGS="-DGGML_RPC=on")',
)


@contextlib.contextmanager
def rpc_server() -> Iterator[str]:
    """Start a server that lends the processor; yield its endpoint."""
    endpoint = f"127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "testing.rpc_server", endpoint]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(endpoint)
            yield endpoint
        finally:
            server.kill()


@contextlib.contextmanager
def counting(endpoint: str, *, spoil: bool = False) -> Iterator[tuple[collections.Counter[int], str]]:
    """Run a proxy; yield the count of each command and the proxy's endpoint. `spoil`: damage the weights on the way."""
    seen: collections.Counter[int] = collections.Counter()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_listen, args=(listener, endpoint, seen, spoil), daemon=True).start()
        yield seen, "127.0.0.1:{1}".format(*listener.getsockname())


def _listen(listener: socket.socket, endpoint: str, seen: collections.Counter[int], spoil: bool) -> None:
    with contextlib.suppress(OSError):  # the socket was closed: the test is over
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(_address(endpoint))
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_requests, args=(client, server, seen, spoil), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()


def _requests(client: socket.socket, server: socket.socket, seen: collections.Counter[int], spoil: bool) -> None:
    with contextlib.suppress(OSError), client, server:
        while head := client.recv(_HEAD, socket.MSG_WAITALL):
            seen[head[0]] += 1
            server.sendall(head)
            left = length = int.from_bytes(head[1:], "little")
            while left:
                data = client.recv(min(left, 1 << 16))
                left -= len(data)
                if spoil and head[0] == SET_TENSOR and length > _WEIGHTS and not left:
                    data = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
                server.sendall(data)
        server.shutdown(socket.SHUT_RDWR)  # close() alone does not wake the thread that still reads


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)


def _address(endpoint: str) -> tuple[str, int]:
    host, port = endpoint.split(":")
    return host, int(port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(endpoint: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return socket.create_connection(_address(endpoint), 1).close()
        time.sleep(0.05)
    raise TimeoutError(f"no RPC server at {endpoint}")


def main() -> None:
    """Serve the processor until killed."""
    from edgemed.engine.devices import registry

    lib = registry()
    by_type = lib.ggml_backend_dev_by_type
    by_type.restype, by_type.argtypes = ctypes.c_void_p, (ctypes.c_int,)
    start = ctypes.CDLL(str(library_folder() / "libggml-rpc.so.0")).ggml_backend_rpc_start_server
    devices = (ctypes.c_void_p * 1)(by_type(0))
    start.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)
    start(sys.argv[1].encode(), None, 1, 1, devices)


if __name__ == "__main__":
    main()
