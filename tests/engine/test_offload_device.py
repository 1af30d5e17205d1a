"""The dense part on a device with its own memory: this machine's GPU, or llama.cpp's RPC server, which acts like one.

Tests are skipped if the installed llama.cpp was not built for the device; docs/gpu.md says how to build it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.cli import main
from edgemed.convert.pipeline import convert
from edgemed.engine.load_settings import LoadSettings
from edgemed.engine.model import load_model
from edgemed.engine.offload import AUTO, HOST, Offload, place
from edgemed.engine.process.client import Engine
from edgemed.engine.process.job import Report, run_job
from edgemed.engine.process.protocol import EngineSettings, Finished, Message, Sampling
from edgemed.errors import SetupError
from edgemed.model_file import open_model
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint
from testing.gpu import gpu_is_here
from testing.rpc_server import needs_rpc, rpc_server

HERE = "tests.engine.test_offload_device"


@dataclass(frozen=True)
class Lent:
    """A device, as options of commands and of the engine. rounds: the largest difference of logits with F32 weights."""

    words: tuple[str, ...]
    offload: Offload
    rounds: float


@pytest.fixture(autouse=True, scope="module")
def _find_this_module(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(request.config.rootpath))
        yield


@pytest.fixture(scope="module", params=[pytest.param("RPC", marks=needs_rpc), "GPU"])
def lent(request: pytest.FixtureRequest) -> Iterator[Lent]:
    if request.param == "RPC":
        with rpc_server() as address:
            yield Lent(("--rpc", address), Offload(rpc=address), 0.03)  # llama.cpp's attention sums in half precision
    elif gpu_is_here():
        yield Lent((), AUTO, 0.1)  # the GPU's matrix units round 32-bit factors to 19 bits
    else:
        pytest.skip("no GPU, or llama-cpp-python was built without one")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 MB of dense weights."""
    folder = tmp_path_factory.mktemp("wide")
    shape = Shape(hidden_size=1024, intermediate_size=4096, num_attention_heads=8, num_key_value_heads=4)
    convert(str(make_checkpoint(folder / "checkpoint", shape)), folder / "wide.gguf", Plan.uniform(8.0))
    return folder / "wide.gguf"


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """F32 weights: activations are not rounded to 8 bits, so two devices differ only in the order of additions."""
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


def place_there(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: the result of `place`."""
    placement = place(open_model(Path(request["model"])), Offload(**request["offload"]), request["n_ctx"], "f16")
    return {"text": str(placement)}


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["auto", "3", "1"])
def test_it_computes_the_same_model(layers: str, exact: Path, lent: Lent, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--gpu-check", "--json", str(exact), *lent.words, "--gpu", layers])
    found = json.loads(capsys.readouterr().out)
    assert status == 0
    on_device = 4 if layers == "auto" else int(layers)
    assert found["placement"].startswith(f"{on_device} of 4 layers on ")
    assert found["agreement"] == 1
    assert found["divergence"] < 1e-5
    assert found["difference"] < lent.rounds
    moe_on_device = min(2, on_device - 1)
    copies = [(len(layer["into"]), len(layer["out"])) for layer in found["layers"]]
    assert copies == [(0, 0)] * (2 - moe_on_device) + [(3, 1)] * moe_on_device
    assert found["pieces"] == (5 if on_device == 1 else 6)  # the output head follows a layer that ends with its experts


@pytest.mark.slow
def test_only_what_stays_here_counts_against_ram(wide: Path, lent: Lent) -> None:
    """Three more layers on the device reduce this process's memory; the driver takes some memory in both cases."""
    all_of_it, head = (Offload(layers, lent.offload.rpc) for layers in (None, 1))
    plans = [
        run_job(f"{HERE}:resident", {"model": str(wide), "offload": asdict(o)}, lambda *_: None)
        for o in (head, all_of_it)
    ]
    if "llvmpipe" in plans[1]["placement"]:
        pytest.skip("a device made of software has no memory of its own")
    file = open_model(wide)
    layers = sum(tensor.nbytes for tensor in file.dense if tensor.name.startswith("blk."))
    assert layers > 20 << 20
    assert plans[0]["resident"] - plans[1]["resident"] > 0.8 * layers
    assert plans[1]["compute"] <= plans[0]["compute"]


def test_an_answer_is_the_same_text(exact: Path, lent: Lent) -> None:
    """The answer is short enough that differences in rounding do not change any choice."""
    texts = []
    for offload in (HOST, lent.offload):
        with Engine.start(exact, EngineSettings(threads=1, offload=offload)) as engine:
            sampling = Sampling(temperature=0, max_tokens=8)
            finished = list(engine.generate([Message("user", "What is a fever?")], sampling))[-1]
            assert isinstance(finished, Finished)
            texts.append(finished.text)
    assert texts[0] == texts[1]


def test_generate_uses_it_and_still_seals_itself(model_path: Path, lent: Lent) -> None:
    command = [sys.executable, "-m", "edgemed.cli", "generate", str(model_path), "-p", "Fever?", "--max-tokens", "4"]
    done = subprocess.run([*command, *lent.words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match("4 of 4 layers on (?!CPU)", json.loads(done.stdout)["placement"])


def test_eval_compares_on_the_device(model_path: Path, lent: Lent, tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        json.dumps({"text": "The patient has a fever and a cough since last week. " * 20, "split": "eval"})
    )
    command = ["eval", str(model_path), "--reference", str(model_path), "--data", str(texts), "--passage", "64"]
    card = tmp_path / "card.json"
    assert main([*command, *lent.words, "-o", str(card)]) == 0
    assert json.loads(card.read_text())["overall"]["kl_mean"] < 1e-6


def test_layers_that_the_device_cannot_hold_are_refused(model_path: Path, lent: Lent) -> None:
    """The KV cache of a context of a billion tokens fits no device."""
    request = {"model": str(model_path), "offload": asdict(Offload(3, lent.offload.rpc)), "n_ctx": 1 << 30}
    with pytest.raises(SetupError, match=r"GiB of memory free, too little for 3 layers; use --gpu 1, which leaves"):
        run_job(f"{HERE}:place_there", request, lambda *_: None)
