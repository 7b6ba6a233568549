"""Encoders with one summary an image: a ConvNet, a small ResNet, an MLP, any timm backbone."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from goodviews.interfaces import Features, UserError, check_name
from goodviews.layers import MLP


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class ConvNet(nn.Module):
    r"""A small convolutional encoder for studies that train many: four 3x3 layers, any image size.

    conv(w, stride 2) - conv(2w) - conv(4w, stride 2) - conv(8w, stride 2) - global average, each
    with batch norm and ReLU. At w = 32 and 32x32 pixels one image costs 14 million
    multiply-adds.

    Arguments:
        in_channels: channels of the view.
        width: w; the summary has 8w dimensions.

    Example:
        >>> import torch
        >>> ConvNet(3)(torch.zeros(2, 3, 32, 32)).summary.shape
        torch.Size([2, 256])
    """

    def __init__(self, in_channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.dim = 8 * width
        self.layers = nn.Sequential(
            _conv(in_channels, width, 2),
            _conv(width, 2 * width),
            _conv(2 * width, 4 * width, 2),
            _conv(4 * width, 8 * width, 2),
        )

    def maps(self, view: Tensor) -> Tensor:
        """The last feature map, before it is averaged: (n, dim, h / 8, w / 8), rounded up."""
        features: Tensor = self.layers(view)
        return features

    def forward(self, view: Tensor) -> Features:
        """Encode float views of shape (n, in_channels, h, w)."""
        return Features(self.maps(view).mean((2, 3)))


class ResidualBlock(nn.Module):
    """The basic block of ResNet: conv-BN-ReLU-conv-BN plus a shortcut, then ReLU.

    Example:
        >>> import torch
        >>> ResidualBlock(8, 16, stride=2)(torch.zeros(1, 8, 4, 4)).shape
        torch.Size([1, 16, 2, 2])
    """

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _conv(before, after, stride),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, before, h, w) to (n, after, h/stride, w/stride)."""
        return functional.relu(self.branch(x) + self.shortcut(x))


class SmallResNet(nn.Module):
    r"""A ResNet for small images on one machine: a stride-2 stem and one basic block a stage.

    Arguments:
        in_channels: channels of the view.
        width: of the first stage; stages have w, 2w, 4w, 8w channels, the summary 8w dimensions.

    Example:
        >>> import torch
        >>> SmallResNet(3)(torch.zeros(2, 3, 32, 32)).summary.shape
        torch.Size([2, 512])
    """

    def __init__(self, in_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.dim = 8 * width
        self.layers = nn.Sequential(
            _conv(in_channels, width, 2),
            ResidualBlock(width, width),
            ResidualBlock(width, 2 * width),
            ResidualBlock(2 * width, 4 * width, 2),
            ResidualBlock(4 * width, 8 * width, 2),
        )

    def maps(self, view: Tensor) -> Tensor:
        """The last feature map, before it is averaged: (n, dim, h / 8, w / 8), rounded up."""
        features: Tensor = self.layers(view)
        return features

    def forward(self, view: Tensor) -> Features:
        """Encode float views of shape (n, in_channels, h, w)."""
        return Features(self.maps(view).mean((2, 3)))


class MLPEncoder(nn.Module):
    r"""Flattens the view: 300-300-100 with ReLU (paper C, section 4.4), or one linear layer.

    Arguments:
        in_channels: channels of the view.
        image_size: height and width the encoder is made for.
        hidden: widths of the hidden layers; () makes it linear.
        dim: width of the summary.

    Example:
        >>> e = MLPEncoder(1, (14, 28))
        >>> sum(p.numel() for p in e.parameters())
        238300
    """

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        hidden: tuple[int, ...] = (300, 300),
        dim: int = 100,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.expected = (in_channels, *image_size)
        self.layers = MLP([in_channels * image_size[0] * image_size[1], *hidden, dim])

    def forward(self, view: Tensor) -> Features:
        """Encode float views of exactly the size the encoder was made for."""
        if tuple(view.shape[1:]) != self.expected:
            raise UserError(
                f"encoder: this MLP was made for views of shape {self.expected}, got "
                f"{tuple(view.shape[1:])}. Use a convolutional encoder such as 'convnet'."
            )
        return Features(self.layers(view.flatten(1)))


def timm_model(
    kind: str, name: str, in_channels: int, image_size: tuple[int, int], **options: Any
) -> nn.Module:
    """A model of timm with random weights, no download.

    Args:
        kind: how names begin in messages, "timm" or "multiscale".
        name: timm's name, for example "resnet18".
        in_channels: channels of the view.
        image_size: passed on to models that need it (vision transformers).
        options: of ``timm.create_model``.

    Raises:
        UserError: without timm, or for a name it does not have.
    """
    try:
        import timm
    except ImportError:
        raise UserError(
            f'--encoder: {kind}/{name} needs timm. Run: pip install "goodviews[timm]"'
        ) from None
    if not timm.is_model(name):
        known = [f"{kind}/{one}" for one in timm.list_models()]
        check_name("--encoder", f"{kind}/{name}", known)
    options = {"pretrained": False, "in_chans": in_channels, **options}
    try:
        return timm.create_model(name, img_size=image_size, **options)
    except TypeError:  # convolutional models take any size
        return timm.create_model(name, **options)


class Timm(nn.Module):
    r"""Any backbone of timm by name (optional extra "timm"), random weights, no download.

    Arguments:
        name: timm's name, for example "resnet18"; "-half" after a ResNet's halves the width of
            its stages, not of its first layer (CMC's encoders: "resnet50-half").
        in_channels: channels of the view.
        image_size: passed on to models that need it (vision transformers).

    Raises:
        UserError: without timm, for a name it does not have, or a half of what is no ResNet.
    """

    def __init__(self, name: str, in_channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        whole = name.removesuffix("-half")
        half = {} if whole == name else {"channels": (32, 64, 128, 256)}
        try:
            self.layers = timm_model("timm", whole, in_channels, image_size, num_classes=0, **half)
        except TypeError as error:
            raise UserError(
                f"--encoder: timm/{name}: only timm's ResNets can be halved. "
                "Use for example timm/resnet50-half."
            ) from error
        self.dim: int = self.layers.num_features  # type: ignore[assignment]

    def forward(self, view: Tensor) -> Features:
        """Encode float views of shape (n, in_channels, h, w)."""
        return Features(self.layers(view))
