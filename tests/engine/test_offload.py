"""Offloading layers to a device: the user's options, what fits, and what is refused without a device."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from edgemed.cli import main
from edgemed.engine.budget import plan_budget
from edgemed.engine.llama import LogCapture
from edgemed.engine.offload import AUTO, HOST, Offload, layer_bytes, layers_that_fit, place
from edgemed.engine.process.frames import Frames, encode
from edgemed.engine.process.job import Report, run_job
from edgemed.engine.process.messages import Start
from edgemed.engine.process.protocol import EngineSettings
from edgemed.errors import BudgetError, EngineError, SetupError, UsageError
from edgemed.forecast.gpu_check import (
    Comparison,
    LayerCopies,
    Speed,
    Split,
    copies_of_layers,
    expected_splits,
    read_plan,
)
from edgemed.model_file import open_model

HERE = "tests.engine.test_offload"
PLAN = """
## SPLIT #0: CPU # 0 inputs
## SPLIT #1: RPC0[127.0.0.1:50052] # 2 inputs: [inp_embd (   1K)] [attn_inp_kq_mask (copy) (   0K)] 
## SPLIT #2: edgemed # 3 inputs: [ffn_norm-1 (reshaped) (   1K)] [ffn_moe_topk-1 (   0K)] [ffn_moe_weights_scaled-1 (  2M)] 
## SPLIT #3: RPC0[127.0.0.1:50052] # 1 inputs: [ffn_moe_out-1 (   1K)] 
"""  # noqa: W291, E501


@pytest.fixture(autouse=True)
def _find_this_module(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("PYTHONPATH", str(request.config.rootpath))


def place_here(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: the result of `place` on this machine."""
    placement = place(open_model(Path(request["model"])), Offload(request["layers"]), 256, "f16")
    return {"device": placement.device is not None, "handles": list(placement.handles), "text": str(placement)}


@pytest.mark.parametrize("endpoint", ["127.0.0.1:50052", "127.9.9.9:1"])
def test_servers_on_this_machine_need_no_confirmation(endpoint: str) -> None:
    assert Offload(rpc=endpoint).local


def test_servers_elsewhere_need_an_explicit_option() -> None:
    with pytest.raises(UsageError, match=r"10\.0\.0\.7:50052 is another machine.*--rpc-unencrypted"):
        Offload(rpc="10.0.0.7:50052")
    assert not Offload(rpc="10.0.0.7:50052", unencrypted=True).local


@pytest.mark.parametrize(
    "endpoint",
    ["", "localhost:50052", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.1:80", "::1:80", "1.2.3.4:x"],
)
@pytest.mark.parametrize("unencrypted", [False, True])
def test_only_addresses_are_addresses(endpoint: str, unencrypted: bool) -> None:
    with pytest.raises(UsageError, match=r"not an IPv4 address with a port; write, for example, 127\.0\.0\.1:50052"):
        Offload(rpc=endpoint, unencrypted=unencrypted)


def test_off_and_a_server_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="omit one of the two options"):
        Offload(layers=0, rpc="127.0.0.1:50052")


def test_the_offload_is_sent_to_the_engine_and_checked_again() -> None:
    for offload in (AUTO, HOST, Offload(5, "10.0.0.7:50052", unencrypted=True)):
        start = Start("m.gguf", EngineSettings(offload=offload))
        assert list(Frames().feed(encode(start))) == [("", start)]
    lying = encode(Start("m.gguf", EngineSettings(offload=Offload(rpc="127.0.0.1:50052"))))
    with pytest.raises(UsageError, match="another machine"):
        list(Frames().feed(lying.replace(b"127.0.0.1", b"192.0.2.1")))


@pytest.mark.slow
def test_every_dense_byte_is_counted_once_and_the_embedding_stays(models: dict[str, Path]) -> None:
    for path in models.values():
        file = open_model(path)
        h, n_ctx = file.hparams, 128
        needs = layer_bytes(file, n_ctx, "f16")
        keys_and_values = 2 * h.n_head_kv * h.head_dim * n_ctx * 2
        dense = sum(tensor.nbytes for tensor in file.dense) - file.tensors["token_embd.weight"].nbytes
        assert len(needs) == h.n_layer + 1
        assert sum(needs) == dense + h.n_layer * keys_and_values
        assert needs[0] == sum(file.tensors[name].nbytes for name in ("output.weight", "output_norm.weight"))
        first = sum(tensor.nbytes for tensor in file.dense if tensor.name.startswith("blk.0."))
        assert needs[-1] == first + keys_and_values
        assert sum(layer_bytes(file, n_ctx, "q8_0")) == dense + h.n_layer * keys_and_values * 17 // 32


@pytest.mark.parametrize(
    ("room", "layers"), [(-5, 0), (0, 0), (9, 0), (10, 1), (29, 1), (30, 2), (31, 2), (60, 3), (99, 3)]
)
def test_as_many_layers_as_fit(room: int, layers: int) -> None:
    assert layers_that_fit([10, 20, 30], room) == layers


def test_scratch_on_a_device_does_not_count_against_ram() -> None:
    log = LogCapture()
    for owner, what, size in (("RPC0[127.0.0.1:5]", "compute", 80), ("CPU", "compute", 2.5), ("CPU", " output", 1)):
        log(2, f"sched_reserve: {owner:>10} {what} buffer size = {size:8.2f} MiB\n")
    assert log.compute_bytes("RPC0[127.0.0.1:5]") == 3_670_016
    assert log.compute_bytes(None) == 3_670_016 + (80 << 20)


