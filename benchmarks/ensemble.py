"""Eight seeds of the critics experiment as one stacked ensemble, against one after another.

    python benchmarks/ensemble.py [--seeds 8] [--steps 20] [--rounds 3]

Each arm trains MLP encoders (392-300-300-100) on batches of 128 pairs of MNIST-sized halves under
one critic and one bound. Contestants, in turns, medians of the time of a step of all seeds:

- goodviews: all seeds stacked, as `goodviews study critics` runs them on this machine;
- stacked in float32: the same without bf16;
- goodviews, one after another: the same code, one seed at a time;
- plain PyTorch, one after another: the loop one would write (float32, torch.optim.Adam, the MLP
  critic on a tensor of all pairs).

That the members are what they would be alone is tested in tests/training/test_ensemble.py.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from goodviews.bounds import BOUNDS
from goodviews.critics import Concat
from goodviews.studies.doubts.arms import Arm
from goodviews.studies.doubts.critics import arms
from goodviews.training import resolve_precision

SHAPE, BATCH = (1, 14, 28), 128
Step = Callable[[Tensor, Tensor], None]


class PlainConcat(nn.Module):
    """The MLP critic as one would write it: all pairs in one tensor."""

    def __init__(self, critic: Concat) -> None:
        super().__init__()
        self.net = nn.Sequential(critic.first, critic.rest)

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        n, m = len(z1), len(z2)
        pairs = torch.cat([z1[:, None].expand(n, m, -1), z2[None].expand(n, m, -1)], 2)
        return self.net(pairs).squeeze(-1)


def stacked(arm: Arm, seeds: Sequence[int], bf16: bool) -> Step:
    """A step of these seeds as one ensemble, as the study takes it."""
    pair, losses = arm.build(seeds, SHAPE), arm.losses
    adam = torch.optim.Adam(pair.parameters(), lr=1e-4, fused=True)

    def step(x1: Tensor, x2: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            z1, z2 = pair.encode(x1, x2)
        loss = losses(pair, z1, z2).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def in_turn(arm: Arm, seeds: Sequence[int], bf16: bool) -> Step:
    """A step of each seed on its own, the same code."""
    alone = [stacked(arm, [seed], bf16) for seed in seeds]

    def step(x1: Tensor, x2: Tensor) -> None:
        for e, one in enumerate(alone):
            one(x1[e : e + 1], x2[e : e + 1])

    return step


def plain(arm: Arm, seeds: Sequence[int]) -> Step:
    """A step of each seed on its own in plain PyTorch."""
    bound, models = BOUNDS[arm.bound].function, []
    for seed in seeds:
        pair = arm.build([seed], SHAPE)
        g1, g2, critic = pair.g1.member(0), pair.g2.member(0), pair.critic.member(0)
        critic = PlainConcat(critic) if isinstance(critic, Concat) else critic
        adam = torch.optim.Adam(nn.ModuleList([g1, g2, critic]).parameters(), lr=1e-4)
        models.append((g1, g2, critic, adam))

    def step(x1: Tensor, x2: Tensor) -> None:
        for e, (g1, g2, critic, adam) in enumerate(models):
            loss = -bound(critic(g1(x1[e]), g2(x2[e])))
            adam.zero_grad()
            loss.backward()
            adam.step()

    return step


def seconds(step: Step, x: tuple[Tensor, Tensor], steps: int) -> float:
    """Of one step."""
    began = time.perf_counter()
    for _ in range(steps):
        step(*x)
    return (time.perf_counter() - began) / steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("seeds", 8), ("steps", 20), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    seeds = range(asked.seeds)
    bf16 = resolve_precision("auto", "cpu").startswith("bf16")
    x = tuple(torch.rand(asked.seeds, BATCH, *SHAPE) for _ in range(2))
    names = ("goodviews", "stacked in float32", "goodviews, one by one", "plain PyTorch")
    print(f"{asked.seeds} seeds, ms a step of all, {torch.get_num_threads()} threads, bf16 {bf16}")
    print(f"{'arm':24}" + "".join(f"{name:>24}" for name in names))
    totals = dict.fromkeys(names, 0.0)
    for arm in arms(False):
        contestants = dict(
            zip(
                names,
                (
                    stacked(arm, seeds, bf16),
                    stacked(arm, seeds, False),
                    in_turn(arm, seeds, bf16),
                    plain(arm, seeds),
                ),
                strict=True,
            )
        )
        times: dict[str, list[float]] = {name: [] for name in names}
        for step in contestants.values():
            seconds(step, x, 2)
        for _ in range(asked.rounds):
            for name, step in contestants.items():
                times[name].append(seconds(step, x, asked.steps))
        medians = {name: statistics.median(values) for name, values in times.items()}
        print(f"{arm.name:24}" + "".join(f"{1e3 * v:24.1f}" for v in medians.values()))
        totals = {name: totals[name] + medians[name] for name in names}
    ours = totals["goodviews"]
    print(f"{'all arms':24}" + "".join(f"{1e3 * v:24.1f}" for v in totals.values()))
    print(f"{'goodviews is faster by':24}" + "".join(f"{v / ours:23.2f}x" for v in totals.values()))


if __name__ == "__main__":
    main()
