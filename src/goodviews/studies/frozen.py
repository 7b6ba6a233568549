"""Trained encoders on disk: safetensors for the weights, JSON for what they are; no pickle."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from goodviews.evaluation.geometry import collapsed
from goodviews.files import write_atomic
from goodviews.interfaces import Shape, UserError, check_name
from goodviews.methods import METHODS, ViewMethod
from goodviews.studies.folder import read_json, write_json
from goodviews.training.checkpoints import all_finite, load_weights
from goodviews.training.precision import channels_last
from goodviews.views import Recipe

FORMAT = 1
"""Version of encoder.json; a reader refuses newer ones."""
WEIGHTS, CARD = "encoder.safetensors", "encoder.json"


@dataclass(frozen=True)
class Design:
    """What a method is made of: enough to build it again, untrained, from a seed.

    Args:
        method: a key of :data:`goodviews.methods.METHODS`.
        encoder: a name for :func:`goodviews.encoders.build`.
        recipe: how the views are made.
        image_shape: channels, height, width of the raw images.
        options: the method's own (temperature, projection_dim, critic, memory, ...).
    """

    method: str
    encoder: str
    recipe: Recipe
    image_shape: Shape
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 0, images: int | None = None) -> ViewMethod:
        """The method with weights drawn from ``seed``, laid out channels last (always: same bits).

        Args:
            seed: of the weights.
            images: number of training images, for a method that is to be trained; None leaves
                out what only training needs (memories, momentum encoders).

        Raises:
            UserError: unknown method or encoder, an option the method has not, views that do not
                fit the images.

        Example:
            >>> Design("simclr", "mlp", Recipe.load("none"), (1, 8, 8)).build().encoders[0].dim
            100
        """
        check_name("method", self.method, METHODS)
        known = inspect.signature(METHODS[self.method]).parameters
        for name in self.options:
            if name not in known:
                takers = [m for m, f in METHODS.items() if name in inspect.signature(f).parameters]
                flag = "--score-clip" if name == "clip" else f"--{name.replace('_', '-')}"
                raise UserError(
                    f"{flag}: {self.method} has no such part. Leave it out, "
                    f"or use the method {' or '.join(takers) or 'that has it'}."
                )
        views = self.recipe.build(self.image_shape)
        build = METHODS[self.method]
        size = {"images": images} if images is not None and "images" in known else {}
        method = build(views, self.encoder, self.image_shape, seed=seed, **size, **self.options)
        if images is None:
            method.strip()
        return cast(ViewMethod, channels_last(method))

    def to_dict(self) -> dict[str, Any]:
        """Plain values that :meth:`from_dict` reads back."""
        return {
            "method": self.method,
            "encoder": self.encoder,
            "recipe": self.recipe.to_dict(),
            "image_shape": list(self.image_shape),
            "options": dict(self.options),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Design:
        """The design in an encoder.json."""
        c, h, w = data["image_shape"]
        recipe = Recipe.from_dict(data["recipe"])
        return cls(data["method"], data["encoder"], recipe, (c, h, w), dict(data["options"]))


def export(
    method: ViewMethod,
    design: Design,
    out: Path,
    sample: torch.Tensor,
    **facts: Any,
) -> Path:
    """Write encoder.safetensors and encoder.json, unless the encoder is of no use.

    Args:
        method: the trained method.
        design: what it is made of.
        out: the run's folder.
        sample: embeddings of some images, shape (n, D); they must not have collapsed.
        facts: further entries for encoder.json.

    Returns:
        The path of the weights.

    Raises:
        UserError: a weight is not finite, or all embeddings are one; nothing is written.
    """
    refuse_useless(method, sample, out)
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in method.state_dict().items()
        if name.split(".")[0] not in method.TRAINING_ONLY
    }
    weights = write_atomic(out / WEIGHTS, lambda path: save_file(tensors, path))
    card = {
        "format": FORMAT,
        "goodviews": metadata.version("goodviews"),
        **_pinned(design, method).to_dict(),
        "dim": int(sample.shape[1]),
        "weights": WEIGHTS,
        "sha256": _sha256(weights),
        "parts": {
            "encoders.0": "the encoder (encoders.1: the second view's, where the views need two)",
            "heads.0": "the projection head; drop it downstream",
        },
        "snippet": snippet(out, design),
        **facts,
    }
    write_json(out / CARD, card)
    return weights


def _pinned(design: Design, method: ViewMethod) -> Design:
    """The design with the mean and deviation its views take off, so that no default decides."""
    mean, std = (getattr(method.views, name, None) for name in ("mean", "std"))
    return replace(design, recipe=replace(design.recipe, mean=mean, std=std))


def refuse_useless(method: ViewMethod, sample: torch.Tensor, where: Path | str) -> None:
    """Raise unless all weights are finite and the embeddings ``sample`` (n, D) differ.

    Raises:
        UserError: with the likely remedy.
    """
    if not all_finite(method):
        raise UserError(
            f"{where}: the trained weights are not finite, no encoder is exported. "
            "Train again with a lower --lr, for example a tenth."
        )
    if collapsed(sample):
        raise UserError(
            f"{where}: all images have the same embedding (collapse), no encoder is exported. "
            "Train again with a lower --lr, a larger --batch-size or stronger --views."
        )


def snippet(run: Path, design: Design) -> str:
    """Python lines that load the encoder and embed one batch; they run as printed."""
    c, h, w = design.image_shape
    return "\n".join(
        [
            "import goodviews, torch",
            f"encoder = goodviews.load({str(run)!r})",
            f"images = torch.zeros(2, {c}, {h}, {w}, dtype=torch.uint8)  # yours",
            "embeddings = encoder(images)  # float32, (n, D)",
        ]
    )


def load(run: str | Path, device: str = "cpu") -> ViewMethod:
    """The frozen encoder of a run: a module from uint8 images (n, c, h, w) to float32 (n, D).

    It is in eval mode and asks for no gradients; ``.encoders[0]`` is the plain network, whose
    input is a normalised view. Nothing is unpickled.

    Args:
        run: the run's folder.
        device: where to put it.

    Raises:
        UserError: no exported encoder there, of a newer format, or weights that do not belong to
            it (the message names the tensor).
    """
    run = Path(run)
    design = load_design(run)
    method = design.build()
    path = run / WEIGHTS
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Train the run to its end first.") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not readable ({error}). Copy or train it again.") from None
    load_weights(method, tensors, path)
    if _sha256(path) != load_card(run)["sha256"]:
        raise UserError(
            f"{path}: changed since it was exported (sha256 differs from {CARD}). "
            "Copy both files from the same run."
        )
    return method.to(device).eval().requires_grad_(False)


def load_card(run: Path) -> dict[str, Any]:
    """The encoder.json of a run.

    Raises:
        UserError: there is none, or it is of a newer format or incomplete.
    """
    path = run / CARD
    if not run.is_dir():
        raise UserError(f"{run}: no such folder. Name the --out of a finished `goodviews train`.")
    if not path.exists():
        raise UserError(
            f"{run}: holds no {CARD}, so no trained encoder. Finish the run first: "
            f"goodviews train --config {run / 'config.yaml'} --resume"
        )
    card: dict[str, Any] = read_json(path)
    version = card.get("format") if isinstance(card, dict) else None
    if not isinstance(version, int) or version > FORMAT:
        raise UserError(
            f"{path}: format {version}, this goodviews reads {FORMAT}. "
            "Run: pip install --upgrade goodviews"
        )
    needed = ("method", "encoder", "recipe", "image_shape", "options", "sha256")
    missing = [key for key in needed if key not in card]
    if missing:
        raise UserError(f"{path}: no entry {missing[0]!r}. Copy or train the run again.")
    return card


def load_design(run: Path) -> Design:
    """What the encoder of a run is made of."""
    return Design.from_dict(load_card(run))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
