"""Estimators of information side by side on samples whose information is known.

    python benchmarks/peers/export_bmi.py --out samples          # under bmi's own Python
    python benchmarks/estimators.py --samples samples --methods auto,student,ksg,bmi-ksg \
        --peer-python bmi=venv-bmi/bin/python mist=venv-mist/bin/python --out rows.jsonl
    python benchmarks/estimators.py --table rows.jsonl --markdown

SAMPLES is a folder with an index.json: a list of files as `export_bmi.py` writes it, or of tasks
with `files` that hold x_train, y_train, x_test, y_test (the train rows are read). Names that start
with `bmi-` or `mist-` run in their package's Python, all others are goodviews' own. Every (task,
method, rows, seed) becomes one line of JSON in nats; lines that exist are skipped, so a run can be
stopped and started; a failure or a run past --limit seconds is a line too (--again retries those).
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import selectors
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from estimator_tables import read_rows, report

HERE = Path(__file__).parent / "peers"
WORKERS = {"bmi": "bmi_worker.py", "mist": "mist_worker.py", "": "goodviews_worker.py"}
START = 300  # seconds that imports may take
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Sample:
    """A file of pairs with known information."""

    task: str
    name: str
    group: str
    n: int
    seed: int
    dims: tuple[int, int]
    truth: float
    path: Path
    side: str = ""
    """What follows x and y in the file's names."""
    oracle: float | None = None
    """Mean of the exact pointwise value over these very rows."""


@dataclass(frozen=True)
class Job:
    """One method on the first n rows of one sample."""

    sample: Sample
    method: str
    n: int
    shuffled: bool

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes its line unique."""
        task = self.sample.task
        return task, self.method, self.n, self.sample.seed, self.shuffled

    @property
    def family(self) -> str:
        """The package: "bmi", "mist", or "" for goodviews."""
        prefix = self.method.partition("-")[0]
        return prefix if prefix in WORKERS else ""


def read_samples(folder: Path) -> list[Sample]:
    """The samples that a folder's index lists, in either form."""
    found = []
    for entry in json.loads((folder / "index.json").read_text()):
        for file in entry.get("files", [entry]):
            split = "files" in entry
            found.append(
                Sample(
                    task=entry["id"],
                    name=entry["name"],
                    group=entry["group"],
                    n=entry["n_train" if split else "n"],
                    seed=file["seed"],
                    dims=(entry["dim_x"], entry["dim_y"]),
                    truth=entry["mi_true_nats" if split else "mi"],
                    path=folder / file["file"],
                    side="_train" if split else "",
                    oracle=file.get("oracle_mean_pmi_train"),
                )
            )
    return found


def choose(samples: Iterable[Sample], args: argparse.Namespace) -> list[tuple[Sample, int]]:
    """The samples asked for with the rows to read: a size takes the smallest file that has it."""
    kept = [
        s
        for s in samples
        if (args.seeds is None or s.seed in args.seeds)
        and (not args.tasks or any(part in s.task for part in args.tasks))
        and (not args.groups or s.group in args.groups)
    ]
    if args.sizes is None:
        return [(s, s.n) for s in kept]
    chosen = []
    for task, seed in dict.fromkeys((s.task, s.seed) for s in kept):
        files = sorted((s for s in kept if (s.task, s.seed) == (task, seed)), key=lambda s: s.n)
        for size in args.sizes:
            fitting = [s for s in files if s.n >= size]
            chosen += [(fitting[0], size)] if fitting else []
    return chosen


class Worker:
    """A subprocess that measures; started again after a run past its limit or a crash."""

    def __init__(self, family: str, python: str, threads: int) -> None:
        env = {**os.environ, **dict.fromkeys(THREADS, str(threads)), "TQDM_DISABLE": "1"}
        # JAX and XLA take threads of their own
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false" if threads == 1 else ""
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(HERE / WORKERS[family])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            cwd=HERE,
        )
        hello = self.answer(START)
        if "error" in hello:
            raise SystemExit(
                f"{family or 'goodviews'}: {python} cannot run {HERE / WORKERS[family]} "
                f"({hello['error']}). Run it by hand to see why."
            )
        self.version = hello["version"]

    def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer, or an error in its place."""
        assert self.process.stdin is not None
        self.process.stdin.write((json.dumps(request) + "\n").encode())
        self.process.stdin.flush()
        return self.answer(limit)

    def answer(self, limit: float) -> dict[str, Any]:
        """The next line; past the limit the process ends."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(limit):
                self.stop()
                return {"error": f"took more than {limit:g} seconds", "seconds": limit}
        line = self.process.stdout.readline()
        if not line:
            return {"error": f"the process ended with code {self.process.wait()}"}
        return json.loads(line)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(job: Job, worker: Worker, limit: float, threads: int) -> dict[str, Any]:
    """The line of one job."""
    sample = job.sample
    request = {
        "path": str(sample.path.resolve()),
        "method": job.method,
        "seed": sample.seed,
        "n": job.n,
        "side": sample.side,
        "shuffled": job.shuffled,
    }
    answer = worker.ask(request, limit)
    whole = job.n == sample.n and not job.shuffled
    return {
        "task": sample.task,
        "name": sample.name,
        "group": sample.group,
        "method": job.method,
        "n": job.n,
        "seed": sample.seed,
        "shuffled": job.shuffled,
        "dim_x": sample.dims[0],
        "dim_y": sample.dims[1],
        "truth": 0.0 if job.shuffled else sample.truth,
        "oracle": sample.oracle if whole else None,
        **{"estimate": None, "stderr": None, "interval": None, "warnings": [], "error": None},
        **answer,
        "threads": threads,
        "load": round(os.getloadavg()[0], 1),
        "date": str(date.today()),
        "version": worker.version,
    }


