"""Negatives that outlive their batch: a memory bank, a queue, and the losses that read them.

Both memories give cosines of anchors with candidates, shape (n, 1 + K), the positive in column 0;
:class:`MemorySoftmax` and :class:`InstDisNCE` turn them into a loss and into nats, which are at
most log(K + 1). Everything here is float32 whatever the autocast (float64 for float64 inputs).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from goodviews.interfaces import UserError
from goodviews.objectives.processes import gather, world_size


def unit(rows: Tensor) -> Tensor:
    """The rows (n, d) divided by their norms, float32 or float64.

    Example:
        >>> unit(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """
    with torch.autocast(rows.device.type, enabled=False):
        return functional.normalize(rows if rows.dtype == torch.float64 else rows.float(), dim=1)


class MemoryBank(nn.Module):
    r"""One unit vector for every training image, the running mean of its projections.

    ``rows[i] <- unit(m rows[i] + (1 - m) z_i)``, after the scores have been read. The positive of
    an anchor is its own row; the K negatives are rows drawn uniformly with replacement. As in the
    published code the anchor's own row may be among them.

    Arguments:
        images: number of training images N.
        dim: d, width of the projections.
        momentum: m; 0.5 as published.
        exclude_own: draw the negatives among the other images only.
        generator: of the first rows, which are random unit vectors.

    Raises:
        UserError: fewer than 2 images, or a momentum outside [0, 1).

    References:
        Wu et al. 2018, section 3; Tian et al. 2020, code (RGBMem, CMCMem).

    Example:
        >>> bank = MemoryBank(images=4, dim=8)
        >>> index = torch.tensor([2, 0])
        >>> places = bank.draw(index, negatives=3)
        >>> places[:, 0].tolist(), bank(torch.randn(2, 8), places).shape
        ([2, 0], torch.Size([2, 4]))
    """

    rows: Tensor

    def __init__(
        self,
        images: int,
        dim: int,
        momentum: float = 0.5,
        exclude_own: bool = False,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if images < 2:
            raise UserError(f"memory bank: {images} image leaves no negative. Use 2 or more.")
        if not 0 <= momentum < 1:
            raise UserError(f"--bank-momentum: {momentum} is not in [0, 1). Use for example 0.5.")
        self.momentum, self.exclude_own = momentum, exclude_own
        self.register_buffer("rows", unit(torch.randn(images, dim, generator=generator)))

    def draw(self, index: Tensor, negatives: int, generator: Generator | None = None) -> Tensor:
        """Places (n, 1 + K) of the candidates of images ``index`` (n,): themselves, then others."""
        others = len(self.rows) - self.exclude_own
        shape = (len(index), negatives)
        drawn = torch.randint(others, shape, generator=generator, device=index.device)
        if self.exclude_own:
            drawn += drawn >= index[:, None]
        return torch.cat([index[:, None], drawn], 1)

    def forward(self, z: Tensor, places: Tensor) -> Tensor:
        """Cosines (n, 1 + K) of z (n, d) with the rows at ``places`` (n, 1 + K)."""
        z = unit(z)
        with torch.autocast(z.device.type, enabled=False):
            rows = self.rows.to(z.dtype, copy=True)  # the update comes before backward reads them
            return (z @ rows.T).gather(1, places)

    @torch.no_grad()
    def update(self, index: Tensor, z: Tensor) -> None:
        """Move the rows of images ``index`` (n,) towards z (n, d), of all processes."""
        (where, _), (new, _) = gather(index), gather(unit(z.detach()))
        mixed = self.momentum * self.rows[where] + (1 - self.momentum) * new
        self.rows[where] = unit(mixed).to(self.rows.dtype)


class Queue(nn.Module):
    r"""The K latest keys: a ring of unit vectors, random ones at first.

    The positive of an anchor is its key; the negatives are the whole queue as it stands before the
    batch's own keys enter it. Rows and pointer are buffers: both are saved and restored (the
    published code forgets the pointer).

    Arguments:
        size: K.
        dim: d, width of the keys.
        generator: of the first rows.

    Raises:
        UserError: a size below 1.

    References:
        He et al. 2020, section 3.2; Tian et al. 2020, code (RGBMoCo, CMCMoCo).

    Example:
        >>> queue = Queue(size=4, dim=8)
        >>> queue(torch.randn(3, 8), torch.randn(3, 8)).shape
        torch.Size([3, 5])
        >>> queue.enqueue(torch.randn(3, 8)), int(queue.pointer)
        (None, 3)
    """

    rows: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int, generator: Generator | None = None) -> None:
        super().__init__()
        if size < 1:
            raise UserError(f"--negatives: {size} leaves no negative. Use for example 4096.")
        self.register_buffer("rows", unit(torch.randn(size, dim, generator=generator)))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor, keys: Tensor) -> Tensor:
        """Cosines (n, 1 + K) of z (n, d) with its keys (n, d) and with the queue."""
        z, keys = unit(z), unit(keys)
        with torch.autocast(z.device.type, enabled=False):
            rows = self.rows.to(z.dtype, copy=True)  # enqueued before backward reads them
            return torch.cat([(z * keys).sum(1, keepdim=True), z @ rows.T], 1)

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Write the keys (n, d) of all processes over the oldest rows."""
        new, size = gather(unit(keys.detach()))[0], len(self.rows)
        where = (self.pointer + torch.arange(len(new), device=new.device)) % size
        self.rows[where[-size:]] = new[-size:].to(self.rows.dtype)
        self.pointer.copy_((self.pointer + len(new)) % size)


