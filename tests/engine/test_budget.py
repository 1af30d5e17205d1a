"""`--ram` is kept: the smallest budget that a message names works, on a machine with exactly that much memory."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemed.convert.pipeline import convert
from edgemed.engine import budget
from edgemed.model_file import ModelFile, open_model
from edgemed.quant.plan import Plan
from edgemed.sizes import parse_size
from testing.cgroup import MemoryGroup, how
from testing.checkpoints import Shape, make_checkpoint

TOKENS = 24
LESS = 5 << 20  # two starts may differ by 2 MiB, each way, and the message rounds up to 1 MiB
PROMPT = "What is a fever? " * 240  # longer than a batch


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experts of 0.8 MB, 77 MB in total, of which one token uses an eighth."""
    folder = tmp_path_factory.mktemp("large")
    shape = Shape(
        hidden_size=512,
        moe_intermediate_size=512,
        num_experts=32,
        num_hidden_layers=4,
        max_position_embeddings=4096,
        ends_turns=False,
    )
    checkpoint = make_checkpoint(folder / "checkpoint", shape)
    convert(str(checkpoint), folder / "large.gguf", Plan.uniform(8.0))
    return folder / "large.gguf"


MEMINFO = "MemTotal: 8000 kB\nMemFree: 1000 kB\nBuffers: 200 kB\nCached: 700 kB\nShmem: 300 kB\n"


@pytest.mark.parametrize(
    ("meminfo", "kib"),
    [
        (MEMINFO + "MemAvailable: 1500 kB\n", 1500),
        (MEMINFO, 1600),  # kernels before 3.14 and some sandboxes
        ("MemTotal: 8000 kB\nMemFree: 900 kB\n", 900),
        ("MemFree: 900 kB\nCached: 10 kB\nShmem: 20 kB\nMemAvailable:\n", 900),
    ],
)
def test_available_memory_without_the_kernels_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meminfo: str, kib: int
) -> None:
    monkeypatch.setattr(budget, "memory_left", lambda: None)
    monkeypatch.setattr(budget, "_MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text(meminfo)
    assert budget.available_bytes() == kib << 10
    monkeypatch.setattr(budget, "memory_left", lambda: 5)
    assert budget.available_bytes() == 5


@pytest.mark.parametrize("meminfo", ["", "MemTotal: 8000 kB\n", None])
def test_available_memory_without_meminfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meminfo: str | None) -> None:
    monkeypatch.setattr(budget, "memory_left", lambda: None)
    monkeypatch.setattr(budget, "_MEMINFO", tmp_path / "meminfo")
    if meminfo is not None:
        (tmp_path / "meminfo").write_text(meminfo)
    assert budget.available_bytes() > 1 << 20


def test_budgets_in_messages_are_never_rounded_below_what_works() -> None:
    sizes = (1, 10 << 20, (10 << 20) + 1, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 3 << 29)
    assert [budget._rounded(size) for size in sizes] == [
        *("1 B", "10 MiB", "10 MiB", "1023 MiB", "1.00 GiB", "1.00 GiB", "1.50 GiB")
    ]
    assert [budget._rounded(size, up=True) for size in sizes] == [
        *("1 B", "10 MiB", "11 MiB", "1024 MiB", "1.00 GiB", "1.01 GiB", "1.50 GiB")
    ]


def generate(model: Path, ram: int) -> list[str]:
    return [
        *(sys.executable, "-m", "edgemed.cli", "generate", str(model), "--json", "--ram", f"{ram}B"),
        *("--prompt", PROMPT, "--max-tokens", str(TOKENS), "--seed", "2"),
    ]


def smallest_named(model: Path) -> int:
    refused = subprocess.run(generate(model, 1 << 20), capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 1
    found = re.search(r"at least \d+ MiB \(--ram (\d+MiB)\)\.", refused.stderr + refused.stdout)
    assert found, refused.stderr
    return parse_size(found[1])


@pytest.mark.slow
def test_the_smallest_budget_named_works_and_a_smaller_one_does_not(large: Path) -> None:
    smallest = smallest_named(large)
    less = subprocess.run(generate(large, smallest - LESS), capture_output=True, timeout=120, check=False)
    assert less.returncode == 1
    done = subprocess.run(generate(large, smallest), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["tokens"] == TOKENS
    assert answer["prompt_tokens"] > 2048
    assert answer["peak_rss_bytes"] < smallest


@pytest.mark.slow
@pytest.mark.skipif(how() is None, reason="no memory control group can be made here")
def test_a_machine_with_exactly_the_budget_is_enough(large: Path) -> None:
    smallest = smallest_named(large)
    with MemoryGroup(smallest) as group:
        process = group.popen(generate(large, smallest), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=120)
        usage = group.usage()
    assert process.returncode == 0, err
    assert usage.kills == 0
    answer = json.loads(out)
    assert answer["tokens"] == TOKENS
    assert answer["bytes_read"] > 0
    assert 0 < answer["hit_rate"] < 1


def sizes(model: Path) -> tuple[ModelFile, dict[str, int]]:
    file = open_model(model)
    names = ("layer_bytes", "token_bytes", "all_experts_bytes")
    return file, {name: getattr(budget, name)(file) for name in names}


@pytest.mark.slow
def test_needs_are_ordered_and_follow_from_the_sizes(large: Path, models: dict[str, Path]) -> None:
    for path in (large, *models.values()):
        file, needs = sizes(path)
        used = file.hparams.n_expert_used
        experts = file.experts.nbytes.sum(axis=2, dtype=np.int64)
        assert experts.sum() <= needs["all_experts_bytes"] <= experts.sum() + experts.size * 3 * 8192 + (8 << 20)
        assert needs["layer_bytes"] <= needs["token_bytes"] <= needs["all_experts_bytes"]
        assert needs["layer_bytes"] >= used * experts.min()
