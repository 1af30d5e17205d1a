"""The dense part on a device that is not this process's memory: llama.cpp's RPC server, which behaves as a GPU does.

Skipped where the installed llama.cpp has no RPC; docs/gpu.md says how to build one beside the usual one.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.cli import main
from edgemed.convert.pipeline import convert
from edgemed.engine.client import Engine
from edgemed.engine.job import Report, run_job
from edgemed.engine.model import LoadSettings, load_model
from edgemed.engine.offload import HOST, Offload, reach
from edgemed.engine.protocol import EngineSettings, Finished, Message, Sampling
from edgemed.errors import EngineDied, SetupError
from edgemed.evaluation import offload_check
from edgemed.model_file import open_model
from edgemed.quant.plan import Plan
from tests.support.checkpoints import Shape, make_checkpoint
from tests.support.rpc_server import GET_TENSOR, SET_TENSOR, counting, needs_rpc, rpc_server

pytestmark = needs_rpc

HERE = "tests.engine.test_offload_rpc"


@pytest.fixture(autouse=True)
def _find_this_module(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with rpc_server() as address:
        yield address


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 MB of dense weights."""
    folder = tmp_path_factory.mktemp("wide")
    shape = Shape(hidden_size=1024, intermediate_size=4096, num_attention_heads=8, num_key_value_heads=4)
    convert(str(make_checkpoint(folder / "checkpoint", shape)), folder / "wide.gguf", Plan.uniform(8.0))
    return folder / "wide.gguf"


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of 32 bits: nothing is rounded to eight, so two devices differ in the order of additions alone."""
    folder = tmp_path_factory.mktemp("exact")
    convert(str(make_checkpoint(folder / "checkpoint")), folder / "exact.gguf", Plan.uniform(Type.F32))
    return folder / "exact.gguf"


def resident(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: the memory plan of a loaded model."""
    file = open_model(Path(request["model"]))
    settings = LoadSettings(ram_bytes=None, n_ctx=256, threads=1, offload=Offload(**request["offload"]))
    loaded = load_model(file, settings)
    budget = loaded.budget
    loaded.close()
    return {"resident": budget.resident_bytes, "compute": budget.compute_bytes, "placement": str(loaded.placement)}


