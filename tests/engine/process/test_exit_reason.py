"""The engine's process may die in any way: its parent survives and knows the reason."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgemed.engine.process import child as child_module
from edgemed.engine.process import launch
from edgemed.engine.process.child import Child
from edgemed.engine.process.client import Engine
from edgemed.engine.process.exit_reason import FORGET, describe_exit
from edgemed.engine.process.identity import FileIdentity, Weights
from edgemed.engine.process.protocol import EngineSettings, Finished, Message, Piece, Sampling
from edgemed.errors import EngineDied, EngineError, ModelFileError
from edgemed.model_file import open_model
from testing.timing import soon

HELLO = [Message("user", "What is a fever?")]


@pytest.fixture(scope="module")
def mortal(model_path: Path) -> Engine:
    """An engine that the tests here kill or find dead."""
    return Engine(model_path, EngineSettings(threads=1))


def alive(engine: Engine) -> Engine:
    if not engine.alive:
        engine.restart()
    return engine


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
def test_killed_during_an_answer_it_is_reported_and_restarted(mortal: Engine, number: signal.Signals) -> None:
    engine, text = alive(mortal), ""
    events = engine.generate(HELLO, Sampling(max_tokens=100_000))
    while not text:
        event = next(events)
        text += event.text if isinstance(event, Piece) else ""
    os.kill(engine.pid, number)
    with pytest.raises(EngineDied, match=number.name):
        list(events)
    assert not engine.alive
    for call in (engine.stats, lambda: next(engine.generate(HELLO))):
        with pytest.raises(EngineDied, match=number.name):
            call()
    engine.stop("any")  # nothing to stop, and no error
    engine.restart()
    *_, last = engine.generate(HELLO, Sampling(max_tokens=3))
    assert isinstance(last, Finished)
    assert last.tokens == 3


@pytest.mark.slow
def test_killed_while_idle_the_next_call_reports_it(mortal: Engine) -> None:
    engine = alive(mortal)
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match=r"this computer ran out of memory; .* \(SIGKILL\)"):
        list(engine.generate(HELLO))


@pytest.mark.slow
def test_a_stopped_answer_is_not_named_as_the_cause_of_a_later_death(mortal: Engine) -> None:
    engine = alive(mortal)
    for request in ("first", "second"):
        events = engine.generate(HELLO, Sampling(max_tokens=100_000), request)
        while not isinstance(next(events), Piece):
            pass
        if request == "first":
            engine.stop(request)
            list(events)
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match=r"\(SIGKILL\)\.$"):
        list(events)


@pytest.mark.slow
def test_closing_ends_the_process_at_once(mortal: Engine) -> None:
    engine = alive(mortal)
    events = engine.generate(HELLO, Sampling(max_tokens=100_000))
    next(events)
    pid, started = engine.pid, time.monotonic()
    engine.close()
    engine.close()
    assert time.monotonic() - started < 2
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(EngineDied):
        list(events)
    with pytest.raises(EngineError, match="not running"):
        next(engine.generate(HELLO))


@pytest.mark.slow
def test_a_model_file_that_was_replaced_does_not_answer_in_its_place(models: dict[str, Path], tmp_path: Path) -> None:
    first, second = list(models.values())[:2]
    path, aside = tmp_path / "model.gguf", tmp_path / "aside.gguf"
    shutil.copy(first, path)
    with Engine.start(path, EngineSettings(threads=1)) as engine:
        os.kill(engine.pid, signal.SIGKILL)
        path.rename(aside)
        for other in (second, first):  # a copy of the same file may have changed on the way
            shutil.copy(other, path)
            with pytest.raises(ModelFileError, match="replaced or changed after it was opened"):
                engine.restart()
            assert not engine.alive
        aside.rename(path)
        engine.restart()
        assert engine.info.weights_digest == open_model(first).weights_digest
    seen = Weights(FileIdentity.of(path), open_model(second).weights_digest)  # replaced before the first start
    with pytest.raises(ModelFileError, match="quit and start again"):
        Engine.start(path, EngineSettings(threads=1), weights=seen)


def test_the_process_is_locked_and_dies_with_its_parent(model_path: Path) -> None:
    """A chat that is killed leaves no engine behind with patient text in its memory."""
    code = (
        "import sys, time\n"
        "from edgemed.engine.process.client import Engine\n"
        "engine = Engine.start(sys.argv[1])\n"
        "print(engine.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(model_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        status = Path(f"/proc/{pid}/status").read_text()
        limits = Path(f"/proc/{pid}/limits").read_text()
        parent.kill()
    assert "Seccomp:\t2" in status
    assert any(line.split()[4:6] == ["0", "0"] for line in limits.splitlines() if line.startswith("Max core"))
    assert soon(lambda: ended(pid))


def ended(pid: int) -> bool:
    """True if a process has ended, whether it has been reaped or not."""
    try:
        return "Z (" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_environment_is_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLAMA_ARG_X", "GGML_TRACE", "TEXTUAL_LOG", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    kept = {"HOME", "CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"}
    for name in kept:
        monkeypatch.setenv(name, "1")
    names = launch.environment().keys()
    assert not names & {"LLAMA_ARG_X", "GGML_TRACE", "TEXTUAL_LOG", "OMP_NUM_THREADS"}
    assert kept <= names


def test_noise_of_native_code_is_kept_off_the_screen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The output of a dying process appears in the error's sentence and nowhere else."""
    (tmp_path / "noisy_worker.py").write_text(
        "import os, signal\n"
        "os.write(1, b'llama_model_loader: loaded\\n' * 5000)\n"
        "os.write(2, b'ops.cpp:12: GGML_ASSERT(rows == 4) failed\\nstack line\\n')\n"
        "os.kill(os.getpid(), signal.SIGABRT)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(child_module, "WORKER", "noisy_worker")
    child = Child()
    while not isinstance(child.events.get(timeout=60)[1], child_module.Ended):
        pass
    assert child.death == (
        "The model stopped because an internal check of llama.cpp failed "
        '(SIGABRT; last words: "ops.cpp:12: GGML_ASSERT(rows == 4) failed").'
    )
    child.close()
    assert capfd.readouterr() == ("", "")


def test_what_the_log_said_before_the_last_request_explains_no_death(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stopped_worker.py").write_text(
        "import os, signal\n"
        "os.write(2, b'llama_decode: failed to decode, ret = 2\\n')\n"
        f"os.write(2, b'{FORGET}\\n')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(child_module, "WORKER", "stopped_worker")
    child = Child()
    while not isinstance(child.events.get(timeout=60)[1], child_module.Ended):
        pass
    assert child.death is not None
    assert child.death.endswith("(SIGKILL).")
    child.close()


def test_a_worker_that_sends_garbage_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mad_worker.py").write_text(
        "import socket, sys, time\nsocket.socket(fileno=int(sys.argv[1])).sendall(b'\\xff' * 64)\ntime.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(child_module, "WORKER", "mad_worker")
    with pytest.raises(EngineDied, match="garbled"):
        Engine.start(tmp_path / "any.gguf")


@pytest.mark.parametrize(
    ("status", "out_of_memory", "words"),
    [
        (-signal.SIGKILL, True, "The model stopped because this computer ran out of memory; close other programs, or"),
        (-signal.SIGKILL, False, "most likely because this computer ran out of memory; close other programs, or"),
        (-signal.SIGSEGV, False, "The model stopped because of a fault in"),
        (-signal.SIGBUS, False, "edgemed verify"),
        (-99, False, "The model stopped (signal 99; "),
        (3, False, 'The model stopped (exit status 3; last words: "Error: x").'),
    ],
)
def test_every_end_has_its_sentence(status: int, out_of_memory: bool, words: str) -> None:
    sentence = describe_exit(status, ["", "Error:  x", "  "], out_of_memory=out_of_memory)
    assert words in sentence
    assert "\n" not in sentence


def test_a_gpu_whose_memory_ran_out_is_named() -> None:
    """The log is that of llama.cpp's CUDA device."""
    log = ["CUDA error: out of memory", "  current device: 0, in function alloc at pool.cu:9", "pool.cu:9: CUDA error"]
    sentence = describe_exit(-signal.SIGABRT, log, out_of_memory=False)
    assert "because the GPU ran out of memory; offload fewer layers with --gpu" in sentence
    assert 'last words: "CUDA error: out of memory"' in sentence
    log[0] = "CUDA error: an illegal memory access was encountered"
    sentence = describe_exit(-signal.SIGABRT, log, out_of_memory=False)
    assert "an internal check of llama.cpp failed" in sentence
    assert f'last words: "{log[0]}"' in sentence


def test_memory_that_the_system_refuses_is_named() -> None:
    """The log is that of the C++ runtime."""
    log = ["terminate called after throwing an instance of 'std::bad_alloc'", "  what():  std::bad_alloc"]
    assert "because this computer ran out of memory" in describe_exit(-signal.SIGABRT, log, out_of_memory=False)


def test_a_process_that_cannot_be_started_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(EngineError, match="cannot be started: No such file"):
        Child()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
