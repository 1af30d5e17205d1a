"""Twins: small models whose computation takes the same time as a large model's."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.convert.pipeline import convert
from edgemed.engine.process import launch
from edgemed.errors import SetupError
from edgemed.forecast.compute_rates import measure_compute
from edgemed.forecast.model_size import mixture_of, size_of_file
from edgemed.forecast.prediction import PROMPT_TOKENS
from edgemed.forecast.twin import LAYERS, original_of_file, original_of_types, twins
from edgemed.model_file import ModelFile, open_model
from edgemed.quant.plan import Plan
from testing.checkpoints import Shape, make_checkpoint


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    folder = tmp_path_factory.mktemp("twin")
    shape = Shape(hidden_size=256, moe_intermediate_size=256, num_nextn_predict_layers=1)
    experts = [(layer, expert) for layer in (1, 2, 3) for expert in range(16)]
    types = {(*each, projection): Type.Q4_K if each[1] else Type.Q6_K for each in experts for projection in range(3)}
    convert(str(make_checkpoint(folder / "checkpoint", shape)), folder / "m.gguf", Plan.of_types(types))
    return open_model(folder / "m.gguf")


@pytest.mark.slow
def test_unwritable_twin_is_reported(small: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(SetupError, match="set TMPDIR"), twins(original_of_file(small)):
        pass


def test_small_model_is_its_own_twin(small: ModelFile) -> None:
    with twins(original_of_file(small)) as made:
        ((kind, path),) = made.paths.items()
        twin = open_model(path)
        assert kind == mixture_of(small)
        assert made.long == made.short == PROMPT_TOKENS
    assert not path.exists()
    actual, told = size_of_file(twin), size_of_file(small)
    assert actual.dense == told.dense
    assert actual.batch_weights == told.batch_weights
    assert actual.expert[kind].weights == told.expert[kind].weights
    assert (actual.layers, actual.experts, actual.used) == (told.layers, told.experts, told.used)
    assert set(np.unique(twin.experts.type)) <= set(np.unique(small.experts.type))


def test_twin_has_the_large_models_matrices_and_takes_no_disk_space() -> None:
    with twins(original_of_types(ANTANGELMED, {"Q3_K", "Q2_K"})) as made:
        assert list(made.paths) == ["Q2_K", "Q3_K"]
        path = made.paths["Q3_K"]
        twin, blocks, size = open_model(path), path.stat().st_blocks * 512, path.stat().st_size
    h = twin.hparams
    assert (h.n_embd, h.n_ff, h.n_ff_exp, h.n_expert_used) == (4096, 9216, 1024, 8)
    assert h.n_layer == ANTANGELMED.n_dense_lead + LAYERS
    assert np.unique(twin.experts.type).tolist() == [Type.Q3_K]
    assert twin.tensors["blk.1.attn_qkv.weight"].type == Type.Q8_0
    # A prompt gives each expert the same number of rows.
    assert made.short / h.n_expert == made.long / 256 == PROMPT_TOKENS / 256
    assert size > 500e6
    assert blocks < 30e6


@pytest.mark.slow
def test_compute_rates_are_measured_on_twins(small: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with twins(original_of_file(small)) as made:
        rates = measure_compute(1, made, 0.01)
        assert rates.threads == 1
        assert set(rates.experts) == set(rates.batch_experts) == {mixture_of(small)}
        for rate in (rates.dense, rates.batch_dense, *rates.experts.values(), *rates.batch_experts.values()):
            assert 1e5 < rate < 1e13
        (tmp_path / "llama_cpp.py").write_text("raise ImportError('there is no llama here')")
        monkeypatch.setattr(launch, "environment", lambda: {"PYTHONPATH": str(tmp_path)})
        with pytest.raises(
            SetupError, match=r"cannot be measured\. llama-cpp-python cannot be loaded \(there is no llama here\)"
        ):
            measure_compute(1, made, 0.01)
