"""`edgemed doctor`: can this machine run a model, how fast, is it really offline, and does its GPU compute right."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.commands._engine import add_gpu_argument, add_rpc_arguments
from edgemed.commands._print import show
from edgemed.errors import SetupError
from edgemed.sizes import format_size, parse_size

if TYPE_CHECKING:
    from edgemed.forecast.hit_rates import KnownUse
    from edgemed.forecast.machine import Machine
    from edgemed.forecast.model_size import ModelSize
    from edgemed.forecast.prediction import Prediction
    from edgemed.forecast.survey import Installation
    from edgemed.privacy import Check

BITS = (2.6, 3.1, 3.5, 4.5)  # usual bits per weight of experts
CONTEXT = 8192
BUSY = 0.2  # above this share of busy cores, the measured rates are too low
READ_BYTES = 4_800_000  # one expert of AntAngelMed at 3 bits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", type=Path, help="predict for this GGUF (default: AntAngelMed)"
    )
    parser.add_argument("--ram", metavar="SIZE", type=parse_size, help="memory to plan with (default: the free memory)")
    parser.add_argument(
        "--ctx", metavar="N", type=int, default=CONTEXT, help=f"context length in tokens (default {CONTEXT})"
    )
    parser.add_argument(
        "--folder", metavar="DIR", type=Path, default=Path(), help="folder of the model, to measure its disk"
    )
    parser.add_argument(
        "--gpu-check",
        action="store_true",
        help="only compare the GPU's results for MODEL's dense part (default: the demonstration model's) with the "
        "processor's, and count the copies between them",
    )
    add_gpu_argument(parser)
    add_rpc_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
    if args.gpu_check:
        from edgemed.commands import _gpu_check

        return _gpu_check.run(args)
    from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
    from edgemed.engine.budget import available_bytes
    from edgemed.forecast.hit_rates import known_use
    from edgemed.forecast.model_size import size_of, size_of_file
    from edgemed.forecast.survey import survey_installation, survey_locks, survey_machine
    from edgemed.forecast.twin import original_of_file, original_of_types, twins
    from edgemed.model_file import open_model

    if args.model is not None:
        file = open_model(args.model)
        size = size_of_file(file)
        models, known = {file.name: size}, known_use(file)
        original, read_bytes = original_of_file(file), int(size.expert_bytes)
        largest: Path | None = max(file.parts, key=lambda part: part.size).path
    else:
        models, known = {f"AntAngelMed at {bits} bits": size_of(ANTANGELMED, bits) for bits in BITS}, None
        original = original_of_types(ANTANGELMED, {kind for size in models.values() for kind in size.expert})
        read_bytes, largest = READ_BYTES, None
    ram = args.ram or available_bytes()
    installation = survey_installation()
    if installation.engine_fault is not None:  # nothing below works without the engine
        if args.json:
            print(json.dumps({"installation": asdict(installation)}, indent=1))
        else:
            show(_about_installation(installation))
        raise SetupError(installation.engine_fault)
    locks = survey_locks()
    with twins(original) as made:
        machine = survey_machine(made, read_bytes, args.folder, largest)
    healthy = all(lock.passed for lock in locks)
    if args.json:
        told = {
            "installation": asdict(installation),
            "machine": asdict(machine),
            "available_bytes": available_bytes(),
            "locks": [asdict(lock) for lock in locks],
            "ram_bytes": ram,
            "models": {name: _as_json(model, machine, ram, args.ctx, known) for name, model in models.items()},
        }
        print(json.dumps(told, indent=1))
    else:
        show([*_about(installation, machine, available_bytes()), *_about_locks(locks), ""])
        show(_forecast(models, machine, ram, args.ctx, known))
    return 0 if healthy else 1


def _about_installation(installation: Installation) -> list[str]:
    own = installation.kernels
    why = "set by EDGEMED_KERNELS" if "avx2" in installation.cpu_flags else "edgemed's kernels need AVX2"
    kernels = f"ggml's ({why})" if own is None else f"edgemed's, for {own}"
    return [
        f"system      {installation.system}, Python {installation.python}",
        f"engine      {'cannot start' if installation.engine_fault else 'bound to llama.cpp'}",
        f"kernels     {kernels}",
    ]


def _about(installation: Installation, machine: Machine, free: int) -> list[str]:
    flags = ", ".join(installation.cpu_flags) or "no fast instruction sets"
    way = "direct reads" if machine.direct else "through the page cache, because direct reads are refused there"
    compute = machine.compute
    experts = ", ".join(f"{kind} {rate / 1e9:.1f}" for kind, rate in compute.experts.items())
    return [
        *_about_installation(installation),
        f"processor   {compute.threads} cores; {flags}",
        f"memory      {format_size(free)} free; read at {machine.memory / 1e9:.1f} GB/s",
        f"experts     {experts} GB/s",
        f"dense part  {compute.dense / 1e9:.1f} GB/s, including everything but experts and attention",
        f"attention   {compute.attention / 1e9:.1f} GB/s of keys and values",
        f"gpu         {installation.gpu}",
        f"disk        {machine.disk / 1e9:.2f} GB/s, {way}",
        *(
            [
                f"busy        other programs use {machine.busy:.0%} of the cores, so these rates are too low: "
                f"try again later"
            ]
            if machine.busy > BUSY
            else []
        ),
    ]


def _about_locks(locks: list[Check]) -> list[str]:
    broken = [lock for lock in locks if not lock.passed]
    if not broken:
        return [
            f"offline     proved: {len(locks)} of {len(locks)} attempts to reach a network or read memory were refused"
        ]
    return [f"offline     NOT proved: {lock.name}: {lock.detail}" for lock in broken]


def _forecast(
    models: dict[str, ModelSize], machine: Machine, ram: int, n_ctx: int, known: KnownUse | None
) -> list[str]:
    from edgemed.forecast.hit_rates import CALIBRATION, LAST_USE
    from edgemed.forecast.prediction import PROMPT_TOKENS, predict, smallest_ram

    likely_words = "the conversation stays on one subject (an assumption)"
    if known:
        likely_words = {
            LAST_USE: "experts are used as in the last use",
            CALIBRATION: "experts are used as in calibration",
        }[known.routing]
    budget = format_size(ram).replace(" ", "")
    lines = [f"with --ram {budget}, a context of {n_ctx} tokens, and prompts of {PROMPT_TOKENS}:"]
    for name, model in models.items():
        found = predict(model, machine, ram, n_ctx, known)
        if not found:
            lines.append(f"  {name}: does not fit; needs at least {format_size(smallest_ram(model, n_ctx))}")
            continue
        worst, likely = found
        lines.append(
            f"  {name}: {worst.tokens_per_s:.1f} to {likely.tokens_per_s:.1f} tokens/s, first word of a new prompt "
            f"after {worst.first_token_s:.0f} s ({worst.cached_part:.0%} of the experts in memory)"
        )
    return [*lines, f"lower rate: all experts are used alike; higher rate: {likely_words}"]


def _as_json(model: ModelSize, machine: Machine, ram: int, n_ctx: int, known: KnownUse | None) -> dict[str, Any]:
    from edgemed.forecast.prediction import predict, smallest_ram

    def one(prediction: Prediction) -> dict[str, Any]:
        return asdict(prediction) | {"tokens_per_s": prediction.tokens_per_s}

    return {
        "size": asdict(model),
        "smallest_ram_bytes": smallest_ram(model, n_ctx),
        "predictions": [one(prediction) for prediction in predict(model, machine, ram, n_ctx, known)],
    }
