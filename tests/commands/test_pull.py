"""`edgemed pull`: a hub's quantisations are listed, and one is downloaded, resumed and checked."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from edgemed.cli import main
from edgemed.hub import connection
from testing.gguf_bytes import Kind, small_model
from testing.hub import COMMIT, REPOSITORY, Hub, serve

PARTS = [f"Q4_K_M/model-Q4_K_M-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
NAMES = [Path(part).name for part in PARTS]
SMALL = "model-Q2_K.gguf"


def content(name: str, size: int) -> bytes:
    seed = hashlib.sha256(name.encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    published = tmp_path / "published"
    (published / "Q4_K_M").mkdir(parents=True)
    for name, size in zip(PARTS, (300_000, 2_500_000, 400_000), strict=True):
        (published / name).write_bytes(content(name, size))
    (published / SMALL).write_bytes(content(SMALL, 200_000))
    (published / "model-Q4_K_S-00002-of-00002.gguf").write_bytes(b"half")
    (published / "mmproj-F16.gguf").write_bytes(b"a projector")
    (published / "README.md").write_text("text")
    (tmp_path / "here").mkdir()
    with serve(published) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(connection, "RETRY_SECONDS", (0.0, 0.0))
        monkeypatch.chdir(tmp_path / "here")
        yield server


def pull(*words: str) -> int:
    return main(["pull", REPOSITORY, *words])


def here() -> list[str]:
    return sorted(path.name for path in Path.cwd().iterdir())


def published(hub: Hub, name: str) -> bytes:
    return (hub.folder / name).read_bytes()


@pytest.mark.slow
def test_quantisations_are_listed_with_what_fits(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgemed.engine.budget.available_bytes", lambda: 1_600_000)
    assert pull() == 0
    first, *rows, last = capsys.readouterr().out.splitlines()
    assert first == f"{REPOSITORY} at {COMMIT[:12]}; 1.53 MiB of memory are free on this machine"
    assert [row.split()[0] for row in rows] == ["model-Q4_K_S", "model-Q2_K", "model-Q4_K_M"]
    assert "incomplete: only 1 of its parts are there" in rows[0]
    assert " 195 KiB  one file  fits in memory" in rows[1]
    assert "3.05 MiB  3 parts   42% fits in memory; the other experts are read from the disk" in rows[2]
    assert last == f"To download one: edgemed pull {REPOSITORY} --file model-Q4_K_S"
    assert pull("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["commit"] == COMMIT
    assert [one["fits_memory"] for one in found["quantisations"]] == [True, True, False]
    assert found["quantisations"][2]["parts"] == PARTS
    assert hub.served == []
    assert here() == []


@pytest.mark.slow
def test_the_parts_of_one_are_downloaded_the_first_one_last(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull("--file", "q4_k_m", "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == NAMES[0]
    assert hub.served == PARTS[::-1]
    assert here() == NAMES
    for name, part in zip(NAMES, PARTS, strict=True):
        assert Path(name).read_bytes() == published(hub, part)
    hub.served.clear()
    assert pull("--file", "q4_k_m") == 0  # again: everything is there
    assert hub.served == []


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["hang up", "reset"])
def test_a_lost_connection_goes_on_where_it_was(hub: Hub, ending: Literal["hang up", "reset"]) -> None:
    """However often, as long as bytes arrive."""
    hub.ending = ending
    hub.cut[SMALL] = [20_000] * 8
    assert pull("--file", SMALL) == 0
    assert Path(SMALL).read_bytes() == published(hub, SMALL)
    starts = [first for name, first in hub.ranges if name == SMALL]
    assert starts[0] == 0
    if ending == "hang up":  # a reset may discard bytes that have arrived
        assert starts == [20_000 * number for number in range(9)]


@pytest.mark.slow
def test_the_next_command_resumes(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.cut[PARTS[1]] = [1_200_000] + [0] * 5
    assert pull("--file", "Q4_K_M") == 1
    assert "give the same command again to go on." in capsys.readouterr().err
    assert here() == [f"{NAMES[1]}.partial", NAMES[2]]
    hub.ranges.clear()
    assert pull("--file", "Q4_K_M") == 0
    assert hub.ranges == [(PARTS[1], 1_200_000), (PARTS[0], 0)]
    assert here() == NAMES
    assert Path(NAMES[1]).read_bytes() == published(hub, PARTS[1])


KILLED = """
import os, signal, sys
from edgemed.hub import fetch
took = fetch._Download._took
def stop(self, data):
    took(self, data)
    if self.at >= 1 << 20:
        os.kill(os.getpid(), signal.SIGKILL)