def some_tokens(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: a few tokens at once, then some one by one."""
    reader, tokens = offload_check._open(request)
    reader.logits(tokens[:8])
    for token in tokens[8 : 8 + request["count"]]:
        offload_check._next(reader, token)
    reader.close()
    return {}


def try_another_socket(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job that holds a connection already; its locks are closed."""
    import socket

    try:
        socket.create_connection(("127.0.0.1", int(request["offload"]["rpc"].partition(":")[2])), 1).close()
    except PermissionError:
        return {"refused": True}
    return {"refused": False}


def reach_too_late(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job without a server in its request: as the engine of a chat, it is locked before it could reach one."""
    reach(Offload(rpc=request["server"]))
    return {}


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main(["doctor", "--gpu-check", "--json", *words])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("layers", ["auto", "3", "1"])
def test_the_device_computes_the_same_model(
    layers: str, exact: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = check(capsys, str(exact), "--rpc", endpoint, "--gpu", layers)
    assert status == 0
    on_device = 4 if layers == "auto" else int(layers)
    assert found["placement"].startswith(f"{on_device} of 4 layers on RPC0 ")
    assert found["agreement"] == 1
    assert found["divergence"] < 1e-6
    assert found["difference"] < 3e-2  # llama.cpp adds up halves in attention
    moe_on_device = min(2, on_device - 1)
    copies = [(len(layer["into"]), len(layer["out"])) for layer in found["layers"]]
    assert copies == [(0, 0)] * (2 - moe_on_device) + [(3, 1)] * moe_on_device
    assert found["pieces"] == (5 if on_device == 1 else 6)  # the head follows on a layer that ends with its experts


def test_a_wrong_weight_on_the_device_is_found(
    model_path: Path, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with counting(endpoint, spoil=True) as (_, spoilt):
        status, found = check(capsys, str(model_path), "--rpc", spoilt)
    assert status == 1
    assert not found["same_model"]
    assert found["same_split"]


def test_what_the_plan_says_is_what_passes(model_path: Path, endpoint: str) -> None:
    """Of one token: three tensors of each MoE layer and the logits come to us; what they add up to goes back, and with
    it what every token brings (its embedding, position, mask and so on)."""
    request = {"model": str(model_path), "threads": 1}
    totals = []
    for count in (2, 3):
        with counting(endpoint) as (seen, there):
            asked = request | {"count": count, "offload": asdict(Offload(rpc=there))}
            run_job(f"{HERE}:some_tokens", asked, lambda *_: None)
        totals.append(seen)
    passed = totals[1] - totals[0]
    plan = run_job(f"{offload_check.HERE}:plan", request | {"offload": asdict(Offload(rpc=endpoint))}, lambda *_: None)
    ours = sum(len(inputs) for device, inputs in plan["splits"] if device == "edgemed")
    theirs = sum(len(inputs) for device, inputs in plan["splits"] if device.startswith("RPC"))
    assert ours == 3 * 2
    assert passed[GET_TENSOR] == ours + 1
    assert passed[SET_TENSOR] == theirs


def test_only_what_stays_here_counts_against_ram(wide: Path, endpoint: str) -> None:
    plans = [
        run_job(f"{HERE}:resident", {"model": str(wide), "offload": asdict(offload)}, lambda *_: None)
        for offload in (HOST, Offload(rpc=endpoint))
    ]
    file = open_model(wide)
    dense = sum(tensor.nbytes for tensor in file.dense) - file.tensors["token_embd.weight"].nbytes
    here, there = (plan["resident"] for plan in plans)
    assert dense > 20 << 20
    assert here - there > 0.8 * dense
    assert plans[1]["compute"] < plans[0]["compute"]


def test_an_answer_is_the_same_text(exact: Path, endpoint: str) -> None:
    texts = []
    for offload in (HOST, Offload(rpc=endpoint)):
        with Engine.start(exact, EngineSettings(threads=1, offload=offload)) as engine:
            sampling = Sampling(temperature=0, max_tokens=24)
            finished = list(engine.generate([Message("user", "What is a fever?")], sampling))[-1]
            assert isinstance(finished, Finished)
            texts.append(finished.text)
    assert texts[0] == texts[1]


def test_generate_uses_it_and_seals_itself_all_the_same(model_path: Path, endpoint: str) -> None:
    command = [sys.executable, "-m", "edgemed.cli", "generate", str(model_path), "-p", "Fever?", "--max-tokens", "4"]
    done = subprocess.run([*command, "--rpc", endpoint, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match("4 of 4 layers on RPC0 ", json.loads(done.stdout)["placement"])


def test_eval_compares_on_the_device(model_path: Path, endpoint: str, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        json.dumps({"text": "The patient has a fever and a cough since last week. " * 20, "split": "eval"})
    )
    command = ["eval", str(model_path), "--reference", str(model_path), "--data", str(texts), "--passage", "64"]
    card = tmp_path / "card.json"
    assert main([*command, "--rpc", endpoint, "-o", str(card)]) == 0
    assert json.loads(card.read_text())["overall"]["kl_mean"] < 1e-6


def test_no_second_connection_can_be_made(endpoint: str) -> None:
    request = {"offload": asdict(Offload(rpc=endpoint))}
    assert run_job(f"{HERE}:try_another_socket", request, lambda *_: None) == {"refused": True}


def test_who_is_locked_down_reaches_nobody(endpoint: str) -> None:
    with pytest.raises(SetupError, match="may not use the network, so it cannot use an RPC server either"):
        run_job(f"{HERE}:reach_too_late", {"server": endpoint}, lambda *_: None)


def test_nobody_there_is_one_sentence(model_path: Path) -> None:
    with pytest.raises(SetupError, match=r"Nobody answers at 127\.0\.0\.1:1 .*start llama.cpp's RPC server there"):
        Engine.start(model_path, EngineSettings(offload=Offload(rpc="127.0.0.1:1")))


def test_a_server_that_dies_ends_the_engine_and_not_us(model_path: Path) -> None:
    with rpc_server() as endpoint:
        engine = Engine.start(model_path, EngineSettings(threads=1, offload=Offload(rpc=endpoint)))
    with engine, pytest.raises(EngineDied, match="RPC server"):
        list(engine.generate([Message("user", "What is a fever?")], Sampling(max_tokens=4)))
