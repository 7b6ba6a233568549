"""A training step of AMDIM against the plain one: encoder, loss and optimiser, in one run.

"plain" is modules of PyTorch as they come: float32, NCHW, the untiled loss, Adam. "plain bf16" is
the same under bf16 autocast with channels last. "ours" is what `goodviews train amdim` runs with
`--precision auto`. All start from the same weights, read the same two views and take turns; medians
over the rounds. Shares are of the rate of a large matrix product in the contestant's number format,
measured in between.

    OMP_NUM_THREADS=2 python benchmarks/amdim_step.py --rounds 15
    OMP_NUM_THREADS=2 python benchmarks/amdim_step.py --profile ours

`--seconds cpu` measures seconds of CPU rather than of the wall, which other programs on the machine
disturb less.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from amdim_loss import plain as plain_loss
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from goodviews.encoders import AMDIMEncoder
from goodviews.encoders.amdim import ResidualLayer
from goodviews.interfaces import Features
from goodviews.objectives import MultiscaleNCE
from goodviews.training import build_optimizer
from goodviews.training.precision import channels_last, resolve_precision

Step = Callable[[], Tensor]


def plain_layer(layer: ResidualLayer, x: Tensor) -> Tensor:
    """Pooling with padded channels, plus two convolutions with relu between them."""
    branch = layer.second(torch.relu(layer.first(x)))
    pooled = functional.avg_pool2d(x, layer.first.kernel_size, layer.first.stride)
    return functional.pad(pooled, (0, 0, 0, 0, 0, branch.shape[1] - pooled.shape[1])) + branch


def plain_run(part: nn.Module, x: Tensor) -> Tensor:
    """The modules of a part of the encoder, one after the other."""
    if isinstance(part, ResidualLayer):
        return plain_layer(part, x)
    if isinstance(part, nn.Sequential):
        for child in part:
            x = plain_run(child, x)
        return x
    return torch.relu(x) if isinstance(part, nn.ReLU) else part(x)


def plain_head(head: nn.Module, x: Tensor) -> Tensor:
    """Two convolutions beside a third one, then batch norm."""
    return head.out_norm(head.second(torch.relu(head.first(x))) + head.shortcut(x))


def plain_features(encoder: AMDIMEncoder, view: Tensor) -> Features:
    """f1, f5 and f7 in the shared space."""
    f7 = plain_run(encoder.to7, view)
    f5 = plain_run(encoder.to5, f7)
    f1 = plain_run(encoder.to1, f5).flatten(1)
    heads = encoder.heads
    return Features(f1, {5: plain_head(heads["5"], f5), 7: plain_head(heads["7"], f7)})


def our_features(encoder: AMDIMEncoder, view: Tensor) -> Features:
    """The same by the encoder itself."""
    return encoder.embed(encoder(view))


def by_view(features: Features) -> list[Features]:
    """Features of both views, which went through the encoder together."""
    local = {side: maps.chunk(2) for side, maps in features.local.items()}
    return [
        Features(summary, {side: maps[i] for side, maps in local.items()})
        for i, summary in enumerate(features.summary.chunk(2))
    ]


def contestant(name: str, encoder: AMDIMEncoder, views: Tensor) -> Step:
    """A whole training step; returns the loss."""
    encoder, kind = copy.deepcopy(encoder), views.device.type
    bf16 = name == "plain bf16" or (
        name == "ours" and resolve_precision("auto", kind) == "bf16-mixed"
    )
    if name != "plain":
        channels_last(encoder)
        views = views.contiguous(memory_format=torch.channels_last)
    if name == "ours":
        objective = MultiscaleNCE()
        optimizer = build_optimizer(encoder, "adam", lr=2e-4, weight_decay=1e-5, fused=True)
    else:
        optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-4, weight_decay=1e-5)

    def step() -> Tensor:
        with torch.autocast(kind, torch.bfloat16, enabled=bf16):
            if name == "ours":
                loss = objective(by_view(our_features(encoder, views))).loss
            else:
                loss = plain_loss(_in_float32(by_view(plain_features(encoder, views))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _in_float32(views: list[Features]) -> list[Features]:
    return [Features(v.summary.float(), {d: m.float() for d, m in v.local.items()}) for v in views]


def product(dtype: torch.dtype, device: str) -> Step:
    """A matrix product of 17 GFLOP."""
    x = torch.randn(2048, 2048, device=device).to(dtype)
    return lambda: (x @ x)[0, 0]


def cost(step: Step, clock: Callable[[], float]) -> float:
    """Seconds of one call."""
    start = clock()
    step().item()
    return clock() - start


def new_encoder(args: argparse.Namespace) -> AMDIMEncoder:
    """Seeded, with second convolutions that are not zero, as after the first steps."""
    torch.manual_seed(0)
    encoder = AMDIMEncoder(args.ndf, args.n_rkhs, args.n_depth, args.input_size)
    for part in encoder.modules():
        if isinstance(part, ResidualLayer):
            nn.init.normal_(part.second.weight, std=0.02)
    return encoder.to(args.device)


def arguments() -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ndf", type=int, default=64)
    parser.add_argument("--n-rkhs", type=int, default=512)
    parser.add_argument("--n-depth", type=int, default=4)
    parser.add_argument("--input-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--profile", choices=("plain", "plain bf16", "ours"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def main() -> None:
    """Take turns, and print a row a contestant."""
    args = arguments()
    clock = time.perf_counter if args.seconds == "wall" else time.process_time
    size = args.input_size
    views, encoder = torch.randn(2 * args.batch_size, 3, size, size), new_encoder(args)
    names = ("plain", "plain bf16", "ours")
    steps = {name: contestant(name, encoder, views.to(args.device)) for name in names}
    if args.profile:
        steps[args.profile]()
        with profile() as found:
            steps[args.profile]()
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
        return
    with FlopCounterMode(display=False) as counter:
        losses = [f"{steps['plain']().item():.4f}"]
    losses += [f"{steps[name]().item():.4f}" for name in names[1:]]
    print(f"loss of the first step: {', '.join(losses)} ({', '.join(names)})")
    compare(steps, counter.get_total_flops() / 1e9, args, clock)


def compare(
    steps: dict[str, Step], gflop: float, args: argparse.Namespace, clock: Callable[[], float]
) -> None:
    """Medians over rounds in which all take turns, the products too."""
    low = torch.bfloat16
    peaks = {dtype: product(dtype, args.device) for dtype in (torch.float32, low)}
    times: dict[object, list[float]] = {key: [] for key in (*steps, *peaks)}
    for _ in range(args.rounds):
        for key, step in (*steps.items(), *peaks.items()):
            times[key].append(cost(step, clock))
    took = {key: statistics.median(values) for key, values in times.items()}
    rate = {dtype: 2 * 2048**3 / 1e9 / took[dtype] for dtype in peaks}
    print(
        f"{gflop:.0f} GFLOP a step, {torch.get_num_threads()} threads, {args.device}; products of "
        f"2048 x 2048: {rate[torch.float32]:.0f} GFLOP/s in float32, {rate[low]:.0f} in bf16"
    )
    for name in steps:
        peak = rate[torch.float32 if name == "plain" else low]
        print(
            f"{name:10s} {took[name]:7.3f} s ({min(times[name]):.3f} to {max(times[name]):.3f})  "
            f"{gflop / took[name]:6.0f} GFLOP/s = {gflop / took[name] / peak:4.0%} of the product's"
            f"  {took['plain'] / took[name]:.2f}x plain"
        )


if __name__ == "__main__":
    main()
