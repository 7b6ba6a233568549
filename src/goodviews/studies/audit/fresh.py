"""Fresh critics on frozen features: trained on training images, read on held-out ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from goodviews import bounds, critics
from goodviews.estimators.ensemble import Ensemble, Objective, Settings, each, train
from goodviews.estimators.heldout import influences
from goodviews.estimators.members import influence_values
from goodviews.layers import MLP
from goodviews.studies.audit.bank import Pairs
from goodviews.studies.audit.compare import Sample

STEPS, LOOK, PATIENCE = 1000, 50, 6
"""Training steps at most; steps between looks at the validation pairs; looks without a gain."""
VALIDATION = 1000
"""The most training images that decide when to stop, and never more than one in eight."""
ALL_PAIRS = 256
"""The most candidates for critics whose network reads pairs."""
PASSES = 2
"""Random partitions of the held-out images into sets of K, each read once."""


class Levelled(nn.Module):
    r"""Wraps a critic: ``exp(log_scale) f(x, y) + level``, both learned.

    NWJ wants scores at the height of the log-ratio; an inner product has no parameter to get there.

    Arguments:
        critic: whose scores are moved.
        scale: the factor at the start.

    Example:
        >>> Levelled(critics.InnerProduct())(torch.eye(2), torch.eye(2)).detach().diagonal()
        tensor([1., 1.])
    """

    def __init__(self, critic: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.critic = critic
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.level = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (n, m)."""
        scores: Tensor = self.critic(x, y)
        return scores * self.log_scale.exp() + self.level


