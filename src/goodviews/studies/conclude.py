"""What the rows of a study say: regimes, the recommended candidate, the answer in two sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from goodviews.interfaces import Row
from goodviews.regimes import Regime, pooled_spread, regimes
from goodviews.report.tables import WORDS, Summary, TaskWords, summarise
from goodviews.views import FAMILIES

RAW, UNTRAINED = WORDS.raw, "untrained network"


@dataclass(frozen=True)
class Conclusion:
    """What a study found."""

    summary: list[Summary]
    answer: str
    verdicts: list[str]
    recommended: str | None
    """The candidate's name; None when nothing could be measured."""


def conclude(rows: Sequence[Row], label_nats: float | None, words: TaskWords = WORDS) -> Conclusion:
    """Summarise rows over seeds, name regimes by the written rule, and recommend a candidate.

    With labels the candidate with the highest mean linear-probe accuracy is recommended; without,
    the one with the highest RankMe, and the answer says that this is no evidence for a task.

    Args:
        rows: of one study, baselines included.
        label_nats: H(y) in nats, None without labels.
        words: what the accuracy is called.

    Returns:
        The conclusion.
    """
    summary = summarise(rows)
    labelled = label_nats is not None
    ranked = [e for e in summary if e["rank"] is not None]
    ranked.sort(key=lambda e: e["rank"])
    for entry in summary:
        entry["regime"] = None
    if not ranked:
        return Conclusion(summary, "No candidate could be measured; see the errors.", [], None)
    best = ranked[0]
    best["recommended"] = True
    if labelled:
        _name_regimes(ranked, rows)
    lines = _verdicts(ranked, summary, label_nats)
    if labelled:
        lines += _least_information(ranked, rows)
    helps = not labelled or not _below(rows, best["candidate"], words.raw)
    answer = _answer(best, summary, words, helps) if labelled else _answer_without_labels(best)
    return Conclusion(summary, answer, lines, best["candidate"])


def _values(rows: Sequence[Row], candidate: str, field: str) -> list[float]:
    return [
        getattr(row, field)
        for row in rows
        if row.candidate == candidate and row.status == "done" and getattr(row, field) is not None
    ]


def _name_regimes(ranked: Sequence[Summary], rows: Sequence[Row]) -> None:
    names = [entry["candidate"] for entry in ranked]
    found = regimes(
        [_values(rows, name, "nats") for name in names],
        [_values(rows, name, "linear") for name in names],
        [entry["family"] for entry in ranked],
    )
    for entry, regime in zip(ranked, found, strict=True):
        entry["regime"] = str(regime)


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _with_spread(entry: Summary, field: str = "linear") -> str:
    sd = entry.get(f"{field}_sd")
    return f"{_points(entry[field])}" + (f" ± {_points(sd)}" if sd is not None else "") + " %"


def _below(rows: Sequence[Row], candidate: str, baseline: str) -> bool:
    """Whether a candidate is less accurate than a baseline by more than the seeds' spread."""
    ours, theirs = (_values(rows, name, "linear") for name in (candidate, baseline))
    if not ours or not theirs:
        return False
    spread = pooled_spread([ours, theirs])
    return fmean(theirs) - fmean(ours) > spread.threshold(len(ours), len(theirs), 0.95, 1)


def _answer(best: Summary, summary: Sequence[Summary], words: TaskWords, helps: bool) -> str:
    base = {e["candidate"]: e["linear"] for e in summary if e["kind"] == "baseline"}
    over = [
        f"{_points(best['linear'] - base[name]):s} points over {what}"
        for name, what in ((words.raw, words.raw), (UNTRAINED, "the same network untrained"))
        if base.get(name) is not None
    ]
    seeds = f"{best['n_seeds']} seed{'s' if best['n_seeds'] != 1 else ''}"
    first = f"Use {best['candidate']}: "
    if not helps:
        first = (
            f"None of these views helps: {words.raw} reach {_points(base[words.raw])} %, and with "
            f"the best of them, {best['candidate']}, "
        )
    sentence = (
        f"{first}{words.reach} {_with_spread(best)} on {words.held} "
        f"({seeds}; {' and '.join(over)}). "
    )
    state = "" if best["regime"] == Regime.UNDECIDED else f", the {best['regime']} of its family"
    return sentence + (
        f"Its views share {best['nats']:.2f} nats (held-out I_NCE, K = {best['K']}, ceiling "
        f"{math.log(best['K']):.2f}){state}."
    )


def _answer_without_labels(best: Summary) -> str:
    return (
        "There are no labels, so no sweet spot can be named: which information is good depends on "
        f"the task. By RankMe alone (effective rank {best['rankme']:.1f}) {best['candidate']} "
        "comes first; give some labels (--labels) to choose views for a task."
    )


