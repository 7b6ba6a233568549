"""Two views of every image: goodviews against torchvision v2 and kornia, in one run.

Crop, flip, jitter, greyscale, blur with the same settings. The contestants take turns, so that a
busy machine troubles all alike; medians over the rounds. Run it on a quiet machine:

    python benchmarks/views.py --rounds 7

"torchvision, one draw a batch" is for information only: it gives all images the same parameters.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from goodviews.views import Recipe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photographs(side: int, n: int) -> Tensor:
    """uint8 images: CIFAR-10 under GOODVIEWS_DATA (enlarged for 96) if there, else random crops."""
    path = Path(os.environ.get("GOODVIEWS_DATA", "")) / "cifar10" / "test.npz"
    if path.is_file():
        images = torch.from_numpy(np.load(path)["images"][:n]).permute(0, 3, 1, 2)
        return v2.functional.resize(images, [side, side], antialias=True).contiguous()
    from sklearn.datasets import load_sample_images

    photos = [torch.from_numpy(x).permute(2, 0, 1) for x in load_sample_images().images]
    crop = v2.RandomCrop(side)
    return torch.stack([crop(photos[i % len(photos)]) for i in range(n)])


def taps(side: int) -> int:
    """SimCLR's blur kernel: a tenth of the side, odd."""
    return max(3, int(0.1 * side) // 2 * 2 + 1)


def torchvision_chain(side: int) -> v2.Compose:
    """The peer's chain for one image (or one draw for a batch)."""
    return v2.Compose(
        [
            v2.RandomResizedCrop(side, (0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(taps(side), (0.1, 2.0))], 0.5),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Two torchvision views of every image."""

    def __init__(self, images: Tensor, chain: v2.Compose) -> None:
        """Keep the images and the chain."""
        self.images, self.chain = images, chain

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One pair."""
        image = self.images[index]
        return self.chain(image), self.chain(image)


def kornia_chain(side: int) -> nn.Module | None:
    """The batched peer, if installed."""
    try:
        import kornia.augmentation as ka
    except ImportError:
        return None
    return nn.Sequential(
        ka.RandomResizedCrop((side, side), scale=(0.08, 1.0)),
        ka.RandomHorizontalFlip(p=0.5),
        ka.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        ka.RandomGrayscale(p=0.2),
        ka.RandomGaussianBlur((taps(side), taps(side)), (0.1, 2.0), p=0.5),
        ka.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    )


def contestants(images: Tensor, batch: int, workers: int) -> dict[str, Callable[[], None]]:
    """Each makes two views of all images."""
    side = images.shape[-1]
    parts = images.split(batch)
    views = Recipe.load("simclr").build((3, side, side))
    chain = torchvision_chain(side)
    loader = DataLoader(
        Pairs(images, chain), batch, num_workers=workers, persistent_workers=workers > 0
    )
    peer = kornia_chain(side)

    def ours() -> None:
        for part in parts:
            views(part)

    def per_sample() -> None:
        for _ in loader:
            pass

    def one_draw() -> None:
        for part in parts:
            chain(part), chain(part)

    def batched() -> None:
        assert peer is not None
        for part in parts:
            ready = part.float() / 255
            peer(ready), peer(ready)

    runs = {"goodviews": ours, f"torchvision, {workers} workers": per_sample}
    if peer is not None:
        runs["kornia, batched"] = batched
    return {**runs, "torchvision, one draw a batch": one_draw}


def race(runs: dict[str, Callable[[], None]], n: int, rounds: int) -> dict[str, float]:
    """Median images (pairs) a second of each contestant; they take turns."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: n / statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=1024, help="images a round at 32 px")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="torchvision's DataLoader workers")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 96])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    print(
        f"{platform.machine()} {os.cpu_count()} cores, load {load}, torch {torch.__version__}, "
        f"{options.threads} threads, batch {options.batch_size}, median of {options.rounds}"
    )
    for side in options.sides:
        n = options.images if side < 64 else max(options.batch_size, options.images // 4)
        images = photographs(side, n)
        rates = race(contestants(images, options.batch_size, options.workers), n, options.rounds)
        print(f"\n{side}x{side}, {n} images, two views each{'':12} images/s   ours is")
        for name, rate in rates.items():
            print(f"  {name:36} {rate:10.0f}   {rates['goodviews'] / rate:6.2f} x")


if __name__ == "__main__":
    main()