class Towers(nn.Module):
    """Scores cos(phi1(x), phi2(y)), phi two MLPs with one hidden layer; to be scaled."""

    def __init__(self, widths: tuple[int, int], hidden: int = 256, embed: int = 128) -> None:
        super().__init__()
        self.phi1, self.phi2 = (MLP([width, hidden, embed], activation=nn.SiLU) for width in widths)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (n, m) in [-1, 1]."""
        one, other = (
            nn.functional.normalize(phi(side), dim=1)
            for phi, side in ((self.phi1, x), (self.phi2, y))
        )
        return one @ other.T


@dataclass(frozen=True)
class Kind:
    """A critic: what it is in words, and what makes one for inputs of given widths."""

    words: str
    make: Callable[[tuple[int, int]], nn.Module]
    all_pairs: bool = False
    """Whether its network reads pairs, which takes n m times its memory."""


def _bilinear(widths: tuple[int, int]) -> nn.Module:
    return Levelled(critics.Bilinear(widths), 0.02)


def _separable(widths: tuple[int, int]) -> nn.Module:
    return Levelled(critics.Separable(widths, 256, 1, 64, activation=nn.SiLU), 0.1)


def _concat(hidden: int, depth: int) -> Callable[[tuple[int, int]], nn.Module]:
    whole = 1 << 30  # members that train as one batch cannot recompute tiles
    return lambda widths: Levelled(critics.Concat(widths, hidden, depth, tile=whole))


KINDS: dict[str, Kind] = {
    "inner product": Kind(
        "x^T y", lambda widths: Levelled(critics.InnerProduct(), 1 / math.sqrt(widths[0]))
    ),
    "bilinear": Kind("x^T W y", _bilinear),
    "cosine of MLPs": Kind(
        "cos(phi1(x), phi2(y)), 256 hidden, 128 out",
        lambda widths: Levelled(Towers(widths), 5.0),
    ),
    "separable": Kind("phi1(x)^T phi2(y), 256 hidden, 64 out", _separable),
    "small concat": Kind("MLP of [x, y], 1 layer of 16", _concat(16, 1), True),
    "large concat": Kind("MLP of [x, y], 2 layers of 64", _concat(64, 2), True),
}
"""Critics by name, the more able further down. All learn a scale and a level beside."""

CONTENDING = ("bilinear", "cosine of MLPs", "separable")
"""The critics that each contender gets; validation pairs choose among them."""


def _symmetric(scores: Tensor) -> Tensor:
    """InfoNCE, the mean over rows and columns."""
    return (bounds.infonce(scores) + bounds.infonce(scores.T)) / 2


OBJECTIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "infonce": _symmetric,
    "nwj": bounds.nwj_of_log_ratio,
}
"""What trains a critic and reads it: NWJ in the form whose optimum is the log-ratio."""


@dataclass(frozen=True)
class Found:
    """What fresh critics of one kind found: nats, the part of each image, (seeds, images).

    Args:
        by_size: K -> on held-out pairs, K ascending.
        train: on training pairs at the largest K.
        validation: mean over seeds of the best value on validation pairs.
    """

    by_size: dict[int, Sample]
    train: Sample
    validation: float

    @property
    def held(self) -> Sample:
        """On held-out pairs at the largest K."""
        return self.by_size[max(self.by_size)]

    @classmethod
    def joined(cls, parts: Sequence[Found]) -> Found:
        """The seeds of several as one."""
        return cls(
            {k: _stacked([part.by_size[k] for part in parts]) for k in parts[0].by_size},
            _stacked([part.train for part in parts]),
            float(np.mean([part.validation for part in parts])),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "held": self.held.to_dict(),
            "train": self.train.to_dict(),
            "validation": self.validation,
            "by_size": {str(k): sample.to_dict() for k, sample in self.by_size.items()},
        }


def _stacked(samples: Sequence[Sample]) -> Sample:
    return Sample(np.concatenate([sample.values for sample in samples]))


def fit(
    kind: str,
    objective: str,
    seen: Pairs,
    held: Pairs,
    sizes: Sequence[int],
    seeds: Sequence[int],
    *,
    batch: int,
    device: torch.device | str = "cpu",
) -> Found:
    """Train one critic a seed on training pairs, and read them on held-out pairs.

    Seeds have weights, an order of pairs and validation images of their own; they train as one
    batched network. A critic that never beats 0 on its validation pairs is read as 0.

    Args:
        kind: a key of :data:`KINDS`.
        objective: a key of :data:`OBJECTIVES`.
        seen: features of training pairs.
        held: features of held-out pairs.
        sizes: K at which they are read, ascending.
        seeds: one critic each.
        batch: pairs a training step.
        device: where critics train.

    Example:
        >>> draws = np.random.default_rng(0)
        >>> make = lambda n: torch.tensor(draws.normal(size=(n, 2)), dtype=torch.float32)
        >>> x, x2 = make(512), make(128)
        >>> found = fit("bilinear", "infonce", Pairs(x, x, 512), Pairs(x2, x2, 128), (4, 16), [0],
        ...             batch=64)
        >>> found.by_size[4].mean < found.held.mean < math.log(16)
        True
    """
    made = KINDS[kind]
    learnt, stop = _split(seen, seeds)
    rows, checks = _rows(seen, learnt), _rows(seen, stop)
    generators = [Generator().manual_seed(seed) for seed in seeds]
    x, y = (torch.cat([a, b]).to(device) for a, b in ((seen.x, held.x), (seen.y, held.y)))
    ensemble = Ensemble(
        lambda: made.make((x.shape[1], y.shape[1])), x, y, len(seeds), None, seeds[0]
    )
    climb: Objective = each(OBJECTIVES[objective])
    best = train(
        ensemble,
        torch.stack([rows[torch.randperm(len(rows), generator=g)] for g in generators]).to(device),
        checks[: 512 if made.all_pairs else len(checks)].expand(len(seeds), -1).to(device),
        climb,
        Settings(
            batch=min(batch, 128) if made.all_pairs else batch,
            steps=STEPS,
            check=LOOK,
            patience=PATIENCE,
        ),
        Generator().manual_seed(seeds[0]),
    )
    sizes = [k for k in sizes if not made.all_pairs or k <= ALL_PAIRS] or sizes[:1]
    everything = torch.arange(held.images)
    read = {k: _read(ensemble, held, len(seen.x), everything, k, objective) for k in sizes}
    trained = _read(ensemble, seen, 0, learnt[: held.images], sizes[-1], objective)
    return Found(read, trained, float(best.mean()))


def _split(pairs: Pairs, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images to train on and images to stop by: shapes (n1,) and (n2,)."""
    order = torch.randperm(pairs.images, generator=Generator().manual_seed(seeds[0]))
    few = max(2, min(pairs.images // 8, VALIDATION))
    return order[few:], order[:few]


def _rows(pairs: Pairs, images: Tensor) -> Tensor:
    """All pairs of these images, draw by draw."""
    return (pairs.images * torch.arange(pairs.draws)[:, None] + images).flatten()


def _read(
    ensemble: Ensemble, pairs: Pairs, first: int, among: Tensor, k: int, objective: str
) -> Sample:
    """The bound in sets of ``k`` different images: each image's mean part, by seed.

    Images that no set held (a remainder smaller than k) are left out.

    Args:
        ensemble: trained critics.
        pairs: which features to read.
        first: place of their first row in the ensemble.
        among: the images to read, (n,).
        k: candidates.
        objective: what reads.
    """
    n, members = len(among), len(ensemble.gate)
    total, visits = np.zeros((members, n)), np.zeros(n)
    generator = Generator().manual_seed(k)
    for draw in range(pairs.draws):
        for _ in range(PASSES):
            order = torch.randperm(n, generator=generator)
            for places in order[: n - n % k].split(k):
                rows = first + draw * pairs.images + among[places]
                visits[places.numpy()] += 1
                for member in range(members):
                    total[member, places.numpy()] += _parts(ensemble, member, rows, objective)
    known = visits > 0
    return Sample(total[:, known] / visits[known])


@torch.no_grad()
def _parts(ensemble: Ensemble, member: int, rows: Tensor, objective: str) -> np.ndarray:
    """Each row's part in the bound; the mean is the bound."""
    scores = ensemble.scores_of(member, rows.to(ensemble.x.device)).double().cpu()
    if objective == "infonce":
        return influences(scores).numpy()
    return influence_values(scores.numpy(), "nwj")
