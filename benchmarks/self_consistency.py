"""Do estimates of images keep the laws of information (Song and Ermon 2020, section 5.2)?

x is a noisy look at an image, y_t the top t rows of another noisy look at it. A measure of
information must (1) grow with t from I(x;y_0) = 0, (2) not change when x is given twice and y_t
together with its own part y_(t-3), (3) double for two independent images. Here the truth is known
besides: "digits" draws from the 1,797 handwritten digits of scikit-learn with noise, a mixture
whose density can be computed; "fields" are Gaussian images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from acceptance_cases import Case, N, Pairs, Source, case
from scipy.special import logsumexp

from goodviews.data import worlds
from goodviews.data.worlds import World, monte_carlo

SIDE, BACK, MIDDLE = 8, 3, 4
"""Rows of an image, k, and the t of the second and third law."""
ROWS = (8, 4, 1, 2, 6, 0)
NOISE = 0.5
"""Of each look at a digit, whose pixels lie in [0, 1]."""


def digits(rows: int = SIDE, noise: float = NOISE, draws: int = 4000) -> World:
    """Two noisy looks at one of the 1,797 digits, the second at its top rows."""
    from sklearn.datasets import load_digits

    images = load_digits().data / 16.0
    shown = images[:, : rows * SIDE]

    def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        which = rng.integers(len(images), size=n)
        x = images[which] + noise * rng.standard_normal((n, SIDE**2))
        y = images[which] + noise * rng.standard_normal((n, SIDE**2))
        return x, y[:, : rows * SIDE]

    def log_ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        near_x, near_y = (_log_kernel(v, m, noise) for v, m in ((x, images), (y, shown)))
        alone = logsumexp(near_x, axis=1) + logsumexp(near_y, axis=1)
        return logsumexp(near_x + near_y, axis=1) - alone + np.log(len(images))

    return monte_carlo(World(f"digits {rows}", SIDE**2, rows * SIDE, 0.0, draw, log_ratio), draws)


def _log_kernel(values: np.ndarray, centres: np.ndarray, noise: float) -> np.ndarray:
    """-|v_i - c_j|^2 / 2 noise^2, shape (n, centres), less what no centre changes."""
    return (values @ centres.T - np.square(centres).sum(1) / 2) / noise**2


def world_of(kind: str, rows: int) -> World:
    """One of the two kinds of images."""
    return digits(rows) if kind == "digits" else worlds.noisy_images(SIDE, noise=1.5, rows=rows)


def law(kind: str, what: str, rows: int, seed: int = 0, n: int = N) -> Source:
    """Pairs for "rows", "processing" or "additivity"."""
    world = world_of(kind, max(rows, 1))

    def draw() -> Pairs:
        x, y = world.sample(n, seed)
        if rows == 0:
            return Pairs(x, np.random.default_rng(seed).standard_normal((n, SIDE)))
        if what == "processing":
            return Pairs(np.hstack([x, x]), np.hstack([y, y[:, : (rows - BACK) * SIDE]]))
        if what == "additivity":
            x2, y2 = world.sample(n, seed + 1000)
            return Pairs(np.hstack([x, x2]), np.hstack([y, y2]))
        return Pairs(x, y)

    truth = world.nats * (2.0 if what == "additivity" else float(rows > 0))
    return Source(f"{kind} {what} {rows}", (world.dim_x, world.dim_y), truth, seed, n, draw)


def d3(methods: Sequence[str] = ("gaussian", "student", "auto")) -> Iterator[Case]:
    """The values that the ratios are made of."""
    for method in methods:
        for kind in ("digits", "fields"):
            for what in ("processing", "additivity"):
                yield case("D3", law(kind, "rows", MIDDLE), method, None)
                yield case("D3", law(kind, what, MIDDLE), method, None)
            for rows in ROWS:
                yield case("D3", law(kind, "rows", rows), method, None)


Values = dict[tuple[str, str], dict[tuple[str, int], dict[str, Any]]]


def by_law(rows: Sequence[dict[str, Any]]) -> Values:
    """(kind, method) -> (what, t) -> row."""
    found: Values = {}
    for row in rows:
        match = re.fullmatch(r"(\w+) (\w+) (\d)", row["task"])
        if row["check"] == "D3" and match and row["error_text"] is None:
            cell = found.setdefault((match[1], row["method"]), {})
            cell[match[2], int(match[3])] = row
    return found


def ratios(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The three laws, a line each: what was measured, where it must lie, whether it does."""
    for (kind, method), cell in by_law(rows).items():
        nats = {key: row["estimate"] for key, row in cell.items()}
        seconds = max(row["cpu_seconds"] for row in cell.values())
        common = {"kind": kind, "method": method, "seconds": seconds}
        shown = sorted(rows for what, rows in nats if what == "rows")
        curve = [nats["rows", t] for t in shown]
        if SIDE in shown:
            # 0 is where nothing is shown: noise of two standard errors is forgiven
            slack = 2 * max(row["stderr"] for row in cell.values())
            steps = np.diff(curve)
            holds = bool((steps > -slack).all()) and (0 not in shown or abs(curve[0]) < slack)
            text = " ".join(f"{v / curve[-1]:.2f}" for v in curve)
            yield {**common, "law": "baseline", "measured": text, "limit": "0 to 1, up",
                   "holds": holds}  # fmt: skip
        for what, low, high in (("processing", 0.95, 1.05), ("additivity", 1.9, 2.1)):
            if (what, MIDDLE) in nats and ("rows", MIDDLE) in nats:
                ratio = nats[what, MIDDLE] / nats["rows", MIDDLE]
                yield {**common, "law": what, "measured": f"{ratio:.3f}",
                       "limit": f"{low} to {high}", "holds": low <= ratio <= high}  # fmt: skip


def figure(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Information against rows shown, the truth and each method; .html, or .png by chromium."""
    from plotly.subplots import make_subplots  # only for figures
    from staircase import picture  # imports torch

    cells = by_law(rows)
    kinds = list(dict.fromkeys(kind for kind, _ in cells))
    drawn = make_subplots(1, len(kinds), subplot_titles=kinds)
    colors = {"gaussian": "#e69f00", "student": "#009e73", "auto": "#0072b2"}
    for (kind, method), cell in cells.items():
        place = {"row": 1, "col": kinds.index(kind) + 1}
        points = sorted((t, row) for (what, t), row in cell.items() if what == "rows")
        shown = [t for t, _ in points]
        first = place["col"] == 1
        if method == "gaussian":
            line = {"color": "#1a1e23", "width": 1, "dash": "dot"}
            truths = [row["truth"] for _, row in points]
            drawn.add_scatter(x=shown, y=truths, name="truth", line=line, showlegend=first, **place)
        drawn.add_scatter(
            x=shown,
            y=[row["estimate"] for _, row in points],
            error_y={"array": [1.96 * row["stderr"] for _, row in points]},
            name=method,
            line={"color": colors.get(method, "#999999")},
            showlegend=first,
            **place,
        )
    drawn.update_xaxes(title="rows of y shown")
    drawn.update_yaxes(title="nats")
    drawn.update_layout(template="simple_white", width=420 * len(kinds), height=360)
    drawn.write_html(out) if out.suffix == ".html" else picture(drawn, out)
