"""The long runs behind docs/results: goodviews commands, and tables written from their rows.

    GOODVIEWS_DATA=/where/the/sets/are python benchmarks/evidence.py [NAME ...] [--out FOLDER]

Each run resumes where it was. On two CPU cores: factors 5 minutes, cifar10-choose 45,
cifar10-simclr 20, cifar10-amdim 60, tiny-imagenet-amdim 30, amdim-ablation 60, the experiments of
mi/ four hours in all, the studies of infomin/ three. Pictures of pages
need Debian's chromium.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any

from statements import PAGES, compose, picture

from goodviews.cli import main as goodviews

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RECIPE = Path(__file__).with_name("simclr-cifar10.yaml")
_FIVE = "0.1,0.3,0.5,0.7,0.9"
_RULES = "adamic-adar,ppr,raw features,untrained network"
_FEW = (
    f" --variants '{_RULES},katz,edge-removal=0.3,edge-removal=0.7,resample=0.3,hidden-links=0.5'"
)
_ARMS = _FEW[:-1] + ",common-neighbours,gae,complete=0.3'"
RUNS: dict[str, tuple[str, ...]] = {
    "factors-digit": ("choose --data factors --budget quick --out {out}",),
    "cifar10-choose": (
        "choose --data {data}/cifar10 --families crop-scale,color-jitter "
        "--budget standard --out {out}",
    ),
    "cifar10-simclr": (
        "train simclr --data {data}/cifar10 --views {recipe} --encoder convnet "
        "--epochs 30 --lr 2e-3 --evaluate-every 5 --out {out}",
    ),
    "cifar10-amdim": (
        "train amdim --data {data}/cifar10 --epochs 30 --evaluate-every 3 --out {out}",
        "evaluate {out} --probe linear,mlp --max-images 20000 --baseline-seeds 1",
        "evaluate {out} --data {data}/tiny-imagenet-20 --probe linear,mlp --baseline-seeds 1",
        "evaluate {out} --data {data}/tiny-imagenet-20 --probe finetune --labels-per-class 50 "
        "--draws 1 --baseline-seeds 1",
        "evaluate {out} --probe linear,mlp --max-images 10000 --protocol paper --epochs 30 "
        "--bn-refresh --baseline-seeds 1",
    ),
    "tiny-imagenet-amdim": (
        "train amdim --data {data}/tiny-imagenet-20 --epochs 15 --evaluate-every 5 "
        "--baseline-seeds 1 --out {out}",
        "evaluate {out} --data {data}/cifar10 --probe linear,mlp --max-images 10000 "
        "--baseline-seeds 1",
    ),
    **{
        f"cifar10-mixture-{k}": (
            f"train amdim --data {{data}}/cifar10 --mixture {k} --steps {steps} "
            "--evaluate-every 0 --baseline-seeds 1 --out {out}",
        )
        for k, steps in ((2, 500), (3, 900), (4, 500))
    },
    "amdim-ablation": (
        "study amdim-ablation --data {data}/cifar10 --max-images 16000 --steps 300 "
        "--batch-size 64 --seeds 3 --device cpu --out {out}",
    ),
    "mi/invertible": (
        "study invertible --data mnist --data-root {data} --scale paper --variants I_NCE "
        "--seeds 3 --steps 1200 --looks 3 --lr 1e-3 --out {out}",
    ),
    "mi/invertible-nwj": (
        "study invertible --data mnist --data-root {data} --scale paper --variants I_NWJ "
        "--seeds 3 --steps 1200 --looks 3 --lr 2e-4 --out {out}",
    ),
    "mi/invertible-quick": ("study invertible --data mnist --data-root {data} --out {out}",),
    "mi/adversarial-paper": (
        "study adversarial --data mnist --data-root {data} --scale paper --seeds 3 --looks 4 "
        "--out {out}",
    ),
    "mi/adversarial-six": (
        "study adversarial --data mnist --data-root {data} --seeds 6 --steps 3000 --looks 6 "
        "--lr 2e-5 --out {out}",
    ),
    "mi/conditioning": (
        "study conditioning --data mnist --data-root {data} --scale paper --variants I_NCE "
        "--seeds 3 --steps 7000 --looks 7 --lr 3e-4 --out {out}",
    ),
    "mi/conditioning-nwj": (
        "study conditioning --data mnist --data-root {data} --scale paper --variants I_NWJ "
        "--seeds 3 --steps 7000 --looks 7 --out {out}",
    ),
    "mi/critics": (
        "study critics --data mnist --data-root {data} --scale paper --seeds 3 --out {out}",
    ),
    "mi/matched-bounds": (
        "study matched-bounds --data mnist --data-root {data} --seeds 3 --out {out}",
    ),
    "mi/matched-bounds-paper": (
        "study matched-bounds --data mnist --data-root {data} --scale paper --seeds 3 "
        "--steps 4000 --looks 4 --variants 'MLP I_NCE t=2,ConvNet I_NCE t=2,MLP I_NCE t=4,"
        "ConvNet I_NCE t=4' --out {out}",
    ),
    "mi/negatives": (
        "study negatives --data mnist --data-root {data} --steps 2000 --looks 4 --out {out}",
    ),
    "mi/negatives-paper": (
        "study negatives --data mnist --data-root {data} --scale paper --seeds 3 --variants "
        "'Gaussian i.i.d. I_NCE,Gaussian i.i.d. I_NWJ,Gaussian shared Z I_NCE,"
        "Gaussian shared Z I_NWJ' --out {out}",
    ),
    "mi/metric-learning-six": (
        "study metric-learning --data mnist --data-root {data} --seeds 6 --out {out}",
    ),
    "mi/cifar10-critics": ("study critics --data {data}/cifar10 --out {out}",),
    "mi/cifar10-critics-nwj": (
        "study critics --data {data}/cifar10 --lr 2e-4 --variants 'inner product I_NWJ,"
        "bilinear I_NWJ,separable I_NWJ,MLP I_NWJ' --out {out}",
    ),
    "mi/cifar10-conditioning": (
        "study conditioning --data {data}/cifar10 --variants I_NCE --out {out}",
    ),
    "mi/cifar10-invertible": ("study invertible --data {data}/cifar10 --out {out}",),
    "mi/cifar10-adversarial": ("study adversarial --data {data}/cifar10 --out {out}",),
    "mi/cifar10-matched-bounds": (
        "study matched-bounds --data {data}/cifar10 --seeds 3 --looks 2 --out {out}",
    ),
    "mi/cifar10-negatives": (
        "study negatives --data {data}/cifar10 --variants 'images: i.i.d.,images: same image,"
        "images: near images,images: same class' --out {out}",
    ),
    "mi/cifar10-metric-learning": (
        "study metric-learning --data {data}/cifar10 --variants 'InfoNCE,N-pair,triplet,"
        "soft triplet' --out {out}",
    ),
    "infomin/regimes": ("study regimes --out {out}",),
    "infomin/patch-distance": (
        "study patch-distance --data {data}/photos "
        "--transfer {data}/cifar10,{data}/tiny-imagenet-20 --out {out}",
    ),
    "infomin/frequency": ("study frequency --data {data}/cifar10 --out {out}",),
    "infomin/color-spaces": (
        "study color-spaces --data {data}/cifar10 --segmentation {data}/camvid --out {out}",
    ),
    "infomin/crop": ("study crop --data {data}/cifar10 --out {out}",),
    "infomin/jitter": ("study jitter --data {data}/cifar10 --out {out}",),
    "infomin/shared-factors": (
        "study shared-factors --data moving-mnist --data-root {data} "
        "--backgrounds {data}/tiny-imagenet-20 --out {out}",
    ),
    "infomin/learned-views": ("study learned-views --data {data}/cifar10 --out {out}",),
    "infomin/view-methods": (
        "study view-methods --data {data}/cifar10 --steps 1170 --seeds 3 "
        "--variants instdis,moco,moco-v2,pirl,cmc,infomin,simclr,amdim --out {out}",
    ),
    **{
        f"graphs/methods-{name}": (
            f"study graph-methods --data {name} --data-root {{data}}{arms} --out {{out}}",
        )
        for name, arms in (
            ("cora", " --variants grace,dgi"),
            ("citeseer", " --variants grace,dgi"),
            ("mutag", ""),
            ("proteins", " --variants infograph"),
            ("imdb-binary", ""),
        )
    },
    "graphs/links-cora": (
        "study graph-methods --data cora --task links --variants grace,dgi,gae "
        "--data-root {data} --out {out}",
    ),
    **{
        f"graphs/views-{name}": (
            f"study graph-views --data {name} --data-root {{data}} --seeds 5{more} "
            "--variants edge-removal,feature-masking,hidden-links --out {out}",
        )
        for name, more in (("cora", ""), ("texas", ""), ("usair", " --features positional"))
    },
    "graphs/choose-texas": (
        "choose --data texas --task nodes --budget quick --seeds 5 --data-root {data} "
        "--families edge-removal,feature-masking,hidden-links,complete --out {out}",
    ),
    **{
        f"graphs/missing-{name}": (
            f"study missing-links --data {name.removesuffix('-64')} --data-root {{data}} --seeds 5 "
            f"--features {features} --hidden {shares}{arms} --out {{out}}",
        )
        for name, features, shares, arms in (
            ("celegans", "positional", _FIVE, ""),
            ("usair", "positional", _FIVE, _ARMS),
            ("ns", "positional", _FIVE, _ARMS),
            ("celegans-64", "positional:64", "0.1,0.3,0.5,0.7", _FEW),
            ("ns-64", "positional:64", "0.1,0.5", _FEW),
            *((n, "positional:64", "0.1,0.5", _FEW) for n in ("yeast", "ecoli", "power", "router")),
        )
    },
    **{
        f"graphs/missing-{name}": (
            f"study missing-links --data {name} --data-root {{data}} --seeds 5 "
            f"--hidden {shares} --variants '{_RULES},{arms}' --out {{out}}",
        )
        for name, shares, arms in (
            (
                "cora",
                "0.1,0.5,0.9",
                "edge-removal=0.3,edge-removal=0.3+feature-masking=0.3,hidden-links=0.5,"
                "hidden-links=0.5+feature-masking=0.3,resample=0.3+feature-masking=0.3",
            ),
            (
                "citeseer",
                "0.1,0.5",
                "edge-removal=0.3+feature-masking=0.3,hidden-links=0.5+feature-masking=0.3",
            ),
        )
    },
}
"""Name -> commands: the first makes the run or study, the others probe it."""
PICTURES = ("neighbour_scores.png", "similarity_maps.png", "mixture.png")
"""Of a run, copied beside its page: the last of a mixture, the others of any other."""
COLUMNS = (
    ("I_NCE held out, nats", "nats", 1.0, 2),
    ("I_NCE train", "nats_train", 1.0, 2),
    ("null", "null", 1.0, 2),
    ("linear %", "linear", 100.0, 1),
    ("few labels %", "linear_few", 100.0, 1),
    ("kNN %", "knn", 100.0, 1),
    ("I(z;y) >=, nats", "label_nats", 1.0, 2),
    ("RankMe", "rankme", 1.0, 1),
)


def number(entry: dict[str, Any], key: str, scale: float, digits: int) -> str:
    """Mean +- standard deviation over seeds."""
    if entry[key] is None:
        return ""
    text = f"{scale * entry[key]:.{digits}f}"
    deviation = entry.get(f"{key}_sd")
    return text if deviation is None else f"{text} ± {scale * deviation:.{digits}f}"


def head(name: str, command: str, environment: dict[str, Any]) -> list[str]:
    """Title, command, date, machine."""
    machine = f"{environment['cpus']} cores of {environment['processor']}"
    facts = f"{machine}, {environment['device']}, torch {environment['packages']['torch']}"
    return [f"# {name}", "", f"`{command}`", "", f"{date.today()}; {facts}", ""]


def study_text(name: str, command: str, out: Path) -> str:
    """A study as markdown."""
    study = json.loads((out / "study.json").read_text("utf-8"))
    lines = head(name, command, study["environment"])
    lines += [f"**{study['question']}** {study['answer']}", ""]
    lines += [f"- {line}" for line in study["verdicts"]]
    k, seeds = study["K"], study["seeds"]
    lines += ["", f"K = {k}, {seeds} seeds (0 to {seeds - 1}), mean ± standard deviation.", ""]
    lines += ["| | " + " | ".join(title for title, *_ in COLUMNS) + " | exact I | regime |"]
    lines += ["|---|" + "---:|" * (len(COLUMNS) + 1) + "---|"]
    for entry in sorted(study["summary"], key=lambda e: (e["rank"] is None, e["rank"] or 0)):
        cells = [number(entry, *column) for _, *column in COLUMNS]
        exact = "" if entry["true_nats"] is None else f"{entry['true_nats']:.2f}"
        mark = " **recommended**" if entry["recommended"] else ""
        cells += [exact, entry["regime"] or ""]
        lines.append(f"| {entry['candidate']}{mark} | {' | '.join(cells)} |")
    lines += ["", f"![accuracy against information]({name}.png)"]
    return "\n".join(lines) + "\n"


PROBES = {"linear": "linear", "mlp": "MLP", "knn": "kNN", "finetune": "fine-tuned"}


def probe_table(table: dict[str, Any]) -> list[str]:
    """Rows of raw pixels, untrained network and the run, with 95 % intervals."""
    known = [probe for probe in PROBES if probe in table["rows"][-1]]
    titles = " | ".join(f"{PROBES[probe]} % [95 %]" for probe in known)
    lines = [f"| | {titles} |", "|---|" + "---:|" * len(known)]
    for row in table["rows"]:
        cells = [
            f"{100 * row[p]:.1f} [{100 * row[f'{p}_lo']:.1f}, {100 * row[f'{p}_hi']:.1f}]"
            if p in row
            else ""
            for p in known
        ]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    return lines


def run_text(name: str, commands: list[str], out: Path) -> str:
    """A training run as markdown, and what probed it."""
    probes = json.loads((out / "probes.json").read_text("utf-8"))
    environment = json.loads((out / "environment.json").read_text("utf-8"))
    lines = head(name, commands[0], environment)
    lines += [probes["verdict"], "", *probe_table(probes)]
    with (out / "metrics.csv").open(encoding="utf-8") as file:
        epochs = [line for line in csv.DictReader(file) if line["linear"]]  # held-out evaluation
    shown = [name for name in EPOCH if epochs and epochs[-1].get(name)]
    if epochs:
        lines += ["", "| " + " | ".join(shown) + " |", "|" + "---:|" * len(shown)]
    for line in epochs:
        lines.append("| " + " | ".join(f"{float(line[k]):.4g}" for k in shown) + " |")
    found = sorted(out.glob("evaluate-*.json"), key=lambda path: path.stat().st_mtime)
    for command, path in zip(commands[1:], found, strict=False):
        table = json.loads(path.read_text("utf-8"))
        lines += ["", f"`{command}`", "", table["verdict"], "", *probe_table(table)]
    mixed = (out / PICTURES[-1]).exists()
    for file_name in PICTURES[-1:] if mixed else PICTURES[:-1]:
        if (out / file_name).exists():
            shutil.copy(out / file_name, RESULTS / f"{name}-{file_name}")
            lines += ["", f"![{file_name}]({name}-{file_name})"]
    return "\n".join(lines) + "\n"


EPOCH = (
    "epoch",
    "loss",
    "nats",
    "ceiling",
    "null",
    "nats_1to5",
    "nats_1to7",
    "nats_5to5",
    "knn",
    "linear",
    "online_linear",
    "online_mlp",
    "rankme",
    "images_per_second",
)
"""Columns of metrics.csv on a run's page."""


