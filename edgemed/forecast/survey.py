"""Everything `edgemed doctor` finds out about this machine and installation, without loading a model."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgemed.engine.cores import measure_busy, physical_cores
from edgemed.engine.process.child import environment
from edgemed.errors import SetupError
from edgemed.forecast.compute_rates import Twins, measure_compute
from edgemed.forecast.machine import DiskProbe, Machine, measure_memory
from edgemed.native.instructions import instructions
from edgemed.privacy import Check

PROBE_BYTES = 1 << 30
READERS = 3  # threads that read, as in the engine
LOOKS = 3  # at the disk: before, between and after what is asked of memory and cores
LOOK_SECONDS = 0.5
# Run in a process of its own, locked as the engine is: a driver that cannot live with that has no GPU to give.
_ENGINE = """
from edgemed import ggml, privacy
ggml.require_llama()
privacy.lock_down(allow_unsealed=True)
from edgemed.engine.devices import survey_gpu
print(survey_gpu())
"""
# Run in a process of its own: the locks cannot be opened again.
_LOCKS = """
import dataclasses, json
from edgemed import privacy
privacy.lock_down(allow_unsealed=True)
privacy.seal(allow_unsealed=True)
print(json.dumps([dataclasses.asdict(check) for check in privacy.proof()]))
"""
_FLAGS = ("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "gfni", "avx512vbmi", "avx512_bf16", "amx_int8")


@dataclass(frozen=True, slots=True)
class Installation:
    """What edgemed stands on. `kernels`: the instructions that ours use, None where ggml computes in their place;
    `engine_fault`: why the engine cannot start here, or None; `gpu`: a sentence."""

    python: str
    system: str
    cpu_flags: tuple[str, ...]
    kernels: str | None
    engine_fault: str | None
    gpu: str


def survey_installation() -> Installation:
    """Look at the processor, and bind the engine to llama.cpp in a child process."""
    bound = subprocess.run(
        [sys.executable, "-P", "-c", _ENGINE],
        env=environment(),
        capture_output=True,
        text=True,
    )
    said = bound.stderr.strip().splitlines() or [f"it ended with {bound.returncode}"]
    return Installation(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu_flags=cpu_flags(),
        kernels=instructions().label,
        engine_fault=said[-1].partition(": ")[2] or said[-1] if bound.returncode else None,
        gpu=bound.stdout.strip() or "unknown: the engine cannot start",
    )


def cpu_flags(wanted: tuple[str, ...] = _FLAGS) -> tuple[str, ...]:
    """Of these instruction sets, by default those that matter for speed, the ones the processor has."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ()
    flags = next((line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith("flags")), [])
    return tuple(flag for flag in wanted if flag in flags)


def survey_machine(twins: Twins, read_bytes: int, folder: Path, model: Path | None = None) -> Machine:
    """Measure memory, the cores with the twins of what is to run, and the disk by reads of `read_bytes` from `model`,
    or from a file made in `folder` for it.

    Raises SetupError where nothing can be written or read there.
    """
    cores, busy = physical_cores(), measure_busy()
    with _probe(read_bytes, folder, model) as disk:
        disk.look()
        memory = measure_memory(cores)
        disk.look()
        compute = measure_compute(cores, twins)
        disk.look()
        return Machine(disk=disk.rate, memory=memory, compute=compute, direct=disk.direct, busy=busy)


def survey_locks() -> list[Check]:
    """Try every lock of privacy in a process that has just locked itself down. Raises SetupError if it cannot run."""
    tried = subprocess.run([sys.executable, "-P", "-c", _LOCKS], capture_output=True, text=True)
    if tried.returncode:
        raise SetupError("The privacy locks cannot be tried: the process that locks itself down does not start.")
    return [Check(**check) for check in json.loads(tried.stdout)]


@contextmanager
def _probe(read_bytes: int, folder: Path, model: Path | None) -> Iterator[DiskProbe]:
    with ExitStack() as opened:
        if model is None or model.stat().st_size < 8 * LOOKS * read_bytes:
            model = opened.enter_context(_own_file(folder))
        yield opened.enter_context(
            DiskProbe(model, read_bytes, READERS, looks=LOOKS, seconds=LOOK_SECONDS, checked=True)
        )


@contextmanager
def _own_file(folder: Path) -> Iterator[Path]:
    piece = os.urandom(8 << 20)  # what a disk could compress away would measure its processor
    with ExitStack() as opened:
        try:
            status = os.statvfs(folder)
            if status.f_bavail * status.f_frsize < 2 * PROBE_BYTES:
                raise SetupError(
                    f"{folder} has too little room to measure the disk; name another folder with --folder."
                )
            file = opened.enter_context(tempfile.TemporaryFile(dir=folder))  # without a name: kill -9 leaves nothing
            for _ in range(PROBE_BYTES // len(piece)):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise SetupError(
                f"{folder} cannot be written ({error.strerror}); name another folder with --folder."
            ) from None
        yield Path(f"/proc/self/fd/{file.fileno()}")
