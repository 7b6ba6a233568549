"""The evaluators that run while training."""

import pytest
import torch
from torch import Tensor, nn

from goodviews.data.images import Images
from goodviews.evaluation.geometry import rankme
from goodviews.evaluation.online import OnlineProbe, RankMeEvaluator
from goodviews.interfaces import UserError


class Method(nn.Module):
    """What the evaluators need of a method."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(64, 16)

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images.flatten(1) / 255)

    def views(self, images: Tensor, generator: torch.Generator, partners: Tensor | None) -> tuple:
        noise = torch.rand(images.shape, generator=generator)
        return images / 255, images / 255 + 0.1 * noise

    def project(self, v1: Tensor, v2: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(v1.flatten(1)), self.body(v2.flatten(1))


def test_online_evaluators(digits: tuple[Images, Images]) -> None:
    torch.manual_seed(0)
    method = Method()
    probe = OnlineProbe(*digits, train_images=400, test_images=200)
    assert (len(probe.train), len(probe.test)) == (400, 200)
    numbers = probe(method, 0)
    assert set(numbers) == {"knn", "linear"}
    assert min(numbers.values()) > 0.5
    assert probe(method, 1) == numbers

    shape = RankMeEvaluator(digits[1], images=300)
    measures = shape(method, 0)
    assert set(measures) == {"rankme", "std", "alignment", "uniformity"}
    assert 1 < measures["rankme"] < 16
    assert 0 < measures["alignment"] < 0.5
    assert measures["uniformity"] < 0
    assert measures["rankme"] == pytest.approx(
        rankme(method(shape.source.images(range(300))).detach()), rel=1e-4
    )
    assert shape(method, 5) == measures
    assert method.training
    with pytest.raises(UserError, match="no labels"):
        OnlineProbe(Images(digits[0].pixels, "toy"), digits[1])
