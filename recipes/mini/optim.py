"""Muon for the matrices inside the blocks, AdamW for everything else.

Muon (Keller Jordan, 2024) replaces a momentum matrix by the nearest orthogonal one, computed with a few Newton-Schulz
steps. Stacked experts are one batch of matrices, and matrices of one shape are orthogonalised together.
"""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import torch
from model import BailingMoeV2
from torch import Tensor


def orthogonalise(g: Tensor, steps: int = 4) -> Tensor:
    """Move each of the matrices g (N, m, n) close to U V^T of its singular value decomposition."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).float()


class Optimizer:
    """step(gradients, scale) multiplies all rates by `scale`. The state is a flat dict, so that a run can resume."""

    def __init__(
        self, model: BailingMoeV2, pool: ThreadPoolExecutor, *, muon_rate: float, adam_rate: float, decay: float = 0.1
    ) -> None:
        self.names = [name for name, _ in model.named_parameters()]
        self.params = [p for _, p in model.named_parameters()]
        self.pool, self.muon_rate, self.adam_rate, self.decay = pool, muon_rate, adam_rate, decay
        self.state: dict[str, Tensor] = {}
        self.steps = 0
        by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
        self.adam: list[int] = []
        for i, (name, p) in enumerate(zip(self.names, self.params, strict=True)):
            if p.ndim < 2 or any(word in name for word in ("word_embeddings", "lm_head", "gate.weight")):
                self.adam.append(i)
            else:
                by_shape[tuple(self.matrices(i, p).shape[-2:])].append(i)
        self.muon = list(by_shape.values())

    def matrices(self, i: int, tensor: Tensor) -> Tensor:
        """Return the tensor as (N, m, n); stacked gate and up projections become two matrices per expert."""
        if self.names[i].endswith("gate_up"):
            return tensor.unflatten(1, (2, -1)).flatten(0, 1)
        return tensor if tensor.ndim == 3 else tensor[None]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], scale: float) -> None:
        self.steps += 1
        jobs = [self.pool.submit(self.muon_step, group, gradients, scale) for group in self.muon]
        jobs.append(self.pool.submit(self.adam_step, gradients, scale))
        for job in jobs:
            job.result()

    @torch.no_grad()
    def muon_step(self, group: list[int], gradients: list[Tensor], scale: float, momentum: float = 0.95) -> None:
        updates = []
        for i in group:
            m = self.state.setdefault(f"{self.names[i]}.m", torch.zeros_like(self.params[i]))
            m.lerp_(gradients[i], 1 - momentum)
            updates.append(self.matrices(i, gradients[i].lerp(m, momentum)))
        rate = self.muon_rate * scale
        ortho = orthogonalise(torch.cat(updates))
        ortho *= max(1.0, ortho.shape[-2] / ortho.shape[-1]) ** 0.5
        for i, o in zip(group, ortho.split([len(u) for u in updates]), strict=True):
            self.params[i].mul_(1 - rate * self.decay)
            self.matrices(i, self.params[i]).sub_(o, alpha=rate)

    @torch.no_grad()
    def adam_step(self, gradients: list[Tensor], scale: float, beta1: float = 0.9, beta2: float = 0.95) -> None:
        rate = self.adam_rate * scale
        for i in self.adam:
            p, g, name = self.params[i], gradients[i], self.names[i]
            m = self.state.setdefault(f"{name}.m", torch.zeros_like(p))
            v = self.state.setdefault(f"{name}.v", torch.zeros_like(p))
            m.lerp_(g, 1 - beta1)
            v.lerp_(g.square(), 1 - beta2)
            corrected = (v / (1 - beta2**self.steps)).sqrt_().add_(1e-10)
            if p.ndim >= 2:
                p.mul_(1 - rate * self.decay)
            p.addcdiv_(m, corrected, value=-rate / (1 - beta1**self.steps))
