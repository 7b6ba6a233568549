"""Information of wide variables, read between learned summaries of a few dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from goodviews.critics import Concat
from goodviews.estimators.copula import student
from goodviews.estimators.ensemble import Ensemble, Settings, features, train
from goodviews.estimators.neighbors import ksg
from goodviews.estimators.neural import OBJECTIVES
from goodviews.estimators.reading import Method, Reading, folds
from goodviews.estimators.variables import Variable, normal_scores
from goodviews.interfaces import UserError, check_name
from goodviews.layers import MLP

READERS: dict[str, Method] = {"ksg": ksg, "student": student}
"""What reads the summaries, by name."""


def latent(
    x: Variable,
    y: Variable,
    *,
    seed: int,
    shuffles: int,
    device: str = "cpu",
    dims: int = 2,
    reader: str | Method = "ksg",
    steps: int = 2000,
    hidden: int = 64,
    batch: int = 128,
    columns: int = 64,
    parts: int = 2,
) -> Reading:
    r"""I(f(x);g(y)) with learned f and g of a few dimensions, on rows they did not see, in nats.

    By the data-processing inequality ``I(f(x);g(y)) <= I(x;y)``: compressed, so at or below the
    truth, up to the error of what reads it (neighbours in 2 + 2 dimensions: some 0.02 nats either
    way); near it where few directions carry the dependence (Gowri et al. 2024 learn such summaries
    otherwise). f and g are networks of ranks, trained with a critic of both that climbs I_NCE
    (van den Oord et al. 2018) and stopped on rows set aside. A side of ``dims`` columns or fewer,
    and labels, stay as they are; wider ones than ``columns`` first lose all but their principal
    components.

    Args:
        x: numbers or labels, n rows.
        y: numbers or labels; not both labels.
        seed: of folds, networks, batches, and of the reader.
        shuffles: how many shuffles the reader reads, within each part.
        device: where the networks train.
        dims: width of a summary.
        reader: what reads summaries: "ksg", "student", or a method.
        steps: of training, at most.
        hidden: width of the networks' layers.
        batch: positive pairs a step.
        columns: principal components kept of a wide side; never more than a twentieth of the rows.
        parts: each part is read with networks trained on the others.

    Returns:
        A Reading of all rows; its details: ``dims`` and what I_NCE saw on the rows set aside.

    Raises:
        UserError: two label variables, fewer than 100 rows, an unknown reader.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = Variable(rng.normal(size=(400, 8)))
        >>> y = Variable(x.values + 0.3 * rng.normal(size=(400, 8)))
        >>> latent(x, y, seed=0, shuffles=0, steps=50, hidden=16, batch=64).nats > 0.5
        True
    """
    read = _reader(reader)
    _check(x, y, dims, parts)
    if all(_stays(v, dims) for v in (x, y)):
        return read(x, y, seed=seed, shuffles=shuffles, device=device)
    fold = folds(len(x), parts, seed)
    seen, held = _split(fold, parts)
    blocks = [features(_principal(v, columns)) for v in (x, y)]
    widths = [None if _stays(v, dims) else dims for v in (x, y)]
    starts = iter([canonical_axes(blocks[0][rows], blocks[1][rows], dims) for rows in seen])

    def make() -> Summaries:
        return Summaries(next(starts), (widths[0], widths[1]), hidden)

    a, b = (torch.from_numpy(block).to(device) for block in blocks)
    ensemble = Ensemble(make, a, b, parts, None, seed)
    rows_seen, rows_held = (torch.from_numpy(rows).to(device) for rows in (seen, held))
    settings = Settings(batch=batch, steps=steps, decay=1e-2)
    generator = torch.Generator().manual_seed(seed)
    reached = train(
        ensemble, rows_seen, rows_held, OBJECTIVES["infonce"].climb(), settings, generator
    )
    readings, order = [], []
    for part in range(parts):
        rows = np.flatnonzero(fold == part)
        pair = [
            v if width is None else Variable(_summary(ensemble, part, side, block, rows))
            for v, width, side, block in zip((x, y), widths, ("x", "y"), (a, b), strict=True)
        ]
        kept = [v.take(rows) if width is None else v for v, width in zip(pair, widths, strict=True)]
        readings.append(read(*kept, seed=seed + part, shuffles=shuffles, device=device))
        order.append(rows)
    return _joined(readings, np.concatenate(order), {"dims": dims, "infonce": reached.tolist()})


class Summary(nn.Module):
    """Columns -> a few: a linear map, and a network that starts at zero.

    Args:
        axes: the linear map to start from, shape (d, dims).
        hidden: width of the layers.
    """

    def __init__(self, axes: Tensor, hidden: int) -> None:
        super().__init__()
        self.axes = nn.Parameter(axes.clone())
        self.network = MLP([axes.shape[0], hidden, hidden, axes.shape[1]])
        nn.init.zeros_(self.network[-1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Summaries (n, dims) of x (n, d)."""
        return x @ self.axes + self.network(x)