def test_what_loading_takes_for_a_moment_counts_too(model_path: Path) -> None:
    file = open_model(model_path)
    with pytest.raises(BudgetError, match=r"--ram (?!0\.)[\d.]+GiB"):
        plan_budget(file, 1 << 30, 0, 256, peak_bytes=1 << 30)
    assert plan_budget(file, 1 << 30, 0, 256, peak_bytes=1 << 20).cache_bytes > 0


@pytest.mark.slow
@pytest.mark.parametrize("layers", [None, 0])
def test_without_a_gpu_auto_and_off_are_the_processor(model_path: Path, layers: int | None) -> None:
    placed = run_job(f"{HERE}:place_here", {"model": str(model_path), "layers": layers}, lambda *_: None)
    if layers is None and placed["device"]:
        pytest.skip("there is a GPU here")
    assert placed == {"device": False, "handles": [None], "text": "processor"}


@pytest.mark.slow
def test_without_a_gpu_layers_are_refused_with_a_remedy(model_path: Path) -> None:
    try:
        run_job(f"{HERE}:place_here", {"model": str(model_path), "layers": 2}, lambda *_: None)
    except SetupError as error:
        built_for_one = "finds no GPU: run the driver's own tool first"
        assert re.search(f'{built_for_one}|CMAKE_ARGS="-DGGML_CUDA=on" pip install', str(error))  # noqa: PT017
    else:
        pytest.skip("there is a GPU here")


def test_the_plan_is_read_as_ggml_prints_it() -> None:
    splits = read_plan("## SPLIT #0: CPU # 0 inputs\n## SPLIT #1: edgemed # 0 inputs\n" + PLAN)
    assert [split.device for split in splits] == ["CPU", "RPC0[127.0.0.1:50052]", "edgemed", "RPC0[127.0.0.1:50052]"]
    assert splits[1].inputs == ("inp_embd", "attn_inp_kq_mask (copy)")
    (layer,) = copies_of_layers(splits)
    assert layer.into == ("ffn_norm-1 (reshaped)", "ffn_moe_topk-1", "ffn_moe_weights_scaled-1")
    assert layer.out == ("ffn_moe_out-1",)
    assert layer.as_expected


@pytest.mark.parametrize("log", ["", "## SPLIT #0: CPU # 1 inputs\n", "nothing of the kind"])
def test_an_unknown_format_of_the_plan_is_an_error(log: str) -> None:
    with pytest.raises(EngineError, match="ggml"):
        read_plan(log)


@pytest.mark.parametrize(
    ("devices", "meant"),
    [
        ("CPU GPU edgemed GPU edgemed GPU", 6),
        ("CPU edgemed CPU GPU edgemed GPU", 6),  # the device begins with the dense layers
        ("CPU edgemed GPU edgemed GPU", 5),  # the device begins after experts
        ("CPU edgemed CPU edgemed CPU", 5),  # nothing on the device
        ("CPU edgemed GPU edgemed GPU CPU", 5),  # it cannot compute the last step: one split too many
    ],
)
def test_expected_splits(devices: str, meant: int) -> None:
    assert expected_splits([Split(device, ()) for device in devices.split()], 2) == meant


def test_one_copy_too_many_or_one_piece_too_many_fails() -> None:
    meant, host = LayerCopies(("x", "ids", "weights"), ("ffn_moe_out-1",)), LayerCopies((), ())

    def check(*layers: LayerCopies, divergence: float = 0.0, pieces: int = 6) -> Comparison:
        return Comparison("GPU", divergence, 1.0, 0.0, 2, layers, pieces, 6, Speed(1, 1), Speed(1, 1))

    assert check(meant, meant).same_split
    assert check(host, meant).same_split
    assert not check(meant).same_split
    assert not check(meant, meant, meant).same_split
    assert not check(meant, LayerCopies((*meant.into, "gate"), meant.out)).same_split
    assert not check(meant, LayerCopies(meant.into, ())).same_split
    assert check(meant, meant).passed
    assert not check(meant, meant, pieces=8).passed
    assert check(meant, meant, divergence=1e-3).same_model
    assert not check(meant, meant, divergence=0.5).same_model
    assert not check(meant, meant, divergence=float("nan")).same_model


@pytest.mark.parametrize("verb", ["chat", "demo"])
def test_no_chat_takes_a_server(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--rpc", "127.0.0.1:50052"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --rpc" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["bench"], ["doctor", "--gpu-check"]])
def test_commands_warn_before_anything_leaves_this_machine(
    verb: list[str], model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*verb, str(model_path), "--rpc", "192.0.2.1:9"]
    assert main(command) == 2
    assert "add --rpc-unencrypted if" in capsys.readouterr().err
    assert main([*command, "--gpu", "fast"]) == 2
    assert "give auto, off, or a number" in capsys.readouterr().err


@pytest.mark.slow
def test_a_check_that_cannot_run_is_one_sentence(model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--gpu-check", str(model_path), "--rpc", "127.0.0.1:1"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "has no RPC; build it with" in said or "No RPC server answers at 127.0.0.1:1" in said


def test_settings_travel_as_plain_fields() -> None:
    assert Offload(**asdict(Offload(3))) == Offload(3)


def test_splits_without_a_successor_are_no_layers() -> None:
    assert list(copies_of_layers([Split("edgemed", ("x",))])) == []
