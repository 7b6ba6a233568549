"""What part of the image every feature of an encoder reads, measured by gradients."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from goodviews.interfaces import Features, Shape, UserError
from goodviews.layers import evaluating

VIEWS = 4
"""Random views whose gradients are joined: a unit that one of them switches off passes another."""


class LocalAudit(NamedTuple):
    """How the places of one feature map see the image. Shares are between 0 and 1."""

    side: int
    """Side length of the map; 1 is the summary."""
    field: tuple[int, int]
    """Height and width in pixels of the widest receptive field, cut at the image's border."""
    stride: tuple[int, int] | None
    """Pixels between fields of neighbours, down and right; None where the border cuts them all."""
    neighbours: float
    """Share of a field that the field of the next place, down or right, also sees, on average."""
    positives: float
    """The same for any two places of the map, a place with itself included: what positives share
    when one random place predicts every place of the map (AMDIM's 5 -> 5)."""
    cut: float
    """Share of places whose field is smaller than the widest: the border cuts it."""
    padded: float
    """Share of places that tell a constant image's border from its centre: zero padding (or a
    position embedding) shifts their features. Reflection does not."""


def receptive_field_audit(encoder: nn.Module, image_shape: Shape) -> list[LocalAudit]:
    """Receptive fields, overlaps and padding of the local maps and the summary of any encoder.

    A pixel is in the field of a place if the gradient of a random combination of the place's
    channels is not zero there, for one of a few random views. A copy of the encoder is measured, in
    eval mode and float64; weights that are all zero (AMDIM's second convolutions at the start) are
    drawn anew in it, so that every path counts.

    Args:
        encoder: called with views (n, c, h, w), returns :class:`goodviews.interfaces.Features`.
        image_shape: channels, height and width of a view.

    Returns:
        A row a map, the widest map first, the summary last.

    Raises:
        UserError: where the encoder returns no :class:`goodviews.interfaces.Features`.

    References:
        Bachman et al. 2019, section 3.5: control of receptive fields, no padding.

    Example:
        >>> from goodviews.encoders import AMDIMEncoder
        >>> encoder = AMDIMEncoder(ndf=8, n_rkhs=32, n_depth=1)
        >>> print(audit_table(receptive_field_audit(encoder, (3, 32, 32))))
        map    field    stride  neighbours share  positives share  cut  padded
        7 x 7  8 x 8    4 x 4   50 %              7 %              0 %  0 %
        5 x 5  16 x 16  4 x 4   75 %              36 %             0 %  0 %
        1 x 1  32 x 32  -       -                 100 %            0 %  0 %
    """
    generator = Generator().manual_seed(0)
    encoder = _awake(copy.deepcopy(encoder).cpu().double(), generator)
    views = torch.randn(VIEWS, *image_shape, generator=generator, dtype=torch.float64)
    views.requires_grad_()
    colors = torch.randn(VIEWS, image_shape[0], 1, 1, generator=generator, dtype=torch.float64)
    constant = colors.expand(-1, -1, *image_shape[1:])
    with evaluating(encoder):
        with torch.no_grad():
            flat = _maps(encoder(constant))
        maps = _maps(encoder(views))
    return [
        _audit(_fields(maps[side], views, generator), _shifted(flat[side]))
        for side in sorted(flat, reverse=True)
    ]


