"""Worlds whose information is known exactly: is the regime that the rule names the true one?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from scipy.stats import beta
from torch import Generator, Tensor
from torch.func import vmap
from torch.nn import functional

from goodviews.bounds import infonce
from goodviews.evaluation.probes import linear_probe
from goodviews.interfaces import Row, UserError, check_name
from goodviews.layers import MLP, Stacked
from goodviews.methods.method import step_generator
from goodviews.regimes import RULE as REGIME_RULE
from goodviews.regimes import Regime, exact_regime, regimes
from goodviews.studies.findings import Findings, closed
from goodviews.studies.folder import command_line, disk_guard, environment, open_study, plain
from goodviews.studies.grid import Job, run_grid

K, BATCH, TAU = 256, 256, 0.2
WIDTH, HIDDEN, DIM = 32, 64, 16
"""Of the views, the encoders' hidden layer and the representation."""
TEST = 2048
LEVEL = 0.95
"""How often a regime that is named must be right."""


@dataclass(frozen=True)
class World:
    """Things made of factors of which a task wants two; views share the first ``s`` of them.

    v = code_1(f_1) + ... + code_F(f_F) + noise, each f uniform over ``values``, the codes random
    unit vectors. Two views of a pair agree in f_1 ... f_s and are otherwise independent, and the
    noise is too weak to hide a factor: I(v1;v2) = s log(values), and for y = (f_1, f_2)
    I(v1;y) = I(v2;y) = I(x;y) = 2 log(values).

    Example:
        >>> world = World(values=4, factors=4)
        >>> [str(world.regime(s)) for s in (1, 2, 3)]
        ['missing information', 'sweet spot', 'excess noise']
    """

    values: int
    factors: int
    noise: float = 0.1
    few: int = 10
    """Labelled things a class that the probe is fitted on."""
    seed: int = 0

    def shared(self, s: int) -> float:
        """I(v1;v2) in nats where the views share s factors."""
        return s * math.log(self.values)

    def regime(self, s: int) -> Regime:
        """The true one (Tian et al. 2020, section 3.2)."""
        task = 2 * math.log(self.values)
        return exact_regime(self.shared(s), task, task)

    def codes(self) -> Tensor:
        """Unit codes of all values of all factors, (factors, values, WIDTH)."""
        generator = Generator().manual_seed(self.seed)
        return functional.normalize(
            torch.randn(self.factors, self.values, WIDTH, generator=generator), dim=2
        )

    def draw(self, n: int, generator: Generator) -> Tensor:
        """Factors of n things: int64 (n, factors)."""
        return torch.randint(self.values, (n, self.factors), generator=generator)

    def view(self, factors: Tensor, generator: Generator) -> Tensor:
        """Views (n, WIDTH) of things with these factors."""
        parts = self.codes()[torch.arange(self.factors), factors]
        noise = torch.randn(len(factors), WIDTH, generator=generator)
        return parts.sum(1) + self.noise * noise

    def pair(self, n: int, s: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw n pairs of views that agree in the first s factors."""
        one, two = self.draw(n, generator), self.draw(n, generator)
        two[:, :s] = one[:, :s]
        return self.view(one, generator), self.view(two, generator)

    def label(self, factors: Tensor) -> Tensor:
        """The task y = (f_1, f_2) as one number, (n,)."""
        return factors[:, 0] * self.values + factors[:, 1]


def worlds(count: int) -> list[World]:
    """Worlds of three to five values, three or four factors, more or less noise and labels."""
    found = []
    for seed in range(count):
        g = Generator().manual_seed(seed)
        draw = torch.rand(4, generator=g).tolist()
        values = 3 + int(3 * draw[0])
        found.append(
            World(values, 3 + int(2 * draw[1]), 0.05 + 0.15 * draw[2], 3 + int(12 * draw[3]), seed)
        )
    return found


def measured(world: World, seeds: int, steps: int) -> tuple[list[list[float]], list[list[float]]]:
    """Held-out I_NCE and accuracy for each number of shared factors, one value a seed.

    An MLP for both views, InfoNCE of cosines, all seeds and numbers of factors trained at once;
    then a linear probe with few labels on the frozen encoder.
    """
    cells = [(s, seed) for s in range(1, world.factors + 1) for seed in range(seeds)]
    encoders = []
    for s, seed in cells:
        with torch.random.fork_rng([]):
            torch.manual_seed(1000 * s + seed)
            encoders.append(MLP([WIDTH, HIDDEN, HIDDEN, DIM]))
    net = Stacked(encoders)
    adam = torch.optim.Adam(net.parameters(), lr=2e-3, fused=True)
    for step in range(steps):
        losses = -_nats(net, _pairs(world, cells, step, BATCH))
        adam.zero_grad()
        losses.sum().backward()
        adam.step()
    with torch.no_grad():
        held_out = torch.stack([_nats(net, _pairs(world, cells, -1 - i, K)) for i in range(8)])
        accuracies = [_accuracy(world, net.member(e), seed) for e, (_, seed) in enumerate(cells)]
    nats = held_out.mean(0).tolist()
    return _by_factor(nats, seeds), _by_factor(accuracies, seeds)


def _by_factor(values: Sequence[float], seeds: int) -> list[list[float]]:
    return [list(values[i : i + seeds]) for i in range(0, len(values), seeds)]


def _pairs(world: World, cells: Sequence[tuple[int, int]], step: int, n: int) -> Tensor:
    """Views (2, cells, n, WIDTH) of a step, each cell its own."""
    drawn = [
        torch.stack(world.pair(n, s, step_generator(97 * s + seed, step))) for s, seed in cells
    ]
    return torch.stack(drawn, 1)


def _nats(net: Stacked, views: Tensor) -> Tensor:
    """I_NCE of each cell, (cells,)."""
    z1, z2 = (functional.normalize(net(v), dim=2) for v in views)
    return vmap(infonce)(z1 @ z2.transpose(1, 2) / TAU)


def _accuracy(world: World, encoder: torch.nn.Module, seed: int) -> float:
    """Of a linear probe with ``few`` labels a class."""
    g = Generator().manual_seed(10_000 + seed)
    classes = world.values**2
    grid = torch.arange(classes).repeat(world.few)
    train = world.draw(len(grid), g)
    train[:, 0], train[:, 1] = grid // world.values, grid % world.values
    test = world.draw(TEST, g)
    x, test_x = (encoder(world.view(part, g)) for part in (train, test))
    return linear_probe(x, grid, test_x, world.label(test), penalty=1e-3).accuracy


def judged(world: World, seeds: int, steps: int) -> dict[str, float]:
    """What the rule says of a world's candidates: how often it names a regime, and a right one."""
    nats, accuracy = measured(world, seeds, steps)
    named = regimes(nats, accuracy)
    true = [world.regime(s) for s in range(1, world.factors + 1)]
    committed = [i for i, regime in enumerate(named) if regime != Regime.UNDECIDED]
    gaps = [abs(fmean(n) - min(world.shared(s), math.log(K))) for s, n in enumerate(nats, 1)]
    best = max(range(len(accuracy)), key=lambda i: fmean(accuracy[i]))
    return {
        "candidates": float(len(named)),
        "named": float(len(committed)),
        "right": float(sum(named[i] == true[i] for i in committed)),
        "best_is_true": float(true[best] == Regime.SWEET_SPOT),
        "largest_gap": max(gaps),
        "accuracy": fmean(accuracy[best]),
    }


def regimes_study(
    data: str = "known",
    *,
    scale: str = "quick",
    seeds: int | None = None,
    steps: int | None = None,
    out: str | Path = "goodviews-study",
    echo: Callable[[str], None] = print,
) -> Findings:
    """Is the regime that the chooser's rule names the true one, where the information is known?

    Each world (:class:`World`) is a small study of its own: for each number of shared factors and
    three seeds an encoder is trained, I(v1;v2) and accuracy are measured on held-out pairs, and
    :func:`goodviews.regimes.regimes` names regimes. Of all those it names, 95 % must be right.

    Args:
        data: only "known".
        scale: "quick" (40 worlds) or "paper" (200).
        seeds: how many worlds; None: the scale's.
        steps: optimiser steps a world; None: 300.
        out: folder for rows.jsonl, study.json, table.md and report.html.
        echo: gets the lines of progress.

    Raises:
        UserError: data that are not made up, numbers too small.
    """
    given = dict(locals())
    check_name("--scale", scale, ("quick", "paper"))
    if data != "known":
        raise UserError(
            f"--data: {data} has no known information. Leave it out: regimes makes its own."
        )
    count = (40 if scale == "quick" else 200) if seeds is None else seeds
    steps = 300 if steps is None else steps
    if min(count, steps) < 1:
        raise UserError(f"--seeds: {count} worlds of {steps} steps are too few. Use 1 or more.")
    repeats = 3
    every = worlds(count)
    settings = plain({"study": "regimes", "steps": steps, "repeats": repeats})
    with disk_guard(out):
        folder = open_study(Path(out), settings)

        def measure(job: Job) -> Row:
            world = every[job.seed]
            row = job.row()
            row.measures = judged(world, repeats, steps)
            return row

        jobs = [Job(_kind(world), i, recipe=plain(asdict(world))) for i, world in enumerate(every)]
        rows = run_grid(jobs, measure, folder / "rows.jsonl", settings, echo)
        command = command_line("study regimes", regimes_study, given)
        return closed(rows, _record(rows, command, settings, scale), folder, echo)


def _kind(world: World) -> str:
    return f"{world.values} values, {world.factors} factors"


def _record(
    rows: Sequence[Row], command: str, settings: dict[str, Any], scale: str
) -> dict[str, Any]:
    sums = {
        key: sum(row.measures.get(key, 0.0) for row in rows)
        for key in ("named", "right", "candidates")
    }
    claim = proportion(int(sums["right"]), int(sums["named"]))
    kinds = sorted({row.candidate for row in rows})
    return {
        "study": "regimes",
        "kind": "experiment",
        "question": "Where the information is known, does the rule name the true regime?",
        "answer": f"Of {sums['candidates']:.0f} candidates the rule named a regime for "
        f"{sums['named']:.0f}; {sums['right']:.0f} of these are the true ones "
        f"({100 * sums['right'] / max(1.0, sums['named']):.1f} %).",
        "arms": [{"name": kind, "words": "of the world", "group": "worlds"} for kind in kinds],
        "columns": [
            {"key": "candidates", "words": "candidates a world", "unit": "", "digits": 1},
            {"key": "named", "words": "regimes named", "unit": "", "digits": 2},
            {"key": "right", "words": "of these right", "unit": "", "digits": 2},
            {
                "key": "best_is_true",
                "words": "best is the true sweet spot",
                "unit": "%",
                "digits": 0,
            },
            {"key": "largest_gap", "words": "largest |I_NCE - I|", "unit": "nats", "digits": 2},
            {"key": "accuracy", "words": "accuracy of the best", "unit": "%", "digits": 1},
        ],
        "panels": [
            {"kind": "bars", "measure": "right", "title": "Regimes named right, a world"},
            {"kind": "bars", "measure": "named", "title": "Regimes named, a world"},
        ],
        "claims": [claim],
        "rule": REGIME_RULE,
        "scale": scale,
        "notes": [
            "Each world is a study of three seeds a candidate; its seed is its number. Candidates "
            "are nested: the views share the first 1, 2, ... factors, and the task wants two."
        ],
        "command": command,
        "seeds": len(rows),
        "K": K,
        "environment": environment(),
        "settings": settings,
    }


def proportion(right: int, named: int) -> dict[str, Any]:
    """The statement that 95 % are right, by the exact binomial interval (two-sided 95 %).

    Example:
        >>> proportion(200, 200)["verdict"], proportion(60, 100)["verdict"]
        ('shown', 'not shown')
    """
    low = float(beta.ppf(0.025, right, named - right + 1)) if right else 0.0
    high = float(beta.ppf(0.975, right + 1, named - right)) if right < named else 1.0
    share = right / named if named else math.nan
    verdict = "shown" if low >= LEVEL else "not shown" if high < LEVEL else "undecided"
    return {
        "words": f"a regime that is named is the true one ({right} of {named}; 95 % interval "
        f"{100 * low:.1f} to {100 * high:.1f} %)",
        "value": share - LEVEL if named else None,
        "half": None,
        "margin": 0.0,
        "unit": "points",
        "verdict": verdict if named else "undecided",
        "paper": "",
    }
