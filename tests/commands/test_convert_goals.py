"""`edgemed convert` with --calibration, --size and --ram, and the bits that memory and disk allow."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
from edgemed.cli import main
from edgemed.commands._memory_goal import USABLE, most_bits
from edgemed.errors import BudgetError
from edgemed.quant.plan import Plan
from edgemed.quant.types import FAST, PALETTES, bits_per_weight
from testing.machines import machine

GIB = 1 << 30
MACHINE = machine(disk=3.0, product=50.0)


@pytest.mark.slow
def test_calibrate_then_convert_to_a_size(
    checkpoint: Path,
    reference: Path,
    jsonl: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = jsonl("notes", *({"text": f"Day {n}: fever, cough; 500 mg of it every {n} hours."} for n in range(9)))
    statistics, out, plan = tmp_path / "s.npz", tmp_path / "m.gguf", tmp_path / "plan.json"
    assert main(["calibrate", str(reference), str(texts), "-o", str(statistics), "--threads", "1", "--json"]) == 0
    capsys.readouterr()
    arguments = ["convert", str(checkpoint), "-o", str(out), "--calibration", str(statistics), "--quick", "--json"]
    assert main([*arguments, "--bits", "3", "--save-plan", str(plan)]) == 0
    made = json.loads(capsys.readouterr().out)
    assert Plan.load(plan).digest == made["plan_digest"]
    # The saved plan gives the same file again.
    assert main([*arguments[:3], str(tmp_path / "again.gguf"), *arguments[4:], "--plan", str(plan)]) == 0
    assert json.loads(capsys.readouterr().out)["weights_digest"] == made["weights_digest"]
    assert main(["convert", str(checkpoint), "-o", str(tmp_path / "q.gguf"), "--quick"]) == 2
    assert "--calibration" in capsys.readouterr().err


@pytest.mark.slow
def test_more_memory_never_lowers_the_bits() -> None:
    bits = [most_bits(ANTANGELMED, gib * GIB, MACHINE, "fast") for gib in (24, 32, 48, 64, 96)]
    assert [b for b, _ in bits] == sorted(b for b, _ in bits)
    assert all(speed >= USABLE for _, speed in bits)


def test_slow_disk_gets_the_fastest_plan() -> None:
    bits, speed = most_bits(ANTANGELMED, 10 * GIB, replace(MACHINE, disk=2e8), "small")
    assert speed < USABLE
    assert bits < 2.2


def test_smaller_dense_matrices_leave_more_bits_for_experts() -> None:
    slow = replace(MACHINE, disk=4e8)
    bits, speed = most_bits(ANTANGELMED, 32 * GIB, slow, "fast")
    more, still = most_bits(ANTANGELMED, 32 * GIB, slow, "fast", 500_000_000, 150_000_000)
    assert more > bits
    assert min(speed, still) >= USABLE


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(BudgetError, match="too little for this model at any precision of the palette fast"):
        most_bits(ANTANGELMED, 2 * GIB, MACHINE, "fast")


def test_palette_help_states_the_bits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    text = " ".join(capsys.readouterr().out.split()).partition("fast: K-quants")[2]
    small = PALETTES["small"]
    bounds = [bits_per_weight(type_) for type_ in (FAST[0], FAST[-1], small.plain[0], small.calibrated[0])]
    fewest, most, plain, calibrated = (f"{float(bits):.1f}" for bits in bounds)
    assert f"{fewest} to {most} bits" in text
    assert f"adds all IQ types (from {plain} bits)" in text
    assert f"calibration improves (from {calibrated} bits)" in text
