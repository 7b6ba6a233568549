"""This run beside what it must beat: raw pixels and the same network untrained."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from goodviews.evaluation.features import extract, labels_of, pixels
from goodviews.evaluation.geometry import rankme, uniformity
from goodviews.evaluation.intervals import paired_difference
from goodviews.evaluation.task import ProbeResult, subset
from goodviews.interfaces import ImageSource
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.frozen import Design
from goodviews.studies.readers import PIXEL_SIDE, Protocol, Reader

RUN = "this run"
REFRESHED = "this run, BN refreshed on test images (transductive)"

Results = dict[str, list[ProbeResult]]
"""Row name -> its results, one a draw of labels and seed of the untrained network."""


@dataclass(frozen=True)
class Labels:
    """How many labels the probes may see, and how often they are drawn.

    Args:
        fraction: share of each class's labels, in (0, 1]; None: all.
        per_class: labels a class; None: all.
        draws: how many draws of few labels; all labels are one draw.
        seed: of the draws.
    """

    fraction: float | None = None
    per_class: int | None = None
    draws: int = 3
    seed: int = 0

    @property
    def few(self) -> bool:
        """Whether a part of the labels is drawn."""
        return self.fraction is not None or self.per_class is not None

    def draw(self, labels: Tensor) -> list[Tensor]:
        """Places of the labelled images of each draw."""
        if not self.few:
            return [torch.nonzero(labels >= 0).flatten()]
        return [
            subset(labels, per_class=self.per_class, fraction=self.fraction, seed=self.seed + i)
            for i in range(max(1, self.draws))
        ]

    def __str__(self) -> str:
        """In words, for the table."""
        if self.fraction is not None:
            return f"{100 * self.fraction:g} % of the labels, {self.draws} draws"
        if self.per_class is not None:
            return f"{self.per_class} labels a class, {self.draws} draws"
        return "all labels"


@dataclass
class Rivals:
    """The networks to compare: this run's and the same design with other random weights.

    Args:
        trained: uint8 images -> (n, D).
        untrained: the same, with weights as they were before training.
    """

    trained: nn.Module
    untrained: list[nn.Module] = field(default_factory=list)

    @classmethod
    def of(cls, trained: nn.Module, design: Design, seeds: Sequence[int]) -> Rivals:
        """With one untrained network a seed, on the trained one's device."""
        device = next(trained.parameters()).device
        return cls(trained, [design.build(seed).to(device) for seed in seeds])

    def rows(self) -> list[tuple[str, nn.Module | None]]:
        """Name and network of each contender; None reads the pixels."""
        return [(RAW, None), *((UNTRAINED, n) for n in self.untrained), (RUN, self.trained)]


def compare(
    rivals: Rivals,
    train: ImageSource,
    test: ImageSource,
    probes: Sequence[str] = ("linear", "knn"),
    labels: Labels | None = None,
    protocol: Protocol | None = None,
    *,
    seed: int = 0,
    echo: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Any], dict[str, Results]]:
    """Run the probes on every contender: the table (plain values), and probe -> row -> results.

    With ``protocol.bn_refresh`` a row of its own, which no verdict reads, follows this run's.

    Raises:
        UserError: unknown probe, one the protocol is not for, no labels, one class.
    """
    labels, protocol = labels or Labels(), protocol or Protocol()
    protocol.check(probes)
    found: dict[str, Results] = {probe: {} for probe in probes}
    draws = labels.draw(labels_of(train))

    def read(name: str, reader: Reader) -> None:
        echo(f"probing {name} ...")
        for places in draws:
            for probe, result in reader(probes, places).items():
                found[probe].setdefault(name, []).append(result)

    for name, network in rivals.rows():
        reader = Reader(network, rivals.trained, train, test, protocol, seed)
        read(name, reader)
    if protocol.bn_refresh:
        reader.refresh()  # the last one is this run's
        read(REFRESHED, reader)
    return _table(found, test, labels, protocol), found


def _table(
    found: dict[str, Results], test: ImageSource, labels: Labels, protocol: Protocol
) -> dict[str, Any]:
    """The plain table that is written to disk and read by the page."""
    first = next(iter(found.values()))
    targets = first[RUN][0].targets
    verdicts = {probe: verdict(results, probe) for probe, results in found.items()}
    rows = []
    for name in first:
        row: dict[str, Any] = {"name": name}
        for probe, results in found.items():
            row |= {f"{probe}{end}": x for end, x in _cells(results[name]).items()}
        rows.append(row)
    notes = sorted({n for r in found.values() for rs in r.values() for x in rs for n in x.notes})
    return {
        "rows": rows,
        "verdict": next(iter(verdicts.values())),
        "verdicts": verdicts,
        "n_test": len(targets),
        "extra": {
            "data": test.name,
            "labels": str(labels),
            "protocol": protocol.name,
            "labelled training images": first[RUN][0].n_train,
            "most common class": float(targets.bincount().max()) / len(targets),
            "numbers": "accuracies are fractions of the held-out images, lo and hi the 95 % "
            "Wilson interval (over draws and untrained seeds: the hull of theirs)",
            "settings": {probe: results[RUN][0].settings for probe, results in found.items()},
            "notes": [
                *notes,
                *_FINETUNED * ("finetune" in found),
                *_TRANSDUCTIVE * protocol.bn_refresh,
            ],
        },
    }


