"""A realistic study and run made by hand."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageEnhance

from goodviews.interfaces import Row
from goodviews.report import strip_path, summarise

K = 256

FAMILIES: dict[str, tuple[str, list[Any], list[float], list[float], list[str]]] = {
    # dial, values, nats, accuracy, regimes
    "crop-scale": (
        "smallest area",
        [0.05, 0.2, 0.4, 0.7, 1.0],
        [1.91, 2.62, 3.35, 4.31, 5.32],
        [0.531, 0.612, 0.582, 0.498, 0.381],
        ["missing information", "sweet spot", "undecided", "excess noise", "excess noise"],
    ),
    "color-jitter": (
        "strength",
        [0.25, 0.5, 1.0, 2.0],
        [4.12, 3.61, 2.84, 2.21],
        [0.545, 0.571, 0.598, 0.566],
        ["excess noise", "undecided", "sweet spot", "missing information"],
    ),
    "blur": (
        "sigma, pixels",
        [0.5, 1.0, 2.0],
        [5.14, 4.72, 4.05],
        [0.402, 0.421, 0.447],
        ["excess noise", "excess noise", "undecided"],
    ),
    "color-space": (
        "split",
        ["RGB", "YDbDr", "Lab"],
        [4.9, 3.02, 3.2],
        [0.455, 0.573, 0.561],
        ["excess noise", "sweet spot", "undecided"],
    ),
}

BASELINES = {"raw pixels": (0.392, 0.351), "untrained network": (0.441, 0.378)}


def picture(seed: int, size: int = 32) -> Image.Image:
    """A small scene: sky, ground and something on it."""
    draws = random.Random(seed)
    image = Image.new("RGB", (size, size))
    top, bottom = ([draws.randint(40, 230) for _ in range(3)] for _ in range(2))
    for y in range(size):
        t = y / size
        row = tuple(int(a * (1 - t) + b * t) for a, b in zip(top, bottom, strict=True))
        ImageDraw.Draw(image).line([(0, y), (size, y)], fill=row)
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        x, y, r = draws.randint(2, 26), draws.randint(6, 28), draws.randint(3, 9)
        color = tuple(draws.randint(0, 255) for _ in range(3))
        (pen.ellipse if draws.random() < 0.5 else pen.rectangle)(
            [x - r, y - r, x + r, y + r], color
        )
    return image


def strip(seed: int, pairs: int = 8, size: int = 32) -> bytes:
    """A strip of pairs as PNG: view 1 above view 2."""
    draws = random.Random(seed)
    sheet = Image.new("RGB", (pairs * (size + 2) - 2, 2 * size + 2), "#888888")
    for place in range(pairs):
        source = picture(100 + place, size)
        for row in range(2):
            side = draws.randint(10, 26)
            x, y = draws.randint(0, size - side), draws.randint(0, size - side)
            view = source.crop((x, y, x + side, y + side)).resize((size, size))
            view = ImageEnhance.Color(view).enhance(draws.uniform(0.2, 1.8))
            sheet.paste(view, (place * (size + 2), row * (size + 2)))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def make_rows(labelled: bool = True, seeds: int = 3) -> list[Row]:
    """Rows of four families over seeds, two baselines, one candidate that failed."""
    draws = random.Random(0)
    rows = []
    for family, (dial, values, nats, accuracy, _) in FAMILIES.items():
        for value, amount, right in zip(values, nats, accuracy, strict=True):
            for seed in range(seeds):
                row = Row("candidate", f"{family}={value}", seed, family, dial, value)
                row.nats = amount + draws.gauss(0, 0.06)
                row.nats_train = min(amount * 1.04 + draws.gauss(0, 0.05), math.log(K))
                row.null, row.candidates = draws.gauss(0, 0.01), K
                row.rankme = 60 * right + draws.gauss(0, 1)
                row.alignment, row.uniformity = 1 - amount / 8, -2.5 - right
                row.seconds, row.images_per_second = 41.0 + draws.random(), 8200.0
                if labelled:
                    row.linear = right + draws.gauss(0, 0.006)
                    row.linear_few = right - 0.14 + draws.gauss(0, 0.01)
                    row.knn = right - 0.05 + draws.gauss(0, 0.006)
                    row.label_nats = 2.2 * right
                rows.append(row)
    for name, (linear, knn) in BASELINES.items():
        rows.append(Row("baseline", name, 0, linear=linear if labelled else None, knn=knn))
    error = "RuntimeError: the loss is not finite at step 12 (<b>lr</b> too high?)"
    rows.append(Row("candidate", "noise=9", 0, "noise", "sigma", 9.0, status="failed", error=error))
    return rows


def make_study(rows: list[Row], labelled: bool = True) -> dict[str, Any]:
    """The record of the study, as ``study.json`` holds it."""
    regimes = {
        f"{family}={value}": regime
        for family, (_, values, _, _, names) in FAMILIES.items()
        for value, regime in zip(values, names, strict=True)
    }
    summary = summarise(rows)
    for entry in summary:
        entry["regime"] = regimes.get(entry["candidate"]) if labelled else None
        entry["recommended"] = entry["rank"] == 1
    return {
        "question": "Which views of cifar10 keep what the labels need and share little else?",
        "answer": "Use crop-scale=0.2: a linear probe on its encoder reaches 61.2 \u00b1 0.6 % "
        "on held-out images (3 seeds; 22.0 points over raw pixels and 17.1 points over the same "
        "network untrained). Its views share 2.62 nats (held-out I_NCE, K = 256, ceiling 5.55), "
        "the sweet spot of this study.",
        "verdicts": [
            "crop-scale: best at smallest area 0.2.",
            "color-jitter: best at strength 1.",
            "Worse than untrained network (44.1 %): 4 of 15 candidates.",
        ],
        "rule": "A candidate is less accurate only if the difference exceeds the seeds' spread.",
        "command": "goodviews choose --data cifar10 --families crop-scale,color-jitter,blur "
        "--budget standard --seeds 3 --out studies/cifar10",
        "recipe_text": "name: crop-scale=0.2\nops:\n- resized-crop: {scale: [0.2, 1.0]}\n",
        "seeds": [0, 1, 2],
        "budget": "standard",
        "K": K,
        "label_entropy": math.log(10) if labelled else None,
        "labelled": labelled,
        "data": {
            "name": "cifar10",
            "train": 50000,
            "test": 10000,
            "classes": ["airplane", "cat & dog", "</script><script>alert(1)</script>"],
            "skipped": {"corrupt": 1, "files": ["photos/holiday/IMG_20240612_101112.jpg"]},
        },
        "environment": {"python": "3.11.7", "torch": "2.14.1", "cores": 2, "gpu": None},
        "settings": {"encoder": "convnet", "batch_size": 256, "lr": 0.001, "steps": 600},
        "summary": summary,
    }


def write_study(out: Path, rows: list[Row], study: dict[str, Any] | None) -> Path:
    """The folder a study leaves."""
    (out / "views").mkdir(parents=True)
    lines = (json.dumps(row.to_dict()) for row in rows)
    (out / "rows.jsonl").write_text("\n".join(lines) + "\n")
    if study is not None:
        (out / "study.json").write_text(json.dumps(study))
    names = {row.candidate for row in rows if row.kind == "candidate"}
    for seed, name in enumerate(sorted(names - {"noise=9"})):
        strip_path(out, name).write_bytes(strip(seed))
    return out


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """The rows of a labelled study."""
    return make_rows()


@pytest.fixture(scope="session")
def study(rows: list[Row]) -> dict[str, Any]:
    """The record of a labelled study."""
    return make_study(rows)


@pytest.fixture(scope="session")
def study_folder(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], study: dict[str, Any]
) -> Path:
    """A labelled study's folder."""
    return write_study(tmp_path_factory.mktemp("study") / "out", rows, study)


