"""Files that change, disks that fail, and stops at the worst moment, with real models in separate processes."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgemed.chat.conversation import new_id
from edgemed.engine.process.client import Engine
from edgemed.engine.process.protocol import EngineSettings, Event, Finished, Message, Sampling
from edgemed.errors import EngineError
from edgemed.model_file import open_model
from testing.fault_scenarios import SCENARIOS
from testing.native_build import CannotBuildError, build_faulty_reads
from testing.timing import Later, within

HELLO = [Message("user", "What is a fever?")]
SHORT = Sampling(max_tokens=8, seed=1)
STALL_MS = 1500
SPIN_BRIEFLY = {"GOMP_SPINCOUNT": "1000"}  # as in the engine's process


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build_faulty_reads(tmp_path_factory.mktemp("shim"))
    except CannotBuildError as error:
        pytest.skip(f"the failing disk cannot be built here: {error}")


@pytest.fixture(scope="module")
def outcomes(shim: Path, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The fault of each scenario, "" for none. All run in one process, which must survive them."""
    out = tmp_path_factory.mktemp("scenarios") / "results.json"
    command = [sys.executable, "-m", "testing.fault_scenarios", *map(str, models.values()), str(out)]
    child = subprocess.run(
        command,
        env=os.environ | SPIN_BRIEFLY | {"LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    outcomes: dict[str, str] = json.loads(out.read_text())
    return outcomes


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(outcomes: dict[str, str], scenario: str) -> None:
    assert not outcomes[scenario], outcomes[scenario]


class FaultyDisk:
    """A copy of the model on a disk whose reads of experts fail until it is mended.

    They fail from the first read on, because the background fill could otherwise load all experts before.
    """

    def __init__(self, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, shim: Path, *fault: int) -> None:
        self.path = Path(shutil.copy(model, folder / "copy.gguf"))  # without a hot profile
        self._broken = folder / "broken"
        monkeypatch.setenv("LD_PRELOAD", str(shim))
        monkeypatch.setenv("FAULTY_READS", " ".join(map(str, ("copy.gguf", *fault, 0, 0, -1))))
        monkeypatch.setenv("FAULTY_READS_WHILE", str(self._broken))
        monkeypatch.setenv("FAULTY_READS_FROM", str(open_model(model).experts.offset.min()))
        self._broken.touch()

    def mend(self) -> None:
        self._broken.unlink()


def _stopped_after(engine: Engine) -> float:
    """Seconds from a stop to the end of an answer that waits for the disk."""
    request = new_id()
    events, stop = engine.generate(HELLO, SHORT, request), Later(0.3, lambda: engine.stop(request))
    next(events)  # it has begun
    stop.start()
    *_, last = events
    took = stop.ago()
    stop.join()
    assert isinstance(last, Finished)
    assert (last.stop_reason, last.tokens) == ("stopped", 0)
    return took


@pytest.mark.slow
def test_a_stop_while_reads_stall_ends_within_100_ms(
    tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, shim: Path
) -> None:
    disk = FaultyDisk(tmp_path, model_path, monkeypatch, shim, 0, STALL_MS)
    with Engine.start(disk.path, EngineSettings(threads=1)) as engine:
        assert within(0.1, lambda: _stopped_after(engine))
        disk.mend()
        *_, last = engine.generate(HELLO, SHORT)
        assert isinstance(last, Finished)
        assert last.tokens == SHORT.max_tokens


@pytest.mark.slow
def test_a_broken_disk_is_one_sentence_and_the_engine_goes_on_when_it_is_mended(
    tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, shim: Path
) -> None:
    disk = FaultyDisk(tmp_path, model_path, monkeypatch, shim, errno.EIO, 0)
    with Engine.start(disk.path, EngineSettings(threads=1)) as engine:
        pid = engine.pid
        with pytest.raises(EngineError, match=r"^Expert \d+ of layer \d+ cannot be used: .*Input/output error\.$"):
            list(engine.generate(HELLO, SHORT))
        disk.mend()
        *_, last = engine.generate(HELLO, SHORT)
        assert isinstance(last, Finished)
        assert engine.pid == pid


@pytest.mark.slow
def test_two_engines_answer_from_one_file_at_once(tmp_path: Path, model_path: Path) -> None:
    path = Path(shutil.copy(model_path, tmp_path))
    answers: list[list[Event]] = [[], []]
    with Engine.start(path, EngineSettings(threads=1)) as one, Engine.start(path, EngineSettings(threads=1)) as other:
        threads = [
            threading.Thread(target=lambda e=engine, a=answer: a.extend(e.generate(HELLO, SHORT)))  # type: ignore[misc]
            for engine, answer in zip((one, other), answers, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    texts = {answer[-1].text for answer in answers if isinstance(answer[-1], Finished)}
    assert len(texts) == 1


@pytest.mark.slow
def test_a_process_ends_well_without_closing_its_model(model_path: Path) -> None:
    """Reader threads still run while Python and ggml shut down."""
    script = (
        "import sys; from testing.fault_scenarios import *\n"
        "model = load(Path(sys.argv[1])); print(logits(model).shape[0])\n"
        "faulty = model  # keep a reference to the end\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, str(model_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (child.returncode, child.stdout.strip()) == (0, "8"), child.stderr[-2000:]
