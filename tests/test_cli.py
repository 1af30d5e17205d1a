"""The command line starts fast, explains wrong usage and never prints a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgemed import cli
from edgemed.errors import EdgemedError, UsageError
from edgemed.outputs import check_outputs
from testing.gguf_bytes import small_model

HELP_SECONDS = 0.2


def edgemed(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgemed.cli", *words], capture_output=True, text=True, timeout=60, **options
    )


def test_help_is_fast_and_names_every_verb() -> None:
    best = 99.0
    for _ in range(20):  # the fastest run counts, because other programs can only slow it down
        started = time.perf_counter()
        done = edgemed("--help")
        best = min(best, time.perf_counter() - started)
        if best < HELP_SECONDS:
            break
    assert done.returncode == 0
    for verb in cli.VERBS:
        assert verb in done.stdout
    assert best < HELP_SECONDS


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from edgemed.cli import build_parser; build_parser().format_help();"
        "print([m for m in ('numpy', 'gguf', 'textual', 'llama_cpp', 'huggingface_hub', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0


def test_control_characters_in_errors_are_escaped() -> None:
    hostile = "It says \x1b]0;owned\x07 \u202e\n\udcff 糖尿病."
    assert str(EdgemedError(hostile)) == "It says \\x1b]0;owned\\x07 \\u202e\\n\\udcff 糖尿病."
    assert str(EdgemedError(str(EdgemedError(hostile)))) == str(EdgemedError(hostile))


@pytest.mark.parametrize("words", [[], ["nonsense"], ["generate"], ["convert", "--bits"]])
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    try:
        code = cli.main(words)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2


@pytest.mark.slow
@pytest.mark.parametrize("words", [["inspect"], ["verify"], ["generate", "-p", "-"]])
def test_missing_model_is_one_sentence(words: list[str], tmp_path: Path) -> None:
    done = edgemed(words[0], str(tmp_path / "nowhere.gguf"), *words[1:], input="What is a fever?")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("edgemed: ")
    assert "nowhere.gguf" in done.stderr


def test_errors_set_their_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: EdgemedError) -> int:
        def run(_args: object) -> int:
            raise error

        monkeypatch.setattr("edgemed.commands.inspect.run", run)
        return cli.main(["inspect", "x.gguf"])

    assert fail(UsageError("No.")) == 2
    assert fail(EdgemedError("No.")) == 1
    assert capsys.readouterr().err == "edgemed: No.\n" * 2


def test_closed_pipe_is_not_an_error() -> None:
    line = f"{sys.executable} -m edgemed.cli --help | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("inspect m.gguf >/dev/full", 1, "edgemed: No space left on device: standard output."),
        ("--help >/dev/full", 1, "edgemed: No space left on device: standard output."),
        ("--version >/dev/full", 1, "edgemed: No space left on device: standard output."),
        ("inspect m.gguf >&-", 0, ""),
        ("verify m.gguf 2>&-", 0, ""),
        ("inspect n.gguf >&- 2>&-", 1, ""),
        ("generate m.gguf -p - <&-", 2, "edgemed: The prompt is empty; "),
        ("generate m.gguf -p a --threads 100000", 2, "edgemed: --threads must be a number from 1 to 512, not '10"),
        ("bench m.gguf --threads 0", 2, "edgemed: --threads must be a number from 1 to 512, not '0'."),
    ],
)
def test_unusable_streams_and_numbers_are_one_sentence(tmp_path: Path, words: str, code: int, told: str) -> None:
    (tmp_path / "m.gguf").write_bytes(small_model("edgemed").encode())
    line = f"unset PYTHONUNBUFFERED; {sys.executable} -m edgemed.cli {words}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == (1 if told else 0)


@pytest.mark.parametrize("words", ["--help", "--version", "convert --help", ""])
def test_unbuffered_help_on_a_full_disk_is_reported(words: str) -> None:
    line = f"PYTHONUNBUFFERED=1 {sys.executable} -m edgemed.cli {words} >/dev/full"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "edgemed: No space left on device: standard output.\n")


@pytest.mark.parametrize(("number", "ignored"), [("TERM", False), ("HUP", False), ("HUP", True)])
def test_lost_terminal_does_not_change_the_exit_status(tmp_path: Path, number: str, ignored: bool) -> None:
    """After a hang-up nothing can be printed, but the exit status still says what happened."""
    model = tmp_path / "m.gguf"
    model.write_bytes(small_model("edgemed").encode())
    code = (
        "import os, signal, sys; from edgemed import cli; from edgemed.commands import inspect;"
        f"inspect.run = lambda args: [os.kill(os.getpid(), signal.SIG{number}), 0][1];"
        "sys.exit(cli.main(['inspect', 'm.gguf']))"
    )
    trap = "trap '' HUP; " if ignored else ""
    line = f'{trap}exec {sys.executable} -c "{code}" 2>/dev/full'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == (0 if ignored else 128 + int(getattr(signal, f"SIG{number}")))


def test_unwritable_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    check_outputs([tmp_path / "card.json"])
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", str(tmp_path)]  # root can write to any other folder
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system")
    try:
        with pytest.raises(UsageError, match=r"^The folder .* cannot be written to"):
            check_outputs([tmp_path / "card.json"])
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
