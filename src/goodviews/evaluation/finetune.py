"""Fine-tuning: the whole network trained on the labels, starting from what it learned."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.evaluation.features import device_of, extract, labels_of
from goodviews.evaluation.fitting import seeded, train_epochs
from goodviews.evaluation.task import ProbeResult, checked
from goodviews.interfaces import ImageSource, UserError

AUGMENTATIONS = ("none", "shift", "shift-flip")


class _Tuned(nn.Module):
    """A network (uint8 images -> vectors) and a linear head on its normalised output."""

    def __init__(self, network: nn.Module, dim: int, classes: int, augment: str) -> None:
        super().__init__()
        self.network = network
        self.norm = nn.BatchNorm1d(dim)
        self.head = nn.Linear(dim, classes)
        self.augment = augment

    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.augment != "none":
            images = shift_flip(images, flip=self.augment == "shift-flip")
        return self.head(self.norm(self.network(images).flatten(1)))


def finetune(
    module: nn.Module,
    train: ImageSource,
    test: ImageSource,
    *,
    epochs: int = 10,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    augment: str = "shift",
    seed: int = 0,
) -> ProbeResult:
    """Train a copy of ``module`` and a linear head on the labels of ``train``, read ``test``.

    ``module`` maps uint8 images (n, c, h, w) to vectors (n, D) and stays as it is. AdamW with a
    one-cycle rate; ``augment`` is ``none``, ``shift`` (by up to an eighth of the side, reflected)
    or ``shift-flip``. Few labels: give ``train.subset(...)`` (see
    :func:`goodviews.evaluation.task.subset`). Images labelled -1 are left out.

    Raises:
        UserError: Unknown augmentation, no labels, one class, a network that gives NaN.
    """
    if augment not in AUGMENTATIONS:
        raise UserError(f"augment: {augment!r} is unknown. Use one of {', '.join(AUGMENTATIONS)}.")
    train, test = (s.subset(torch.nonzero(labels_of(s) >= 0).flatten()) for s in (train, test))
    before = extract(module, train.subset(range(min(2, len(train)))))
    probe = before[:1]
    task = checked(
        probe.expand(len(train), -1), labels_of(train), probe.expand(len(test), -1), labels_of(test)
    )
    device = device_of(module)
    with seeded(seed, device):
        tuned = _Tuned(copy.deepcopy(module), probe.shape[1], len(task.classes), augment)
        tuned.requires_grad_(True).to(device)

        def rows(index: Tensor) -> tuple[Tensor, Tensor]:
            return train.images(index).to(device), task.train_y[index].to(device)

        train_epochs(tuned, rows, len(train), epochs, batch_size, lr, weight_decay)
    log_p = torch.log_softmax(extract(tuned, test), dim=1)
    if not bool(torch.isfinite(log_p).all()):
        raise UserError(f"--lr: fine-tuning with {lr:g} diverged. Use a tenth of it.")
    return task.result(log_p.argmax(1), log_p, "finetune", f"{epochs} epochs, augment {augment}")


def shift_flip(
    images: Tensor, generator: torch.Generator | None = None, *, flip: bool = True
) -> Tensor:
    """Each image moved by up to an eighth of its side (edges reflected), half of them flipped.

    Example:
        >>> shift_flip(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).shape
        torch.Size([2, 3, 8, 8])
    """
    n, c, h, w = images.shape
    reach = min(h, w) // 8
    padded = functional.pad(images.float(), (reach,) * 4, mode="reflect").to(images.dtype)
    device = images.device
    top, left = torch.randint(0, 2 * reach + 1, (2, n, 1), generator=generator, device=device)
    y = top + torch.arange(h, device=device)
    x = left + torch.arange(w, device=device)
    if flip:
        turned = torch.rand(n, 1, generator=generator, device=device) < 0.5
        x = torch.where(turned, x.flip(1), x)
    batch = torch.arange(n, device=device)[:, None, None, None]
    channel = torch.arange(c, device=device)[None, :, None, None]
    return padded[batch, channel, y[:, None, :, None], x[:, None, None, :]]