def work(jobs: queue.Queue[Job], args: argparse.Namespace, out: Any, lock: Any) -> None:
    """Take jobs until none is left; one subprocess a package."""
    workers: dict[str, Worker] = {}
    pythons = {"": sys.executable, **dict(pair.split("=", 1) for pair in args.peer_python)}
    try:
        while True:
            job = jobs.get_nowait()
            if job.family not in workers or not workers[job.family].alive:
                workers[job.family] = Worker(job.family, pythons[job.family], args.threads)
            row = measure(job, workers[job.family], args.limit, args.threads)
            with lock:
                out.write(json.dumps(row) + "\n")
                out.flush()
                print(told(row, jobs.qsize()), flush=True)
    except queue.Empty:
        pass
    finally:
        for worker in workers.values():
            worker.stop()


def told(row: dict[str, Any], left: int) -> str:
    """A line for the reader."""
    where = f"{left:5d} left  {row['method']:16s} {row['task'][:44]:44s} n={row['n']} "
    where += f"seed={row['seed']}"
    if row["error"]:
        return f"{where}  failed: {row['error'][:80]}"
    error = row["estimate"] - row["truth"]
    return f"{where}  {row['estimate']:7.3f} ({error:+.3f})  {row['seconds']:.1f} s"


def pending(args: argparse.Namespace) -> Iterator[Job]:
    """The jobs that have no line yet, method by method."""
    done = set()
    if args.out.exists():
        rows = read_rows([args.out])
        done = {
            (r["task"], r["method"], r["n"], r["seed"], r["shuffled"])
            for r in rows
            if not (args.again and r["error"])
        }
    chosen = choose(read_samples(args.samples), args)
    for method in args.methods.split(","):
        for sample, n in chosen:
            job = Job(sample, method, n, args.shuffled)
            if job.key not in done:
                yield job


def run(args: argparse.Namespace) -> None:
    """Measure what is missing."""
    jobs: queue.Queue[Job] = queue.Queue()
    known = {pair.split("=", 1)[0] for pair in args.peer_python} | {""}
    for job in pending(args):
        if job.family not in known:
            raise SystemExit(f"{job.method}: say --peer-python {job.family}=/path/to/bin/python")
        jobs.put(job)
    lock = threading.Lock()
    with args.out.open("a") as out:
        threads = [
            threading.Thread(target=work, args=(jobs, args, out, lock)) for _ in range(args.jobs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, help="folder with index.json")
    parser.add_argument("--methods", default="auto", help="names, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("rows.jsonl"))
    parser.add_argument("--seeds", type=int, nargs="+", help="default: all there are")
    parser.add_argument("--sizes", type=int, nargs="+", help="rows to read; default: each file's")
    parser.add_argument("--tasks", nargs="+", default=[], help="parts of task ids")
    parser.add_argument("--groups", nargs="+", default=[], help="bmi-v1 bmi-v2 other extra")
    parser.add_argument("--shuffled", action="store_true", help="shuffle y: the truth is 0")
    parser.add_argument("--peer-python", nargs="+", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--limit", type=float, default=300, help="seconds for one estimate")
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--jobs", type=int, default=1, help="workers side by side")
    parser.add_argument("--again", action="store_true", help="retry what failed")
    parser.add_argument("--table", type=Path, nargs="+", help="rows to make tables of")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    if args.table:
        print(report(read_rows(args.table), markdown=args.markdown))
    elif args.samples is None:
        parser.error("--samples: say the folder of samples, or --table rows.jsonl")
    else:
        run(args)


if __name__ == "__main__":
    main()
