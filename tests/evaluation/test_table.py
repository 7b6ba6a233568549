"""The probe table, its verdicts and the evaluators that run while training."""

import json

import pytest
import torch
from torch import Tensor, nn

from goodviews.data.images import Images
from goodviews.evaluation.features import pixels
from goodviews.evaluation.geometry import rankme
from goodviews.evaluation.intervals import Difference
from goodviews.evaluation.online import OnlineProbe, RankMeEvaluator
from goodviews.evaluation.table import probe_table, sentence, verdict
from goodviews.interfaces import UserError


def representations(digits: tuple[Images, Images], ours: Tensor) -> dict:
    """Raw pixels, a random projection, and pixels through the matrix ``ours``."""
    train, test = (pixels(source) for source in digits)
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(64, 4, generator=generator)
    return {
        "raw pixels": (train, test),
        "untrained network": (train @ random, test @ random),
        "this run": (train @ ours, test @ ours),
    }


def test_table_of_a_good_and_of_a_bad_run(digits: tuple[Images, Images]) -> None:
    labels = digits[0].labels, digits[1].labels
    table = probe_table(representations(digits, torch.eye(64)), *labels)
    assert [row["name"] for row in table.rows] == ["raw pixels", "untrained network", "this run"]
    json.dumps(table.to_dict())
    for row in table.rows:
        for probe in ("linear", "knn", "linear_few"):
            assert row[f"{probe}_lo"] <= row[probe] <= row[f"{probe}_hi"]
    assert table.rows[0]["n_test"] == 500
    assert table.verdict.startswith("no better than raw pixels within the uncertainty (+0.0")
    assert "and better than the same network untrained by" in table.verdict

    bad = probe_table(representations(digits, torch.eye(64)[:, 10:12]), *labels, few=None)
    assert bad.verdict.startswith("worse than raw pixels by")
    assert "worse than the same network untrained by" in bad.verdict
    assert "linear_few" not in bad.rows[0]


def test_verdict_needs_its_row_and_a_baseline(digits: tuple[Images, Images]) -> None:
    labels = digits[0].labels, digits[1].labels
    one = {"this run": representations(digits, torch.eye(64))["this run"]}
    table = probe_table(one, *labels, few=None)
    assert "no baseline" in table.verdict
    with pytest.raises(UserError, match="no row 'other'"):
        verdict(table.results, this="other")


def test_sentence_puts_bad_news_first() -> None:
    text = sentence(
        [
            ("raw pixels", Difference(0.1, 0.08, 0.12)),
            ("untrained network", Difference(-0.044, -0.06, -0.03)),
        ]
    )
    assert text == (
        "worse than the same network untrained by 4.4 points (95 % interval 3.0 to 6.0) "
        "and better than raw pixels by 10.0 points (8.0 to 12.0)"
    )


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
