"""Held-out I_NCE on graphs: what a method shows of I(v1;v2) on nodes that it did not contrast."""

from __future__ import annotations

import math
import warnings as python_warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor
from torch_geometric.data import Batch, Data

from goodviews.estimators.heldout import (
    _cluster_error,
    _doubts,
    derangement,
    influences,
    infonce_values,
)
from goodviews.interfaces import Estimate, UserError
from goodviews.layers import evaluating
from goodviews.methods.graphs.method import GraphMethod, Scorer, on_device

__all__ = ["held_out_nats"]


def held_out_nats(
    method: GraphMethod,
    data: Data | Sequence[Data],
    nodes: Tensor | None = None,
    candidates: int = 256,
    *,
    pairs: int = 2048,
    repeats: int = 8,
    seed: int = 0,
    split: str = "held-out",
) -> Estimate:
    r"""Held-out I_NCE of a trained method's projections, in nats, with its error and its null.

    ``log K + mean_i(s_ii - logsumexp_j s_ij)`` with K candidates, fresh views in each of at most
    ``repeats`` passes. Local-local: between a node's two views, over rows and columns of the
    scores; global-global: between a graph's. Local-global: between a node and its graph's summary,
    against other graphs (of each graph one node, drawn) or, with shuffled features, against
    shuffled nodes (rows only, and the information is about what the shuffle breaks). ``null`` is
    the same with each batch's pairs deranged. ``stderr`` takes items as clusters; they share views
    and neighbours, so it is too small where these matter.

    Args:
        method: trained; put in eval mode for the time.
        data: the graph, or several.
        nodes: int64 (m,), the held-out nodes; None: all. Of several graphs all are read.
        candidates: K; at most the items there are.
        pairs: scored at least, as far as the repeats allow.
        repeats: most passes.
        seed: of views and batches.
        split: what the estimate says it was measured on.

    Raises:
        UserError: fewer than two items or candidates, nodes for methods that contrast graphs,
            scores that are not finite, a method without pairs of views.

    Example:
        >>> from goodviews.methods.graphs import grace
        >>> graph = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> method = grace(lambda data, generator: (data, data), "gcn", 4)
        >>> estimate = held_out_nats(method, graph, candidates=4)
        >>> bool(0 < estimate.nats <= estimate.ceiling), round(estimate.ceiling, 4)
        (True, 1.3863)
    """
    graph = data if isinstance(data, Data) else Batch.from_data_list(list(data))
    if nodes is not None and method.unit == "graphs":
        raise UserError("nodes: this method contrasts graphs. Give the held-out graphs alone.")
    draws = Generator().manual_seed(seed)
    values = visits = torch.zeros(0)
    nulls, k, left = [], 0, 0
    notes: tuple[str, ...] = ()
    with evaluating(method), torch.no_grad():
        graph = on_device(graph, method.device)
        for _ in range(max(1, repeats)):
            scorer = method.scorer(graph, draws)
            if not k:
                k, notes = _candidates(candidates, _items(scorer, nodes), method.unit)
                values, visits = torch.zeros(2, len(scorer.valid), dtype=torch.float64)
                left = max(1, pairs // k)
            for places in _batches(_items(scorer, nodes), k, left, draws):
                scores = _finite(scorer.score(places.to(method.device)))
                values[places] += _influences(scores, method.two_sided)
                visits[places] += 1
                shuffled = scores[:, derangement(k, draws)]
                nulls.append(_values(shuffled, method.two_sided).mean())
                left -= 1
            if left <= 0:
                break
    if not nulls:
        raise UserError(f"views: they keep fewer than {k} {method.unit} at once. Use weaker views.")
    nats = float(values.sum() / visits.sum())
    return Estimate(
        nats=nats,
        stderr=_cluster_error(values, visits, nats),
        candidates=k,
        ceiling=math.log(k),
        kind="lower",
        null=float(torch.stack(nulls).mean()),
        split=split,
        warnings=(*notes, *_doubts(nats, k)),
        details={"unit": method.unit, "two_sided": method.two_sided},
    )


def _items(scorer: Scorer, nodes: Tensor | None) -> Tensor:
    """The items of this draw, int64 on the CPU: those asked for that the views keep."""
    valid = scorer.valid.cpu()
    return valid.nonzero()[:, 0] if nodes is None else nodes.cpu()[valid[nodes.cpu()]]


def _candidates(candidates: int, items: Tensor, unit: str) -> tuple[int, tuple[str, ...]]:
    if candidates < 2:
        raise UserError(f"candidates: {candidates}. I_NCE needs 2 or more, for example 256.")
    if len(items) < 2:
        raise UserError(f"{unit}: {len(items)} held out. I_NCE needs two or more.")
    if len(items) >= candidates:
        return candidates, ()
    note = f"K reduced from {candidates} to the {len(items)} {unit} there are"
    python_warnings.warn(f"{note}: compare only with estimates at the same K", stacklevel=3)
    return len(items), (note,)


def _batches(items: Tensor, k: int, left: int, draws: Generator) -> Iterator[Tensor]:
    """At most ``left`` batches of k different items; each item comes at most once."""
    order = items[torch.randperm(len(items), generator=draws)]
    for start in range(0, min(len(order), left * k) - k + 1, k):
        yield order[start : start + k]


def _finite(scores: Tensor) -> Tensor:
    scores = scores.cpu().double()
    if not bool(torch.isfinite(scores).all()):
        raise UserError("scores: not finite. The network diverged: lower --lr, or train again.")
    return scores


def _values(scores: Tensor, two_sided: bool) -> Tensor:
    """I_NCE item by item (k,): of rows and columns, or of rows alone."""
    if two_sided:
        return infonce_values(scores)
    return math.log(len(scores)) + scores.log_softmax(1).diagonal()


def _influences(scores: Tensor, two_sided: bool) -> Tensor:
    """:func:`_values` with each item also charged for its part as a negative of others."""
    if two_sided:
        return influences(scores)
    return _values(scores, two_sided) + 1 - scores.softmax(1).sum(0)
