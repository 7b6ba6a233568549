"""Hidden links scored by several scorers at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goodviews.data.graphs.splits import LinkSplit
from goodviews.evaluation.graphs.decoders import Scorer
from goodviews.evaluation.graphs.links import KS, link_scores
from goodviews.interfaces import UserError


def hidden_scores(
    scorers: Mapping[str, Scorer], split: LinkSplit, ks: Sequence[int] = KS
) -> list[dict[str, Any]]:
    """One row a scorer: its name and how it ranks the hidden links above the non-links.

    A row holds ``scorer``, ``error`` (empty, or what went wrong; the numbers are then missing) and
    what :meth:`goodviews.evaluation.graphs.links.LinkScores.row` holds.

    Args:
        scorers: name -> function of links (2, m) that gives scores (m,).
        split: of which the test links and non-links are scored.
        ks: the K of Hits@K.

    Raises:
        UserError: no hidden link, or no non-link, to score.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> hidden = SimpleNamespace(test=torch.tensor([[0], [1]]),
        ...                          test_negatives=torch.tensor([[0], [5]]))
        >>> rows = hidden_scores({"near": lambda links: -(links[0] - links[1]).abs()}, hidden)
        >>> rows[0]["scorer"], rows[0]["auc"]
        ('near', 1.0)
    """
    if split.test.numel() == 0 or split.test_negatives.numel() == 0:
        raise UserError(
            f"split: {split.test.shape[-1]} hidden links and {split.test_negatives.shape[-1]} "
            "non-links. Hide at least one link, and draw as many non-links."
        )
    rows: list[dict[str, Any]] = []
    for name, scorer in scorers.items():
        try:
            found = link_scores(scorer(split.test), scorer(split.test_negatives), ks)
            rows.append({"scorer": name, "error": "", **found.row()})
        except UserError as error:
            rows.append({"scorer": name, "error": str(error)})
    return rows
