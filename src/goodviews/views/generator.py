"""View generators: invertible maps of each pixel's channels (InfoMin, section 4.2).

``X_hat = g(X)`` loses nothing and never mixes pixels, so it still looks like the image. A trained
generator is one file of safetensors with its sizes in the header.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from goodviews.files import write_atomic
from goodviews.interfaces import UserError, check_name
from goodviews.layers import MLP
from goodviews.packed import pack, unpack
from goodviews.views import colorspaces

__all__ = ["FAMILIES", "SPACES", "PixelCoupling", "ViewGenerator", "read_generator"]

FAMILIES = ("vp", "nvp")
"""Volume preserving (additive couplings, NICE), and not (affine couplings, RealNVP)."""

SPACES = ("rgb", "ydbdr", "raw")
"""What the couplings start from; raw: the channels as they are, any number of them."""

_KEY = "goodviews.ViewGenerator"


class PixelCoupling(nn.Module):
    r"""One coupling of a pixel's channels: one part of them decides how the other is changed.

    .. math::
        b' = b + t(a) \;\;\text{(VP)}, \qquad b' = b\, e^{s(a)} + t(a) \;\;\text{(NVP)}

    with s = bound * tanh(. / bound) and t from an MLP of the conditioning channels a, which pass
    unchanged: 1x1 convolutions (Tian et al. 2020, section 4.2; Dinh et al. 2015, 2017). The last
    layer starts at zero, so the coupling starts as the identity.

    Arguments:
        channels: c >= 2 of a pixel.
        alone: how many channels are the first part.
        flipped: the rest decides and the first part is changed, not the other way round.
        affine: NVP; otherwise VP.
        hidden: widths of the hidden layers (ReLU).
        bound: of |s|.

    Example:
        >>> coupling, x = PixelCoupling(3, affine=True), torch.rand(5, 3)
        >>> torch.equal(coupling(x)[0], x)  # the identity at the start
        True
    """

    def __init__(
        self,
        channels: int,
        alone: int = 1,
        flipped: bool = False,
        affine: bool = False,
        hidden: Sequence[int] = (32, 32),
        bound: float = 1.0,
    ) -> None:
        super().__init__()
        self.alone, self.flipped, self.affine, self.bound = alone, flipped, affine, bound
        kept, changed = (channels - alone, alone) if flipped else (alone, channels - alone)
        self.conditioner = MLP([kept, *hidden, 2 * changed if affine else changed])
        last = self.conditioner[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map pixels (..., c) to pixels (..., c); also log |det| of each, shape (...), in nats."""
        a, b = self._parts(x)
        shift, scale = self._conditioned(a)
        if scale is None:
            return self._joined(a, b + shift), torch.zeros_like(x[..., 0])
        return self._joined(a, b * scale.exp() + shift), scale.sum(-1)

    def inverse(self, y: Tensor) -> Tensor:
        """Map pixels (..., c) back."""
        a, b = self._parts(y)
        shift, scale = self._conditioned(a)
        back = b - shift
        return self._joined(a, back if scale is None else back * (-scale).exp())

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, rest = x[..., : self.alone], x[..., self.alone :]
        return (rest, first) if self.flipped else (first, rest)

    def _joined(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat((b, a) if self.flipped else (a, b), -1)

    def _conditioned(self, a: Tensor) -> tuple[Tensor, Tensor | None]:
        raw = self.conditioner(a)
        if not self.affine:
            return raw, None
        shift, scale = raw.chunk(2, -1)
        return shift, self.bound * torch.tanh(scale / self.bound)


class ViewGenerator(nn.Module):
    r"""An invertible map of each pixel's channels, whose channels are split into two views.

    ``X_hat = (c_m o ... o c_1)(start(X))``, views ``X_hat[:, :alone]`` and ``X_hat[:, alone:]``.
    ``start`` changes the colour space and standardises by fixed constants; couplings alternate
    which part conditions the other. Every map is exactly invertible, volume preserving ones have
    log-determinant 0 (Tian et al. 2020, section 4.2). Untrained, it is the plain channel split of
    the start space: R | GB, Y | DbDr. Sizes are not in the paper: four couplings of width 32.

    Views are standardised channel by channel: by the batch in train mode, by running statistics in
    eval mode (:meth:`settle` fixes them). So the objective cannot be met by making values small.

    Arguments:
        channels: c >= 2 of the images.
        family: "vp" or "nvp".
        space: "rgb", "ydbdr" (three channels) or "raw".
        alone: channels of the first view, 1 <= alone < c.
        couplings: how many; two or more, so that every channel is changed.
        hidden: widths of the hidden layers of their conditioners.
        bound: of |log scale| in each coupling, "nvp".
        mean: of the channels, space "raw"; None: 0.5.
        std: of the channels, space "raw"; None: 0.25.

    Raises:
        UserError: images that cannot be split, unknown names.

    Example:
        >>> g, images = ViewGenerator(3, "nvp", "ydbdr").eval(), torch.rand(2, 3, 8, 8)
        >>> [tuple(view.shape) for view in g.views(images)]
        [(2, 1, 8, 8), (2, 2, 8, 8)]
        >>> torch.allclose(g.inverse(g(images)), images, atol=1e-5)
        True
    """

    def __init__(
        self,
        channels: int = 3,
        family: str = "vp",
        space: str = "rgb",
        alone: int = 1,
        couplings: int = 4,
        hidden: Sequence[int] = (32, 32),
        bound: float = 1.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_name("--family", family, FAMILIES)
        check_name("--space", space, SPACES)
        if channels < 2:
            raise UserError(
                f"learned views: images of {channels} channel cannot be split by channel. "
                "Use images of two channels or more, or another split such as frequency."
            )
        if space != "raw" and channels != 3:
            raise UserError(
                f"--space: {space} needs three channels, these images have {channels}. "
                "Use --space raw."
            )
        if not 1 <= alone < channels:
            raise UserError(f"alone: {alone} of {channels} channels. Use 1 to {channels - 1}.")
        if couplings < 2:
            raise UserError(f"couplings: {couplings} leaves a channel unchanged. Use 2 or more.")
        self.channels, self.family, self.space, self.alone = channels, family, space, alone
        self.hidden, self.bound = tuple(hidden), bound
        self.mean = tuple(mean) if mean is not None else (0.5,) * channels
        self.std = tuple(std) if std is not None else (0.25,) * channels
        self.couplings = nn.ModuleList(
            PixelCoupling(channels, alone, i % 2 == 1, family == "nvp", hidden, bound)
            for i in range(couplings)
        )
        self.standard = nn.BatchNorm2d(channels, affine=False, momentum=0.05)

    def design(self) -> dict[str, Any]:
        """The constructor's arguments as plain values."""
        return {
            "channels": self.channels,
            "family": self.family,
            "space": self.space,
            "alone": self.alone,
            "couplings": len(self.couplings),
            "hidden": list(self.hidden),
            "bound": self.bound,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def _start(self, images: Tensor) -> Tensor:
        """The start space, standardised, channels last: (n, h, w, c)."""
        if self.space == "raw":
            mean, std = self._own(images)
            ready = (images - mean) / std
        else:
            ready = colorspaces.standardise(colorspaces.convert(images, self.space), self.space)
        return ready.permute(0, 2, 3, 1)

    def _back(self, start: Tensor) -> Tensor:
        """Images of :meth:`_start`'s values."""
        values = start.permute(0, 3, 1, 2)
        mean, std = self._own(values)
        return _to_rgb(values * std + mean) if self.space == "ydbdr" else values * std + mean

    def _own(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the start space, (1, c, 1, 1)."""
        own = (self.mean, self.std) if self.space == "raw" else colorspaces.NATURAL[self.space]
        mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in own)
        return mean, std

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self._start(images)
        total = torch.zeros_like(x[..., 0])
        for coupling in self.couplings:
            x, part = coupling(x)
            total = total + part
        return x, total

    def forward(self, images: Tensor) -> Tensor:
        """X_hat (n, c, h, w) of float images (n, c, h, w) in [0, 1]."""
        return self._run(images)[0].permute(0, 3, 1, 2)

    def log_det(self, images: Tensor) -> Tensor:
        """Log |det| of the couplings' Jacobian at each image: nats, shape (n,)."""
        return self._run(images)[1].sum((1, 2))

    def inverse(self, changed: Tensor) -> Tensor:
        """The images of X_hat (n, c, h, w)."""
        x = changed.permute(0, 2, 3, 1)
        for coupling in reversed(self.couplings):
            x = coupling.inverse(x)  # type: ignore[operator]  # ModuleList forgets what it holds
        return self._back(x)

    def views(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Two standardised views of float images in [0, 1]: (n, alone, h, w) and the rest."""
        with torch.autocast(images.device.type, enabled=False):
            changed = self.standard(self(images.float()))
        return changed[:, : self.alone].contiguous(), changed[:, self.alone :].contiguous()

    @torch.no_grad()
    def settle(self, images: Tensor) -> None:
        """Fix the statistics that standardise the views to those of images (n, c, h, w)."""
        changed = self(images.float()).transpose(0, 1).flatten(1).double()
        self.standard.running_mean.copy_(changed.mean(1))  # type: ignore[union-attr]
        self.standard.running_var.copy_(changed.var(1))  # type: ignore[union-attr]

    def to_bytes(self) -> bytes:
        """Weights as safetensors, the design in its header."""
        return pack(self, _KEY, self.design())

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "learned") -> ViewGenerator:
        """The generator that :meth:`to_bytes` wrote, in eval mode.

        Raises:
            UserError: ``data`` is something else; ``where`` names it.
        """
        return unpack(
            data,
            _KEY,
            cls,
            f"{where}: holds no view generator. Name the generator.safetensors that "
            "`goodviews learn-views` wrote.",
        )

    def save(self, path: Path | str) -> Path:
        """Write the file of a recipe's ``learned: {path: ...}``, atomically."""
        return write_atomic(path, lambda part: part.write_bytes(self.to_bytes()))

    @classmethod
    def load(cls, path: Path | str) -> ViewGenerator:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: no such file, or another kind of file.
        """
        return cls.from_bytes(read_generator(Path(path)), str(path))


def _to_rgb(images: Tensor) -> Tensor:
    """RGB of YDbDr images (n, 3, h, w): a linear map, undone by its inverse."""
    columns = colorspaces.convert(torch.eye(3, dtype=torch.float64).view(3, 3, 1, 1), "ydbdr")
    back = torch.linalg.inv(columns[..., 0, 0].T).to(images)
    return torch.einsum("dc,nchw->ndhw", back, images)


def read_generator(path: Path) -> bytes:
    """The bytes of a generator's file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"learned.path: {path} cannot be read ({error.strerror}). Make it with `goodviews "
            "learn-views`, or mend the path, which is relative to the recipe's folder."
        ) from None