class Summaries(nn.Module):
    """A critic that sees x and y only through summaries f and g of a few dimensions.

    ``s(x, y) = sum_k w_k f_k(x) g_k(y) + MLP(f(x), g(y))``; the sum only where both have summaries.

    Args:
        axes: linear maps that the summaries start from, shapes (dx, k) and (dy, k).
        widths: widths of the summaries; None: that side is not summarised.
        hidden: width of the layers.

    Example:
        >>> critic = Summaries((torch.ones(8, 2), torch.ones(3, 2)), (2, None), 16)
        >>> critic(torch.zeros(5, 8), torch.zeros(4, 3)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self, axes: tuple[Tensor, Tensor], widths: tuple[int | None, int | None], hidden: int
    ) -> None:
        super().__init__()
        self.x, self.y = (
            nn.Identity() if width is None else Summary(a, hidden)
            for a, width in zip(axes, widths, strict=True)
        )
        before = [len(a) if w is None else w for a, w in zip(axes, widths, strict=True)]
        self.critic = Concat((before[0], before[1]), hidden=64, tile=10**9)
        self.both = None not in widths
        self.weights = nn.Parameter(torch.ones(before[0] if self.both else 0))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (n, m) of x (n, .) and y (m, .)."""
        f, g = self.x(x), self.y(y)
        scores: Tensor = self.critic(f, g)
        return scores + (f * self.weights) @ g.T if self.both else scores


def canonical_axes(x: np.ndarray, y: np.ndarray, dims: int) -> tuple[Tensor, Tensor]:
    """Directions of the largest canonical correlations, float32 (dx, dims) and (dy, dims).

    A block of fewer columns than ``dims`` gives as many directions as it has.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(2, 500, 3))
        >>> y[:, 2] += 3 * x[:, 0]
        >>> a, b = canonical_axes(x, y, 1)
        >>> int(a.abs().argmax()), int(b.abs().argmax())
        (0, 2)
    """
    whitenings = []
    for block in (x, y):
        spread, axes = np.linalg.eigh(np.cov(block.T).reshape(block.shape[1], -1))
        whitenings.append(axes / np.sqrt(np.maximum(spread, 1e-4 * spread[-1] + 1e-12)))
    white = [(v - v.mean(0)) @ w for v, w in zip((x, y), whitenings, strict=True)]
    u, _, v = np.linalg.svd(white[0].T @ white[1] / len(x))
    a, b = whitenings[0] @ u[:, :dims], whitenings[1] @ v[:dims].T
    return torch.from_numpy(a).float(), torch.from_numpy(b).float()


def _summary(
    ensemble: Ensemble, member: int, side: str, block: Tensor, rows: np.ndarray
) -> np.ndarray:
    """The summaries of ``rows`` by one member, float64 (len(rows), dims)."""
    network = getattr(ensemble.critic, side)
    weights = {
        name.removeprefix(f"{side}."): weight[member].detach()
        for name, weight in ensemble.weights.items()
        if name.startswith(f"{side}.")
    }
    with torch.no_grad():
        found = functional_call(network, weights, (block[torch.from_numpy(rows).to(block.device)],))
    return found.double().cpu().numpy()


def _split(fold: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """For each part, of the other rows nine tenths to train on and a tenth to stop by."""
    short = len(fold) - int(np.bincount(fold).max())
    rest = np.stack(
        [
            np.random.default_rng(part).permutation(np.flatnonzero(fold != part))[:short]
            for part in range(parts)
        ]
    )
    held = max(20, short // 10)
    return rest[:, held:], rest[:, :held]


def _principal(variable: Variable, columns: int) -> Variable:
    """Principal components of the normal scores of a wide variable."""
    most = max(1, min(columns, len(variable) // 20))
    if variable.discrete or variable.width <= most:
        return variable
    scores = normal_scores(variable.values)
    scores = scores - scores.mean(0)
    _, axes = np.linalg.eigh(scores.T @ scores)
    return Variable(scores @ axes[:, ::-1][:, :most])


def _joined(readings: list[Reading], order: np.ndarray, details: dict[str, Any]) -> Reading:
    """Parts as one Reading, rows in their own order."""
    sizes = np.array([len(reading.values) for reading in readings])
    values = np.empty(int(sizes.sum()))
    values[order] = np.concatenate([reading.values for reading in readings])
    shuffled = np.stack([reading.shuffled for reading in readings])
    notes = dict.fromkeys(note for reading in readings for note in reading.warnings)
    return Reading(
        values,
        sizes @ shuffled / sizes.sum(),
        kind="lower",
        ceiling=min(reading.ceiling for reading in readings),
        details=details,
        warnings=tuple(notes),
    )


def _stays(variable: Variable, dims: int) -> bool:
    return variable.discrete or variable.width <= dims


def _reader(reader: str | Method) -> Method:
    if callable(reader):
        return reader
    check_name("reader", reader, READERS)
    return READERS[reader]


def _check(x: Variable, y: Variable, dims: int, parts: int) -> None:
    if x.discrete and y.discrete:
        raise UserError("latent: x and y are both labels. Use --method discrete.")
    if len(x) < 100:
        raise UserError(f"latent: {len(x)} rows are too few to train on. Give 100 or more.")
    if dims < 1 or parts < 2:
        raise UserError(f"latent: dims {dims}, parts {parts}. Use at least 1, and at least 2.")
