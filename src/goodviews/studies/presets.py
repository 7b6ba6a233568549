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

_MEMORY: dict[str, tuple[str, str, str, bool, str, float]] = {
    "instdis": ("instdis", "convnet", "bank", False, "linear", 0.07),
    "cmc": ("cmc", "convnet-half", "bank", False, "linear", 0.07),
    "moco": ("moco", "convnet", "queue", False, "linear", 0.07),
    "moco-v2": ("moco-v2", "convnet", "queue", False, "mlp", 0.2),
    "pirl": ("instdis", "convnet", "bank", True, "linear", 0.07),
    "cmc-v2": ("cmc-v2", "convnet-half", "queue", False, "mlp", 0.2),
    "infomin": ("infomin", "convnet", "queue", True, "mlp", 0.15),
}
"""Method -> views, small encoder, memory, JigSaw, head, temperature (Tian et al. 2020, code)."""

_COSINE = ("moco-v2", "cmc-v2", "infomin")
"""Methods whose published runs take the cosine; the others step down at epochs 120 and 160."""


def _memory(method: str) -> dict[str, Any]:
    """The parts of a method, as published."""
    views, _, memory, jigsaw, head, temperature = _MEMORY[method]
    parts = {"memory": memory, "jigsaw": jigsaw, "head": head, "temperature": temperature}
    return {"method": method, "views": views, **parts, "projection_dim": 128}


def _small(method: str) -> dict[str, Any]:
    """For 32 pixels and a CPU: a small encoder, few epochs, a memory that is soon renewed.

    The momentum stays 0.999. In runs of a few hundred steps a smaller one can do better (MoCo on
    CIFAR-10, 400 steps: 0.99) or, with infomin's strong views, worse: keys then drift in the queue.
    """
    small = {"encoder": _MEMORY[method][1], "negatives": 4096, "momentum_encoder": 0.999}
    return _SIMCLR | _memory(method) | small


def _paper(method: str) -> dict[str, Any]:
    """The published run on ImageNet: ResNet-50 (for CMC two of half width), 200 epochs of SGD."""
    steps = {"schedule": "steps", "milestones": [120, 160], "decay": 0.1}
    cosine = {"schedule": "cosine", "min_lr": 3e-5}
    return {
        **_memory(method),
        **(cosine if method in _COSINE else steps),
        "momentum_encoder": 0.999,
        "bank_momentum": 0.5,
        "jigsaw_weight": 0.5,
        "encoder": "timm/resnet50-half" if method in ("cmc", "cmc-v2") else "timm/resnet50",
        "image_size": 224,
        "negatives": 65_536,
        "epochs": 200,
        "batch_size": 256,
        "optimizer": "sgd",
        "lr": 0.03,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "warmup_epochs": 0.0,
    }


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
    **{method: _small(method) for method in _MEMORY},
    **{f"{method}-paper": _paper(method) for method in _MEMORY},
}
"""Named as a method: small enough for a CPU; NAME-paper and amdim-*: the published run."""

DEFAULT = {
    "simclr": "simclr",
    "infonce": "infonce",
    "amdim": "amdim-tiny",
    "dim": "dim",
    **{method: method for method in _MEMORY},
}
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
    """The preset without what the choices leave no use for, its milestones at the same shares."""
    fitted = dict(preset)
    memory, jigsaw, schedule = (
        {**preset, **chosen}.get(name) for name in ("memory", "jigsaw", "schedule")
    )
    idle = {
        "milestones": schedule == "cosine",
        "min_lr": schedule == "steps" or "lr" in chosen,
        "momentum_encoder": memory != "queue",
        "bank_momentum": memory != "bank",
        "negatives": memory == "batch",
        "jigsaw_weight": not jigsaw,
    }
    for name in (name for name, useless in idle.items() if useless):
        fitted.pop(name, None)
    if "milestones" in fitted and "epochs" in chosen:
        share = chosen["epochs"] / preset["epochs"]
        fitted["milestones"] = [max(1, round(share * epoch)) for epoch in preset["milestones"]]
    return fitted
