"""The staircase of Poole et al. (2019) and Song and Ermon (2020): bounds while information rises.

    python benchmarks/staircase.py --out staircase.jsonl
    python benchmarks/staircase.py --out staircase.jsonl --cubic
    python benchmarks/staircase.py --out staircase.jsonl --critic joint --batch 64 --bits \
        --train infonce nwj jensen-shannon
    python benchmarks/staircase.py --table staircase.jsonl
    python benchmarks/staircase.py --figure staircase.html --curves curves/*.npz

d = 20 pairs of unit Gaussians, rho^2 = 1 - exp(-2 I / d); I climbs 2, 4, 6, 8, 10 nats (--bits:
2 to 10 bits), 4,000 steps of fresh pairs a level; one critic goes through all levels, Adam at 5e-4.
--cubic measures y^3, which leaves I as it is. The critics are those of smile-mi-estimator: three
hidden layers of 256, the separable one with embeddings of 32. What trains the critic and what is
read off it are two things: each training has its read-outs, taken at every step before the update.
A line of JSON a read-out and level (mean, deviation and RMSE over the last eighth of the level, in
nats); a training that is there already is skipped. Two minutes a training on one CPU core, the
joint critic fifteen.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from estimator_tables import table
from torch import Tensor, nn

from goodviews.bounds import (
    anchor,
    club,
    donsker_varadhan,
    infonce,
    interpolated,
    jensen_shannon,
    leave_one_out,
    log_normaliser,
    nwj,
    nwj_of_log_ratio,
    plug_in,
    smile,
)
from goodviews.critics import Concat, ConditionalGaussian, Separable
from goodviews.objectives.variational import FLO, MINE

DIM, HIDDEN, DEPTH, EMBED, RATE = 20, 256, 3, 32, 5e-4
LEVELS = (2.0, 4.0, 6.0, 8.0, 10.0)
SPAN = 200  # of the exponential average that the figure shows

Step = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]
"""A network and a batch -> the loss, and nats by name of the read-out."""


class Training(NamedTuple):
    """What is trained, and what is read off it."""

    network: Callable[[Callable[[], nn.Module]], nn.Module]
    """From a maker of critics."""
    step: Step


def climbing(
    bound: Callable[[Tensor], Tensor], **read_outs: Callable[[Tensor], Tensor]
) -> Training:
    """A critic that maximises a bound; without read-outs the bound is the number."""
    readers = read_outs or {"itself": bound}

    def step(critic: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        scores = critic(x, y)
        with torch.no_grad():
            values = {name: read(scores) for name, read in readers.items()}
        return -bound(scores), values

    return Training(lambda critic: critic(), step)


def own(objective: Callable[[nn.Module], nn.Module], name: str) -> Training:
    """An objective with a state of its own: it returns loss and nats."""

    def step(network: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss, nats = network(x, y)
        return loss, {name: nats}

    return Training(lambda critic: objective(critic()), step)


def likelihood(q: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """A Gaussian q(y|x) by maximum likelihood, read by the upper bounds."""
    log_q = q(x, y)
    with torch.no_grad():
        values = {"club": club(log_q), "leave-one-out": leave_one_out(log_q)}
    return -log_q.diagonal().mean(), values


TRAININGS: dict[str, Training] = {
    "infonce": climbing(infonce),
    "nwj": climbing(nwj),
    "donsker-varadhan": climbing(donsker_varadhan),
    "interpolated": climbing(interpolated),
    "jensen-shannon": climbing(
        jensen_shannon,
        **{
            "nwj": nwj_of_log_ratio,
            "donsker-varadhan": donsker_varadhan,
            "smile-5": lambda scores: smile(scores, clip=5.0),
            "smile-1": lambda scores: smile(scores, clip=1.0),
            "plug-in": plug_in,
            "log-normaliser": log_normaliser,
        },
    ),
    "anchor": climbing(anchor, **{"plug-in": plug_in, "log-normaliser": log_normaliser}),
    "mine": own(MINE, "donsker-varadhan"),
    "flo": own(lambda critic: FLO(critic, DIM, HIDDEN), "itself"),
    "conditional-gaussian": Training(
        lambda critic: ConditionalGaussian(DIM, HIDDEN, DEPTH), likelihood
    ),
}


def make_critic(kind: str) -> nn.Module:
    """The critics of smile-mi-estimator with "layers = 2", three hidden layers."""
    if kind == "joint":
        return Concat(DIM, HIDDEN, DEPTH)
    return Separable(DIM, HIDDEN, DEPTH, EMBED)


def draw(nats: float, batch: int, cubic: bool, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Fresh pairs x, y of shape (batch, 20) that share ``nats``."""
    rho = math.sqrt(-math.expm1(-2.0 * nats / DIM))
    x, noise = torch.randn(2, batch, DIM, generator=random)
    y = rho * x + math.sqrt(1.0 - rho * rho) * noise
    return x, y**3 if cubic else y


