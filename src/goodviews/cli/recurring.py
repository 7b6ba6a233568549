"""Options that several verbs have. Imports nothing heavy, so that ``--help`` is quick."""

from __future__ import annotations

from typing import Any

from goodviews.cli.nouns import Option

IMAGE_SIZE = Option(
    "image_size",
    int | None,
    None,
    "height and width to bring images to; none: their own, or 64",
    "PIXELS",
    "data",
)


def data_options(default: str | None, meaning: str, *, sized: bool = True) -> tuple[Option, ...]:
    """Where images come from; ``sized``: they may be resized (a run knows its own size)."""

    def make(name: str, kind: Any, value: Any, text: str, unit: str) -> Option:
        return Option(name, kind, value, text, unit, "data")

    return (
        make("data", str | None, default, meaning, "DATA"),
        make(
            "labels",
            str | None,
            None,
            "CSV of file,label, the name of a factor, or none to ignore labels",
            "FILE",
        ),
        make("data_root", str | None, None, "where named data sets lie", "FOLDER"),
        make("download", bool, False, "allow fetching a named data set", ""),
        *([IMAGE_SIZE] if sized else []),
        make("max_images", int | None, None, "use at most this many images", "IMAGES"),
        make("strict", bool, False, "stop at the first unreadable image", ""),
    )


SOURCE = "folder of images, .npz, a name in `goodviews list data`, or hf:NAME"
OWN = SOURCE + "; none: the run's own data"
DEVICE = (
    Option("device", str, "auto", "auto, cpu, cuda or mps", "NAME", "training"),
    Option("precision", str, "auto", "auto, 32, bf16, 16 or Lightning's names", "NAME", "training"),
)
SEED = Option("seed", int, 0, "of weights, data order, views and splits", "N", "training", -1)


def views_option(default: str | None) -> Option:
    """The recipe of the views."""
    text = "a name in `goodviews list views`, or a recipe.yaml"
    if default is None:
        kind, text = str | dict[str, Any] | None, f"{text}; none: the preset's"
        return Option("views", kind, None, text, "RECIPE", "views")
    return Option("views", str | dict[str, Any], default, text, "RECIPE", "views")


HELD_OUT = Option(
    "test_fraction",
    float,
    0.2,
    "held out of data without test images of their own",
    "FRACTION",
    "data",
)
RUN = Option("run", str | None, None, "folder that `goodviews train` wrote", "RUN", "data")


def encoder_option(whose: str) -> Option:
    """The encoder; none: that of the budget or preset."""
    text = f"a name in `goodviews list encoders` or timm/NAME; none: the {whose}'s"
    return Option("encoder", str | None, None, text, "NAME", "encoder")


def training_option(
    name: str,
    kind: Any,
    default: Any,
    text: str,
    unit: str,
    above: float | None = None,
) -> Option:
    """One under the heading "training"."""
    return Option(name, kind, default, text, unit, "training", above)
