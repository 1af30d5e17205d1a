"""Logits of every position from a child process, because ggml's asserts end a process and its devices register once.

(answer,) = run_probes(tmp_path, Probe(path=str(gguf), ids=(3, 14, 15)))       the parent's side
python -m testing.engine_probe REQUEST.json ANSWERS.npz                  the child's side
"""

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemed.engine.process.launch import environment


@dataclass(frozen=True)
class Probe:
    """What to run. batches: lengths of the batches given to llama.cpp; empty means one batch.

    stock: run the file with llama.cpp alone, not with edgemed's engine. small_cache: room for one layer's experts only.
    repack: allow llama.cpp to rearrange weights while loading. pieces: compute the graph node by node.
    still: no prefetch and one reader thread, so that the counters of single tokens do not depend on time.
    """

    path: str
    ids: tuple[int, ...]
    batches: tuple[int, ...] = ()
    stock: bool = False
    kv_type: str = "f32"
    flash_attn: bool = False
    repack: bool = True
    pieces: bool = False
    small_cache: bool = False
    threads: int = 2
    still: bool = False

    @property
    def one_by_one(self) -> tuple[int, ...]:
        return (1,) * len(self.ids)


@dataclass(frozen=True)
class Answer:
    """logits [tokens, vocabulary]; stats: the engine's counters, empty for stock llama.cpp."""

    logits: NDArray[np.float32]
    stats: dict[str, float]


class ProbeError(Exception):
    """The child failed; the message holds its exit status and the end of its standard error."""


def run_probes(folder: Path, *probes: Probe, timeout: float = 120) -> list[Answer]:
    """Run the stock probes in one child and the engine's in another: stock llama.cpp must not meet edgemed's device.

    Raises ProbeError.
    """
    answers: dict[int, Answer] = {}
    for stock in (True, False):
        chosen = [number for number, probe in enumerate(probes) if probe.stock == stock]
        if chosen:
            answers |= zip(chosen, _run_child(folder, [probes[number] for number in chosen], timeout), strict=True)
    return [answers[number] for number in range(len(probes))]


def _run_child(folder: Path, probes: Sequence[Probe], timeout: float) -> list[Answer]:
    request, out = folder / "probes.json", folder / "answers.npz"
    request.write_text(json.dumps([asdict(probe) for probe in probes]))
    command = [sys.executable, "-m", "testing.engine_probe", str(request), str(out)]
    child = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout, check=False)
    if child.returncode:
        raise ProbeError(f"exit status {child.returncode}: {child.stderr[-2000:]}")
    with np.load(out) as stored:
        return [Answer(stored[f"logits_{i}"], json.loads(str(stored[f"stats_{i}"]))) for i in range(len(probes))]


def answer(probe: Probe) -> Answer:
    """Load the model, run it and free it; only called in the child."""
    return _run_stock(probe) if probe.stock else _run_engine(probe)


def _run_stock(probe: Probe) -> Answer:
    import llama_cpp as llama

    llama.llama_backend_init()
    model_params = llama.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model_params.use_extra_bufts = probe.repack
    model = llama.llama_model_load_from_file(probe.path.encode(), model_params)
    if not model:
        raise RuntimeError("llama.cpp refuses the file")
    params = llama.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = _context_length(probe)
    params.n_threads = params.n_threads_batch = probe.threads
    params.type_k = params.type_v = {"f32": llama.GGML_TYPE_F32, "f16": llama.GGML_TYPE_F16}[probe.kv_type]
    params.flash_attn_type = 1 if probe.flash_attn else 0
    context = llama.llama_init_from_model(model, params)
    logits = _decode(llama, context, llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model)), probe)
    llama.llama_free(context)
    llama.llama_model_free(model)
    return Answer(logits, {})


def _run_engine(probe: Probe) -> Answer:
    import llama_cpp as llama

    from edgemed.engine.load_settings import LoadSettings
    from edgemed.engine.model import load_model
    from edgemed.model_file import open_model

    file = open_model(probe.path)
    length = _context_length(probe)
    settings = LoadSettings(
        ram_bytes=1 if probe.small_cache else None,
        n_ctx=length,
        threads=probe.threads,
        kv_type=probe.kv_type,
        flash_attn=probe.flash_attn,
        n_batch=length,
        n_outputs=length,
        repack=probe.repack,
        watch=llama.ggml_backend_sched_eval_callback(lambda *_: True) if probe.pieces else None,
        force_small=probe.small_cache,
        **({"read_ahead": 0, "reader_threads": 1} if probe.still else {}),
    )
    loaded = load_model(file, settings)
    try:
        logits = _decode(llama, loaded.ctx, file.hparams.n_vocab, probe)
    except RuntimeError as error:
        raise RuntimeError(f"{error}: {loaded.last_error()}") from None
    stats = {name: float(value) for name, value in loaded.stats().items()}
    loaded.close()
    return Answer(logits, stats)


def _context_length(probe: Probe) -> int:
    return max(256, len(probe.ids))


def _decode(llama: Any, context: Any, n_vocab: int, probe: Probe) -> NDArray[np.float32]:
    """Run the ids through the context with logits for every position."""
    rows = []
    start = 0
    for length in probe.batches or (len(probe.ids),):
        batch = llama.llama_batch_init(length, 0, 1)
        batch.n_tokens = length
        for i in range(length):
            batch.token[i] = probe.ids[start + i]
            batch.pos[i] = start + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = 1
        if (status := llama.llama_decode(context, batch)) != 0:
            raise RuntimeError(f"llama_decode returned {status}")
        for i in range(length):
            row = ctypes.cast(llama.llama_get_logits_ith(context, i), ctypes.POINTER(ctypes.c_float))
            rows.append(np.ctypeslib.as_array(row, (n_vocab,)).copy())
        llama.llama_batch_free(batch)
        start += length
    return np.stack(rows)


def main() -> None:
    requested = json.loads(Path(sys.argv[1]).read_text())
    answers = [
        answer(Probe(**{**one, "ids": tuple(one["ids"]), "batches": tuple(one["batches"])})) for one in requested
    ]
    stored: dict[str, NDArray[Any]] = {f"logits_{i}": one.logits for i, one in enumerate(answers)}
    stored |= {f"stats_{i}": np.array(json.dumps(one.stats)) for i, one in enumerate(answers)}
    np.savez(sys.argv[2], allow_pickle=False, **stored)


if __name__ == "__main__":
    main()
