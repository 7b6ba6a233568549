"""What the missing-link curve shows: its panels, its statements, its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goodviews.data.graphs import LoadedGraphs
from goodviews.interfaces import Row, UserError
from goodviews.studies.claims import PAIRED, RULE, SHOWN, Claim, Reading, judge
from goodviews.studies.conclude import UNTRAINED
from goodviews.studies.folder import environment
from goodviews.studies.graphs.choose import GraphBudget
from goodviews.studies.graphs.learned import LEARNED
from goodviews.studies.graphs.tasks import RAW, LinkTask

UNIFORM = "edge-removal"
OURS = ("resample", "complete", "hidden-links", LEARNED)
"""Families that the package adds."""


def parts(arm: str) -> list[tuple[str, float]]:
    """The families and values of views.

    Raises:
        UserError: a value that is no number.

    Example:
        >>> parts("hidden-links=0.5+feature-masking=0.3")
        [('hidden-links', 0.5), ('feature-masking', 0.3)]
    """
    try:
        return [(part.split("=")[0], float(part.split("=")[1])) for part in arm.split("+")]
    except (ValueError, IndexError):
        raise UserError(f"--variants: {arm}: write for example edge-removal=0.3.") from None


def recorded(
    rows: Sequence[Row],
    wanted: Sequence[str],
    shares: Sequence[float],
    loaded: LoadedGraphs,
    command: str,
    settings: dict[str, Any],
    scale: str,
    limits: GraphBudget,
) -> dict[str, Any]:
    """What study.json holds and the page reads."""
    measures = LinkTask(loaded.graphs[0]).measures
    claims = judge(curves(rows, shares), claimed(wanted))
    return {
        "study": "missing-links",
        "kind": "experiment",
        "question": f"Which links are missing? ({loaded.name})",
        "answer": answered(rows, wanted, shares, claims),
        "arms": [
            {"name": f"{arm}, {share:g} hidden", "group": arm, "value": share, "words": ""}
            for arm in wanted
            for share in shares
        ],
        "columns": [
            {"key": key, "words": words, "unit": "%", "digits": 1}
            for key, words in measures.items()
        ]
        + [
            {"key": "mixing_tv", "words": "links in wrong communities", "unit": "%", "digits": 1},
            {"key": "degree_w1", "words": "degrees off by", "unit": "links", "digits": 2},
        ],
        "panels": panels(wanted),
        "claims": claims,
        "rule": f"{RULE} {PAIRED}",
        "scale": scale,
        "notes": [
            "Hidden sets are nested at one seed and the same for every arm; as many pairs without "
            "link are asked about. Methods train as published, views under GRACE by the budget. "
            "Node vectors are read by their cosine or by logistic regression on their product, "
            "fitted on the links that are left: by what does best on the validation links. "
            "Heuristics are not fitted.",
        ],
        "command": command,
        "seeds": limits.seeds,
        "data": loaded.report,
        "environment": environment(),
        "settings": settings,
    }


def panels(wanted: Sequence[str]) -> list[dict[str, Any]]:
    """The curve of views, the curve of all else, and the tendency; few lines in each."""
    views = [arm for arm in wanted if "=" in arm]
    others = [arm for arm in wanted if "=" not in arm]
    bases = [arm for arm in (RAW, UNTRAINED) if arm in wanted]
    drawn = [
        ("linear", "AUC of the hidden links, views under GRACE", [*bases, *views]),
        ("linear", "AUC of the hidden links, heuristics and methods", [*others, *views[:1]]),
        ("mixing_tv", "Tendency: predicted links in the wrong communities", [*others, *views[:1]]),
    ]
    shared = {"kind": "dial", "unit": "%", "joined": True, "dial": "share of links hidden"}
    return [shared | {"y": y, "title": title, "only": only} for y, title, only in drawn]


def curves(rows: Sequence[Row], shares: Sequence[float]) -> list[Row]:
    """One row an arm and seed, where no share is lacking: the mean AUC along the curve.

    Example:
        >>> rows = [Row("candidate", f"ppr, {s} hidden", 0, family="ppr", value=s, linear=s)
        ...         for s in (0.25, 0.75)]
        >>> [(row.candidate, row.linear) for row in curves(rows, (0.25, 0.75))]
        [('ppr', 0.5)]
    """
    found: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row.linear is not None and row.value in shares:
            found.setdefault((row.family, row.seed), []).append(row.linear)
    return [
        Row("candidate", arm, seed, linear=sum(values) / len(values))
        for (arm, seed), values in found.items()
        if len(values) == len(shares)
    ]


def claimed(wanted: Sequence[str]) -> list[Claim]:
    """Along the curve: our views beat uniform dropping, all else alike; each view no training."""
    views = [arm for arm in wanted if "=" in arm]

    def rest(arm: str, families: Sequence[str]) -> set[tuple[str, float]] | None:
        """What an arm has beside these families; None: it has none of them."""
        others = {part for part in parts(arm) if part[0] not in families}
        return others if len(others) < len(parts(arm)) else None

    pairs = [
        (arm, base, UNIFORM)
        for base in views
        for arm in views
        if rest(base, (UNIFORM,)) is not None and rest(base, (UNIFORM,)) == rest(arm, OURS)
    ]
    pairs += [(arm, UNTRAINED, UNTRAINED) for arm in views if UNTRAINED in wanted]
    return [
        Claim(
            f"{arm} beats {base}, mean over the curve",
            Reading(arm),
            Reading(base),
            "linear",
            pool=kind,
            paired=True,
        )
        for arm, base, kind in pairs
    ]


def answered(
    rows: Sequence[Row],
    wanted: Sequence[str],
    shares: Sequence[float],
    claims: Sequence[dict[str, Any]],
) -> str:
    """The best arm at the least, the middle and the largest share of hidden links."""
    parts = []
    for share in dict.fromkeys((shares[0], shares[len(shares) // 2], shares[-1])):
        found = {
            arm: sum(values) / len(values)
            for arm in wanted
            if (values := Reading(f"{arm}, {share:g} hidden").values(rows, "linear"))
        }
        if found:
            best = max(found, key=lambda arm: found[arm])
            parts.append(f"{share:.0%} hidden: {best} ({100 * found[best]:.1f} %)")
    seen = sum(claim["verdict"] == SHOWN for claim in claims)
    told = f" {seen} of {len(claims)} of the statements looked for are shown." if claims else ""
    return f"Best AUC with {'; '.join(parts) or 'nothing measured'}.{told}"
