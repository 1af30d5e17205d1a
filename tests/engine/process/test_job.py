"""Jobs in a child process: progress, results, errors and sudden ends."""

import os
import signal
from typing import Any

import pytest

from edgemed.engine.process.job import Report, run_job
from edgemed.errors import BudgetError, EngineDied, EngineError

HERE = "tests.engine.process.test_job"


def double(request: dict[str, Any], report: Report) -> dict[str, Any]:
    report("doubling", 1, 2)
    report("doubling", 2, 2)
    return {"result": 2 * request["number"], "pid": os.getpid()}


def refuse(request: dict[str, Any], report: Report) -> dict[str, Any]:
    raise BudgetError("Too little. Give more.")


def stumble(request: dict[str, Any], report: Report) -> dict[str, Any]:
    raise ValueError("quotes a secret")


def abort(request: dict[str, Any], report: Report) -> dict[str, Any]:
    os.write(2, b"GGML_ASSERT(a == b) failed\n")
    os.abort()


def vanish(request: dict[str, Any], report: Report) -> dict[str, Any]:
    report("going", 0, 1)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def connect(request: dict[str, Any], report: Report) -> dict[str, Any]:
    import socket

    try:
        socket.socket(socket.AF_INET).close()
    except PermissionError:
        return {"refused": True}
    return {"refused": False}


@pytest.fixture(autouse=True)
def _find_this_module(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))


@pytest.mark.slow
def test_it_computes_in_a_child_and_reports_progress() -> None:
    told: list[tuple[str, int, int]] = []
    done = run_job(f"{HERE}:double", {"number": 21}, lambda *progress: told.append(progress))
    assert done["result"] == 42
    assert done["pid"] != os.getpid()
    assert told == [("doubling", 1, 2), ("doubling", 2, 2)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "kind", "sentence"),
    [
        ("refuse", BudgetError, r"^Too little\. Give more\.$"),
        ("stumble", EngineError, r"ValueError in test_job\.py, line \d+"),
        ("abort", EngineDied, r"an internal check of llama.cpp failed \(SIGABRT; .*GGML_ASSERT"),
        ("vanish", EngineDied, "SIGKILL"),
    ],
)
def test_every_end_is_a_sentence(entry: str, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        run_job(f"{HERE}:{entry}", {}, lambda *_: None)
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_an_interrupt_ends_the_child_first() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(f"{HERE}:double", {"number": 1}, interrupt)


@pytest.mark.slow
def test_the_child_has_no_network() -> None:
    from edgemed.privacy import seccomp

    if seccomp.available() is not None:
        pytest.skip("this kernel cannot filter")
    assert run_job(f"{HERE}:connect", {}, lambda *_: None) == {"refused": True}
