"""A GGUF as the source: the file that the checkpoint gives where nothing was lost, and refusals that name the fault."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed import cli
from edgemed.convert import Checkpoint, convert, find_source
from edgemed.errors import CheckpointError
from edgemed.model_file import keys, open_model
from edgemed.quant.imatrix import write_imatrix
from edgemed.quant.plan import Plan
from edgemed.quant.quantize import dequantize
from edgemed.quant.statistics import Statistics
from testing.checkpoints import Shape, make_checkpoint
from testing.split_gguf import write_parts


@pytest.fixture(scope="module")
def made(small: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of the same checkpoint: BF16 in both layouts, Q8_0, Q4_K, and a direct one in Q3_K."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for name, type_, layout in (
        ("stock-BF16", Type.BF16, "llama.cpp"),
        ("own-BF16", Type.BF16, "edgemed"),
        ("stock-Q8_0", Type.Q8_0, "llama.cpp"),
        ("own-Q4_K", Type.Q4_K, "edgemed"),
        ("direct", Type.Q3_K, "edgemed"),
    ):
        found[name] = folder / f"{name}.gguf"
        convert(str(small), found[name], Plan.uniform(type_), layout=layout)
    return found


@pytest.mark.parametrize("source", ["stock-BF16", "own-BF16"])
def test_a_lossless_gguf_gives_the_weights_of_the_checkpoint(
    made: dict[str, Path], source: str, tmp_path: Path
) -> None:
    result = convert(str(made[source]), tmp_path / "out.gguf", Plan.uniform(Type.Q3_K))

    direct, ours = open_model(made["direct"]), open_model(tmp_path / "out.gguf")
    assert result.weights_digest == direct.weights_digest
    assert ours.metadata["tokenizer.ggml.tokens"] == direct.metadata["tokenizer.ggml.tokens"]
    assert ours.metadata["tokenizer.chat_template"] == direct.metadata["tokenizer.chat_template"]
    assert ours.end_ids == direct.end_ids
    assert ours.hparams == direct.hparams
    assert ours.metadata[keys.SOURCE_GGUF].startswith(f"{source}.gguf (")


def test_the_weights_are_those_that_the_blocks_stand_for(made: dict[str, Path]) -> None:
    model = open_model(made["stock-Q8_0"])
    stacked = model.tensors["blk.1.ffn_up_exps.weight"]
    columns, rows, _ = stacked.shape
    whole = dequantize(np.frombuffer(model.read(stacked), np.uint8), stacked.type, columns).reshape(-1, rows, columns)
    with Checkpoint(find_source(str(model.path))) as checkpoint:
        _, up, _ = checkpoint.read_expert(1, 5)
        part = checkpoint.weights.read("blk.1.ffn_up.5.weight", 3, 2)
    assert np.array_equal(up, whole[5])
    assert np.array_equal(part, whole[5, 3:5])


def test_a_coarse_source_is_converted_with_a_warning(made: dict[str, Path], tmp_path: Path) -> None:
    result = convert(str(made["own-Q4_K"]), tmp_path / "out.gguf", Plan.uniform(Type.Q3_K))
    assert any("Q4_K" in note and "lost" in note for note in result.notes)
    fine = convert(str(made["stock-Q8_0"]), tmp_path / "fine.gguf", Plan.uniform(Type.Q3_K))
    assert not any("lost" in note for note in fine.notes)


def test_an_expert_that_does_not_match_its_checksum_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    shutil.copy(made["own-Q4_K"], damaged)
    at = int(open_model(damaged).experts.offset[1, 7, 2]) + 9
    _flip(damaged, at)
    with pytest.raises(CheckpointError, match="expert 7 of layer 2 does not match its checksum"):
        convert(str(damaged), tmp_path / "out.gguf", Plan.uniform(Type.Q3_K))
    assert not (tmp_path / "out.gguf").exists()


def test_a_damaged_dense_tensor_is_refused_before_anything_is_written(made: dict[str, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    shutil.copy(made["own-Q4_K"], damaged)
    _flip(damaged, open_model(damaged).dense[2].offset)
    with pytest.raises(CheckpointError, match="does not match its checksum"):
        convert(str(damaged), tmp_path / "out.gguf", Plan.uniform(Type.Q3_K))
    assert list(tmp_path.iterdir()) == [damaged]


def test_nan_in_a_source_is_refused(small: Path, tmp_path: Path) -> None:
    source = tmp_path / "nan.gguf"
    convert(str(small), source, Plan.uniform(Type.F32), layout="llama.cpp")
    tensor = open_model(source).tensors["blk.1.ffn_down_exps.weight"]
    with source.open("r+b") as file:
        file.seek(tensor.offset + 40)
        file.write(np.float32(np.nan).tobytes())
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        convert(str(source), tmp_path / "out.gguf", Plan.uniform(Type.Q3_K))


def test_mtp_layers_and_shared_experts_come_along(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "c", Shape(num_nextn_predict_layers=1, num_shared_experts=2))
    convert(str(folder), tmp_path / "source.gguf", Plan.uniform(Type.BF16))
    again = convert(str(tmp_path / "source.gguf"), tmp_path / "again.gguf", Plan.uniform(Type.Q4_K))
    direct = convert(str(folder), tmp_path / "direct.gguf", Plan.uniform(Type.Q4_K))
    assert again.weights_digest == direct.weights_digest


def test_an_evaluation_does_not_pass_to_the_new_file(made: dict[str, Path], tmp_path: Path) -> None:
    source = find_source(str(made["stock-Q8_0"]))
    assert source.intended_use == "unevaluated"


def test_the_plan_of_another_file(
    made: dict[str, Path], small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.gguf"
    assert cli.main(["convert", str(small), "-o", str(out), "--plan-from", str(made["direct"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights_digest"] == open_model(made["direct"]).weights_digest

    stock = tmp_path / "stock.gguf"
    _without_plan(made["stock-Q8_0"], stock)
    assert cli.main(["convert", str(small), "-o", str(tmp_path / "b.gguf"), "--plan-from", str(stock)]) == 1
    assert "holds no plan" in capsys.readouterr().err


def test_the_command_takes_a_gguf(made: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.gguf"
    assert cli.main(["convert", str(made["stock-BF16"]), "-o", str(out), "--size", "5MiB"]) == 0
    assert out.stat().st_size <= 5 << 20
    assert cli.main(["inspect", str(out)]) == 0
    assert "stock-BF16.gguf" in capsys.readouterr().out
    assert cli.main(["convert", str(out), "-o", str(out), "--overwrite"]) != 0  # its own source
    assert open_model(out).verified


def test_a_file_that_is_no_gguf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("not a model")
    assert cli.main(["convert", str(tmp_path / "notes.txt"), "-o", str(tmp_path / "o.gguf")]) == 1
    said = capsys.readouterr().err
    assert "notes.txt" in said
    assert "Traceback" not in said


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def _without_plan(source: Path, target: Path) -> None:
    """A copy in which the plan has another key: same length, so that every offset stays right."""
    target.write_bytes(source.read_bytes().replace(keys.PLAN.encode(), b"edgemed.plap", 1))


@pytest.mark.parametrize("source", ["stock-BF16", "own-Q4_K"])
def test_a_split_gguf_gives_the_same_bytes_as_one_file(made: dict[str, Path], source: str, tmp_path: Path) -> None:
    parts = write_parts(made[source], tmp_path / "parts", source)
    for number, path in enumerate((made[source], parts[1])):
        convert(str(path), tmp_path / f"{number}.gguf", Plan.uniform(Type.Q2_K))
    one, split = (open_model(tmp_path / f"{number}.gguf") for number in range(2))
    assert one.weights_digest == split.weights_digest
    assert split.metadata[keys.SOURCE_GGUF].startswith(f"{parts[0].name} (")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["statistics", "imatrix"])
def test_calibration_serves_a_gguf_as_it_serves_a_checkpoint(
    checkpoint: Path, statistics: Path, tmp_path: Path, kind: str
) -> None:
    source, seen = tmp_path / "source.gguf", statistics
    convert(str(checkpoint), source, Plan.uniform(Type.BF16), layout="llama.cpp")
    if kind == "imatrix":
        seen = tmp_path / "imatrix.gguf"
        write_imatrix(Statistics.load(statistics), seen)
    made = []
    for number, folder in enumerate((checkpoint, source)):
        out = tmp_path / f"{number}.gguf"
        options = ["--bits", "3.2", "--calibration", str(seen)]
        assert cli.main(["convert", str(folder), "-o", str(out), *options]) == 0
        made.append(open_model(out))
    direct, ours = made
    assert ours.metadata[keys.PLAN_DIGEST] == direct.metadata[keys.PLAN_DIGEST]
    assert ours.weights_digest == direct.weights_digest
    assert ours.expert_tokens is not None
    assert ours.expert_tokens.sum() > 0