def audit_table(rows: Sequence[LocalAudit]) -> str:
    """The rows of :func:`receptive_field_audit` as aligned text.

    Example:
        >>> row = LocalAudit(7, (35, 35), (16, 16), 0.54, 0.16, 0.49, 0.0)
        >>> print(audit_table([row]))
        map    field    stride   neighbours share  positives share  cut   padded
        7 x 7  35 x 35  16 x 16  54 %              16 %             49 %  0 %
    """
    heads = ("map", "field", "stride", "neighbours share", "positives share", "cut", "padded")
    cells = [heads, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cells(row: LocalAudit) -> tuple[str, ...]:
    def by(pair: tuple[int, int] | None) -> str:
        return f"{pair[0]} x {pair[1]}" if pair else "-"

    neighbours = "-" if row.side == 1 else f"{row.neighbours:.0%}"
    shares = (neighbours, *(f"{share:.0%}" for share in (row.positives, row.cut, row.padded)))
    return (
        by((row.side, row.side)),
        by(row.field),
        by(row.stride),
        *(share.replace("%", " %") for share in shares),
    )


def _awake(encoder: nn.Module, generator: Generator) -> nn.Module:
    """Draw weights that are all zero."""
    for weight in encoder.parameters():
        if not weight.any():
            scale = weight[0].numel() ** -0.5 if weight.ndim > 1 else 0.1
            noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            weight.data = scale * noise
    return encoder.requires_grad_(False)


def _maps(features: object) -> dict[int, Tensor]:
    """Every map by side length, the summary as a map of side 1."""
    if not isinstance(features, Features):
        raise UserError(
            f"encoder: it returned {type(features).__name__}, not Features. Wrap it so that its "
            "call returns goodviews.interfaces.Features(summary, local)."
        )
    return {**features.local, 1: features.summary[:, :, None, None]}


def _fields(maps: Tensor, views: Tensor, generator: Generator) -> Tensor:
    """Which pixels of ``views`` every place of their maps reads: bool, (side, side, h, w)."""
    mix = torch.randn(maps.shape[1], generator=generator, dtype=maps.dtype)
    found = []
    for values in torch.einsum("ncij,c->ijn", maps, mix).flatten(0, 1):
        (grad,) = torch.autograd.grad(values.sum(), views, retain_graph=True)
        size = grad.abs().amax((0, 1))
        found.append(size > 1e-12 * size.max())
    return torch.stack(found).unflatten(0, maps.shape[2:])


def _shifted(flat: Tensor) -> float:
    """Share of places whose features of constant views differ from those of the centre's."""
    side = flat.shape[2]
    centre = flat[:, :, side // 2, side // 2, None, None]
    away = (flat - centre).abs().amax((0, 1))
    return float((away > 1e-9 * flat.abs().max()).double().mean())


def _audit(fields: Tensor, padded: float) -> LocalAudit:
    side = len(fields)
    heights, widths = _ends(fields.any(3)), _ends(fields.any(2))
    sizes = [ends[..., 1] - ends[..., 0] for ends in (heights, widths)]
    field = int(sizes[0].max()), int(sizes[1].max())
    cut = (sizes[0] < field[0]) | (sizes[1] < field[1])
    flat = fields.flatten(2).double()
    area, shared = flat.sum(2), torch.einsum("ijp,klp->ijkl", flat, flat)
    steps = _stride(heights, fields.shape[2]), _stride(widths.transpose(0, 1), fields.shape[3])
    down = shared.diagonal(1, 0, 2).diagonal(0, 0, 1)
    right = shared.diagonal(1, 1, 3).diagonal(0, 0, 1)
    neighbours = torch.cat([(down / area[:-1]).flatten(), (right.T / area[:, :-1]).flatten()])
    return LocalAudit(
        side,
        field,
        (steps[0], steps[1]) if steps[0] and steps[1] else None,
        float(neighbours.mean()) if side > 1 else 1.0,
        float((shared / area[:, :, None, None]).mean()),
        float(cut.double().mean()),
        padded,
    )


def _ends(seen: Tensor) -> Tensor:
    """First pixel seen and the one after the last, (..., 2), of bool (..., pixels)."""
    pixels = seen.shape[-1]
    first = seen.int().argmax(-1)
    last = pixels - seen.flip(-1).int().argmax(-1)
    return torch.stack([first, last], -1)


def _stride(ends: Tensor, pixels: int) -> int | None:
    """Median step to the next place along the first axis, of ends the border does not cut."""
    before, after = ends[:-1], ends[1:]
    steps = torch.cat(
        [
            (after - before)[..., 0][before[..., 0] > 0],
            (after - before)[..., 1][after[..., 1] < pixels],
        ]
    )
    return int(steps.median()) if len(steps) else None
