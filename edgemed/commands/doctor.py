"""`edgemed doctor`: can this machine run a model, how fast, is it really offline, and does its GPU compute right."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemed.commands._engine import add_gpu_argument, add_rpc_arguments
from edgemed.commands._print import show
from edgemed.commands._progress import StageLine
from edgemed.errors import SetupError
from edgemed.sizes import format_size, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgemed.forecast.hit_rates import KnownUse
    from edgemed.forecast.machine import Machine
    from edgemed.forecast.model_size import ModelSize
    from edgemed.forecast.survey import Installation
    from edgemed.forecast.twin import Original
    from edgemed.privacy.checks import Check

BITS = (2.6, 3.1, 3.5, 4.5)  # usual bits per weight of experts
CONTEXT = 8192
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
    with StageLine() as line:
        line.show("looking at this computer")  # before the imports, which take most of a second
        wanted = _wanted(args)
        line.show("starting the engine")
        installation = _installation()
        found = None if installation.engine_fault else _survey(args, wanted, installation, line.show)
    if found is None:  # nothing works without the engine
        if args.json:
            print(json.dumps({"installation": asdict(installation)}, indent=1))
        else:
            show(_about_installation(installation))
        raise SetupError(str(installation.engine_fault))
    if args.json:
        print(json.dumps(_as_json(found), indent=1))
    else:
        show(_as_text(found))
    return 0 if all(lock.passed for lock in found.locks) else 1


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to predict for; `original` is what the twins are made after, and disk reads have `read_bytes` and are of
    `file`, the model's largest."""

    models: dict[str, ModelSize]
    known: KnownUse | None
    original: Original
    read_bytes: int
    file: Path | None


@dataclass(frozen=True, slots=True)
class _Found:
    """All that is known: `machine` is None if other programs kept `busy` (a share) of the cores, so that no rate that
    is measured beside them can be trusted."""

    installation: Installation
    machine: Machine | None
    busy: float
    free_bytes: int
    locks: list[Check]
    wanted: _Wanted
    ram: int
    n_ctx: int


def _wanted(args: argparse.Namespace) -> _Wanted:
    from edgemed.architectures.bailing_moe_v2 import ANTANGELMED
    from edgemed.forecast.hit_rates import known_use
    from edgemed.forecast.model_size import size_of, size_of_file
    from edgemed.forecast.twin import original_of_file, original_of_types
    from edgemed.model_file import open_model

    if args.model is None:
        models = {f"AntAngelMed at {bits} bits": size_of(ANTANGELMED, bits) for bits in BITS}
        original = original_of_types(ANTANGELMED, {kind for size in models.values() for kind in size.expert})
        return _Wanted(models, None, original, READ_BYTES, None)
    file = open_model(args.model)
    size = size_of_file(file)
    largest = max(file.parts, key=lambda part: part.size).path
    return _Wanted({file.name: size}, known_use(file), original_of_file(file), int(size.expert_bytes), largest)


def _installation() -> Installation:
    from edgemed.forecast.survey import survey_installation

    return survey_installation()


def _survey(
    args: argparse.Namespace, wanted: _Wanted, installation: Installation, on_stage: Callable[[str], None]
) -> _Found:
    from edgemed.engine.budget import available_bytes
    from edgemed.forecast.survey import BUSY, survey_locks, survey_machine, wait_until_idle
    from edgemed.forecast.twin import twins

    free = available_bytes()
    on_stage("trying to reach a network from a locked process")
    locks = survey_locks()
    machine, busy = None, wait_until_idle(on_stage)
    if busy <= BUSY:
        on_stage("making small models to measure with")
        with twins(wanted.original) as made:
            machine = survey_machine(made, wanted.read_bytes, args.folder, wanted.file, on_stage)
        busy = machine.busy
    trusted = machine if busy <= BUSY else None
    return _Found(installation, trusted, busy, free, locks, wanted, args.ram or free, args.ctx)


def _as_text(found: _Found) -> list[str]:
    busy = f"other programs use {found.busy:.0%} of the cores"
    rates = _about_rates(found.machine) if found.machine else [f"speed       not measured, because {busy}"]
    lines = [
        *_about_installation(found.installation),
        f"processor   {', '.join(found.installation.cpu_flags) or 'no fast instruction sets'}",
        f"memory      {format_size(found.free_bytes)} free",
        f"gpu         {found.installation.gpu}",
        *_about_locks(found.locks),
        *rates,
        "",
    ]
    if found.machine is None:
        why = f"O{busy[1:]}, so any speed measured now would be too low. Run this again when the computer is idle."
        return [*lines, *_about_sizes(found), "", why]
    return [*lines, *_forecast(found, found.machine)]


