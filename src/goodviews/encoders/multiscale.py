"""Any backbone of timm as a multiscale encoder: f1, f5 and f7 from its feature maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodviews.encoders.amdim import SIDES, SharedSpace, embed_local
from goodviews.encoders.vision import timm_model
from goodviews.interfaces import Features, UserError
from goodviews.layers import evaluating


class MultiscaleTimm(nn.Module):
    r"""A timm backbone that gives AMDIM's features, for who wants a standard network.

    ``f_d = adaptive average pooling of one feature map to d x d; f_1 = mean of the last map``

    f7 is read from the deepest map that is at least 7 wide and high, f5 from the deepest of at
    least 5. phi_5 and phi_7 are AMDIM's heads; phi_1 is batch norm, after a linear map where
    ``n_rkhs`` is not the summary's width. Unlike AMDIM's own encoder, backbones pad, and their
    fields overlap: :func:`goodviews.encoders.receptive_field_audit` says how much.

    Arguments:
        name: timm's name, for example "resnet18"; any model that ``features_only`` works for.
        in_channels: channels of the view.
        image_size: height and width of the view.
        n_rkhs: width of the shared space; None takes the summary's.

    Raises:
        UserError: without timm, for an unknown model or one without maps, or where the largest map
            is smaller than 7 x 7.

    Example:
        >>> encoder = MultiscaleTimm("resnet10t", 3, (32, 32))
        >>> features = encoder(torch.zeros(2, 3, 32, 32))
        >>> features.summary.shape, features.local[7].shape, features.local[5].shape
        (torch.Size([2, 512]), torch.Size([2, 64, 7, 7]), torch.Size([2, 64, 5, 5]))
        >>> encoder.embed(features).local[7].shape
        torch.Size([2, 512, 7, 7])
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        image_size: tuple[int, int],
        n_rkhs: int | None = None,
    ) -> None:
        super().__init__()
        self.layers = _backbone(name, in_channels, image_size)
        maps = _shapes(self, in_channels, image_size)
        self.places = {side: _deepest(name, maps, side, image_size) for side in SIDES}
        self.channels = {side: maps[place][0] for side, place in self.places.items()}
        self.dim = maps[-1][0]
        self.n_rkhs = n_rkhs or self.dim
        heads: dict[str, nn.Module] = {
            str(side): SharedSpace(self.channels[side], self.n_rkhs) for side in SIDES
        }
        norm = nn.BatchNorm1d(self.n_rkhs)
        same = self.n_rkhs == self.dim
        heads["1"] = norm if same else nn.Sequential(nn.Linear(self.dim, self.n_rkhs), norm)
        self.heads = nn.ModuleDict(heads)

    def maps(self, view: Tensor) -> list[Tensor]:
        """Every feature map of the backbone, (n, c, h, w), finest first."""
        found: list[Tensor] = self.layers(view)
        last = getattr(self.layers, "output_fmt", "NCHW") == "NHWC"
        return [one.permute(0, 3, 1, 2) for one in found] if last else found

    def forward(self, view: Tensor) -> Features:
        """Encode float views (n, in_channels, h, w): f1 (n, dim), f5 and f7 (n, C, d, d)."""
        maps = self.maps(view)
        local = {
            side: functional.adaptive_avg_pool2d(maps[place], side)
            for side, place in self.places.items()
        }
        return Features(maps[-1].mean((2, 3)), local)

    def embed(self, features: Features) -> Features:
        """The features in the shared space: phi_1, phi_5, phi_7; all n_rkhs wide."""
        return Features(self.heads["1"](features.summary), embed_local(self.heads, features.local))


def _backbone(name: str, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
    try:
        return timm_model("multiscale", name, in_channels, image_size, features_only=True)
    except (RuntimeError, AttributeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"--encoder: multiscale/{name} gives no feature maps ({_first_line(error)}). "
            "Use for example multiscale/resnet18."
        ) from error


def _shapes(
    encoder: MultiscaleTimm, in_channels: int, image_size: tuple[int, int]
) -> list[torch.Size]:
    """(c, h, w) of every map, from one empty view."""
    with evaluating(encoder), torch.no_grad():
        found = encoder.maps(torch.zeros(1, in_channels, *image_size))
    return [one.shape[1:] for one in found]


def _deepest(name: str, maps: list[torch.Size], side: int, image_size: tuple[int, int]) -> int:
    """The place of the last map at least ``side`` wide and high."""
    fits = [place for place, (_, h, w) in enumerate(maps) if min(h, w) >= side]
    if not fits:
        largest = max(min(h, w) for _, h, w in maps)
        enough = -(-max(SIDES) * min(image_size) // max(1, largest))
        raise UserError(
            f"--encoder: the largest map of multiscale/{name} is {largest} x {largest} for views "
            f"of {image_size[0]} x {image_size[1]} pixels, and f7 needs 7 x 7. "
            f"Use --image-size {enough} or more."
        )
    return fits[-1]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
