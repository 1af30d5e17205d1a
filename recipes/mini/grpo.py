"""Stage 3, GRPO: improve on tasks that a program can check, while staying close to the supervised model.

    python grpo.py --init runs/sft/checkpoint --out runs/grpo --minutes 10 --pubmedqa pubmedqa.jsonl

For each prompt a group of answers is sampled at temperature 1. An answer's advantage is its reward minus the group's
mean, divided by the group's standard deviation; it scales the gradient of the answer's log-probabilities. Each batch of
samples is used for one step, so samples always come from the current model and no ratio needs clipping. A penalty, the
unbiased low-variance estimate of the KL divergence, keeps the model near the supervised one. The balancing bias stays
fixed.
"""

import argparse
import random
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import torch
from checkpoint import load, save
from data import prompt_ids
from generate import complete, stop_ids, text_of
from model import BailingMoeV2
from sft import SAFETY
from tasks import Task, arithmetic, research, safety
from tokenizers import Tokenizer
from torch import Tensor
from trainer import Gradients, Run, loads


def log_probabilities(model: BailingMoeV2, ids: Tensor, start: int, routes: list[Tensor] | None = None) -> Tensor:
    """Return the log-probabilities of ids[:, start:], each given all ids before it: (B, T - start)."""
    states = model(ids[:, :-1], routes=routes)[:, start - 1 :]
    return model.lm_head(states).log_softmax(-1).gather(2, ids[:, start:, None])[:, :, 0]


class GroupGradients:
    """Samples a group of answers to one task and turns their rewards into gradients."""

    def __init__(self, reference: BailingMoeV2, tokenizer: Tokenizer, group: int, kl_weight: float) -> None:
        self.reference, self.tokenizer, self.group, self.kl_weight = reference, tokenizer, group, kl_weight
        self.stops = stop_ids(tokenizer)

    def __call__(self, model: BailingMoeV2, task: Task, params: list[Tensor]) -> Gradients:
        prompt = torch.tensor([prompt_ids(self.tokenizer, task.prompt)]).repeat(self.group, 1)
        rows = complete(model, prompt, task.max_tokens, self.stops, temperature=1.0)
        rewards = torch.tensor([task.reward(text_of(self.tokenizer, row, self.stops)) for row in rows])
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        longest = max(len(row) for row in rows)
        said = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        counts = torch.tensor([[float(at < len(row)) for at in range(longest)] for row in rows])

        ids, start, routes = torch.cat((prompt, said), 1), prompt.shape[1], []
        logp = log_probabilities(model, ids, start, routes)
        with torch.no_grad():
            difference = log_probabilities(self.reference, ids, start) - logp
        difference = difference + logp.detach() - logp  # the same value, with the gradient of -logp
        kl = difference.exp() - difference - 1
        # exp(logp - logp.detach()) is the ratio to the sampling model: its value is one, its gradient that of logp
        gain = (logp - logp.detach()).exp() * advantages[:, None]
        loss = (((self.kl_weight * kl - gain) * counts).sum(1) / counts.sum(1)).mean()
        found = torch.autograd.grad(loss, params, allow_unused=True)
        values = [torch.zeros_like(p) if g is None else g for g, p in zip(found, params, strict=True)]
        divergence = ((kl.detach() * counts).sum() / counts.sum()).item()
        return Gradients(divergence, 0.0, values, loads(routes, model.config.num_experts), rewards.mean().item())


def endless(tasks: list[Task], seed: int) -> Iterator[Task]:
    draw = random.Random(seed)
    while True:
        yield from draw.sample(tasks, len(tasks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", type=Path, required=True, help="checkpoint folder of the supervised model")
    parser.add_argument("--out", type=Path, required=True, help="folder of this stage; run again to resume")
    parser.add_argument("--pubmedqa", type=Path, required=True, help="research questions with yes, no or maybe")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--research", type=int, default=40, help="number of research questions; their prompts are long")
    parser.add_argument("--group", type=int, default=8, help="answers per prompt")
    parser.add_argument("--prompts", type=int, default=8, help="prompts per step")
    parser.add_argument("--kl", type=float, default=0.02, help="weight of the KL divergence from the supervised model")
    parser.add_argument("--muon-rate", type=float, default=1e-3)
    parser.add_argument("--adam-rate", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model = load(args.init)
    tokenizer = Tokenizer.from_file(str(args.init / "tokenizer.json"))
    kinds = [
        list(arithmetic(400, held=False, seed=args.seed + 1)),
        list(safety(SAFETY, held=False)) * 2,
        list(research(args.pubmedqa, "train"))[: args.research],
    ]
    group_gradients = GroupGradients(deepcopy(model).eval(), tokenizer, args.group, args.kl)
    rates = {"muon_rate": args.muon_rate, "adam_rate": args.adam_rate, "balance_rate": 0.0}
    run = Run(model, args.out, args.minutes, accumulate=args.prompts, gradients=group_gradients, **rates)
    run.train(endless([task for kind in kinds for task in kind], args.seed + run.step), [])
    save(model, args.out / "checkpoint", args.init)


if __name__ == "__main__":
    main()
