"""The nouns of goodviews. This file imports nothing of ours: every room may import it.

Two sentences hold the package together: *a view pair is scored by a critic, a bound turns scores
into nats.* The letters in shapes: ``n`` images in a batch, ``c h w`` channels and pixels, ``d`` the
width of a vector, ``k`` the number of candidates.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Generator, Tensor

Shape = tuple[int, int, int]
"""Channels, height, width of one image or view."""

Kind = Literal["lower", "upper", "neither"]
"""What a number is of the true information, in expectation: a bound, or neither."""


class UserError(ValueError):
    """Something the user can mend: one clear line that names the thing, the value and the remedy.

    The command line prints it without a traceback and exits with code 2.

    Example:
        >>> raise UserError("--lr: -1 is not positive. Use for example 1e-3.")
        Traceback (most recent call last):
        goodviews.interfaces.UserError: --lr: -1 is not positive. Use for example 1e-3.
    """


class Interrupted(Exception):
    """A run ended early by Ctrl-C or SIGTERM; what it had is saved.

    Args:
        code: what a program should exit with: 130 after Ctrl-C, 143 after SIGTERM.
        resume: the command that goes on with it, empty where nothing was kept.
    """

    def __init__(self, code: int, resume: str = "") -> None:
        super().__init__(f"interrupted. Go on with: {resume}" if resume else "interrupted.")
        self.code = code
        self.resume = resume


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Raise a UserError that suggests the nearest known name, unless ``name`` is known.

    Args:
        what: the flag or thing that carries the name, for example "--critic".
        name: as the user wrote it.
        known: the names that exist.

    Raises:
        UserError: when ``name`` is not among ``known``.

    Example:
        >>> check_name("--critic", "cosin", ["cosine", "bilinear"])
        Traceback (most recent call last):
        goodviews.interfaces.UserError: --critic: unknown 'cosin'. Did you mean 'cosine'?
    """
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
        raise UserError(f"{what}: unknown {name!r}. {hint}")


# --- data ---------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """What a data loader yields: raw images, before any view is made of them."""

    images: Tensor
    """uint8, shape (n, c, h, w)."""
    partners: Tensor | None
    """uint8, (n, c, h, w): another image of the same thing, where the data has natural pairs."""
    labels: Tensor | None
    """int64, shape (n,); -1 where unlabelled."""
    index: Tensor  # type: ignore[assignment]  # tuple.index is a method
    """int64, shape (n,): the images' places in their source."""


@runtime_checkable
class ImageSource(Protocol):
    """A set of images that can be indexed in batches; in memory or read from disk on demand."""

    name: str
    classes: tuple[str, ...]
    labels: Tensor | None
    factors: Mapping[str, Tensor]
    shape: Shape

    def __len__(self) -> int:
        """Number of images."""
        ...

    def images(self, index: Sequence[int] | Tensor) -> Tensor:
        """The images at ``index`` as uint8, shape (n, c, h, w)."""
        ...

    def subset(self, index: Sequence[int] | Tensor) -> ImageSource:
        """The same source restricted to ``index``."""
        ...


# --- views --------------------------------------------------------------------------------------


class ViewPair(NamedTuple):
    """Two views of the same n things; shapes may differ between the views (CMC's L and ab)."""

    v1: Tensor
    v2: Tensor


class Views(Protocol):
    """What makes view pairs of a batch of images, on the images' device."""

    shared_encoder: bool
    """Whether one encoder may read both views (same channels, same kind of content)."""

    def __call__(
        self, images: Tensor, generator: Generator | None = None, partners: Tensor | None = None
    ) -> ViewPair:
        """Make a pair of float views from uint8 images, shape (n, c, h, w)."""
        ...

    def looks(self, images: Tensor) -> tuple[Tensor, ...]:
        """The fixed, unaugmented inputs a frozen encoder reads: one, or one a view (splits)."""
        ...

    def shapes(self, image_shape: Shape) -> tuple[Shape, Shape]:
        """The shapes of the two views."""
        ...


# --- encoders, critics, bounds ------------------------------------------------------------------


@dataclass
class Features:
    """What an encoder returns: ``summary`` (AMDIM's f1) and, by side length, ``local`` maps."""

    summary: Tensor
    """Shape (n, d)."""
    local: dict[int, Tensor] = field(default_factory=dict)
    """``local[7]`` has shape (n, c, 7, 7)."""


class Encoder(Protocol):
    """A module from views to features."""

    dim: int

    def __call__(self, view: Tensor) -> Features:
        """Encode float views of shape (n, c, h, w)."""
        ...


