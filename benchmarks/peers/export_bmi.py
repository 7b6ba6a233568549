"""Write samples of the `bmi` tasks (Czyz et al. 2023) to a folder.

Run by a Python that has `benchmark-mi` (it needs `jax==0.4.28 jaxlib==0.4.28 "scipy<1.13"`)::

    python benchmarks/peers/export_bmi.py --out samples --sizes 5000 10000 --seeds 0 1 2

Groups: `bmi-v1`, the 40 tasks of `bmi.benchmark.BENCHMARK_TASKS`; `bmi-v2`, the mixtures of the
second paper (Czyz et al. 2025), whose truth is the mean of the exact pointwise value over fresh
draws; `other`, distributions of other widths and kinds that no published table holds, so that
tuning to the tables shows.

Each file holds `x`, `y` (rows, columns; as sampled, never rescaled; float32 exactly where the
sampler gives float32), `mi` (nats), `id`, `name`. `index.json` lists every file.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from bmi.benchmark import BENCHMARK_TASKS, Task, tasks
from bmi.benchmark.tasks.asinh import transform_asinh_task
from bmi.benchmark.tasks.student import task_student_identity
from bmi.samplers._tfp import monte_carlo_mi_estimate

CHUNK, CHUNKS = 100_000, 20


def mixtures() -> list[Task]:
    """The tasks that the second paper adds."""
    inliers = tasks.task_multinormal_sparse_w_inliers
    rings = tasks.task_concentric_multinormal
    return [
        tasks.task_x(),
        tasks.task_ai(),
        tasks.task_waves(),
        tasks.task_galaxy(),
        *(rings(dim_x=d, n_components=n) for d, n in [(3, 5), (5, 5), (3, 10), (5, 10), (25, 5)]),
        *(inliers(dim_x=d, dim_y=d, inlier_fraction=f) for d in (5, 25) for f in (0.2, 0.5)),
    ]


def others() -> list[Task]:
    """Widths, tails and strengths outside both papers."""
    pairs = tasks.task_multinormal_2pair
    spiral, cdf = tasks.transform_spiral_task, tasks.transform_normal_cdf_task
    normal = tasks.task_bivariate_normal
    return [
        normal(gaussian_correlation=0.0),
        normal(gaussian_correlation=0.2),
        normal(gaussian_correlation=0.99),
        tasks.task_additive_noise(epsilon=0.3),
        tasks.task_bimodal_gaussians(gaussian_correlation=0.9),
        tasks.transform_swissroll_task(cdf(normal(0.9)), task_name="Swiss roll 2 × 1, rho .9"),
        tasks.task_multinormal_dense(4, 4, off_diag=0.0, task_name="Independent 4 × 4"),
        tasks.task_multinormal_dense(10, 10),
        tasks.task_multinormal_dense(2, 7),
        tasks.task_multinormal_sparse(8, 8, n_interacting=4, strength=1.0),
        tasks.task_multinormal_sparse(12, 12, n_interacting=8, strength=3.0),
        tasks.transform_half_cube_task(pairs(10, 10)),
        tasks.transform_wiggly_task(pairs(4, 4)),
        tasks.transform_rotate_task(cdf(pairs(4, 4))),
        spiral(pairs(4, 4)),
        spiral(pairs(8, 8)),
        spiral(cdf(pairs(4, 4))),
        spiral(pairs(4, 4), speed=0.3, task_name="Slow spiral @ Multinormal 4 × 4 (2-pair)"),
        task_student_identity(dim_x=1, dim_y=1, df=3),
        task_student_identity(dim_x=4, dim_y=4, df=3),
        task_student_identity(dim_x=10, dim_y=10, df=2),
        tasks.task_student_dense(4, 4, df=3),
        tasks.task_student_2pair(5, 5, df=2),
        transform_asinh_task(tasks.task_student_2pair(4, 4, df=1)),
    ]


def truth(task: Task) -> float:
    """The task's information, by 2 million fresh draws where it has no closed form."""
    sampler = task.sampler
    while hasattr(sampler, "_base_sampler"):
        sampler = sampler._base_sampler
    if not hasattr(sampler, "_dist"):
        return float(task.mutual_information)
    keys = jax.random.split(jax.random.PRNGKey(2_025), CHUNKS)
    return float(np.mean([monte_carlo_mi_estimate(k, sampler._dist, CHUNK)[0] for k in keys]))


def identity(task: Task, group: str) -> str:
    """The task's id; a spiral of another speed gets its own."""
    speed = task.params.get("speed", 1.0)
    return f"{task.id}-speed-{speed}" if group == "other" and speed != 1.0 else task.id


def export(task: Task, group: str, n: int, seed: int, mi: float, out: Path) -> dict[str, object]:
    """Write one file and give its line of the index."""
    name = identity(task, group)
    path = out / f"{name}__n{n}__seed{seed}.npz"
    if not path.exists():
        x, y = (np.asarray(side) for side in task.sample(n, seed))
        np.savez_compressed(path, x=x, y=y, mi=mi, id=name, name=task.name)
    return {
        "id": name,
        "name": task.name,
        "group": group,
        "n": n,
        "seed": seed,
        "dim_x": task.dim_x,
        "dim_y": task.dim_y,
        "mi": mi,
        "file": path.name,
    }


def main() -> None:
    """Write the files of every group, size and seed; files that exist stay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--groups", nargs="+", default=["bmi-v1", "bmi-v2", "other"])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    made: dict[str, Callable[[], list[Task]]] = {
        "bmi-v1": lambda: list(BENCHMARK_TASKS.values()),
        "bmi-v2": mixtures,
        "other": others,
    }
    index: dict[str, dict[str, object]] = {}
    listing = args.out / "index.json"
    if listing.exists():
        index = {line["file"]: line for line in json.loads(listing.read_text())}
    for group in args.groups:
        for task in made[group]():
            mi = truth(task)
            for n in args.sizes:
                for seed in args.seeds:
                    line = export(task, group, n, seed, mi, args.out)
                    index[str(line["file"])] = line
            listing.write_text(json.dumps(list(index.values()), indent=1))
            print(f"{group:7s} {mi:8.5f}  {task.name}", flush=True)


if __name__ == "__main__":
    main()
