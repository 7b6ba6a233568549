"""InfoGraph after its last epoch, and after the epoch that does best on the test folds.

Published accuracies of graph sets are of the best epoch, chosen on the folds that are reported
(Sun et al. 2020, and most who followed). This shows what that choice is worth.

    python benchmarks/infograph_epochs.py --data mutag --data-root DATA
"""

from __future__ import annotations

import argparse
from statistics import fmean, stdev

from goodviews.data.graphs import load_graphs
from goodviews.studies.graphs.bench import embedded
from goodviews.studies.graphs.frozen import designed, preset_of, settings_of
from goodviews.studies.graphs.tasks import task_of
from goodviews.training.graphs import fit_graphs


def main() -> None:
    """Probe after each epoch; an epoch count draws what a longer run draws up to there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mutag")
    parser.add_argument("--data-root")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    loaded = load_graphs(given.data, data_root=given.data_root)
    task, entry = task_of("graphs", loaded), preset_of("infograph", None, given.data)
    width = loaded.graphs[0].x.size(1)
    runs: list[list[float]] = []
    for seed in range(given.seeds):
        scene, found = task.scene(seed), []
        for epochs in range(given.epochs + 1):
            method = designed(entry, None, width).build(seed)
            if epochs:
                settings = settings_of(entry, seed, "cpu", epochs=epochs)
                fit_graphs(method, scene.graphs, settings)
            found.append(100 * scene.probe(embedded(method, scene.embedded))["linear"])
        runs.append(found)
        print(f"seed {seed}: " + " ".join(f"{value:.1f}" for value in found), flush=True)
    for words, chosen in (
        ("untrained", [run[0] for run in runs]),
        ("last epoch", [run[-1] for run in runs]),
        ("best epoch on the test folds, a seed", [max(run) for run in runs]),
    ):
        print(f"{loaded.name}, {words}: {fmean(chosen):.1f} +- {stdev(chosen):.1f}")


if __name__ == "__main__":
    main()