@pytest.fixture(scope="session")
def unlabelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder without labels."""
    rows = make_rows(labelled=False)
    study = make_study(rows, labelled=False)
    study["question"] = "Which views of my photos share what matters?"
    study["answer"] = "There are no labels, so no sweet spot can be named."
    return write_study(tmp_path_factory.mktemp("unlabelled") / "out", rows, study)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run's folder with every optional file."""
    return write_run(tmp_path_factory.mktemp("run") / "simclr-cifar10")


def write_run(out: Path) -> Path:
    """The folder a training run leaves."""
    out.mkdir(parents=True)
    draws = random.Random(1)
    with (out / "metrics.csv").open("w", newline="") as file:
        table = csv.writer(file)
        names = "epoch step loss lr nats ceiling nats_train knn linear rankme alignment uniformity"
        names += " std images_per_second data_wait"
        table.writerow(names.split())
        for epoch in range(1, 21):
            t = 1 - math.exp(-epoch / 6)
            line = [epoch, 195 * epoch, 5.4 - 2.1 * t, 1e-3 * (1 - epoch / 21), 3.6 * t]
            line += [math.log(K), 3.8 * t, 0.3 + 0.25 * t, 0.35 + 0.27 * t, 8 + 40 * t]
            line += [0.9 - 0.4 * t, -1 - 2 * t, 0.07, 8100 + draws.gauss(0, 90), 0.02]
            if epoch % 2:
                line[7:9] = ["", "nan"]
            table.writerow(line)
    probes = [
        ("raw pixels", 0.392, 0.351),
        ("untrained network", 0.441, 0.378),
        ("this run", 0.618, 0.552),
    ]
    rows = [
        {
            "name": name,
            **{"linear": a, "linear_lo": a - 0.01, "linear_hi": a + 0.01},
            **{"knn": b, "knn_lo": b - 0.01, "knn_hi": b + 0.01},
        }
        for name, a, b in probes
    ]
    verdict = "better than both baselines: 61.8 % against 44.1 % untrained and 39.2 % raw pixels"
    record = {"rows": rows, "verdict": verdict, "n_test": 10000, "extra": {"k": 20}}
    (out / "probes.json").write_text(json.dumps(record))
    (out / "config.yaml").write_text("method: simclr\ndata: cifar10\nviews: simclr\nseed: 0\n")
    command = "goodviews train simclr --data cifar10 --views simclr --out runs/simclr-cifar10"
    (out / "environment.json").write_text(json.dumps({"python": "3.11.7", "command": command}))
    (out / "data_report.json").write_text(json.dumps({"images": 50000, "skipped": 0}))
    snippet = "import goodviews\nencoder = goodviews.load('runs/simclr-cifar10')"
    (out / "encoder.json").write_text(json.dumps({"snippet": snippet}))
    (out / "views.png").write_bytes(strip(5, pairs=12))
    (out / "neighbours.png").write_bytes(strip(6, pairs=9, size=48))
    labels = [draws.choice(["cat", "dog", "ship", "truck"]) for _ in range(300)]
    centre = {"cat": (0, 0), "dog": (1.5, 0.5), "ship": (4, 4), "truck": (5, 1)}
    points = [[c + draws.gauss(0, 0.7) for c in centre[label]] for label in labels]
    xs, ys = zip(*points, strict=True)
    (out / "embedding.json").write_text(json.dumps({"x": xs, "y": ys, "label": labels}))
    edges = [-1 + place / 20 for place in range(41)]
    bins = {
        "positive": [math.exp(-(((e - 0.7) / 0.2) ** 2)) for e in edges[:-1]],
        "negative": [math.exp(-(((e - 0.05) / 0.25) ** 2)) for e in edges[:-1]],
    }
    (out / "similarity.json").write_text(json.dumps({"edges": edges, **bins}))
    pairs = [{"true": "cat", "predicted": "dog", "count": 181}]
    (out / "confusions.json").write_text(json.dumps(pairs))
    return out