def keep_rows(out: Path, name: str, data: str) -> None:
    """The rows of a study beside its page."""
    rows = (out / "rows.jsonl").read_text("utf-8").replace(data, "$GOODVIEWS_DATA")
    (RESULTS / f"{name}.rows.jsonl").write_text(rows, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", choices=[[], *RUNS], help="runs (default: all)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where the runs are kept")
    given = parser.parse_args()
    data = os.environ.get("GOODVIEWS_DATA", "data")
    for name in given.names or RUNS:
        out = given.out / name
        for i, template in enumerate(RUNS[name]):
            command = template.format(data=data, out=out, recipe=RECIPE)
            again = i == 0 and command.startswith("train") and out.exists()
            if goodviews(shlex.split(command + " --resume" * again)) != 0:
                sys.exit(1)
        if name.startswith(tuple(f"{prefix}/" for prefix in PAGES.values())):
            continue
        place = {"data": "$GOODVIEWS_DATA", "out": "OUT", "recipe": f"benchmarks/{RECIPE.name}"}
        shown = [f"goodviews {template.format(**place)}" for template in RUNS[name]]
        if (out / "table.md").exists():
            environment = json.loads((out / "study.json").read_text("utf-8"))["environment"]
            lines = head(name, shown[0], environment)[2:]
            text = (out / "table.md").read_text("utf-8") + "\n" + "\n".join(lines)
            keep_rows(out, name, data)
        elif (out / "study.json").exists():
            text = study_text(name, shown[0], out)
            picture(out / "report.html", RESULTS / f"{name}.png")
            keep_rows(out, name, data)
        else:
            text = run_text(name, shown, out)
        (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    for page, prefix in PAGES.items():
        outs = [given.out / name for name in RUNS if name.startswith(f"{prefix}/")]
        if made := [out for out in outs if (out / "study.json").exists()]:
            compose(page, made, data)


if __name__ == "__main__":
    main()
