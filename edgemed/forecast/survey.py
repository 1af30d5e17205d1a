"""What `edgemed doctor` finds out about this machine and installation, without loading the model."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgemed import privacy
from edgemed.engine.cores import Others, measure_busy, usable_cores
from edgemed.engine.process.job import Report, run_job
from edgemed.errors import EdgemedError, SetupError
from edgemed.forecast.compute_rates import Twins, measure_compute
from edgemed.forecast.machine import DiskProbe, Machine, measure_memory
from edgemed.native.instructions import instructions
from edgemed.privacy.checks import Check, proof

PROBE_BYTES = 1 << 30
READERS = 3  # reader threads, as in the engine
DISK_SAMPLES = 3  # before, between and after the measurements of memory and compute
SAMPLE_SECONDS = 0.5
BUSY = 0.2
"""When other processes use more than this share of the cores, the rates measured beside them are too low."""
BUSY_TRIES, BUSY_SECONDS = 4, 0.5
_FLAGS = ("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "gfni", "avx512vbmi", "avx512_bf16", "amx_int8")

OnStage = Callable[[str], None]
"""Told what is being done, in a few words."""


@dataclass(frozen=True, slots=True)
class Installation:
    """kernels: the instruction set that our kernels use, None if ggml's are used instead; engine_fault: why the engine
    cannot start here, or None; gpu: a sentence."""

    python: str
    system: str
    cpu_flags: tuple[str, ...]
    kernels: str | None
    engine_fault: str | None
    gpu: str


def survey_installation() -> Installation:
    """Inspect the processor, and bind the engine to llama.cpp in a child process."""
    fault, gpu = None, "unknown: the engine cannot start"
    try:
        gpu = run_job(f"{__name__}:find_gpu", {})["gpu"]
    except EdgemedError as error:
        fault = str(error)
    return Installation(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu_flags=cpu_flags(),
        kernels=instructions().label,
        engine_fault=fault,
        gpu=gpu,
    )


def find_gpu(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job: bind llama.cpp under the engine's locks and look for a GPU. A driver that cannot work under them has no
    GPU for us."""
    from edgemed.engine.devices import survey_gpu

    return {"gpu": survey_gpu()}


def cpu_flags(wanted: tuple[str, ...] = _FLAGS) -> tuple[str, ...]:
    """Which of the `wanted` instruction sets (by default those that matter for speed) the processor has."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ()
    flags = next((line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith("flags")), [])
    return tuple(flag for flag in wanted if flag in flags)


def wait_until_idle(on_stage: OnStage) -> float:
    """The share of all cores that other processes use: at most BUSY, or more if that lasts."""
    on_stage("looking for other programs")
    for _ in range(BUSY_TRIES):
        busy = measure_busy(BUSY_SECONDS)
        if busy <= BUSY:
            break
        on_stage(f"waiting: other programs use {busy:.0%} of the cores")
    return busy


def survey_machine(
    twins: Twins, read_bytes: int, folder: Path, model: Path | None = None, on_stage: OnStage = lambda stage: None
) -> Machine:
    """Measure memory, compute (with the twins of the model), and the disk with reads of `read_bytes` from `model`, or
    from a temporary file in `folder` if there is no model.

    `on_stage` is told what is being measured. Raises SetupError if nothing can be read or written there.
    """
    cores, others = usable_cores(), Others()
    on_stage("preparing a file to measure the disk with")
    with _probe(read_bytes, folder, model) as disk:
        on_stage("measuring the disk")
        disk.sample()
        on_stage("measuring the memory")
        memory = measure_memory(cores)
        disk.sample()
        on_stage("starting the engine on small models")
        compute = measure_compute(
            cores,
            twins,
            on_progress=lambda _, done, total: on_stage(f"measuring the engine on small models, {done + 1} of {total}"),
        )
        on_stage("measuring the disk again")
        disk.sample()
        return Machine(disk=disk.rate, memory=memory, compute=compute, direct=disk.direct, busy=others.share())


def survey_locks() -> list[Check]:
    """Try every privacy lock in a process that has just locked itself down. Raises SetupError if it cannot start."""
    try:
        tried = run_job(f"{__name__}:try_locks", {})
    except EdgemedError as error:
        raise SetupError(f"The privacy locks cannot be tried. {error}") from None
    return [Check(**check) for check in tried["checks"]]


def try_locks(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """A job, which has locked itself down: seal it, and try every lock. Locks cannot be opened again."""
    privacy.seal(allow_unsealed=True)
    return {"checks": [asdict(check) for check in proof()]}


@contextmanager
def _probe(read_bytes: int, folder: Path, model: Path | None) -> Iterator[DiskProbe]:
    with ExitStack() as opened:
        if model is None or model.stat().st_size < 8 * DISK_SAMPLES * read_bytes:
            model = opened.enter_context(_own_file(folder))
        yield opened.enter_context(
            DiskProbe(model, read_bytes, READERS, samples=DISK_SAMPLES, seconds=SAMPLE_SECONDS, checked=True)
        )


@contextmanager
def _own_file(folder: Path) -> Iterator[Path]:
    piece = os.urandom(8 << 20)  # random, because a compressing disk would be too fast
    with ExitStack() as opened:
        try:
            status = os.statvfs(folder)
            if status.f_bavail * status.f_frsize < 2 * PROBE_BYTES:
                raise SetupError(
                    f"{folder} has too little room to measure the disk; name another folder with --folder."
                )
            file = opened.enter_context(tempfile.TemporaryFile(dir=folder))  # unnamed, so kill -9 leaves nothing behind
            for _ in range(PROBE_BYTES // len(piece)):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise SetupError(
                f"{folder} cannot be written ({error.strerror}); name another folder with --folder."
            ) from None
        yield Path(f"/proc/self/fd/{file.fileno()}")
