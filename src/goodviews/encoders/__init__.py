"""Encoders: from views to features. ``build(name, in_channels, image_size)`` makes any of them."""

from goodviews.encoders.amdim import AMDIMEncoder
from goodviews.encoders.catalogue import ENCODERS, AMDIMSize, build
from goodviews.encoders.invertible import Coupling, RealNVP
from goodviews.encoders.mixture import MixtureHeads
from goodviews.encoders.multiscale import MultiscaleTimm
from goodviews.encoders.receptive import LocalAudit, audit_table, receptive_field_audit
from goodviews.encoders.tschannen import HalvesMLP, LayerNormConvNet, SkipMLP
from goodviews.encoders.video import ClipEncoder, FrameCNN
from goodviews.encoders.vision import ConvNet, MLPEncoder, SmallResNet, Timm

__all__ = [
    "ENCODERS",
    "AMDIMEncoder",
    "AMDIMSize",
    "ClipEncoder",
    "ConvNet",
    "Coupling",
    "FrameCNN",
    "HalvesMLP",
    "LayerNormConvNet",
    "LocalAudit",
    "MLPEncoder",
    "MixtureHeads",
    "MultiscaleTimm",
    "RealNVP",
    "SkipMLP",
    "SmallResNet",
    "Timm",
    "audit_table",
    "build",
    "receptive_field_audit",
]