fetch._Download._took = stop
from edgemed.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_download_leaves_no_half_file_and_resumes(hub: Hub) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, "pull", REPOSITORY, "--file", "Q4_K_M"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert here() == [f"{NAMES[1]}.partial", NAMES[2]]
    left = Path(f"{NAMES[1]}.partial").stat().st_size
    hub.ranges.clear()
    assert pull("--file", "Q4_K_M") == 0
    assert left >= 1 << 20
    assert hub.ranges == [(PARTS[1], left), (PARTS[0], 0)]
    assert Path(NAMES[1]).read_bytes() == published(hub, PARTS[1])


@pytest.mark.slow
@pytest.mark.parametrize("left", [b"another file" * 100, b"x" * 300_000])
def test_what_another_file_left_is_not_kept(hub: Hub, left: bytes) -> None:
    Path(f"{SMALL}.partial").write_bytes(left)
    assert pull("--file", SMALL) == 0
    assert Path(SMALL).read_bytes() == published(hub, SMALL)
    assert here() == [SMALL]


@pytest.mark.slow
def test_a_wrong_digest_is_no_file(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.claimed[SMALL] = "0" * 64
    assert pull("--file", SMALL) == 1
    assert "arrived with another SHA-256 than the hub gives for it" in capsys.readouterr().err
    assert here() == []


@pytest.mark.slow
def test_other_files_of_the_name_are_kept(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    Path(SMALL).write_bytes(b"mine")
    assert pull("--file", SMALL) == 2
    assert "exists already; choose another name, or pass --overwrite" in capsys.readouterr().err
    assert Path(SMALL).read_bytes() == b"mine"
    assert pull("--file", SMALL, "--overwrite") == 0
    assert Path(SMALL).read_bytes() == published(hub, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--file", "Q4_K"], 1, "--file Q4_K means several quantisations of them/tiny; choose one of"),
        (["--file", "Q9"], 1, "--file Q9 means no quantisation of them/tiny; choose one of model-Q4_K_S, model-Q2_K"),
        (["--file", "Q4_K_S"], 1, "The hub's model-Q4_K_S has 1 of 2 parts; choose another."),
        (["--file", "mmproj"], 1, "means no quantisation"),
        (["-o", "nowhere"], 2, "There is no folder nowhere; make it first."),
    ],
)
def test_what_cannot_be_downloaded_is_a_sentence(
    hub: Hub, capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    assert pull(*words) == code
    assert sentence in capsys.readouterr().err
    assert hub.served == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("llama", 1), ("bailingmoe2", 0), ("\x1b[31m", 1)])
def test_a_model_of_another_family_is_not_downloaded(
    hub: Hub, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    gguf = small_model("llama.cpp")
    gguf.set_key("general.architecture", Kind.STRING, name)
    (hub.folder / SMALL).write_bytes(gguf.encode())
    assert pull("--file", SMALL) == code
    said = capsys.readouterr().err
    assert (f"holds the architecture {name}, but edgemed runs bailingmoe2 only" in said) == (name == "llama")
    assert "\x1b" not in said
    assert here() == ([] if code else [SMALL])


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["Q2_K", "model-q2_k", "*Q2*", "model-Q2_K.gguf", "Q2"])
def test_patterns(hub: Hub, pattern: str) -> None:
    assert pull("--file", pattern) == 0
    assert here() == [SMALL]


@pytest.mark.slow
def test_a_full_disk_is_noticed_first(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = os.statvfs(".")
    nearly_full = os.statvfs_result([*disk[:4], 1, *disk[5:]])
    monkeypatch.setattr(os, "statvfs", lambda _: nearly_full)
    assert pull("--file", SMALL) == 1
    assert "The download needs 195 KiB, but only" in capsys.readouterr().err
    assert here() == []


@pytest.mark.slow
def test_repositories_without_a_model(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    for path in hub.folder.rglob("*.gguf"):
        path.unlink()
    assert pull() == 1
    assert f"has no GGUF file; `edgemed convert {REPOSITORY}` takes a checkpoint." in capsys.readouterr().err
    hub.refuse = 403, "GatedRepo"
    assert pull() == 1
    assert "must be asked for" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tiny", "them/tiny/more", "../etc", "them/\x1b[31m", ""])
def test_names_that_are_no_repository(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["pull", name]) in (1, 2)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "\x1b" not in said
