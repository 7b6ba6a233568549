"""Encoders: from views to features. ``build(name, in_channels, image_size)`` makes any of them."""

from goodviews.encoders.vision import ENCODERS, ConvNet, MLPEncoder, SmallResNet, Timm, build

__all__ = ["ENCODERS", "ConvNet", "MLPEncoder", "SmallResNet", "Timm", "build"]
