"""Downloads from a model hub, played by a small server on this machine."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgemed.model_file import keys, open_model
from testing.checkpoints import make_checkpoint
from tests.convert.conftest import TINY

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "them/tiny"


class Hub(ThreadingHTTPServer):
    """Serves one folder as its only repository. `served` lists the files that were fetched; `asked` counts requests for
    a branch's current commit."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder = folder
        self.served: list[str] = []
        self.asked = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        files = sorted(file.name for file in self.server.folder.iterdir())
        if path.startswith(f"api/models/{REPOSITORY}/revision/"):
            self.server.asked += 1
            listing = {"id": REPOSITORY, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            self._send(json.dumps(listing).encode(), with_body, "application/json")
        elif path.startswith(f"api/models/{REPOSITORY}/tree/"):
            tree = [
                {"type": "file", "path": n, "size": (self.server.folder / n).stat().st_size, "oid": n} for n in files
            ]
            self._send(json.dumps(tree).encode(), with_body, "application/json")
        elif path.startswith(f"{REPOSITORY}/resolve/") and path.rpartition("/")[2] in files:
            name = path.rpartition("/")[2]
            if with_body:
                self.server.served.append(name)
            self._send((self.server.folder / name).read_bytes(), with_body, "application/octet-stream")
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, body: bytes, with_body: bool, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = make_checkpoint(tmp_path / "published", TINY)
    (folder / "pytorch_model.bin").write_bytes(b"not wanted")
    server = Hub(folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def convert(hub: Hub, tmp_path: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "edgemed.cli", "convert", source, "-o", str(tmp_path / "out.gguf"), *options]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_repository_is_downloaded_converted_and_cached(hub: Hub, tmp_path: Path) -> None:
    done = convert(hub, tmp_path, REPOSITORY)
    assert done.returncode == 0, done.stderr
    model = open_model(tmp_path / "out.gguf")
    assert model.name == "tiny"
    assert model.metadata[keys.SOURCE_REPOSITORY] == REPOSITORY
    assert model.metadata[keys.SOURCE_REVISION] == COMMIT
    assert "pytorch_model.bin" not in hub.served
    served = len(hub.served)
    assert convert(hub, tmp_path, REPOSITORY, "--overwrite").returncode == 0
    assert len(hub.served) == served  # the second conversion uses the cache


@pytest.mark.slow
def test_cached_files_are_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    assert convert(hub, tmp_path, REPOSITORY).returncode == 0
    snapshot = tmp_path / f"cache/hub/models--{REPOSITORY.replace('/', '--')}/snapshots/{COMMIT}"
    kept = {path: path.read_bytes() for path in snapshot.iterdir()}
    (tmp_path / "out.gguf").unlink()
    for path in (snapshot / "config.json", (snapshot / "tokenizer.json").resolve()):
        for options in (("--save-plan", str(path)), ("-o", str(path))):
            done = convert(hub, tmp_path, REPOSITORY, "--overwrite", *options)
            assert done.returncode == 2
            assert done.stderr.endswith(
                f"{path} is also named as an input or as another output; choose another name.\n"
            )
    assert {path: path.read_bytes() for path in snapshot.iterdir()} == kept
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--bits", "99"),
        ("--plan", "none.json"),
        ("--calibration", "none.npz"),
        ("-o", "none/out.gguf"),
        ("--save-plan", "out.gguf"),
    ],
)
def test_wrong_options_are_refused_before_the_download(hub: Hub, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert convert(hub, tmp_path, REPOSITORY, *options).returncode in (1, 2)
    assert hub.served == []


@pytest.mark.slow
def test_plan_and_weights_come_from_one_commit(hub: Hub, tmp_path: Path) -> None:
    """The branch may move during a conversion, so its commit is asked only once."""
    done = convert(hub, tmp_path, REPOSITORY, "--size", "3MiB", "--save-plan", "plan.json")
    assert done.returncode == 0, done.stderr
    assert hub.asked == 1


@pytest.mark.slow
def test_missing_repository_is_reported(hub: Hub, tmp_path: Path) -> None:
    done = convert(hub, tmp_path, "nobody/nothing")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("There is no folder nobody/nothing here and no such repository on the hub.")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.slow
def test_unreachable_hub_is_reported(hub: Hub, tmp_path: Path) -> None:
    hub.shutdown()
    hub.server_close()
    done = convert(hub, tmp_path, REPOSITORY)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"There is no folder {REPOSITORY} here, and downloading it from the hub failed" in done.stderr
