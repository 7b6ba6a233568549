"""The probe table: this run beside raw pixels and the same network untrained, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from goodviews.evaluation.intervals import Difference, paired_difference
from goodviews.evaluation.probes import knn_probe, linear_probe
from goodviews.evaluation.task import ProbeResult, subset
from goodviews.interfaces import UserError

RAW_PIXELS = "raw pixels"
UNTRAINED = "untrained network"
THIS_RUN = "this run"


@dataclass(frozen=True)
class ProbeTable:
    """Rows ready for JSON, the verdict in a sentence, and the results behind them."""

    rows: list[dict[str, Any]]
    verdict: str
    results: dict[str, dict[str, ProbeResult]]
    """By row name, then by probe: ``linear``, ``knn`` and, if asked for, ``linear_few``."""

    def to_dict(self) -> dict[str, Any]:
        """Rows and verdict, for ``probes.json``."""
        return {"rows": self.rows, "verdict": self.verdict}


def probe_table(
    representations: Mapping[str, tuple[Tensor, Tensor]],
    train_y: Tensor,
    test_y: Tensor,
    *,
    few: int | None = 10,
    k: int = 20,
    seed: int = 0,
    this: str = THIS_RUN,
) -> ProbeTable:
    """Probe every representation, name -> (train (N, D), test (M, D)), with the same protocol.

    Each row has accuracies as fractions with 95 % intervals: ``linear``, ``linear_lo``,
    ``linear_hi``, ``knn`` ..., ``label_nats``, ``cross_entropy`` and, with ``few`` images a class,
    ``linear_few`` ... Use the names ``raw pixels``, ``untrained network`` and ``this run``: raw
    pixels vote by Euclidean distance, and the verdict compares the rows named.

    Raises:
        UserError: As for :func:`goodviews.evaluation.probes.linear_probe`.
    """
    results = {
        name: _probes(name, train_x, train_y, test_x, test_y, few, k, seed)
        for name, (train_x, test_x) in representations.items()
    }
    rows = [_row(name, probes, few) for name, probes in results.items()]
    return ProbeTable(rows, verdict(results, this=this), results)


def _probes(
    name: str,
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    few: int | None,
    k: int,
    seed: int,
) -> dict[str, ProbeResult]:
    distance = "euclidean" if name == RAW_PIXELS else "cosine"
    probes = {
        "linear": linear_probe(train_x, train_y, test_x, test_y, seed=seed),
        "knn": knn_probe(train_x, train_y, test_x, test_y, k=k, distance=distance),
    }
    if few is not None:
        chosen = subset(train_y, per_class=few, seed=seed)
        probes["linear_few"] = linear_probe(
            train_x[chosen], train_y[chosen], test_x, test_y, seed=seed
        )
    return probes


def _row(name: str, probes: Mapping[str, ProbeResult], few: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name}
    for probe, result in probes.items():
        row[probe] = result.accuracy
        row[f"{probe}_lo"], row[f"{probe}_hi"] = result.interval
    linear = probes["linear"]
    row["label_nats"], row["cross_entropy"] = linear.label_nats, linear.cross_entropy
    row["n_train"], row["n_test"], row["few"] = linear.n_train, linear.n_test, few
    notes = {f"{probe}: {note}" for probe, result in probes.items() for note in result.notes}
    return {**row, "settings": linear.settings, "notes": sorted(notes)}


def verdict(
    results: Mapping[str, Mapping[str, ProbeResult]],
    *,
    this: str = THIS_RUN,
    probe: str = "linear",
) -> str:
    """Whether ``this`` beats raw pixels and the same network untrained, by how much, how surely.

    Image by image on the same test images, with the 95 % interval of the paired difference.
    When nearest neighbours (``knn``) come to another conclusion, a second sentence says so.

    Raises:
        UserError: ``this`` is not among the rows.
    """
    if this not in results:
        raise UserError(f"verdict: no row {this!r} among {', '.join(results)}.")
    others = [name for name in (RAW_PIXELS, UNTRAINED) if name in results and name != this]
    if not others:
        return f"{this}: no baseline to compare with"

    def differences(kind: str) -> list[tuple[str, Difference]]:
        mine = results[this][kind].correct
        return [(name, paired_difference(mine, results[name][kind].correct)) for name in others]

    main = differences(probe)
    if probe == "knn" or any("knn" not in results[name] for name in (this, *others)):
        return sentence(main)
    near = differences("knn")
    changed = [(a[1].sign != b[1].sign) for a, b in zip(main, near, strict=True)]
    return sentence(main) + (f". Nearest neighbours: {sentence(near)}" if any(changed) else "")


def sentence(differences: list[tuple[str, Difference]]) -> str:
    """Differences to named baselines, in words and points; the worst news first.

    Example:
        >>> sentence([("raw pixels", Difference(0.213, 0.199, 0.228))])
        'better than raw pixels by 21.3 points (95 % interval 19.9 to 22.8)'
        >>> sentence([("raw pixels", Difference(0.004, -0.01, 0.019))])
        'no better than raw pixels within the uncertainty (+0.4 points, 95 % interval -1.0 to 1.9)'
    """
    clauses: list[str] = []
    for name, d in sorted(differences, key=lambda pair: pair[1].sign):
        other = "the same network untrained" if name == UNTRAINED else name
        label = "" if clauses else "95 % interval "
        low, high, points = 100 * d.low, 100 * d.high, 100 * d.value
        if d.sign > 0:
            clauses.append(
                f"better than {other} by {points:.1f} points ({label}{low:.1f} to {high:.1f})"
            )
        elif d.sign < 0:
            clauses.append(
                f"worse than {other} by {-points:.1f} points ({label}{-high:.1f} to {-low:.1f})"
            )
        else:
            clauses.append(
                f"no better than {other} within the uncertainty "
                f"({points:+.1f} points, {label}{low:.1f} to {high:.1f})"
            )
    return "; ".join(clauses).replace("; better than", " and better than")
