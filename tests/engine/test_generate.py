"""`edgemed generate` as users run it: in a separate process, which locks itself down."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgemed.clinical import cut_off, notice
from edgemed.convert.pipeline import convert
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from testing.timing import soon

COMMAND = [sys.executable, "-m", "edgemed.cli", "generate"]
QUESTION = "What is a fever?"
PROMPT = ("-p", "-", "--threads", "1")


def generate(*arguments: str | Path, typed: str = QUESTION) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, input=typed, check=False
    )


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose checkpoint is marked as a demonstration."""
    folder = tmp_path_factory.mktemp("demonstration")
    checkpoint = make_checkpoint(folder / "checkpoint", Shape(num_hidden_layers=2))
    (checkpoint / "edgemed.json").write_text(json.dumps({"intended_use": "demonstration"}))
    convert(str(checkpoint), folder / "model.gguf", Plan.uniform(8.0))
    return folder / "model.gguf"


@pytest.mark.slow
def test_json_tells_everything(model_path: Path) -> None:
    arguments = (*PROMPT, "--json", "--max-tokens", "9", "--seed", "3")
    done = generate(model_path, *arguments)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tokens"] == 9
    assert told["stop_reason"] == "length"
    assert told["prompt_tokens"] > 10
    assert told["decode_tokens_per_s"] > 0
    assert 0 <= told["hit_rate"] <= 1
    assert told["peak_rss_bytes"] > 10 << 20
    assert len(told["weights_digest"]) == 64
    assert told["notice"] is None
    assert told["seed"] == 3
    assert done.stderr == ""
    assert json.loads(generate(model_path, *arguments).stdout)["text"] == told["text"]


@pytest.mark.slow
def test_text_comes_from_standard_input_and_says_where_it_was_cut(model_path: Path) -> None:
    done = generate(model_path, "-p", "-", "--max-tokens", "5", "--ram", "2GiB", "--temperature", "0", typed="胸痛?")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip("\n").endswith(cut_off())
    assert done.stderr == "edgemed: The answer reached --max-tokens.\n"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["argument", "standard input"])
def test_bytes_that_are_not_text_are_refused(model_path: Path, way: str) -> None:
    """Also in a UTF-8 locale, where Python itself would stop with a traceback."""
    question = b"5 \xb5g of it?"  # Latin-1
    prompt = os.fsdecode(question) if way == "argument" else "-"
    command = [sys.executable, "-m", "edgemed.cli", "generate", str(model_path), "-p", prompt]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, input=question, env=strict)
    assert done.returncode == 2
    *warnings, refusal = done.stderr.splitlines()
    assert refusal == b"edgemed: The question is not UTF-8 text; convert it to UTF-8 and ask again."
    assert len(warnings) == (way == "argument")


@pytest.mark.slow
def test_text_on_the_command_line_is_erased_there_and_warned_of(model_path: Path, tmp_path: Path) -> None:
    secret = ("zebrafish-3141", "narwhal-2718")
    command = [*COMMAND, str(model_path), f"-p{secret[0]}", "--system", secret[1], "--max-tokens", "1000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        warning = process.stderr.readline()
        shown = {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (process.pid, child_of(process.pid))}
        process.terminate()
    assert "use `-p -` and standard input" in warning
    (line,) = shown
    assert not [word for word in secret if word.encode() in line]
    assert line.split(b"\0")[3:] == [
        *(b"generate", os.fsencode(model_path), b"-p..............", b"--system", b"............"),
        *(b"--max-tokens", b"1000", b""),
    ]


def child_of(pid: int) -> int:
    """The process that the waiting process `pid` has forked."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    assert soon(lambda: children.read_text() != "")
    return int(children.read_text().split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_a_demonstration_model_says_so_on_every_answer(demonstration: Path, as_json: bool) -> None:
    done = generate(demonstration, *PROMPT, "--max-tokens", "3", *["--json"] * as_json)
    words = json.loads(done.stdout)["notice"] if as_json else done.stdout.splitlines()[0]
    assert words == notice("demonstration")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("-p", ""), 2, "The prompt is empty"),
        ((*PROMPT, "--ram", "lots"), 2, "'lots' is not a size"),
        ((*PROMPT, "--temperature", "-1"), 2, "The sampling setting temperature is -1.0"),
        ((*PROMPT, "--ram", "1MiB"), 1, "at least"),
    ],
)
def test_mistakes_are_one_sentence(model_path: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    done = generate(model_path, *arguments)
    assert done.returncode == code
    assert sentence in done.stderr
    assert done.stderr.startswith("edgemed: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.slow
def test_the_hot_profile_is_written_only_on_request_and_even_after_one_answer(model_path: Path, tmp_path: Path) -> None:
    model = Path(shutil.copy(model_path, tmp_path / "m.gguf"))
    assert generate(model, "-p", "-", "--max-tokens", "2").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    assert generate(model, "-p", "-", "--max-tokens", "2", "--hot-profile").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf", "m.gguf.hot"]


@pytest.mark.slow
def test_it_needs_no_network(model_path: Path) -> None:
    """In a new network namespace not even the loopback device is up."""
    alone = ["unshare", "-rn"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let us make a network namespace")
    command = [*alone, *COMMAND, str(model_path), *PROMPT, "--max-tokens", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, input=QUESTION)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_said(model_path: Path) -> None:
    pipe = subprocess.PIPE
    command = [*COMMAND, str(model_path), *PROMPT, "--max-tokens", "100000"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(QUESTION.encode())
        process.stdin.close()
        begun = process.stdout.read(20)
        process.send_signal(signal.SIGINT)
        process.stdin = None
        rest, errors = process.communicate(timeout=30)
    text = (begun + rest).decode(errors="replace").rstrip("\n")
    if process.returncode == 0:
        pytest.skip("the answer was over before the interrupt")
    assert process.returncode == 130
    assert text.endswith(cut_off())
    assert errors == b"edgemed: The answer was stopped.\n"


@pytest.mark.slow
def test_an_engine_starts_where_the_streams_are_closed(model_path: Path) -> None:
    """New descriptors would get the numbers 0 to 2, which the engine's process uses for its own streams."""
    line = f"{sys.executable} -m edgemed.cli generate {model_path} -p a --max-tokens 3 --threads 1 <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], timeout=60, check=False).returncode == 0
