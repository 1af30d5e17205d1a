"""The RPC server of llama.cpp: what crosses the connection, who can reach it, and how its end affects the engine.

Skipped if the installed llama.cpp has no RPC; docs/gpu.md says how to build one.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from edgemed.engine.offload import Offload, reach
from edgemed.engine.process.client import Engine
from edgemed.engine.process.job import Report, run_job
from edgemed.engine.process.protocol import EngineSettings, Message, Sampling
from edgemed.errors import EngineDied, SetupError
from edgemed.forecast import gpu_check
from testing.rpc_server import GET_TENSOR, SET_TENSOR, counting, needs_rpc, rpc_server

pytestmark = needs_rpc

HERE = "tests.engine.test_offload_rpc"


@pytest.fixture(autouse=True)
def _find_this_module(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with rpc_server() as address:
        yield address


def some_tokens(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: a few tokens in one batch, then some one by one."""
    model, tokens = gpu_check._open(request)
    model.logits(tokens[:8])
    for token in tokens[8 : 8 + request["count"]]:
        gpu_check._next(model, token)
    model.close()
    return {}


def try_another_socket(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job that already has a connection and has closed its locks."""
    import socket

    try:
        socket.create_connection(("127.0.0.1", int(request["offload"]["rpc"].partition(":")[2])), 1).close()
    except PermissionError:
        return {"refused": True}
    return {"refused": False}


def reach_too_late(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job without a server in its request. Like the engine of a chat, it is locked before it could reach one."""
    reach(Offload(rpc=request["server"]))
    return {}


def test_a_wrong_weight_on_the_device_is_found(model_path: Path, endpoint: str) -> None:
    with counting(endpoint, spoil=True) as (_, spoilt):
        found = gpu_check.compare(model_path, Offload(rpc=spoilt), 1, lambda *_: None)
    assert not found.same_model
    assert found.same_split


def test_the_connection_carries_what_the_plan_says(model_path: Path, endpoint: str) -> None:
    """For one token, three tensors per MoE layer and the logits come to us. The experts' sums go back, together with
    the inputs of every token (embedding, position, mask and so on)."""
    request = {"model": str(model_path), "threads": 1}
    totals = []
    for count in (2, 3):
        with counting(endpoint) as (seen, there):
            asked = request | {"count": count, "offload": asdict(Offload(rpc=there))}
            run_job(f"{HERE}:some_tokens", asked, lambda *_: None)
        totals.append(seen)
    passed = totals[1] - totals[0]
    plan = run_job(f"{gpu_check.HERE}:plan", request | {"offload": asdict(Offload(rpc=endpoint))}, lambda *_: None)
    ours = sum(len(inputs) for device, inputs in plan["splits"] if device == "edgemed")
    theirs = sum(len(inputs) for device, inputs in plan["splits"] if device.startswith("RPC"))
    assert ours == 3 * 2
    assert passed[GET_TENSOR] == ours + 1
    assert passed[SET_TENSOR] == theirs


def test_no_second_connection_can_be_made(endpoint: str) -> None:
    request = {"offload": asdict(Offload(rpc=endpoint))}
    assert run_job(f"{HERE}:try_another_socket", request, lambda *_: None) == {"refused": True}


def test_a_locked_process_cannot_reach_a_server(endpoint: str) -> None:
    with pytest.raises(SetupError, match="has no network access, so it cannot use an RPC server"):
        run_job(f"{HERE}:reach_too_late", {"server": endpoint}, lambda *_: None)


def test_an_unreachable_server_is_one_sentence(model_path: Path) -> None:
    with pytest.raises(
        SetupError, match=r"No RPC server answers at 127\.0\.0\.1:1 .*start llama.cpp's RPC " r"server there"
    ):
        Engine.start(model_path, EngineSettings(offload=Offload(rpc="127.0.0.1:1")))


def test_a_server_that_dies_ends_the_engine_but_not_its_parent(model_path: Path) -> None:
    with rpc_server() as endpoint:
        engine = Engine.start(model_path, EngineSettings(threads=1, offload=Offload(rpc=endpoint)))
    with engine, pytest.raises(EngineDied, match="RPC server"):
        list(engine.generate([Message("user", "What is a fever?")], Sampling(max_tokens=4)))
