"""How fast this machine computes what a token needs: measured in a process of its own, as the engine's is.

python -m edgemed.engine.compute_rates THREADS SECONDS TYPE...        JSON on standard output
"""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass

import numpy as np
from gguf import GGMLQuantizationType as Type

from edgemed.engine.child import environment
from edgemed.errors import SetupError

COLUMNS = 4096
MEMORY_BYTES = 192 << 20
"""More than any processor's caches hold."""
FEW_ROWS, MANY_ROWS = 8, 256
SAMPLED_VOCABULARY = 65536


@dataclass(frozen=True, slots=True)
class ComputeRates:
    """With `threads` threads, by the name of the weights' type. `products`: bytes a second, out of memory, multiplied
    with one row. `few_rows` and `batches`: weights times rows a second, with FEW_ROWS (an expert's share of a prompt)
    and MANY_ROWS at once. `node_s`: seconds of a node of llama.cpp's graph that computes next to nothing; `start_s`: of
    waking the other threads for a graph. `sample_s`: seconds to draw a token, for each token of the vocabulary.
    `tell_s`: seconds until a token's text is with whoever asked.
    """

    threads: int
    node_s: float
    start_s: float
    sample_s: float
    tell_s: float
    products: dict[str, float]
    few_rows: dict[str, float]
    batches: dict[str, float]


def measure_compute(threads: int, types: Collection[str], seconds: float = 0.2) -> ComputeRates:
    """Measure for about `seconds` each. Raises SetupError when the engine's libraries cannot be used here."""
    command = [sys.executable, "-P", "-m", __name__, str(threads), str(seconds), *sorted(types)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise SetupError(f"The speed of computing cannot be measured: {said.partition(': ')[2] or said}")
    return ComputeRates(**json.loads(done.stdout))


def _sample_seconds(seconds: float) -> float:
    """Of one token of the vocabulary, with the sampling the engine uses when it is told nothing else."""
    from edgemed.engine.protocol import Sampling
    from edgemed.engine.sampling import Sampler

    logits = np.random.default_rng(0).standard_normal(SAMPLED_VOCABULARY).astype(np.float32)
    sampler = Sampler(Sampling(), 1, [1, 2, 3])
    return _median_seconds(lambda: sampler.pick(logits), seconds) / SAMPLED_VOCABULARY


def _tell_seconds(seconds: float) -> float:
    """Of one token's way through a socket pair and the frames of both ends, into another thread and its queue."""
    from edgemed.engine.frames import Frames, encode
    from edgemed.engine.protocol import Piece

    near, far = socket.socketpair()
    heard: queue.SimpleQueue[object] = queue.SimpleQueue()

    def listen() -> None:
        frames = Frames()
        while data := far.recv(1 << 16):
            for _, message in frames.feed(data):
                heard.put(message)

    def tell() -> None:
        near.sendall(encode(Piece(" word"), 1))
        heard.get()

    with near, far:
        threading.Thread(target=listen, daemon=True).start()
        took = _median_seconds(tell, seconds)
        near.shutdown(socket.SHUT_RDWR)
    return took


def _median_seconds(call: Callable[[], object], seconds: float) -> float:
    took: list[float] = []
    start = time.perf_counter()
    while len(took) < 3 or time.perf_counter() - start < seconds:
        at = time.perf_counter()
        call()
        took.append(time.perf_counter() - at)
    return float(np.median(took))


def main(arguments: list[str]) -> int:
    """In the child."""
    from edgemed.engine.library import start_llama
    from edgemed.native.engine import engine_library

    threads, seconds, names = int(arguments[0]), float(arguments[1]), arguments[2:]
    start_llama()
    library = engine_library()
    rates = ComputeRates(
        threads=threads,
        node_s=library.edgemed_node_seconds(threads, seconds),
        start_s=library.edgemed_start_seconds(threads, seconds),
        sample_s=_sample_seconds(seconds),
        tell_s=_tell_seconds(seconds),
        products={n: library.edgemed_product_rate(Type[n], COLUMNS, MEMORY_BYTES, threads, seconds) for n in names},
        few_rows={n: library.edgemed_batch_rate(Type[n], COLUMNS, FEW_ROWS, threads, seconds) for n in names},
        batches={n: library.edgemed_batch_rate(Type[n], COLUMNS, MANY_ROWS, threads, seconds) for n in names},
    )
    print(json.dumps(asdict(rates)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
