"""What the training stages share: loss, gradients on two threads, learning-rate schedule, checkpoints and resuming.

Each thread runs whole micro-batches on one core (torch uses one thread inside an operation), so cores never wait for
each other inside a step. The schedule follows processor time per core. A run of 60 minutes takes 60 minutes on an idle
machine; beside other programs it takes longer, with the same result.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from model import BailingMoeV2
from optim import Optimizer
from torch import Tensor

MTP_WEIGHT = 0.1  # weight of the MTP loss relative to the main one
MTP_SHARE = 4  # one row in four trains the MTP layer, which learns faster and costs a fifth of a pass


@dataclass
class Gradients:
    loss: float
    mtp_loss: float
    values: list[Tensor]
    load: Tensor  # number of assignments, (MoE layers, experts)
    reward: float | None = None


def loads(routes: list[Tensor], experts: int) -> Tensor:
    return torch.stack([torch.bincount(chosen.flatten(), minlength=experts) for chosen in routes])


def masked_loss(model: BailingMoeV2, states: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the mean cross entropy over the marked positions; the head is applied to these only."""
    return F.cross_entropy(model.lm_head(states[mask]).float(), targets[mask])


def next_token_gradients(model: BailingMoeV2, batch: tuple[Tensor, Tensor], params: list[Tensor]) -> Gradients:
    """batch: ids and mask, (B, T + 2). They hold the inputs, the next tokens and the tokens after those."""
    ids, mask = batch
    t = ids.shape[1] - 2
    routes: list[Tensor] = []
    states = model(ids[:, :t], dtype=torch.bfloat16, routes=routes)
    loss = masked_loss(model, states, ids[:, 1 : t + 1], mask[:, 1 : t + 1])
    b = max(1, len(ids) // MTP_SHARE)
    drafted = model.draft(states[:b], ids[:b, 1 : t + 1], routes)
    mtp_loss = masked_loss(model, drafted, ids[:b, 2:], mask[:b, 2:])
    values = torch.autograd.grad(loss + MTP_WEIGHT * mtp_loss, params)
    return Gradients(loss.item(), mtp_loss.item(), list(values), loads(routes, model.config.num_experts))


@torch.no_grad()
def held_loss(model: BailingMoeV2, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Return the mean loss over held-out batches, in nats per token."""
    total = 0.0
    for ids, mask in batches:
        states = model(ids[:, :-2], dtype=torch.bfloat16)
        total += masked_loss(model, states, ids[:, 1:-1], mask[:, 1:-1]).item()
    return total / len(batches)


@dataclass
class Run:
    """One stage's training in its folder: state.pt to resume from, log.jsonl with a line per step, pid."""

    model: BailingMoeV2
    folder: Path
    minutes: float
    muon_rate: float = 0.01
    adam_rate: float = 1e-3
    accumulate: int = 2  # micro-batches per step
    gradients: Callable[[BailingMoeV2, Any, list[Tensor]], Gradients] = next_token_gradients
    balance_rate: float = 1e-3  # step of the balancing bias, which replaces an auxiliary loss
    warmup: float = 0.03  # fraction of the time
    decay: float = 0.6
    save_every: float = 180.0  # seconds of the schedule's clock
    threads: int = 2
    seconds: float = 0.0  # processor time of each thread
    step: int = 0
    tokens: int = 0
    pool: ThreadPoolExecutor = field(init=False)
    optimizer: Optimizer = field(init=False)

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder.parent / "pid").write_text(f"{os.getpid()}\n")
        self.pool = ThreadPoolExecutor(self.threads)
        self.optimizer = Optimizer(self.model, self.pool, muon_rate=self.muon_rate, adam_rate=self.adam_rate)
        if (self.folder / "state.pt").exists():
            self.resume()

    def resume(self) -> None:
        state = torch.load(self.folder / "state.pt")
        self.model.load_state_dict(state["model"])
        self.optimizer.state, self.optimizer.steps = state["optimizer"], state["step"]
        self.seconds, self.step, self.tokens = state["seconds"], state["step"], state["tokens"]
        print(f"resumed at step {self.step}, {self.tokens:,} tokens, {self.seconds / 60:.1f} minutes")

    def save(self) -> None:
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state, "step": self.step}
        state |= {"seconds": self.seconds, "tokens": self.tokens}
        torch.save(state, self.folder / "state.part")
        (self.folder / "state.part").replace(self.folder / "state.pt")

    def rate(self) -> float:
        """The learning-rate factor: a linear rise, a plateau, then a linear decay to zero over the time given."""
        done = self.seconds / (60 * self.minutes)
        return max(0.0, min(1.0, (done + 0.002) / self.warmup, (1 - done) / self.decay))

    def train(self, batches: Iterator[Any], held: list[tuple[Tensor, Tensor]]) -> None:
        """Train until the time is over. `batches` must start after the self.step * accumulate batches already used."""
        last_save = self.seconds
        while self.seconds < 60 * self.minutes:
            start = time.process_time()
            record = self.one_step([next(batches) for _ in range(self.accumulate)])
            if held and self.step % 50 == 0:
                record["held_loss"] = held_loss(self.model, held)
            self.seconds += (time.process_time() - start) / self.threads
            record |= {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1)}
            with (self.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(record) + "\n")
            if self.seconds - last_save > self.save_every:
                self.save()
                last_save = self.seconds
        self.save()

    def one_step(self, batches: list[Any]) -> dict[str, object]:
        params = self.optimizer.params
        parts = list(self.pool.map(lambda batch: self.gradients(self.model, batch, params), batches))
        total = [torch.stack(values).mean(0) for values in zip(*(part.values for part in parts), strict=True)]
        norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in total])).item()
        rate = self.rate()
        self.optimizer.step(total, rate)
        load = sum(part.load for part in parts)
        for moe, counts in zip(self.model.moe_layers(), load, strict=False):  # the MTP layer is last and may be missing
            moe.gate.expert_bias += self.balance_rate * (counts.float().mean() - counts).sign()
        self.step += 1
        self.tokens += int(load[0].sum()) // self.model.config.num_experts_per_tok
        rewards = [part.reward for part in parts if part.reward is not None]
        return ({"reward": round(sum(rewards) / len(rewards), 4)} if rewards else {}) | {
            "loss": round(sum(part.loss for part in parts) / len(parts), 4),
            "mtp_loss": round(sum(part.mtp_loss for part in parts) / len(parts), 4),
            "gradient_norm": round(norm, 4),
            "rate": round(rate, 4),
            "load": load.tolist(),
        }
