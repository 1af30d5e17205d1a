"""The reference agrees with the logits of transformers' Glm4Moe (recipes/reference_check stored them)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from testing.checkpoints import Shape, make_checkpoint
from testing.number_formats import decode_fp8, encode_fp8
from testing.reference import forward, forward_mtp, load_checkpoint, rotary_frequencies

FIXTURE = Path(__file__).resolve().parents[1] / "data" / "glm4_moe"
CASES: list[dict[str, Any]] = json.loads(FIXTURE.with_suffix(".json").read_text())["cases"]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["name"] for case in CASES])
def test_reference_agrees_with_transformers(number: int, tmp_path: Path) -> None:
    case = CASES[number]
    stored = np.load(FIXTURE.with_suffix(".npz"))
    folder = make_checkpoint(tmp_path, Shape(**case["shape"]), dtype=case["dtype"], seed=case["seed"])
    model = load_checkpoint(folder)
    result = forward(model, case["ids"])
    assert result.margin > 1e-4  # so float32 rounding cannot have changed a choice of experts
    expected = stored[f"logits_{number}"]
    assert np.abs(result.logits[-len(expected) :] - expected).max() < 1e-5
    if case["shape"]["num_nextn_predict_layers"]:
        ahead = forward_mtp(model, case["ids"], result.hidden)
        assert np.abs(ahead[-len(expected) :] - stored[f"mtp_{number}"]).max() < 1e-5


def test_yarn_frequencies_match_published_values() -> None:
    config = {"head_dim": 128, "partial_rotary_factor": 0.5, "rope_theta": 600000}
    plain, one = rotary_frequencies(config)
    yarn, factor = rotary_frequencies(
        {**config, "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768}}
    )
    assert one == 1.0
    assert factor == pytest.approx(1.138629436, abs=1e-9)
    assert plain[[12, 13, 31]] == pytest.approx([6.810723999e-03, 4.493927426e-03, 2.525898972e-06], rel=1e-9)
    assert yarn[[12, 13, 31]] == pytest.approx([6.810723999e-03, 4.119433473e-03, 6.314747431e-07], rel=1e-9)


def test_fp8_codes_round_trip() -> None:
    codes = np.array([code for code in range(256) if code & 0x7F != 0x7F], np.uint8)
    assert np.array_equal(encode_fp8(decode_fp8(codes)), codes)
    assert decode_fp8(np.array([0x7E, 0x08, 0x01, 0xB8], np.uint8)).tolist() == [448.0, 2.0**-6, 2.0**-9, -1.0]
