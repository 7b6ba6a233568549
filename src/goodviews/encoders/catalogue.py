"""The encoders by name, and ``build``, which makes any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from goodviews.encoders.amdim import INPUT_SIZES, AMDIMEncoder
from goodviews.encoders.invertible import RealNVP
from goodviews.encoders.multiscale import MultiscaleTimm
from goodviews.encoders.tschannen import HalvesMLP, LayerNormConvNet, SkipMLP
from goodviews.encoders.video import FrameCNN
from goodviews.encoders.vision import ConvNet, MLPEncoder, SmallResNet, Timm
from goodviews.interfaces import UserError, check_name


@dataclass(frozen=True)
class AMDIMSize:
    """The sizes of one AMDIM encoder; called with channels and image size it makes the encoder.

    Bachman et al. 2019: small and large for CIFAR (README and issue 3 of the code), STL-10 and
    ImageNet; "tiny" is ours, for CPUs.

    Example:
        >>> encoder = AMDIMSize(ndf=8, n_rkhs=64, n_depth=1)(3, (32, 32))
        >>> encoder.dim, encoder.channels
        (64, {5: 32, 7: 32})
    """

    ndf: int
    n_rkhs: int
    n_depth: int
    input_size: int = 32
    """Pixels of the images it was made for; it can be built for 32, 64 and 128."""

    def __call__(self, in_channels: int, image_size: tuple[int, int]) -> AMDIMEncoder:
        """The encoder for views of ``image_size``: 32, 64 or 128 pixels square.

        Raises:
            UserError: for any other size.
        """
        height, width = image_size
        if height != width or height not in INPUT_SIZES:
            raise UserError(
                f"--encoder: AMDIM encoders read square views of 32, 64 or 128 pixels, not "
                f"{height} x {width}. Use for example --image-size 32, or multiscale/resnet18, "
                "which reads other sizes."
            )
        return AMDIMEncoder(self.ndf, self.n_rkhs, self.n_depth, height, in_channels)


def _real_nvp(channels: int, size: tuple[int, int], affine: bool = False) -> RealNVP:
    """Permutations come from torch's global generator, so every encoder has its own."""
    return RealNVP(channels * size[0] * size[1], affine=affine, seed=None)


ENCODERS: dict[str, Callable[[int, tuple[int, int]], nn.Module]] = {
    "convnet": lambda channels, size: ConvNet(channels),
    "convnet-half": lambda channels, size: ConvNet(channels, width=16),
    "frame-cnn": lambda channels, size: FrameCNN(channels),
    "resnet-small": lambda channels, size: SmallResNet(channels),
    "resnet-small-half": lambda channels, size: SmallResNet(channels, width=32),
    "mlp": MLPEncoder,
    "linear": lambda channels, size: MLPEncoder(channels, size, hidden=(), dim=128),
    "tschannen-mlp": HalvesMLP,
    "tschannen-convnet": lambda channels, size: LayerNormConvNet(channels),
    "skip-mlp": SkipMLP,
    "realnvp": _real_nvp,
    "realnvp-affine": lambda channels, size: _real_nvp(channels, size, affine=True),
    "amdim-tiny": AMDIMSize(32, 256, 3),
    "amdim-cifar-small": AMDIMSize(128, 1024, 10),
    "amdim-cifar-large": AMDIMSize(256, 2048, 10),
    "amdim-stl": AMDIMSize(192, 1536, 8, 64),
    "amdim-imagenet-small": AMDIMSize(192, 1536, 8, 128),
    "amdim-imagenet-medium": AMDIMSize(256, 2048, 10, 128),
    "amdim-imagenet-large": AMDIMSize(320, 2560, 10, 128),
}


def build(name: str, in_channels: int, image_size: tuple[int, int]) -> nn.Module:
    """Make the encoder ``name`` of the catalogue, "timm/NAME" or "multiscale/NAME".

    Args:
        name: a key of :data:`ENCODERS`, or "timm/" and any timm model (one summary an image), or
            "multiscale/" and one (local features too, see :class:`MultiscaleTimm`).
        in_channels: channels of the view.
        image_size: height and width of the view.

    Returns:
        A module with ``dim`` whose call returns :class:`goodviews.interfaces.Features`.

    Raises:
        UserError: for an unknown name, with the nearest known one, or an image size the encoder
            does not read.

    Example:
        >>> build("convnett", 3, (32, 32))
        Traceback (most recent call last):
        goodviews.interfaces.UserError: --encoder: unknown 'convnett'. Did you mean 'convnet'?
    """
    if name.startswith("timm/"):
        return Timm(name.removeprefix("timm/"), in_channels, image_size)
    if name.startswith("multiscale/"):
        return MultiscaleTimm(name.removeprefix("multiscale/"), in_channels, image_size)
    check_name("--encoder", name, ENCODERS)
    return ENCODERS[name](in_channels, image_size)
