"""How a representation is probed: the protocol, and one contender's reader."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from goodviews.evaluation.augmented import RawPixels, augmented
from goodviews.evaluation.features import device_of, extract, labels_of, pixels
from goodviews.evaluation.finetune import finetune
from goodviews.evaluation.paper import paper_probes
from goodviews.evaluation.probes import knn_probe, linear_probe, mlp_probe
from goodviews.evaluation.refresh import bn_refreshed
from goodviews.evaluation.sweep import sgd_probe
from goodviews.evaluation.task import ProbeResult
from goodviews.interfaces import ImageSource, UserError, check_name

PROBES = ("linear", "knn", "mlp", "finetune")
PROTOCOLS = {"modern": PROBES, "sgd": ("linear",), "paper": ("linear", "mlp")}
"""Protocol -> the probes it applies to."""
REFRESHABLE = ("linear", "mlp")
"""Probes whose features may be read under refreshed batch norm."""
PIXEL_SIDE = 32
"""Larger images are brought down to this side for the raw-pixel row."""
LOGIT_CLIP = 10.0

Data = tuple[Tensor, Tensor, Tensor, Tensor]
"""Features and labels of the training images, features and labels of the test images."""


@dataclass(frozen=True)
class Protocol:
    """How the probes are fitted.

    Args:
        name: ``modern``: linear solved by L-BFGS with a penalty chosen on held-out training
            images, mlp and finetune by AdamW, knn. ``sgd``: linear by SGD, its rate chosen on
            held-out training images. ``paper``: linear and mlp as AMDIM's code trains them.
        epochs: of probes that are trained; None: 120 (paper), 30 (mlp, sgd), 10 (finetune).
        batch_size: of probes that are trained; None: 480 (paper), 256 (mlp, sgd), 128 (finetune).
        logit_clip: paper only: c of the clipped logits, None for plain cross-entropy.
        augment: paper only: the probes read a new augmented view of each training image an epoch.
        bn_refresh: add a row in which batch norm has seen the test images.
    """

    name: str = "modern"
    epochs: int | None = None
    batch_size: int | None = None
    logit_clip: float | None = LOGIT_CLIP
    augment: bool = False
    bn_refresh: bool = False

    def check(self, probes: Sequence[str]) -> None:
        """Raise unless all ``probes`` can be run so.

        Raises:
            UserError: no probe, an unknown one, one that the protocol or an option is not for.

        Example:
            >>> Protocol("paper").check(["linear", "knn"])
            Traceback (most recent call last):
            goodviews.interfaces.UserError: --protocol paper: is for linear and mlp, not for knn. \