def climb(name: str, args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Train through all levels; read-out -> nats at every step, shape (levels * steps,)."""
    torch.manual_seed(args.seed)
    random = torch.Generator().manual_seed(args.seed)
    training = TRAININGS[name]
    network = training.network(lambda: make_critic(args.critic)).to(args.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    curves: dict[str, list[Tensor]] = {}
    for nats in levels(args):
        for _ in range(args.steps):
            x, y = (side.to(args.device) for side in draw(nats, args.batch, args.cubic, random))
            loss, values = training.step(network, x, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            for read, value in values.items():
                curves.setdefault(read, []).append(value.detach())
    return {read: torch.stack(values).cpu().numpy() for read, values in curves.items()}


def levels(args: argparse.Namespace) -> list[float]:
    """The information of each level, in nats."""
    return [level * (math.log(2.0) if args.bits else 1.0) for level in LEVELS]


def setting(args: argparse.Namespace) -> dict[str, Any]:
    """What a line's numbers depend on, besides the training's name."""
    names = ("critic", "batch", "cubic", "bits", "steps", "seed")
    return {name: getattr(args, name) for name in names}


def label(args: argparse.Namespace) -> str:
    """A name for files."""
    kind = f"{args.critic}-{args.batch}" + "-cubic" * args.cubic + "-bits" * args.bits
    return f"{kind}-{args.steps}-seed{args.seed}"


def lines(
    curves: dict[str, np.ndarray], args: argparse.Namespace, **common: Any
) -> list[dict[str, Any]]:
    """Mean, deviation and RMSE over the end of each level."""
    last = max(1, args.steps // 8)
    found = []
    for read, curve in curves.items():
        for level, values in zip(levels(args), curve.reshape(len(LEVELS), -1), strict=True):
            end = values[-last:].astype(np.float64)
            aim = 0.0 if read == "log-normaliser" else level
            numbers = {
                "mean": float(end.mean()),
                "sd": float(end.std()),
                "rmse": float(np.sqrt(np.square(end - aim).mean())),
            }
            found.append({**common, **setting(args), "read": read, "truth": level, **numbers})
    return found


def run(args: argparse.Namespace) -> None:
    """Every training that has no line yet."""
    rows = read_rows(args.out) if args.out.exists() else []
    done = {r["train"] for r in rows if setting(args).items() <= r.items()}
    folder = args.out.parent / "curves"
    folder.mkdir(parents=True, exist_ok=True)
    for name in args.train:
        if name in done:
            continue
        start, start_cpu = time.perf_counter(), time.process_time()
        curves = climb(name, args)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
        arrays: dict[str, Any] = {"levels": levels(args), **curves}
        np.savez_compressed(folder / f"{label(args)}-{name}.npz", **arrays)
        common = {
            "train": name,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "threads": torch.get_num_threads(),
            "device": args.device,
            "date": str(date.today()),
            "version": torch.__version__,
        }
        new = lines(curves, args, **common)
        with args.out.open("a") as out:
            out.writelines(json.dumps(row) + "\n" for row in new)
        print(report(new), flush=True)


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def report(rows: list[dict[str, Any]], markdown: bool = False) -> str:
    """A table a setting: mean (deviation) a level, RMSE at each level, seconds."""
    tables: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {}
    for row in rows:
        name = label(argparse.Namespace(**row))
        tables.setdefault(name, {}).setdefault((row["train"], row["read"]), []).append(row)
    parts = []
    for name, cells in tables.items():
        truths = [f"{row['truth']:.4g}" for row in next(iter(cells.values()))]
        header = ["trained", "read as", *truths, *(f"RMSE {t}" for t in truths), "CPU s"]
        body = [
            [
                *key,
                *(f"{row['mean']:.2f} ({row['sd']:.2f})" for row in found),
                *(f"{row['rmse']:.2f}" for row in found),
                f"{found[0]['cpu_seconds']:.0f}",
            ]
            for key, found in cells.items()
        ]
        parts.append(f"{name}\n\n{table(header, body, markdown)}")
    return "\n\n".join(parts)


def averaged(curve: np.ndarray) -> np.ndarray:
    """Exponential average of span 200, corrected for its start."""
    keep = 1.0 - 2.0 / (SPAN + 1)
    total, weight, out = 0.0, 0.0, np.empty(len(curve))
    for i, value in enumerate(curve.astype(np.float64)):
        total, weight = keep * total + value, keep * weight + 1.0
        out[i] = total / weight
    return out


def figure(paths: list[Path], out: Path, every: int = 20) -> None:
    """A panel a training: read-outs against the true staircase; .html, or .png by chromium."""
    from plotly.subplots import make_subplots  # only for figures

    panels = [
        (path, read)
        for path in paths
        for read in np.load(path).files
        if read not in ("levels", "log-normaliser")
    ]
    titles = [f"{path.stem.split('-seed')[1].split('-', 1)[1]} → {read}" for path, read in panels]
    columns = min(4, len(panels))
    count = -(-len(panels) // columns)
    drawn = make_subplots(
        count, columns, shared_xaxes=True, shared_yaxes=True, subplot_titles=titles
    )
    for i, (path, read) in enumerate(panels):
        with np.load(path) as file:
            curve, truth = file[read], file["levels"]
        truth = np.repeat(truth, len(curve) // len(truth))
        place = {"row": i // columns + 1, "col": i % columns + 1}
        steps = np.arange(len(curve))[::every]
        for values, color, width in (
            (curve[::every], "rgba(0,114,178,0.25)", 1),
            (averaged(curve)[::every], "#0072b2", 2),
            (truth[::every], "#1a1e23", 1),
        ):
            line = {"color": color, "width": width}
            drawn.add_scatter(x=steps, y=values, mode="lines", line=line, **place)
    drawn.update_yaxes(range=[-0.5, 1.3 * float(truth[-1])])
    drawn.update_layout(
        template="simple_white", showlegend=False, width=300 * columns, height=240 * count
    )
    drawn.update_layout(title="Information in nats against steps: read off, averaged, true")
    drawn.write_html(out) if out.suffix == ".html" else picture(drawn, out)


def picture(drawn: Any, out: Path) -> None:
    """A figure as PNG, through a page that chromium shows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        width, height = drawn.layout.width + 20, drawn.layout.height + 20
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_content(drawn.to_html(), wait_until="load")
        page.wait_for_selector(".main-svg")
        page.screenshot(path=str(out))
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("staircase.jsonl"))
    parser.add_argument("--train", nargs="+", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--critic", choices=("separable", "joint"), default="separable")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4000, help="of each level")
    parser.add_argument("--cubic", action="store_true", help="measure y^3")
    parser.add_argument("--bits", action="store_true", help="levels of 2 to 10 bits, not nats")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--table", type=Path, help="rows to make tables of")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--figure", type=Path, help=".html or .png to draw from --curves")
    parser.add_argument("--curves", type=Path, nargs="+", default=[])
    args = parser.parse_args()
    if args.table:
        print(report(read_rows(args.table), args.markdown))
    elif args.figure:
        figure(args.curves, args.figure)
    else:
        run(args)


if __name__ == "__main__":
    main()
