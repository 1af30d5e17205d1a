"""`edgemed chat` and `edgemed demo` as processes without a terminal, with real conversion and a real engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed.model_file import open_model
from testing.pseudo_terminal import PseudoTerminal

pytestmark = pytest.mark.slow

NOTICE = "DEMONSTRATION MODEL: INVENTS TEXT. ENTER NO PATIENT DATA"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def edgemed(*words: str, cache: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "LC_ALL": "C.UTF-8"}
    for name in ("SSH_CONNECTION", "SSH_TTY", "MOSH_CONNECTION"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "edgemed.cli", *words],
        input=typed,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env=environment,
    )


@pytest.fixture(scope="module")
def demo(cache: Path) -> subprocess.CompletedProcess[str]:
    """The first run of `edgemed demo`, which converts the model."""
    return edgemed("demo", "--threads", "2", cache=cache)


def model_of(cache: Path) -> Path:
    (model,) = (cache / "edgemed").glob("demo-*.gguf")
    return model


def test_demo_converts_shows_its_plan_and_answers(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stderr
    assert "What it writes is made up." in demo.stdout
    assert "Bits per weight, by layer" in demo.stdout
    answer = demo.stdout.partition("> What are the symptoms of diabetes?\n")[2]
    assert len(answer.partition(NOTICE)[0].split()) > 5
    assert answer.rstrip().endswith(NOTICE)


def test_demo_experts_differ_in_precision(demo: subprocess.CompletedProcess[str], cache: Path) -> None:
    experts = open_model(model_of(cache)).experts
    assert all(len(set(layer.ravel().tolist())) >= 3 for layer in experts.type)


def test_demo_reuses_the_conversion_and_answers_the_same(demo: subprocess.CompletedProcess[str], cache: Path) -> None:
    written = model_of(cache).stat().st_mtime_ns
    again = edgemed("demo", "--threads", "2", cache=cache)
    assert again.returncode == 0, again.stderr
    assert "Already converted" in again.stdout
    assert model_of(cache).stat().st_mtime_ns == written
    assert again.stdout.partition("\n> ")[2] == demo.stdout.partition("\n> ")[2]


def test_demo_replaces_a_damaged_conversion(
    demo: subprocess.CompletedProcess[str], cache: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "edgemed" / model_of(cache).name
    damaged.parent.mkdir()
    damaged.write_bytes(model_of(cache).read_bytes()[:100_000])
    again = edgemed("demo", "--threads", "2", cache=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Already converted" not in again.stdout
    assert damaged.stat().st_size == model_of(cache).stat().st_size


def test_demo_prints_the_checkpoint_path(cache: Path) -> None:
    done = edgemed("demo", "--path", cache=cache)
    assert done.returncode == 0
    assert (Path(done.stdout.strip()) / "config.json").is_file()


def test_chat_reads_questions_from_a_pipe(demo: subprocess.CompletedProcess[str], cache: Path) -> None:
    # The short context ends the answer early.
    done = edgemed(
        "chat", str(model_of(cache)), "--ctx", "64", "--threads", "2", cache=cache, typed="What is asthma?\n"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("OFFLINE | AI TEXT, NOT VALIDATED | CHECK BEFORE USE | ")
    assert lines[1] == NOTICE
    assert done.stdout.count(NOTICE) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "No model was given; run `edgemed demo`"),
        (("/nowhere/model.gguf",), "There is no model file at /nowhere/model.gguf"),
        (("/etc/hostname",), "hostname"),
    ],
)
def test_missing_model_is_explained_in_one_line(words: tuple[str, ...], sentence: str, cache: Path) -> None:
    done = edgemed("chat", *words, cache=cache)
    assert done.returncode == 1
    assert done.stderr.startswith("edgemed: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_truncated_model_is_explained_in_one_line(
    demo: subprocess.CompletedProcess[str], cache: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model_of(cache).read_bytes()[:-5000])
    done = edgemed("chat", str(cut), cache=cache)
    assert done.returncode == 1
    assert done.stderr.startswith("edgemed: ")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--ram", "10MiB"), "10 MiB of memory is too little for demo-"),
        (("--ctx", "0"), "A context of 0 tokens is not possible with this model; choose from 1 to 2048."),
    ],
)
def test_engine_start_failure_ends_the_chat_and_is_printed_after_it(
    words: tuple[str, str], sentence: str, demo: subprocess.CompletedProcess[str], cache: Path
) -> None:
    command = ["chat", str(model_of(cache)), "--unsaved", *words]
    with PseudoTerminal(f"import sys; from edgemed.cli import main; sys.exit(main({command!r}))") as terminal:
        assert terminal.status() == 1
        assert "edgemed: " + sentence in terminal.output.rpartition("\x1b[?1049l")[2], "printed after the screen closed"


def test_dumb_terminal_gets_plain_mode(demo: subprocess.CompletedProcess[str], cache: Path) -> None:
    command = ["chat", str(model_of(cache)), "--unsaved", "--ctx", "64", "--threads", "2"]
    code = f"import sys; from edgemed.cli import main; sys.exit(main({command!r}))"
    with PseudoTerminal(code, environment={"TERM": "dumb"}) as terminal:
        terminal.wait_for("/new: new chat. Ctrl+D: quit.")
        terminal.wait_for("> ")
        terminal.send("What is\rasthma?\r")
        terminal.wait_for(f"{NOTICE}\r\n\r\n> ")  # the answer is complete and the next prompt is shown
        terminal.send("\x04")
        assert terminal.status() == 0
        assert "\x1b" not in terminal.output
        assert "Traceback" not in terminal.output
