"""AMDIM's loss a tile at a time against the plain one of the same formula, in one run.

Forward and backward of the pairs (1, 5), (1, 7) and (5, 5) in both directions, from features of D
numbers in the memory format of our encoder: 6 B^2 99 D multiply-adds forward, twice that backward.
"plain" is float32 with automatic differentiation and holds B x B x L scores several times. Ours
reads float32 features or, as under bf16 autocast, bf16 ones. The three take turns; medians over the
rounds. Memory is what the process's peak grows by, each measured in a process of its own.

    OMP_NUM_THREADS=2 python benchmarks/amdim_loss.py --batches 64 128 256 512 1024 --rounds 7
    OMP_NUM_THREADS=2 python benchmarks/amdim_loss.py --batches --candidates 65536

The last line is InfoNCE of cosines in both directions, K candidates of 128 numbers; --device cuda
adds the fraction of the measured peak of a matrix product.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from goodviews.interfaces import Features
from goodviews.objectives import InfoNCE, MultiscaleNCE

LOCATIONS = 25 + 49 + 25
VARIANTS = ("plain", "ours", "ours bf16")


def features(batch: int, width: int, dtype: torch.dtype, device: str) -> list[Features]:
    """Two views' features that ask for gradients."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        values = torch.randn(shape, generator=generator).to(device, dtype)
        if len(shape) == 4:
            values = values.contiguous(memory_format=torch.channels_last)
        return values.requires_grad_()

    return [
        Features(draw(batch, width), {d: draw(batch, width, d, d) for d in (5, 7)})
        for _ in range(2)
    ]


def plain(views: list[Features]) -> Tensor:
    """The formula, untiled, by automatic differentiation."""
    total = views[0].summary.new_zeros(())
    for a, b in (views, views[::-1]):
        batch = len(a.summary)
        at = torch.randint(25, (batch,))
        local = a.local[5].flatten(2)[torch.arange(batch), :, at]
        for source, d in ((a.summary, 5), (a.summary, 7), (local, 5)):
            target = b.local[d].flatten(2).transpose(1, 2).flatten(0, 1)
            total = total + 0.5 * plain_pair(source, target, batch)
    return total


def plain_pair(source: Tensor, target: Tensor, batch: int) -> Tensor:
    """One antecedent and its consequents, (B, D) and (B L, D)."""
    scores = (source @ target.T * source.shape[1] ** -0.5).view(batch, batch, -1)
    penalty = 5e-2 * scores.square().mean()
    scores = 20 * torch.tanh(scores / 20)
    own = torch.eye(batch, dtype=torch.bool, device=source.device)
    noise = scores.masked_fill(own[:, :, None], -math.inf).flatten(1).logsumexp(1)
    positives = scores[own]
    return penalty - (positives - torch.logaddexp(positives, noise[:, None])).mean()


def ours(views: list[Features]) -> Tensor:
    """Tile by tile."""
    return MultiscaleNCE()(views).loss


def contestant(name: str, batch: int, width: int, device: str) -> Callable[[], Tensor]:
    """A forward and backward pass."""
    dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
    views = features(batch, width, dtype, device)
    leaves = [x for v in views for x in (v.summary, *v.local.values())]

    def step() -> Tensor:
        loss = plain(views) if name == "plain" else ours(views)
        torch.autograd.grad(loss, leaves)
        return loss.detach()

    return step


def infonce(candidates: int, device: str) -> Callable[[], Tensor]:
    """InfoNCE, forward and backward, of K items of 128 numbers."""
    z1, z2 = torch.randn(2, candidates, 128, device=device).requires_grad_().unbind()

    def step() -> Tensor:
        loss, _ = InfoNCE()(z1, z2)
        torch.autograd.grad(loss, (z1, z2))
        return loss.detach()

    return step


def seconds(step: Callable[[], Tensor]) -> float:
    """Wall time of one pass."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    step().item()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def memory(line: str) -> int:
    """Bytes this process has in memory: VmRSS now, VmHWM at most so far."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{line}:")[1].split()[0])


def extra_memory(step: Callable[[], Tensor], device: str) -> float:
    """Bytes the peak grows by in one pass; on a CPU the first of this process."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step().item()
        return torch.cuda.max_memory_allocated() - before
    before = memory("VmRSS")
    step().item()
    return memory("VmHWM") - before


def alone(name: str, size: int, args: argparse.Namespace) -> tuple[float, float]:
    """MB and seconds of the first pass of a contestant in a process of its own."""
    command = [sys.executable, __file__, "--alone", name, "--batches", str(size)]
    command += ["--width", str(args.width), "--device", args.device]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    held, took = json.loads(done.stdout)
    return held / 1e6, took


def print_alone(args: argparse.Namespace) -> None:
    """What :func:`alone` reads."""
    name, (size,) = args.alone, args.batches
    if name == "infonce":
        infonce(1024, args.device)()  # what the libraries need once
        step = infonce(size, args.device)
    else:
        contestant(name, 16, args.width, args.device)()
        step = contestant(name, size, args.width, args.device)
    start = time.perf_counter()
    held = extra_memory(step, args.device)
    print(json.dumps([held, time.perf_counter() - start]))


def peak(device: str, dtype: torch.dtype) -> float:
    """GFLOP/s of a large matrix product."""
    x = torch.randn(4096, 4096, device=device).to(dtype)
    return 2 * 4096**3 / min(seconds(lambda: (x @ x)[0, 0]) for _ in range(5)) / 1e9


def compare(batch: int, args: argparse.Namespace) -> None:
    """Take turns, and print a row a contestant."""
    steps = {name: contestant(name, batch, args.width, args.device) for name in VARIANTS}
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for step in steps.values():
        step()
    for _ in range(args.rounds):
        for name, step in steps.items():
            times[name].append(seconds(step))
    gflop = 3 * 2 * 2 * batch**2 * LOCATIONS * args.width / 1e9
    first: tuple[float, float] | None = None
    for name in VARIANTS:
        took, held = statistics.median(times[name]), alone(name, batch, args)[0]
        first = first or (took, held)
        row = f"{batch:5d} {name:10s} {1e3 * took:8.1f} ms {held:8.0f} MB"
        row += f" {gflop / took:7.0f} GFLOP/s  time / {first[0] / took:.2f}"
        row += f"  memory / {first[1] / held:.1f}"
        if args.device == "cuda":
            dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
            row += f"  {gflop / took / peak(args.device, dtype):.0%} of the product's peak"
        print(row, flush=True)


def arguments() -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="*", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--alone", choices=[*VARIANTS, "infonce"], help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Compare at every batch size."""
    args = arguments()
    if args.alone:
        return print_alone(args)
    print(f"{args.device}, {torch.get_num_threads()} threads, D = {args.width}")
    for batch in args.batches:
        compare(batch, args)
    if args.candidates:
        held, took = alone("infonce", args.candidates, args)
        print(f"InfoNCE, K = {args.candidates:,}, d = 128: {took:.1f} s, {held:.0f} MB")


if __name__ == "__main__":
    main()
