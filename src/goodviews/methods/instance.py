"""InstDis, CMC, MoCo, PIRL and InfoMin: one method, seven named choices of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from goodviews.interfaces import Shape, UserError, Views, check_name
from goodviews.layers import evaluating
from goodviews.methods.method import view_encoders
from goodviews.methods.momentum import (
    BankContrast,
    BatchContrast,
    JigSawHead,
    MemoryContrast,
    QueueContrast,
    projection,
)
from goodviews.objectives import InstDisNCE, MemoryBank, MemorySoftmax, Queue
from goodviews.views.jigsaw import JigSaw

NEGATIVES = 65_536
"""K of bank and queue alike (Tian et al. 2020, code)."""


def memory_contrast(
    views: Views,
    encoder: str,
    image_shape: Shape,
    *,
    seed: int = 0,
    images: int | None = None,
    memory: str = "queue",
    negatives: int | None = None,
    jigsaw: bool = False,
    jigsaw_weight: float | None = None,
    head: str = "mlp",
    temperature: float = 0.2,
    loss: str = "softmax",
    momentum_encoder: float | None = None,
    bank_momentum: float | None = None,
    exclude_own: bool = False,
    projection_dim: int = 128,
) -> MemoryContrast:
    """Instance contrast from its parts (Tian et al. 2020, code): any input, memory, JigSaw, head.

    Args:
        views: makes pairs of views; a split of colours makes it CMC, with an encoder a side.
        encoder: name for :func:`goodviews.encoders.build`.
        image_shape: channels, height, width of the raw images.
        seed: of the weights, the memory and the views.
        images: number of training images; a bank needs it, and K is at most this number.
        memory: "bank", "queue" (momentum encoder) or "batch".
        negatives: K of bank or queue; None: 65,536.
        jigsaw: whether the JigSaw branch (PIRL) is there.
        jigsaw_weight: beta, its share of the loss; None: 0.5.
        head: "linear" or "mlp".
        temperature: tau.
        loss: "softmax", or "nce" with a bank (InstDis, constant Z).
        momentum_encoder: alpha of the queue's encoder; None: 0.999.
        bank_momentum: m of the bank's rows; None: 0.5.
        exclude_own: never draw an image as its own negative from the bank.
        projection_dim: d, width of the projection.

    Returns:
        An untrained method.

    Raises:
        UserError: an unknown name, or options that do not go together.

    Example:
        >>> from goodviews.views import Recipe
        >>> views = Recipe.load("simclr").build((3, 32, 32))
        >>> method = memory_contrast(views, "convnet-half", (3, 32, 32), images=500, jigsaw=True)
        >>> type(method).__name__, method.negatives
        ('QueueContrast', 500)
    """
    _check(memory, head, loss, temperature)
    _refuse(
        ("--negatives", negatives, memory != "batch", "--memory bank or queue"),
        ("--momentum-encoder", momentum_encoder, memory == "queue", "--memory queue"),
        ("--bank-momentum", bank_momentum, memory == "bank", "--memory bank"),
        ("--jigsaw-weight", jigsaw_weight, jigsaw, "--jigsaw"),
        ("--loss nce", True if loss == "nce" else None, memory == "bank", "--memory bank"),
    )
    beta = 0.5 if jigsaw_weight is None else jigsaw_weight
    alpha = 0.999 if momentum_encoder is None else momentum_encoder
    for flag, value in (("--jigsaw-weight", beta), ("--momentum-encoder", alpha)):
        if not 0 <= value <= 1:
            raise UserError(f"{flag}: {value} is not in [0, 1]. Leave it out for the usual one.")
    k = _fewest(NEGATIVES if negatives is None else negatives, images)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        parts = view_encoders(views, encoder, image_shape)
        widths: list[int] = [part.dim for part in parts]  # type: ignore[misc]
        heads = [projection(width, projection_dim, head) for width in widths]
        options: dict[str, Any] = {"temperature": temperature, "seed": seed}
        if jigsaw:
            options["jigsaw"] = made = puzzle(views, image_shape)
            _check_patches(views, made, encoder, parts)
            options["jigsaw_heads"] = [JigSawHead(width, projection_dim, head) for width in widths]
            options["jigsaw_weight"] = beta
        objective: nn.Module = MemorySoftmax(temperature)
        if memory == "batch":
            return BatchContrast(views, parts, heads, objective, **options)
        sides = range(1 if getattr(views, "split", None) is None else 2)
        if memory == "queue":
            queues = [Queue(k, projection_dim) for _ in sides]
            options |= {"memories": queues, "momentum": alpha}
            return QueueContrast(views, parts, heads, objective, **options)
        m = 0.5 if bank_momentum is None else bank_momentum
        banks = None
        if images is not None:
            banks = [MemoryBank(images, projection_dim, m, exclude_own) for _ in sides]
        if loss == "nce":
            objective = InstDisNCE(temperature, images or 1)
        return BankContrast(views, parts, heads, objective, memories=banks, negatives=k, **options)


def puzzle(views: Views, image_shape: Shape) -> JigSaw:
    """The JigSaw that goes with these views: normalised as they are, or left to their split.

    Raises:
        UserError: views that are places of an image.
    """
    split = getattr(views, "split", None)
    if split is None:
        return JigSaw(image_shape, getattr(views, "mean", None), getattr(views, "std", None))
    if not split.standardised:
        raise UserError(
            f"--jigsaw: the split {split.name} cuts an image into places, so does a JigSaw. "
            "Use a split of colours, or drop one of the two."
        )
    c = image_shape[0]
    return JigSaw(image_shape, (0.0,) * c, (1.0,) * c)


def _check_patches(views: Views, jigsaw: JigSaw, name: str, parts: Sequence[nn.Module]) -> None:
    """Raise unless the encoders read patches as well as whole views."""
    split = getattr(views, "split", None)
    shapes = [jigsaw.shape] if split is None else split.shapes(jigsaw.shape)
    for part, shape in zip(parts, shapes, strict=True):
        try:
            with evaluating(part), torch.no_grad():
                part(torch.zeros(1, *shape))
        except (UserError, AssertionError, RuntimeError) as error:
            raise UserError(
                f"--jigsaw: the encoder {name} does not read patches of {jigsaw.patch} px. "
                "Use a convolutional --encoder such as convnet, or add --no-jigsaw."
            ) from error


def _check(memory: str, head: str, loss: str, temperature: float) -> None:
    """Names and numbers that stand alone."""
    check_name("--memory", memory, ("bank", "queue", "batch"))
    check_name("--head", head, ("linear", "mlp"))
    check_name("--loss", loss, ("softmax", "nce"))
    if not temperature > 0:
        raise UserError(f"--temperature: {temperature} is not positive. Use for example 0.07.")


def _refuse(*rules: tuple[str, object, bool, str]) -> None:
    """Raise for the first option that is given (not None) where it does not apply."""
    for flag, value, applies, needed in rules:
        if value is not None and not applies:
            raise UserError(
                f"{flag}: this method has no use for it. Add {needed}, or leave it out."
            )


def _fewest(negatives: int, images: int | None) -> int:
    """K: as many as asked for, and no more than there are images."""
    if negatives < 1:
        raise UserError(f"--negatives: {negatives} leaves none. Use for example 4096.")
    return negatives if images is None else min(negatives, images)


Build = Callable[..., MemoryContrast]


def _named(sentence: str, **options: Any) -> Build:
    """:func:`memory_contrast` with other defaults, and a docstring of its own."""
    build = partial(memory_contrast, **options)
    build.__doc__ = f"{sentence}\n\nArguments as for :func:`memory_contrast`."
    return build


instdis = _named(
    "InstDis (Wu et al. 2018): one crop against a memory bank.",
    memory="bank",
    head="linear",
    temperature=0.07,
)
cmc = _named(
    "CMC (Tian et al. 2019): luma against chroma, an encoder and a memory bank each.",
    memory="bank",
    head="linear",
    temperature=0.07,
)
moco = _named(
    "MoCo (He et al. 2020): momentum encoder and queue, linear head.",
    memory="queue",
    head="linear",
    temperature=0.07,
)
moco_v2 = _named(
    "MoCo v2 (Chen et al. 2020): MoCo with an MLP head.",
    memory="queue",
    head="mlp",
    temperature=0.2,
)
pirl = _named(
    "PIRL (Misra and van der Maaten 2020): InstDis with the JigSaw branch.",
    memory="bank",
    head="linear",
    temperature=0.07,
    jigsaw=True,
)
cmc_v2 = _named(
    "CMC v2 (Tian et al. 2020, code): CMC with momentum encoders, queues and MLP heads.",
    memory="queue",
    head="mlp",
    temperature=0.2,
)
infomin = _named(
    "InfoMin Aug (Tian et al. 2020): MoCo v2 with the JigSaw branch and stronger views.",
    memory="queue",
    head="mlp",
    temperature=0.15,
    jigsaw=True,
)