_FINETUNED = (
    "raw pixels have nothing to fine-tune: a linear probe reads them",
    "untrained networks are fine-tuned in the same way as this run",
)
_TRANSDUCTIVE = (
    f"{REFRESHED}: as in AMDIM's code, batch norm has seen 50 batches of the images it is about to "
    "read, training and test images apart, without labels; the verdict does not read this row",
)


def _cells(results: Sequence[ProbeResult]) -> dict[str, Any]:
    """One row's numbers for one probe, by the end of their name."""
    accuracies = [r.accuracy for r in results]
    nats = [r.label_nats for r in results if r.label_nats is not None]
    return {
        "": statistics.fmean(accuracies),
        "_lo": min(r.interval[0] for r in results),
        "_hi": max(r.interval[1] for r in results),
        "_sd": statistics.stdev(accuracies) if len(results) > 1 else None,
        "_runs": len(results),
        "_label_nats": statistics.fmean(nats) if nats else None,
    }


def verdict(results: Results, probe: str) -> str:
    """One sentence on this run against both baselines; inside the intervals it is undecided.

    This run is better than a row when the 95 % interval of the paired difference is above zero
    for every draw of labels and every seed of the untrained network, worse when it is below zero
    for all of them, otherwise undecided.
    """
    against = {
        "the untrained network": _judge(results[RUN], results.get(UNTRAINED, [])),
        "raw pixels": _judge(results[RUN], results[RAW]),
    }
    score = statistics.fmean(r.accuracy for r in results[RUN])
    words = [
        f"{'no clear difference from' if sign == 0 else _WORD[sign] + ' than'} {name} "
        f"({100 * gain:+.1f} points)"
        for name, (sign, gain) in against.items()
        if sign is not None
    ]
    signs = [sign for sign, _ in against.values() if sign is not None]
    opening = _opening(signs)
    return f"{opening}: {probe} {100 * score:.1f} %, {', '.join(words)}."


_WORD = {1: "better", -1: "worse"}


def _opening(signs: Sequence[int]) -> str:
    """The verdict in a few words: the untrained network's sign first, then the pixels'."""
    if signs[0] < 0:
        return "worse than untrained"
    if min(signs) < 0:
        return "worse than raw pixels"
    return "it learned" if min(signs) > 0 else "undecided"


def _judge(ours: Sequence[ProbeResult], theirs: Sequence[ProbeResult]) -> tuple[int | None, float]:
    """1 better, -1 worse, 0 undecided over all pairs of the same draw of labels; the mean gain."""
    if not theirs:
        return None, 0.0
    pairs = [(ours[i % len(ours)], result) for i, result in enumerate(theirs)]
    signs = {paired_difference(a.correct, b.correct).sign for a, b in pairs}
    gain = statistics.fmean(a.accuracy - b.accuracy for a, b in pairs)
    return (signs.pop() if len(signs) == 1 else 0), gain


def unlabelled_table(rivals: Rivals, test: ImageSource) -> dict[str, Any]:
    """What can be said without labels: effective rank and uniformity of held-out images."""
    rows = []
    for name, network in rivals.rows():
        z = pixels(test, PIXEL_SIDE) if network is None else extract(network, test)
        rows.append({"name": name, "rankme": rankme(z), "uniformity": uniformity(z)})
    ranks = ", ".join(f"{row['name']} {row['rankme']:.1f}" for row in rows)
    return {
        "rows": rows,
        "verdict": (
            "no verdict: without labels nobody can say what the representation is good for. "
            "Add --labels FILE.csv, or class sub-folders, for probes."
        ),
        "verdicts": {},
        "n_test": len(test),
        "extra": {"data": test.name, "labels": "none", "RankMe (effective rank)": ranks},
    }


def format_table(table: Mapping[str, Any]) -> str:
    """The table as lines for a terminal.

    Example:
        >>> row = {"name": "this run", "knn": 0.5, "knn_lo": 0.4, "knn_hi": 0.6}
        >>> print(format_table({"rows": [row]}))
        held-out images  kNN % [95 %]
        this run         50.0 [40.0, 60.0]
    """
    columns = [name for name in (*HEADS, "rankme", "uniformity") if name in table["rows"][0]]
    lines = [["held-out images", *(HEADS.get(c, c) for c in columns)]]
    lines += [[row["name"], *(_shown(row, column) for column in columns)] for row in table["rows"]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = [[x.ljust(w) for x, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in padded)


HEADS = {
    "linear": "linear % [95 %]",
    "knn": "kNN % [95 %]",
    "mlp": "MLP % [95 %]",
    "finetune": "fine-tuned % [95 %]",
}
"""Probe -> head of its column."""


def _shown(row: Mapping[str, Any], column: str) -> str:
    if column not in HEADS:
        return f"{row[column]:.2f}"
    low, high = 100 * row[f"{column}_lo"], 100 * row[f"{column}_hi"]
    sd, runs = row.get(f"{column}_sd"), row.get(f"{column}_runs")
    spread = "" if sd is None else f" (sd {100 * sd:.1f}, {runs} runs)"
    return f"{100 * row[column]:.1f} [{low:.1f}, {high:.1f}]{spread}"