class MemorySoftmax(nn.Module):
    r"""Cross entropy of one positive among K + 1 candidates.

    ``loss = mean_i -log( exp s_i0 / sum_k exp s_ik )``, ``s = cosines / temperature``;
    ``nats = log(K + 1) - loss``, a lower bound in expectation where the negatives are independent
    of the anchor.

    Arguments:
        temperature: tau.

    References:
        Tian et al. 2020, section 2.1 (h) and code; He et al. 2020, eq. 1.

    Example:
        >>> loss, nats = MemorySoftmax(0.07)(torch.zeros(2, 5))
        >>> round(loss.item(), 4), abs(round(nats.item(), 4))  # log 5, nothing
        (1.6094, 0.0)
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = positive(temperature)

    def forward(self, cosines: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and nats of cosines (n, 1 + K), positives in column 0."""
        loss = _softmax(_wide(cosines) / self.temperature)
        return loss, math.log(cosines.shape[1]) - loss.detach()


class InstDisNCE(nn.Module):
    r"""Binary noise-contrastive estimation with a constant Z: positive or one of K noise samples?

    With ``P_k = exp(s_k) / Z``, ``s = cosines / temperature`` and ``h_k = P_k / (P_k + K/N)``,

    ``loss = mean_i [ -log h_i0 - sum_{k >= 1} log(1 - h_ik) ]``.

    Z is estimated once, ``Z = N mean(exp s)`` over the first batch, and then kept. Nats are those
    of :class:`MemorySoftmax` on the same scores: the best s is log p(v|i) up to a constant either
    way, so runs of both losses can be compared.

    Arguments:
        temperature: tau.
        images: N, number of images in the memory bank.

    References:
        Wu et al. 2018, section 3.2 (eq. 4-6, and the Monte Carlo estimate of Z).

    Example:
        >>> loss, nats = InstDisNCE(0.07, images=5)(torch.zeros(2, 5))  # all alike: Z = N
        >>> round(loss.item(), 4)  # P = 1/5, K/N = 4/5: -log(1/5) - 4 log(4/5)
        2.502
    """

    log_z: Tensor
    known: Tensor

    def __init__(self, temperature: float = 0.07, images: int = 1) -> None:
        super().__init__()
        self.temperature, self.images = positive(temperature), images
        self.register_buffer("log_z", torch.zeros(()))
        self.register_buffer("known", torch.zeros((), dtype=torch.bool))

    def forward(self, cosines: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and nats of cosines (n, 1 + K), positives in column 0."""
        scores = _wide(cosines) / self.temperature
        if not self.known:
            self._estimate(scores.detach())
        k = scores.shape[1] - 1
        odds = scores - self.log_z - math.log(k / self.images)  # log of P / (K/N)
        misses = functional.softplus(odds[:, 1:]).sum(1)
        loss = (functional.softplus(-odds[:, 0]) + misses).mean()
        nats = math.log(k + 1) - _softmax(scores.detach())
        return loss, nats

    def _estimate(self, scores: Tensor) -> None:
        """Keep log Z = log N + log mean exp(s), the mean over all processes."""
        mine = scores.flatten().logsumexp(0) - math.log(scores.numel())
        mean = gather(mine[None])[0].logsumexp(0) - math.log(world_size())
        self.log_z.copy_(mean + math.log(self.images))
        self.known.fill_(True)


def positive(temperature: float) -> float:
    """The temperature, if it is one.

    Raises:
        UserError: not positive.

    Example:
        >>> positive(0.07)
        0.07
    """
    if not temperature > 0:
        raise UserError(f"--temperature: {temperature} is not positive. Use for example 0.07.")
    return temperature


def _wide(scores: Tensor) -> Tensor:
    return scores if scores.dtype == torch.float64 else scores.float()


def _softmax(scores: Tensor) -> Tensor:
    """The mean of -log softmax at column 0."""
    first = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
    return functional.cross_entropy(scores, first)
