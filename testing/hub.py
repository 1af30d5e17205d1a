"""A model hub on this machine that serves one folder as its only repository, and can fail in the ways that hubs do."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "them/tiny"
_LARGE = (".safetensors", ".gguf", ".bin")


class Hub(ThreadingHTTPServer):
    """served: the files that were fetched; asked: requests for a branch's current commit.

    refuse: status and error code of every answer. cut: for a file, after how many bytes its next transfers end, each
    once; `ending` says how: the server hangs up, or resets the connection. claimed: a file's SHA-256 as the hub tells
    it, if it is not the true one. ranges: for each transfer, the first byte that was asked for.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder = folder
        self.served: list[str] = []
        self.asked = 0
        self.refuse: tuple[int, str] | None = None
        self.cut: defaultdict[str, list[int]] = defaultdict(list)
        self.ending: Literal["hang up", "reset"] = "hang up"
        self.claimed: dict[str, str] = {}
        self.ranges: list[tuple[str, int]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, cache: Path) -> dict[str, str]:
        """Variables for a command that uses this hub and an empty cache."""
        return os.environ | {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(cache),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def names(self) -> list[str]:
        """The repository's files."""
        return sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*") if file.is_file())

    def digest(self, name: str) -> str:
        """As hubs name a file's content: SHA-256 of a large file, git's SHA-1 of any other."""
        content = (self.folder / name).read_bytes()
        if name.endswith(_LARGE):
            return self.claimed.get(name) or hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        path = unquote(self.path.partition("?")[0]).strip("/")
        names = self.server.names()
        resolved = path.removeprefix(f"{REPOSITORY}/resolve/").partition("/")[2]
        if self.server.refuse is not None:
            self._refuse(*self.server.refuse)
        elif path.startswith(f"api/models/{REPOSITORY}/revision/") or path == f"api/models/{REPOSITORY}":
            self.server.asked += 1
            listing = {"id": REPOSITORY, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self._send(json.dumps(listing).encode(), with_body)
        elif path.startswith(f"api/models/{REPOSITORY}/tree/"):
            self._send(json.dumps([self._entry(name) for name in names]).encode(), with_body)
        elif path.startswith(f"{REPOSITORY}/resolve/") and resolved in names:
            self._send_file(resolved, with_body)
        else:
            self._refuse(404, "RepoNotFound")

    def _entry(self, name: str) -> dict[str, object]:
        size, digest = (self.server.folder / name).stat().st_size, self.server.digest(name)
        entry: dict[str, object] = {"type": "file", "path": name, "size": size, "oid": digest[:40]}
        return entry | ({"lfs": {"oid": digest, "size": size, "pointerSize": 134}} if len(digest) == 64 else {})

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, body: bytes, with_body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _send_file(self, name: str, with_body: bool) -> None:
        hub = self.server
        body = (hub.folder / name).read_bytes()
        asked = self.headers.get("Range")
        begin, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        first, end = int(begin), min(int(last or len(body)) + 1, len(body))
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - first))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(body)}")
        self.send_header("ETag", f'"{hub.digest(name)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not with_body:
            return
        if last:  # a look at the beginning
            self.wfile.write(body[first:end])
            return
        hub.served.append(name)
        hub.ranges.append((name, first))
        if hub.cut[name]:
            self.wfile.write(body[first:][: hub.cut[name].pop(0)])
            if hub.ending == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            self.close_connection = True
            return
        self.wfile.write(body[first:])


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """A running hub that serves `folder`."""
    server = Hub(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