class Critic(Protocol):
    """A module that scores every pair: rows are the first view's, columns the second's."""

    def __call__(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Scores of shape (n, m) for z1 (n, d) and z2 (m, d)."""
        ...


Bound = Callable[["Tensor"], "Tensor"]
"""Scores (n, n) with the positives on the diagonal -> nats (a scalar)."""


@dataclass(frozen=True)
class Estimate:
    """An amount of information, with what is needed to judge it. All in nats.

    Example:
        >>> estimate = Estimate(nats=0.7, stderr=0.01, method="ksg")
        >>> round(estimate.bits, 3), [round(end, 2) for end in estimate.interval]
        (1.01, [0.68, 0.72])
    """

    nats: float
    stderr: float
    """Standard error of ``nats`` over samples of this size."""
    candidates: int | None = None
    """K, where the method compares one positive with K - 1 negatives."""
    null: float | None = None
    """The same statistic on shuffled pairs. A model that was fitted to the pairs is not fitted anew
    to the shuffled ones, so this is far below 0 where there is much information."""
    method: str = "infonce"
    split: str = "held-out"
    """The rows that were read: "held-out", "cross-fitted" (each row by a model that did not see
    it) or "all" (nothing was fitted)."""
    warnings: tuple[str, ...] = ()
    p_value: float | None = None
    """How often shuffled pairs reach this much: small where there is information."""
    lower: float | None = None
    """A lower bound in expectation, where the method gives one."""
    upper: float | None = None
    """An upper bound in expectation, where the method gives one."""
    ceiling: float = math.inf
    """The most this method can show with this many samples."""
    kind: Kind = "neither"
    """What ``nats`` itself is in expectation: a "lower" or "upper" bound, or "neither"."""
    rows: int | None = None
    """Number of pairs (x, y)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the method found on its way: chosen parameters, scores of the candidates."""

    @property
    def bits(self) -> float:
        """``nats`` in bits."""
        return self.nats / math.log(2.0)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, nats -+ 1.96 stderr; not clipped at 0."""
        return self.nats - 1.96 * self.stderr, self.nats + 1.96 * self.stderr

    def to_dict(self) -> dict[str, Any]:
        """A plain dict for JSON: every field, with bits and interval; infinities become None."""
        values = dataclasses.asdict(self) | {"bits": self.bits, "interval": self.interval}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in values.items()
        }


# --- studies ------------------------------------------------------------------------------------


@dataclass
class Row:
    """One run of a study: everything needed to read it and to run it again.

    ``kind`` is "candidate" (an encoder trained on one view) or "baseline" (raw pixels, untrained
    encoder). Accuracies are fractions in [0, 1] on held-out images, information is in nats. A run
    that failed has ``status`` "failed" and its ``error``; its numbers stay ``None``.
    """

    kind: str
    candidate: str
    """Unique name, for example "crop-scale=0.2"; baselines: "raw pixels", "untrained network"."""
    seed: int
    family: str = ""
    dial: str = ""
    value: float | str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    status: str = "done"
    error: str = ""
    # information
    nats: float | None = None
    """Held-out I_NCE(v1;v2)."""
    nats_stderr: float | None = None
    nats_train: float | None = None
    """The same measurement on training pairs."""
    scale_nats: dict[str, float] = field(default_factory=dict)
    """AMDIM: nats of each pair of scales while training, the mean of the last epoch ("1>5")."""
    null: float | None = None
    candidates: int | None = None
    """K."""
    true_nats: float | None = None
    """Exact I(v1;v2), where the data know it."""
    # what the task keeps
    linear: float | None = None
    linear_few: float | None = None
    """Linear probe with few labels (``few`` images a class)."""
    mlp: float | None = None
    """MLP probe, where a study asks for it."""
    knn: float | None = None
    label_nats: float | None = None
    """H(y) minus the linear probe's held-out cross-entropy: a lower bound on I(z;y)."""
    # without labels
    rankme: float | None = None
    alignment: float | None = None
    uniformity: float | None = None
    # experiments that follow a run
    curve: list[dict[str, float]] = field(default_factory=list)
    """One entry an evaluation: "step" and what was measured there."""
    measures: dict[str, float] = field(default_factory=dict)
    """Final values of what the fields above do not name."""
    # the run
    steps: int | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def ceiling(self) -> float | None:
        """Log K."""
        return None if self.candidates is None else math.log(self.candidates)

    def to_dict(self) -> dict[str, Any]:
        """A plain dict for one JSON line."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row:
        """The row of one JSON line; unknown keys (of a newer version) are dropped."""
        names = {f.name for f in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in names})