def _verdicts(
    ranked: Sequence[Summary], summary: Sequence[Summary], label_nats: float | None
) -> list[str]:
    lines = []
    if label_nats is not None:
        lines += [*_ties(ranked), *_baselines(ranked, summary)]
    lines += [*_edges(ranked, label_nats is not None), *_ceilings(ranked), *_nulls(ranked)]
    failed = [e["candidate"] for e in summary if e["n_failed"]]
    if failed:
        lines.append(f"{len(failed)} candidate(s) had failed runs: {', '.join(failed[:5])}.")
    return lines


def _ties(ranked: Sequence[Summary]) -> list[str]:
    """Which candidates the seeds cannot tell from the best."""
    best, tied = ranked[0], [e for e in ranked[1:] if e["regime"] == Regime.UNDECIDED]
    if best["regime"] == Regime.UNDECIDED:
        return [
            "The seeds' spread does not separate the best candidate from the others of its family. "
            "More --seeds or a larger --budget may decide."
        ]
    if not tied:
        return []
    names = ", ".join(e["candidate"] for e in tied[:6])
    return [
        "Undecided against the best of their family (inside the seeds' spread, or at equal I_NCE): "
        f"{names}."
    ]


def _least_information(ranked: Sequence[Summary], rows: Sequence[Row]) -> list[str]:
    """Of all candidates as accurate as the best, the one whose views share the least.

    InfoMin's principle (Tian et al. 2020, proposition 3.1): of views that keep what the task needs,
    those that share nothing else.
    """
    best = ranked[0]
    values = {e["candidate"]: _values(rows, e["candidate"], "linear") for e in ranked}
    spread = pooled_spread(list(values.values()))
    counts = {name: len(found) for name, found in values.items()}
    equal = [
        e
        for e in ranked
        if best["linear"] - e["linear"]
        <= spread.threshold(
            counts[best["candidate"]], counts[e["candidate"]], 0.95, len(ranked) - 1
        )
    ]
    least = min(equal, key=lambda e: e["nats"])
    if least is best or not math.isfinite(spread.s):
        return []
    return [
        f"As accurate as the best within the seeds' spread and sharing less: {least['candidate']} "
        f"({least['nats']:.2f} nats against {best['nats']:.2f}), which InfoMin's principle takes "
        "among equals."
    ]


def _baselines(ranked: Sequence[Summary], summary: Sequence[Summary]) -> list[str]:
    out = []
    for entry in summary:
        if entry["kind"] == "baseline" and entry["linear"] is not None:
            worse = [e["candidate"] for e in ranked if e["linear"] < entry["linear"]]
            if worse:
                out.append(
                    f"Worse than {entry['candidate']} ({_points(entry['linear'])} %): "
                    f"{len(worse)} of {len(ranked)} candidates ({', '.join(worse[:4])}"
                    f"{' ...' if len(worse) > 4 else ''})."
                )
    return out


def _edges(ranked: Sequence[Summary], labelled: bool) -> list[str]:
    """A family's optimum at the end of its dial may lie beyond it."""
    key = "linear" if labelled else "rankme"
    out = []
    for family in dict.fromkeys(e["family"] for e in ranked):
        points = [e for e in ranked if e["family"] == family]
        numbers = [e["value"] for e in points if isinstance(e["value"], int | float)]
        top = max(points, key=lambda e: e[key])
        if len(numbers) < 3 or not isinstance(top["value"], int | float):
            continue
        line = f"{family}: best at {top['dial']} {top['value']:g}"
        if top["value"] in (min(numbers), max(numbers)) and not _is_limit(family, top["value"]):
            line += " (an end of the sweep: the optimum may lie beyond)"
        out.append(line + ".")
    return out


def _is_limit(family: str, value: float) -> bool:
    """Whether a dial cannot be turned further: nothing is changed, or a whole fraction."""
    known = FAMILIES.get(family)
    return value == 0 or (known is not None and known.unit == "fraction" and value == 1)


def _ceilings(ranked: Sequence[Summary]) -> list[str]:
    full = [e["candidate"] for e in ranked if e["nats"] > 0.95 * math.log(e["K"])]
    if not full:
        return []
    return [
        f"At the ceiling log K (their I(v1;v2) may be larger than shown): {', '.join(full[:6])}."
    ]


def _nulls(ranked: Sequence[Summary]) -> list[str]:
    bad = [e["candidate"] for e in ranked if e["null"] is not None and e["null"] > 0.05]
    return [f"Shuffled pairs gave more than 0 nats: do not trust {', '.join(bad)}."] if bad else []
