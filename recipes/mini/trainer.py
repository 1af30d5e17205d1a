"""What the gradient stages share: loss, two threads of gradients, the rate schedule, checkpoints and resuming.

Each thread runs whole micro-batches on one core (torch uses one thread inside an operation), so cores never wait for
each other inside a step. The schedule follows the processor time spent, a core's share of it: a run given 60 minutes
takes 60 on an idle machine, and longer but not worse where other programs take their part.
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

MTP_WEIGHT = 0.1  # of the MTP loss beside the main one
MTP_SHARE = 4  # one row in so many trains the MTP layer: it needs less, and costs a fifth of a pass


@dataclass
class Gradients:
    loss: float
    mtp_loss: float
    values: list[Tensor]
    load: Tensor  # (MoE layers, experts): assignments
    reward: float | None = None


def loads(routes: list[Tensor], experts: int) -> Tensor:
    return torch.stack([torch.bincount(chosen.flatten(), minlength=experts) for chosen in routes])


def masked_loss(model: BailingMoeV2, states: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean cross entropy over the marked positions; only these meet the head."""
    return F.cross_entropy(model.lm_head(states[mask]).float(), targets[mask])


def next_token_gradients(model: BailingMoeV2, batch: tuple[Tensor, Tensor], params: list[Tensor]) -> Gradients:
    """batch is ids and mask, (B, T + 2): inputs, next tokens and the ones after next."""
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
    """Mean loss over held batches, in nats a token."""
    total = 0.0
    for ids, mask in batches:
        states = model(ids[:, :-2], dtype=torch.bfloat16)
        total += masked_loss(model, states, ids[:, 1:-1], mask[:, 1:-1]).item()
    return total / len(batches)


@dataclass
class Run:
    """One stage's training, in a folder of its own: state.pt to resume from, log.jsonl with a line per step, pid."""

    model: BailingMoeV2
    folder: Path
    minutes: float
    muon_rate: float = 0.01
    adam_rate: float = 1e-3
    accumulate: int = 2  # micro-batches a step
    gradients: Callable[[BailingMoeV2, Any, list[Tensor]], Gradients] = next_token_gradients
    balance_rate: float = 1e-3  # step of the aux-loss-free balancing bias
    warmup: float = 0.03  # shares of the time
    decay: float = 0.6
    save_every: float = 180.0  # seconds, as the schedule counts them
    threads: int = 2
    seconds: float = 0.0  # of processor time, for each thread
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
        """Up in a line, level, down in a line to zero: a trapezium over the time given."""
        done = self.seconds / (60 * self.minutes)
        return max(0.0, min(1.0, (done + 0.002) / self.warmup, (1 - done) / self.decay))

    def train(self, batches: Iterator[Any], held: list[tuple[Tensor, Tensor]]) -> None:
        """Steps until the time is over. batches must already be past the self.step * accumulate that were seen."""
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
        for moe, counts in zip(self.model.moe_layers(), load, strict=False):  # the MTP layer, last, may rest
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
