"""Presets: all settings of a training run by name, the papers' own where they are known.

An argument of :func:`goodviews.train` that is not given comes from the preset, and the preset, if
none is named, is that of the method (:data:`DEFAULT`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goodviews.interfaces import UserError, check_name

_SIMCLR: dict[str, Any] = {
    "method": "simclr",
    "views": "simclr",
    "encoder": "convnet",
    "epochs": 10,
    "batch_size": 256,
    "lr": 1e-3,
    "optimizer": "adamw",
    "weight_decay": 1e-4,
    "momentum": 0.9,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "temperature": 0.2,
    "projection_dim": 128,
}

_AMDIM: dict[str, Any] = {
    "method": "amdim",
    "batch_size": 480,
    "lr": 2e-4,
    "optimizer": "adam",
    "weight_decay": 1e-5,
    "momentum": 0.8,
    "schedule": "steps",
    "decay": 0.2,
    "warmup_steps": 500,
}
"""Bachman et al. 2019, code: Adam with betas (0.8, 0.999), 500 updates of warm-up."""


def _amdim(encoder: str, views: str, size: int, epochs: int, *milestones: int) -> dict[str, Any]:
    return _AMDIM | {
        "encoder": encoder,
        "views": views,
        "image_size": size,
        "epochs": epochs,
        "milestones": list(milestones),
    }


_TINY: dict[str, Any] = _AMDIM | {
    "encoder": "amdim-tiny",
    "views": "amdim-cifar",
    "image_size": 32,
    "epochs": 30,
    "batch_size": 128,
    "lr": 1e-3,
    "schedule": "cosine",
    "warmup_steps": 200,
}
"""For two CPU cores: a small encoder, a short run, and so a higher rate and a cosine."""

PRESETS: dict[str, dict[str, Any]] = {
    "simclr": _SIMCLR,
    "infonce": _SIMCLR | {"method": "infonce"},
    "amdim-tiny": _TINY,
    "amdim-cifar-small": _amdim("amdim-cifar-small", "amdim-cifar", 32, 300, 250, 280),
    "amdim-cifar-large": _amdim("amdim-cifar-large", "amdim-cifar", 32, 300, 250, 280),
    "amdim-stl": _amdim("amdim-stl", "amdim-stl", 64, 300, 250, 280),
    "amdim-imagenet-small": _amdim("amdim-imagenet-small", "amdim-imagenet", 128, 50, 30, 45),
    "amdim-imagenet-medium": _amdim("amdim-imagenet-medium", "amdim-imagenet", 128, 50, 30, 45),
    "amdim-imagenet-large": _amdim("amdim-imagenet-large", "amdim-imagenet", 128, 50, 30, 45),
    "dim": _TINY | {"method": "dim", "views": "none"},
}

DEFAULT = {"simclr": "simclr", "infonce": "infonce", "amdim": "amdim-tiny", "dim": "dim"}
"""Method -> the preset that is taken when none is named."""


def resolve(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments ``given``, those that are None taken from the preset they name or imply.

    Raises:
        UserError: an unknown preset, or one of another method.

    Example:
        >>> found = resolve({"preset": "amdim-stl", "method": None, "epochs": 3, "lr": None})
        >>> found["method"], found["epochs"], found["lr"], found["image_size"]
        ('amdim', 3, 0.0002, 64)
    """
    name, method = given["preset"], given["method"]
    name = name or DEFAULT.get(method or "simclr", "simclr")
    check_name("--preset", name, PRESETS)
    preset = PRESETS[name]
    if method is not None and method in DEFAULT and method != preset["method"]:
        raise UserError(
            f"--preset: {name} is one of {preset['method']}, not of {method}. Drop one."
        )
    chosen = {key: value for key, value in given.items() if value is not None}
    return {**given, **_fitted(preset, chosen), **chosen, "preset": name}


def _fitted(preset: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The preset with its milestones at the same shares of a run of another length."""
    fitted = dict(preset)
    if chosen.get("schedule") == "cosine":
        fitted.pop("milestones", None)
    if "milestones" in fitted and "epochs" in chosen:
        share = chosen["epochs"] / preset["epochs"]
        fitted["milestones"] = [max(1, round(share * epoch)) for epoch in preset["milestones"]]
    return fitted