Leave knn out of --probe, or use --protocol modern.
        """
        if not probes:
            raise UserError("--probe: names no probe. Use for example linear,mlp.")
        for probe in probes:
            check_name("--probe", probe, PROBES)
        check_name("--protocol", self.name, PROTOCOLS)
        _only(f"--protocol {self.name}", PROTOCOLS[self.name], probes, "use --protocol modern")
        if self.bn_refresh:
            _only("--bn-refresh", REFRESHABLE, probes, "leave --bn-refresh out")
        self._check_trained(probes)
        if self.logit_clip is not None and not self.logit_clip > 0:
            raise UserError(f"--logit-clip: {self.logit_clip:g}. Use more than 0, or none.")
        if self.name != "paper":
            for flag, given in (
                ("--augment", self.augment),
                ("--logit-clip", self.logit_clip != LOGIT_CLIP),
            ):
                if given:
                    raise UserError(f"{flag}: goes with --protocol paper. Add that, or leave it.")

    def _check_trained(self, probes: Sequence[str]) -> None:
        """Epochs and batches: for probes that have them."""
        for flag, value, least in (
            ("--epochs", self.epochs, 1),
            ("--batch-size", self.batch_size, 2),
        ):
            if value is None:
                continue
            if value < least:
                raise UserError(f"{flag}: {value}. Use {least} or more.")
            if self.name == "modern" and not {"mlp", "finetune"} & set(probes):
                raise UserError(
                    f"{flag}: {' and '.join(probes)} by --protocol modern is not trained in "
                    f"batches. Leave {flag} out, or use --protocol paper."
                )

    @property
    def training(self) -> dict[str, int]:
        """Epochs and batch size, where they were given."""
        given = {"epochs": self.epochs, "batch_size": self.batch_size}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def parts(self) -> list[str]:
        """What differs from the default, for a file's name.

        Example:
            >>> Protocol("paper", epochs=30, augment=True).parts
            ['paper', '30-epochs', 'augment']
        """
        named = [
            (self.name, self.name != "modern"),
            (f"{self.epochs}-epochs", self.epochs is not None),
            (f"batch-{self.batch_size}", self.batch_size is not None),
            ("raw-logits" if self.logit_clip is None else f"clip-{self.logit_clip:g}",
             self.logit_clip != LOGIT_CLIP),
            ("augment", self.augment),
            ("bn-refresh", self.bn_refresh),
        ]  # fmt: skip
        return [part for part, differs in named if differs]


def _only(flag: str, known: Sequence[str], probes: Sequence[str], remedy: str) -> None:
    """Raise for probes that are not among ``known``."""
    others = [probe for probe in probes if probe not in known]
    if others:
        words = " and ".join(others)
        raise UserError(
            f"{flag}: is for {' and '.join(known)}, not for {words}. "
            f"Leave {words} out of --probe, or {remedy}."
        )


class Reader:
    """Probes one contender; its features are extracted once.

    Args:
        network: uint8 images -> (n, D); None reads the pixels.
        like: a network on the device to train heads on; its views are those of ``augment``.
        train: training images.
        test: test images.
        protocol: how to probe.
        seed: of the probes.
    """

    def __init__(
        self,
        network: nn.Module | None,
        like: nn.Module,
        train: ImageSource,
        test: ImageSource,
        protocol: Protocol,
        seed: int,
    ) -> None:
        self.network, self.train, self.test = network, train, test
        self.protocol, self.seed, self.device = protocol, seed, device_of(like)
        self._viewed: Any = network  # what has views and encoders
        if protocol.augment and network is None:
            self._viewed = RawPixels(like.views, PIXEL_SIDE, self.device)  # type: ignore[arg-type]
        self._refreshed = False
        self._features: tuple[Tensor, Tensor] | None = None

    def __call__(self, probes: Sequence[str], places: Tensor) -> dict[str, ProbeResult]:
        """The probes' results where they see the labels at ``places``."""
        if self.protocol.name == "paper":
            return self._paper(probes, places)
        return {probe: self._one(probe, places) for probe in probes}

    def refresh(self) -> None:
        """From now on each split is read under batch norm that has seen its images.

        AMDIM's code trains its classifiers with the encoder in train mode, and refreshes batch norm
        on test images before it tests.
        """
        self._refreshed, self._features = True, None

    def _one(self, probe: str, places: Tensor) -> ProbeResult:
        training = self.protocol.training
        if probe == "finetune" and self.network is not None:
            few = self.train.subset(places)
            return finetune(self.network, few, self.test, seed=self.seed, **training)  # type: ignore[arg-type]
        data = self._data(places)
        if probe == "knn":
            return knn_probe(*data, distance="euclidean" if self.network is None else "cosine")
        if probe == "mlp":
            return mlp_probe(*self._moved(data), seed=self.seed, **training)  # type: ignore[arg-type]
        if self.protocol.name == "sgd":
            return sgd_probe(*self._moved(data), seed=self.seed, **training)  # type: ignore[arg-type]
        return linear_probe(*data, seed=self.seed)  # raw pixels have nothing to fine-tune

    def _paper(self, probes: Sequence[str], places: Tensor) -> dict[str, ProbeResult]:
        seen = self.train.subset(places)

        def anew(epoch: int) -> Tensor:
            return augmented(self._viewed, seen, seed=1_000_003 * self.seed + epoch)

        data = self._moved(self._data(places))
        with self._norm(self.train) if self.protocol.augment else nullcontext():
            return paper_probes(
                *data,
                heads=probes,
                clip=self.protocol.logit_clip,
                anew=anew if self.protocol.augment else None,
                seed=self.seed,
                **self.protocol.training,  # type: ignore[arg-type]
            )

    def _data(self, places: Tensor) -> Data:
        known, asked = self._extracted()
        return known[places], labels_of(self.train)[places], asked, labels_of(self.test)

    def _moved(self, data: Data) -> Data:
        """Where heads are trained: a CUDA device, otherwise the CPU, which knows float64."""
        if self.device.type != "cuda":
            return data
        train_x, train_y, test_x, test_y = (tensor.to(self.device) for tensor in data)
        return train_x, train_y, test_x, test_y

    def _extracted(self) -> tuple[Tensor, Tensor]:
        if self._features is None:
            self._features = self._read(self.train), self._read(self.test)
        return self._features

    def _read(self, source: ImageSource) -> Tensor:
        if self._viewed is None:
            return pixels(source, PIXEL_SIDE)
        with self._norm(source):
            return extract(self._viewed, source)

    def _norm(self, source: ImageSource) -> AbstractContextManager[None]:
        """Batch norm as it must be to read ``source``."""
        if self._refreshed and self.network is not None:
            return bn_refreshed(self.network, source, seed=self.seed)
        return nullcontext()