def _about_installation(installation: Installation) -> list[str]:
    own = installation.kernels
    why = "set by EDGEMED_KERNELS" if "avx2" in installation.cpu_flags else "edgemed's kernels need AVX2"
    kernels = f"ggml's ({why})" if own is None else f"edgemed's, for {own}"
    return [
        f"system      {installation.system}, Python {installation.python}",
        f"engine      {'cannot start' if installation.engine_fault else 'bound to llama.cpp'}",
        f"kernels     {kernels}",
    ]


def _about_rates(machine: Machine) -> list[str]:
    compute = machine.compute
    way = "direct reads" if machine.direct else "through the page cache, because direct reads are refused there"
    experts = ", ".join(f"{kind} {rate / 1e9:.1f}" for kind, rate in compute.experts.items())
    attention = f"{compute.attention / 1e9:.1f} GB/s of keys and values"
    if isinf(compute.attention):
        attention = "too fast to be measured with this model"
    return [
        f"speed       with {compute.threads} cores; memory is read at {machine.memory / 1e9:.1f} GB/s",
        f"experts     {experts} GB/s",
        f"dense part  {compute.dense / 1e9:.1f} GB/s, including everything but experts and attention",
        f"attention   {attention}",
        f"disk        {machine.disk / 1e9:.2f} GB/s, {way}",
    ]


def _about_locks(locks: list[Check]) -> list[str]:
    broken = [lock for lock in locks if not lock.passed]
    if not broken:
        return [
            f"offline     proved: {len(locks)} of {len(locks)} attempts to reach a network or read memory were refused"
        ]
    return [f"offline     NOT proved: {lock.name}: {lock.detail}" for lock in broken]


def _forecast(found: _Found, machine: Machine) -> list[str]:
    from edgemed.forecast.hit_rates import CALIBRATION, LAST_USE
    from edgemed.forecast.prediction import PROMPT_TOKENS, predict
    from edgemed.forecast.verdict import outlook, timing, verdict

    better = "assumes that the conversation stays on one subject"
    if found.wanted.known:
        better = {
            LAST_USE: "assumes that experts are used as in the last use",
            CALIBRATION: "assumes that experts are used as in calibration",
        }[found.wanted.known.routing]
    lines = [
        f"with {format_size(found.ram)} of memory, a context of {found.n_ctx} tokens, and a text of {PROMPT_TOKENS}:"
    ]
    for name, model in found.wanted.models.items():
        here = outlook(name, model, predict(model, machine, found.ram, found.n_ctx, found.wanted.known))
        if here is None:
            lines.append(_does_not_fit(name, model, found.n_ctx))
            continue
        rates = f"{here.worst.tokens_per_s:.1f} to {here.better.tokens_per_s:.1f} tokens/s"
        lines.append(f"  {name}: {timing(here)} ({rates}, {here.worst.cached_part:.0%} of the experts in memory)")
    return [
        *lines,
        f"The better figure {better}.",
        "",
        verdict(found.wanted.models, machine, found.ram, found.n_ctx, found.wanted.known),
    ]


def _about_sizes(found: _Found) -> list[str]:
    """What fits, which needs no measurement."""
    from edgemed.forecast.prediction import smallest_ram

    lines = [f"with {format_size(found.ram)} of memory and a context of {found.n_ctx} tokens:"]
    for name, model in found.wanted.models.items():
        fits = smallest_ram(model, found.n_ctx) <= found.ram
        lines.append(f"  {name}: fits" if fits else _does_not_fit(name, model, found.n_ctx))
    return lines


def _does_not_fit(name: str, model: ModelSize, n_ctx: int) -> str:
    from edgemed.forecast.prediction import smallest_ram

    return f"  {name}: does not fit; needs at least {format_size(smallest_ram(model, n_ctx))}"


def _as_json(found: _Found) -> dict[str, Any]:
    from edgemed.forecast.prediction import predict, smallest_ram
    from edgemed.forecast.verdict import verdict

    def predicted(model: ModelSize) -> list[dict[str, Any]] | None:
        if found.machine is None:
            return None
        told = predict(model, found.machine, found.ram, found.n_ctx, found.wanted.known)
        return [asdict(each) | {"tokens_per_s": each.tokens_per_s} for each in told]

    machine = found.machine and asdict(found.machine)
    if machine and isinf(machine["compute"]["attention"]):
        machine["compute"]["attention"] = None
    return {
        "installation": asdict(found.installation),
        "machine": machine,
        "busy": found.busy,
        "available_bytes": found.free_bytes,
        "locks": [asdict(lock) for lock in found.locks],
        "ram_bytes": found.ram,
        "models": {
            name: {
                "size": asdict(model),
                "smallest_ram_bytes": smallest_ram(model, found.n_ctx),
                "predictions": predicted(model),
            }
            for name, model in found.wanted.models.items()
        },
        "verdict": found.machine
        and verdict(found.wanted.models, found.machine, found.ram, found.n_ctx, found.wanted.known),
    }
