"""`edgemed bench MODEL --ram 8GiB`: how fast the chat will be on this machine, measured with the chat's engine."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from edgemed.commands._engine import add_gpu_argument, add_rpc_arguments, add_threads_argument, wanted_offload
from edgemed.commands._print import show
from edgemed.errors import EngineError, UsageError
from edgemed.sizes import format_size, parse_size

if TYPE_CHECKING:
    from edgemed.engine.process.client import Engine
    from edgemed.engine.process.protocol import Finished

SETTLE_SECONDS = 60.0  # after the first answer, for background reads to finish

# Fictitious and fixed, so that figures can be compared.
QUESTIONS = (
    "A 58-year-old teacher has had a dry cough for six weeks. It began two weeks after she was given a new tablet for "
    "high blood pressure. She has no fever, does not smoke, and her chest X-ray is clear. What is the likely cause?",
    "A toddler of 18 months is brought in with a barking cough and noisy breathing since last night, worse when he "
    "cries. His temperature is 38.1 degrees. Which findings would make you send him to hospital at once?",
    "A man of 71 takes a blood thinner for an irregular heartbeat. He is to have a tooth pulled next week. What should "
    "his dentist and his doctor agree on before that day?",
    "A woman of 34 has woken three nights with burning pain in her right hand that eases when she shakes it. She works "
    "on an assembly line and is five months pregnant. What would you examine, and what would you tell her?",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians over the answers. Sizes in bytes, times in seconds, rates in tokens per second."""

    prompt_tokens_per_s: float
    tokens_per_s: float
    first_token_s: float
    hit_rate: float | None
    read_bytes_per_token: float
    peak_bytes: int
    answers: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="the GGUF file")
    parser.add_argument("--ram", metavar="SIZE", type=parse_size, help="total memory to use, for example 8GiB")
    parser.add_argument("--ctx", metavar="N", type=int, default=2048, help="context length in tokens (default 2048)")
    add_threads_argument(parser)
    add_gpu_argument(parser)
    add_rpc_arguments(parser)
    parser.add_argument("--tokens", metavar="N", type=int, default=64, help="length of each answer (default 64)")
    parser.add_argument("--watch", action="store_true", help="show live which experts are in memory, used and missed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from edgemed.engine.cores import measure_busy
    from edgemed.engine.process.client import Engine
    from edgemed.engine.process.protocol import EngineSettings

    if args.watch and not sys.stderr.isatty():
        raise UsageError("--watch needs a terminal to draw on.")
    busy = measure_busy()
    settings = EngineSettings(
        ram_bytes=args.ram, n_ctx=args.ctx, threads=args.threads, allow_unsealed=True, offload=wanted_offload(args)
    )
    with Engine.start(args.model, settings) as engine:
        placement = engine.info.placement
        measured = watched(engine, args.tokens) if args.watch else measure(engine, args.tokens)
    if measured is None:
        return 1
    if args.json:
        told = {"model": str(args.model), "ram_bytes": args.ram, "busy": busy, "placement": placement}
        print(json.dumps(asdict(measured) | told))
    else:
        show([*table(measured, busy), f"dense part  {placement}"])
    return 0


def watched(engine: Engine, tokens: int) -> Measured | None:
    """`measure` with the live view. None if the user leaves early. Raises as `measure` does."""
    from edgemed.tui.launch import watch

    return watch(engine, lambda say: measure(engine, tokens, say))


def measure(engine: Engine, tokens: int, say: Callable[[str], None] = lambda _: None) -> Measured:
    """Ask every question; the first only warms up. Raises EngineError if every answer is empty."""
    answers = []
    for number, question in enumerate(QUESTIONS):
        say(f"Answer {number} of {len(QUESTIONS) - 1}" if number else "Warming up")
        answers.append(_answer(engine, question, tokens))
        if not number:
            _settle(engine)
    answers = [answer for answer in answers[1:] if answer.tokens > 1]
    if not answers:
        raise EngineError(
            "The model ends every answer at once, so there is nothing to measure; try another model file."
        )
    hit_rates = [answer.hit_rate for answer in answers if answer.hit_rate is not None]
    return Measured(
        prompt_tokens_per_s=median(answer.prefill_tokens_per_s for answer in answers),
        tokens_per_s=median(answer.decode_tokens_per_s for answer in answers),
        first_token_s=median(answer.prompt_tokens / answer.prefill_tokens_per_s for answer in answers),
        hit_rate=median(hit_rates) if hit_rates else None,
        read_bytes_per_token=median(answer.bytes_read / (answer.tokens + answer.prompt_tokens) for answer in answers),
        peak_bytes=max(answer.peak_rss_bytes for answer in answers),
        answers=len(answers),
    )


def _settle(engine: Engine) -> None:
    """Wait until the engine's background reads are done, or for SETTLE_SECONDS."""
    before, until = (0, 0), time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < until:
        stats = engine.stats()
        now = stats.bytes_read, stats.resident_bytes >> 22
        if now == before:
            return
        before = now
        time.sleep(1.0)


def _answer(engine: Engine, question: str, tokens: int) -> Finished:
    """One answer. A seed makes the engine compute the whole prompt, including the prefix that the KV cache holds.

    Sampling at temperature 1 avoids repeated tokens, whose experts would already be in memory.
    """
    from edgemed.engine.process.protocol import Finished, Message, Sampling

    sampling = Sampling(temperature=1.0, top_p=1.0, top_k=256, repeat_penalty=1.0, seed=1, max_tokens=tokens)
    last = list(engine.generate([Message("user", question)], sampling))[-1]
    assert isinstance(last, Finished)
    return last


def table(measured: Measured, busy: float) -> list[str]:
    """For people."""
    hits = "" if measured.hit_rate is None else f", {measured.hit_rate:.0%} of the experts were in memory"
    lines = [
        f"answer      {measured.tokens_per_s:.2f} tokens/s{hits}",
        f"prompt      {measured.prompt_tokens_per_s:.1f} tokens/s, first word after {measured.first_token_s:.1f} s",
        f"reads       {measured.read_bytes_per_token / 1e6:.0f} MB per token, prompt and answer together",
        f"memory      {format_size(measured.peak_bytes)} at most",
    ]
    if busy > 0.2:
        lines.append(
            f"busy        other programs used {busy:.0%} of the cores at the start, so these figures are too low"
        )
    return lines
