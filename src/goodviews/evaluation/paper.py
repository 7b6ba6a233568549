"""AMDIM's evaluation: a linear and an MLP head trained together by Adam on frozen features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from goodviews.evaluation.fitting import seeded
from goodviews.evaluation.logistic import standardisation
from goodviews.evaluation.task import ProbeResult, checked
from goodviews.interfaces import UserError, check_name
from goodviews.layers import mlp_head
from goodviews.objectives.classification import clipped, clipped_cross_entropy

HEADS: dict[str, Callable[[int, int], nn.Module]] = {"linear": nn.Linear, "mlp": mlp_head}
"""Name -> (width, classes) -> the head that maps features (n, width) to logits (n, classes)."""


def paper_probes(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    heads: Sequence[str] = ("linear", "mlp"),
    epochs: int = 120,
    batch_size: int = 480,
    lr: float = 2e-4,
    clip: float | None = 10.0,
    anew: Callable[[int], Tensor] | None = None,
    seed: int = 0,
) -> dict[str, ProbeResult]:
    """AMDIM's classifiers on frozen features of shape (n, D); labels -1 are ignored.

    ``linear``: Linear(D, c). ``mlp``: the head of :func:`goodviews.evaluation.probes.mlp_probe`.
    Adam with betas (0.8, 0.999) and weight decay 1e-5; the rate is multiplied by 0.2 after 2/3 and
    after 11/12 of the epochs (120 epochs: 80 and 110); the loss is
    :func:`goodviews.objectives.classification.clipped_cross_entropy`, or plain cross-entropy where
    ``clip`` is None (Bachman et al. 2019, code). The heads read the same batches and share nothing,
    so each comes out as it would alone.

    Two differences, for fairness and honesty: features are standardised on the training images
    (AMDIM's come out of a batch norm, other encoders' and raw pixels do not), and the encoder
    stays in eval mode.

    Args:
        train_x: frozen features of the training images.
        train_y: their labels.
        test_x: frozen features of the test images.
        test_y: their labels.
        heads: which classifiers.
        epochs: passes over the training images.
        batch_size: images a step.
        lr: first learning rate.
        clip: c of the logits, None for none.
        anew: epoch -> training features (n, D) of that epoch, for example of a new augmented view
            of each image; None: ``train_x`` every epoch.
        seed: of weights, batches and dropout.

    Returns:
        Head name -> its result. Probabilities are those of the clipped logits.

    Raises:
        UserError: As for :func:`goodviews.evaluation.probes.linear_probe`; unknown head; no epoch;
            batches of one.

    Example:
        >>> x = torch.arange(40.0).reshape(-1, 1)
        >>> y = (x.squeeze() > 19).long()
        >>> found = paper_probes(x, y, x, y, epochs=40, batch_size=10, lr=0.1, heads=["linear"])
        >>> found["linear"].accuracy > 0.9
        True
    """
    for name in heads:
        check_name("--probe", name, HEADS)
    _check(epochs, batch_size, clip)
    task = checked(train_x, train_y, test_x, test_y)
    mean, scale = standardisation(task.train_x)
    device, keep = task.train_x.device, train_y.to(task.train_x.device) >= 0

    fixed = (task.train_x - mean) / scale

    def features(epoch: int) -> Tensor:
        if anew is None:
            return fixed
        return (anew(epoch).to(device)[keep].float() - mean) / scale

    with seeded(seed, device):
        nets = _heads(heads, (fixed.shape[1], len(task.classes)), seed, device)
        _train(nets, features, task.train_y, epochs, batch_size, lr, clip, seed)
    loss = "plain cross-entropy" if clip is None else f"logits clipped at {clip:g}"
    words = f"{epochs} epochs of Adam, rate {lr:g}, batch {batch_size}, {loss}"
    words += ", a new augmented view each epoch" if anew else ""
    found = {}
    for name, net in nets.items():
        with torch.no_grad():
            logits = net.eval()((task.test_x - mean) / scale)
            log_p = torch.log_softmax(clipped(logits, clip), dim=1)
        found[name] = task.result(log_p.argmax(1), log_p, name, words)
    return found


def _check(epochs: int, batch_size: int, clip: float | None) -> None:
    if epochs < 1:
        raise UserError(f"--epochs: {epochs}. Use 1 or more, for example 120.")
    if batch_size < 2:
        raise UserError(f"--batch-size: {batch_size}. Use 2 or more: batch norm needs two images.")
    if clip is not None and not clip > 0:
        raise UserError(f"--logit-clip: {clip:g}. Use more than 0, for example 10, or none.")


def _heads(
    names: Sequence[str], sizes: tuple[int, int], seed: int, device: torch.device
) -> dict[str, nn.Module]:
    """Each with weights that depend on the seed only, not on the other heads."""
    nets = {}
    for name in names:
        torch.manual_seed(seed)
        nets[name] = HEADS[name](*sizes).to(device)
    torch.manual_seed(seed)  # dropout draws the same whatever was initialised before
    return nets


def _train(
    nets: Mapping[str, nn.Module],
    features: Callable[[int], Tensor],
    labels: Tensor,
    epochs: int,
    batch_size: int,
    lr: float,
    clip: float | None,
    seed: int,
) -> None:
    """Train the heads in place on the same batches; a last batch of one image is left out."""
    order = torch.Generator().manual_seed(seed)
    parameters = [p for net in nets.values() for p in net.parameters()]
    optimizer = torch.optim.Adam(
        parameters, lr=lr, betas=(0.8, 0.999), weight_decay=1e-5, fused=True
    )
    for net in nets.values():
        net.train()
    for epoch in range(epochs):
        x = features(epoch)
        optimizer.param_groups[0]["lr"] = lr * decay(epoch, epochs)
        for batch in torch.randperm(len(x), generator=order).to(x.device).split(batch_size):
            if len(batch) < 2:
                continue
            inputs, targets = x[batch], labels[batch]
            optimizer.zero_grad(set_to_none=True)
            losses = [clipped_cross_entropy(net(inputs), targets, clip) for net in nets.values()]
            torch.stack(losses).sum().backward()
            optimizer.step()


def decay(epoch: int, epochs: int) -> float:
    """The learning rate's factor in an epoch (from 0): 1, then 0.2, then 0.04.

    Example:
        >>> [decay(epoch, 120) for epoch in (0, 79, 80, 109, 110)] == [1, 1, 0.2, 0.2, 0.2**2]
        True
    """
    return 0.2 ** ((3 * epoch >= 2 * epochs) + (12 * epoch >= 11 * epochs))
