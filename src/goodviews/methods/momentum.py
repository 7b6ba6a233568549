"""Instance contrast with a memory bank, a momentum encoder's queue, or the batch; JigSaw branch."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from goodviews.critics import Cosine
from goodviews.interfaces import Batch, UserError, Views
from goodviews.layers import MLP, evaluating
from goodviews.methods.method import ViewMethod, step_generator
from goodviews.objectives.negatives import MemoryBank, Queue, unit
from goodviews.objectives.processes import gather, world_size
from goodviews.objectives.streaming import infonce_loss
from goodviews.views.jigsaw import JigSaw

Contrast = Callable[[int, Tensor], tuple[Tensor, Tensor]]
"""Side and anchors z (n, d) of that side -> loss and nats against its positive and negatives."""


class Contrasted(NamedTuple):
    """What one batch gave; in nats."""

    loss: Tensor
    nats: Tensor
    jigsaw: Tensor | None
    """Nats between the JigSaw embedding and the same candidates."""


def projection(width: int, dim: int, head: str) -> MLP:
    """The published heads: linear, or mlp with one hidden layer as wide as the summary.

    Example:
        >>> [len(projection(8, 4, head)) for head in ("linear", "mlp")]
        [1, 3]
    """
    return MLP([width, dim] if head == "linear" else [width, width, dim])


class JigSawHead(nn.Module):
    r"""From the summaries of the shuffled patches of an image to one embedding.

    ``z = W [fc(p_sigma(1)); ...; fc(p_sigma(9))] + b``, sigma a random permutation an image.

    Arguments:
        width: of a patch's summary.
        dim: d of the embedding, and of each patch in it.
        head: "linear" or "mlp": what fc is.
        pieces: patches an image.

    References:
        Misra and van der Maaten 2020, section 3.2; Tian et al. 2020, code.

    Example:
        >>> order = torch.arange(9).expand(2, 9)
        >>> JigSawHead(16, 8)(torch.zeros(18, 16), order).shape
        torch.Size([2, 8])
    """

    def __init__(self, width: int, dim: int, head: str = "linear", pieces: int = 9) -> None:
        super().__init__()
        self.piece = projection(width, dim, head)
        self.joined = nn.Linear(pieces * dim, dim)

    def forward(self, summaries: Tensor, order: Tensor) -> Tensor:
        """Embeddings (n, d) of summaries (n * 9, width), image by image, in ``order`` (n, 9)."""
        pieces = self.piece(summaries).unflatten(0, tuple(order.shape))
        shuffled = pieces.take_along_dim(order[:, :, None], 1)
        z: Tensor = self.joined(shuffled.flatten(1))
        return z


class MemoryContrast(ViewMethod):
    r"""Tells each image from the others, with negatives from a memory; subclasses keep one each.

    ``loss = (1 - beta) L(z) + beta L(z_jigsaw)``

    where L contrasts the embedding of a view, or of the JigSaw of the same image, with one positive
    and K negatives. Views that are not cut from one image by a split have one memory; a split (CMC:
    luma and chroma) has two, each side is scored against the other's, and L is the sum of both
    (Tian et al. 2020, code).

    The nats of training are against vectors of earlier steps. Where the encoder (of a queue: the
    momentum encoder) moves fast, fresh vectors differ from old ones by the drift alone, and the
    training nats show information that is not there; held-out I_NCE does not.

    ``pair_scores`` and ``project`` read both views by the trained (query) encoder, so held-out
    I_NCE is measured as for every other method.

    Arguments:
        views: makes pairs of views.
        view_encoders: one encoder (shared) or two.
        heads: as many projection heads.
        objective: cosines (n, 1 + K) -> (loss, nats).
        jigsaw: makes the patches of images; None for no branch.
        jigsaw_heads: one an encoder, where there is a branch.
        jigsaw_weight: beta.
        temperature: of the critic.
        seed: of the views; each step draws from (seed, step).
    """

    TRAINING_ONLY = ("memories", "keys", "jigsaw_heads", "objective")
    negatives: int | None = None
    """K, where it is not the batch's."""

    def __init__(
        self,
        views: Views,
        view_encoders: Sequence[nn.Module],
        heads: Sequence[nn.Module],
        objective: nn.Module,
        *,
        jigsaw: JigSaw | None = None,
        jigsaw_heads: Sequence[nn.Module] = (),
        jigsaw_weight: float = 0.5,
        temperature: float = 0.07,
        seed: int = 0,
    ) -> None:
        super().__init__(views, view_encoders, seed)
        self.heads, self.objective = nn.ModuleList(heads), objective
        self.split = getattr(views, "split", None)
        self.jigsaw, self.jigsaw_weight = jigsaw, jigsaw_weight
        self.jigsaw_heads = nn.ModuleList(jigsaw_heads)
        self.critic = Cosine(temperature)

    def embed(self, side: int, view: Tensor) -> Tensor:
        """Projections (n, d) of one side's view by the trained encoder."""
        place = min(side, len(self.encoders) - 1)
        z: Tensor = self.heads[place](self.encoders[place](view).summary)
        return z

    def project(self, v1: Tensor, v2: Tensor) -> tuple[Tensor, Tensor]:
        """Projections z1, z2 of a pair of views, both by the trained encoder."""
        if len(self.encoders) == 1 and v1.shape[1:] == v2.shape[1:]:
            z1, z2 = self.embed(0, torch.cat([v1, v2])).chunk(2)
            return z1, z2
        return self.embed(0, v1), self.embed(1, v2)

    def pair_scores(self, v1: Tensor, v2: Tensor) -> Tensor:
        """Cosines over temperature (n, n) of a pair of views, float32."""
        return self.critic(*self.project(v1, v2)).float()

    @abstractmethod
    def anchors(self, v1: Tensor, v2: Tensor) -> list[Tensor]:
        """What is contrasted: one projection (n, d) a side."""

    @abstractmethod
    def against(self, batch: Batch, v2: Tensor, z: list[Tensor], generator: Generator) -> Contrast:
        """What the anchors z (and their JigSaws) are contrasted with."""

    def remember(self, batch: Batch, z: list[Tensor]) -> None:
        """Bring the memory up to date, after the scores were read."""

    def contrast(self, batch: Batch, generator: Generator) -> Contrasted:
        """Loss and nats of a batch; the memory is brought up to date."""
        if self.objective is None:
            raise UserError("training: this encoder was frozen, its memory is gone. Train anew.")
        v1, v2 = self.views(batch.images, generator, batch.partners)
        z = self.anchors(v1, v2)
        contrast = self.against(batch, v2, z, generator)
        loss, nats = self._mean(contrast, z)
        jigsaw = None
        if self.jigsaw is not None:
            other, jigsaw = self._mean(contrast, self.puzzles(batch.images, len(z), generator))
            loss = (1 - self.jigsaw_weight) * loss + self.jigsaw_weight * other
        self.remember(batch, z)
        return Contrasted(loss, nats, jigsaw)

    def _mean(self, contrast: Contrast, z: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Loss and nats of all sides: the mean; of a split's sides the losses add up."""
        losses, nats = zip(*(contrast(side, one) for side, one in enumerate(z)), strict=True)
        loss, sides = torch.stack(losses).mean(), 1 if self.split is None else 2
        return sides * loss, torch.stack(nats).mean()

    def puzzles(self, images: Tensor, sides: int, generator: Generator) -> list[Tensor]:
        """The JigSaw embeddings of images, one (n, d) a side."""
        assert self.jigsaw is not None
        patches = self.jigsaw(images, generator)
        parts = [patches] if self.split is None else self.split.parts(patches)
        shape = (len(images), len(patches) // len(images))
        order = torch.rand(shape, generator=generator, device=images.device).argsort(1)
        found = [
            head(encoder(part).summary, order)
            for head, encoder, part in zip(self.jigsaw_heads, self.encoders, parts, strict=True)
        ]
        return found if len(found) == sides else found * sides

    def candidates(self, n: int) -> int:
        """Candidates of an anchor, the positive among them, in a batch of n images a process."""
        return n * world_size() if self.negatives is None else self.negatives + 1

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step: views, embeddings, contrast; logs loss, nats (of the JigSaw too), ceiling."""
        found, n = self.contrast(batch, self.draw()), len(batch.images)
        logged = {"loss": found.loss.detach(), "nats": found.nats}
        if found.jigsaw is not None:
            logged["nats_jigsaw"] = found.jigsaw
        self.log_dict({**logged, "ceiling": math.log(self.candidates(n))}, batch_size=n)
        return found.loss


class BatchContrast(MemoryContrast):
    """Negatives are the other images of the batch (of all processes), in both directions.

    With ``scores = cosine / temperature``: the mean of -log softmax at the positive, over rows and
    columns; K + 1 is the number of images. A JigSaw takes the place of the view it is made for.
    """

    def anchors(self, v1: Tensor, v2: Tensor) -> list[Tensor]:
        """Both views' projections."""
        return list(self.project(v1, v2))

    def against(self, batch: Batch, v2: Tensor, z: list[Tensor], generator: Generator) -> Contrast:
        """The other side's projections."""
        keys, scale = [unit(one) for one in z], 1 / self.critic.temperature

        def contrast(side: int, anchors: Tensor) -> tuple[Tensor, Tensor]:
            loss = infonce_loss(unit(anchors), keys[1 - side], scale=scale)
            return loss, math.log(self.candidates(len(anchors))) - loss.detach()

        return contrast


class BankContrast(MemoryContrast):
    """Positive and negatives come from a memory bank: one crop an image is all it takes.

    InstDis and PIRL (one bank), CMC (two). View 2 of a pair that no split has cut is not used.

    Arguments:
        memories: one :class:`MemoryBank`, two for a split; None builds what cannot be trained.
        negatives: K, drawn for every anchor; the same places in both banks.
        options: of :class:`MemoryContrast`.
    """

    def __init__(
        self,
        *parts: object,
        memories: Sequence[MemoryBank] | None,
        negatives: int,
        **options: object,
    ) -> None:
        super().__init__(*parts, **options)  # type: ignore[arg-type]
        self.memories = None if memories is None else nn.ModuleList(memories)
        self.negatives = negatives

    def anchors(self, v1: Tensor, v2: Tensor) -> list[Tensor]:
        """The first view's projection; of a split both."""
        return [self.embed(0, v1)] if self.split is None else list(self.project(v1, v2))

    def against(self, batch: Batch, v2: Tensor, z: list[Tensor], generator: Generator) -> Contrast:
        """Rows of the (other side's) bank."""
        if self.memories is None:
            raise UserError(
                "images: a memory bank holds one row an image. Give the number of training "
                "images, images=len(source)."
            )
        if batch.partners is not None and self.split is None:
            raise UserError(
                "--memory: a bank holds one row an image, partner images would never meet. "
                "Use --memory queue or batch."
            )
        assert self.negatives is not None
        banks: list[MemoryBank] = list(self.memories)  # type: ignore[arg-type]
        places = banks[0].draw(batch.index, self.negatives, generator)

        def contrast(side: int, anchors: Tensor) -> tuple[Tensor, Tensor]:
            loss, nats = self.objective(banks[len(z) - 1 - side](anchors, places))
            return loss, nats

        return contrast

    def remember(self, batch: Batch, z: list[Tensor]) -> None:
        """Move the images' rows towards their projections."""
        bank: MemoryBank
        for bank, one in zip(self.memories, z, strict=True):  # type: ignore
            bank.update(batch.index, one)


class QueueContrast(MemoryContrast):
    r"""Positives from a momentum encoder on the other view, negatives from its past keys.

    ``theta_k <- alpha theta_k + (1 - alpha) theta_q`` before each step's keys, parameters only:
    batch norm's running numbers follow from the momentum encoder's own passes in train mode,
    everything else of it is in eval mode. The query reads view 1 and the key view 2; of a split,
    queries read the sides of one crop and keys those of another. Between processes the images are
    shuffled before the keys are made, so that no query shares its batch statistics with its key
    (He et al. 2020, section 3; MoCo and InfoMin, CMC v2).

    Arguments:
        memories: one :class:`Queue`, two for a split.
        momentum: alpha.
        options: of :class:`MemoryContrast`.
    """

    def __init__(
        self,
        *parts: object,
        memories: Sequence[Queue],
        momentum: float = 0.999,
        **options: object,
    ) -> None:
        super().__init__(*parts, **options)  # type: ignore[arg-type]
        self.memories, self.momentum = nn.ModuleList(memories), momentum
        self.negatives = len(memories[0].rows)
        trained = nn.ModuleDict({"encoders": self.encoders, "heads": self.heads})
        self.keys: nn.ModuleDict = copy.deepcopy(trained).requires_grad_(False)
        self._new: list[Tensor] = []

    @torch.no_grad()
    def follow(self) -> None:
        """Move the momentum encoder by 1 - alpha towards the trained one."""
        trained = [*self.encoders.parameters(), *self.heads.parameters()]
        for key, query in zip(self.keys.parameters(), trained, strict=True):
            key.lerp_(query, 1 - self.momentum)

    def anchors(self, v1: Tensor, v2: Tensor) -> list[Tensor]:
        """The first view's projection; of a split both."""
        return [self.embed(0, v1)] if self.split is None else list(self.project(v1, v2))

    def against(self, batch: Batch, v2: Tensor, z: list[Tensor], generator: Generator) -> Contrast:
        """The key of the other view (of a split: of the other side of another crop), the queue."""
        self.follow()
        sides = [v2] if len(z) == 1 else self.views(batch.images, generator, batch.partners)
        keys = self._new = self._make_keys(sides)

        def contrast(side: int, anchors: Tensor) -> tuple[Tensor, Tensor]:
            other = len(keys) - 1 - side
            loss, nats = self.objective(self.memories[other](anchors, keys[other]))
            return loss, nats

        return contrast

    @torch.no_grad()
    def _make_keys(self, sides: Sequence[Tensor]) -> list[Tensor]:
        """Keys (n, d) of each side's view by the momentum encoder."""
        found = []
        with evaluating(self.keys):
            for part in self.keys.modules():
                if isinstance(part, _BatchNorm):
                    part.training = self.training
            for side, view in enumerate(sides):
                mine, back = self._shuffle(view)
                place = str(min(side, len(self.encoders) - 1))
                encoder, head = (self.keys.get_submodule(f"{part}.{place}") for part in self.keys)
                found.append(unit(back(head(encoder(mine).summary))))
        return found

    def _shuffle(self, view: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """This process's share of all views in random order, and the way back for their keys."""
        if world_size() == 1:
            return view, lambda keys: keys
        everyone, first = gather(view)
        draws = step_generator(self.seed, self.global_step)  # the same in every process
        order = torch.randperm(len(everyone), generator=draws).to(view.device)
        mine = slice(first, first + len(view))
        return everyone[order[mine]], lambda keys: gather(keys)[0][order.argsort()[mine]]

    def remember(self, batch: Batch, z: list[Tensor]) -> None:
        """The batch's keys enter the queue."""
        queue: Queue
        for queue, keys in zip(self.memories, self._new, strict=True):  # type: ignore[assignment]
            queue.enqueue(keys)
        self._new = []
