"""AMDIM's classifiers, the SGD sweep, and features of augmented views."""

import math

import pytest
import torch
from torch import Tensor, nn

from goodviews.data.images import Images
from goodviews.evaluation.augmented import RawPixels, augmented
from goodviews.evaluation.features import extract, pixels
from goodviews.evaluation.paper import decay, paper_probes
from goodviews.evaluation.probes import linear_probe
from goodviews.evaluation.sweep import sgd_probe
from goodviews.interfaces import Features, UserError
from goodviews.objectives.classification import clipped_cross_entropy
from goodviews.views import Recipe

Data = tuple[Tensor, Tensor, Tensor, Tensor]


def slow_loss(logits: list[list[float]], labels: list[int], c: float) -> float:
    """AMDIM's classifier loss, number by number."""
    total, squares = 0.0, 0.0
    for row, label in zip(logits, labels, strict=True):
        squashed = [c * math.tanh(value / c) for value in row]
        total -= squashed[label] - math.log(sum(math.exp(value) for value in squashed))
        squares += sum(value**2 for value in row) / len(row)
    return (total + 1e-3 * squares) / len(labels)


def test_loss_is_the_slow_one() -> None:
    logits = 12 * torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    for c in (2.0, 10.0):
        ours = float(clipped_cross_entropy(logits, labels, c))
        assert ours == pytest.approx(slow_loss(logits.tolist(), labels.tolist(), c), rel=1e-12)
    plain = float(clipped_cross_entropy(logits, labels, None))
    assert plain == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-12)


def slow_linear(data: Data, epochs: int, lr: float) -> Tensor:
    """The linear head's predictions by a plain loop: Adam written out, one full batch an epoch."""
    train_x, labels, test_x, _ = (t.double() if t.is_floating_point() else t for t in data)
    mean, std = train_x.mean(0), train_x.std(0, correction=0)
    x, other = (train_x - mean) / std, (test_x - mean) / std
    torch.manual_seed(0)
    head = nn.Linear(x.shape[1], 10)
    parameters = [p.detach().double() for p in head.parameters()]
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    for t in range(1, epochs + 1):
        rate = lr * (1 if t <= 8 else 0.2 if t <= 11 else 0.04)
        for p in parameters:
            p.requires_grad_(True)
        loss = clipped_cross_entropy(x @ parameters[0].T + parameters[1], labels)
        slopes = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for i, (p, slope) in enumerate(zip(parameters, slopes, strict=True)):
                slope = slope + 1e-5 * p
                first[i] = 0.8 * first[i] + 0.2 * slope
                second[i] = 0.999 * second[i] + 0.001 * slope**2
                step = first[i] / (1 - 0.8**t) / ((second[i] / (1 - 0.999**t)).sqrt() + 1e-8)
                parameters[i] = (p - rate * step).detach()
    return other @ parameters[0].T + parameters[1]


def test_linear_head_is_adam_written_out(digit_pixels: Data) -> None:
    """12 epochs: the rate falls after the eighth and after the eleventh."""
    train_x, train_y, test_x, test_y = digit_pixels
    train_x = train_x + torch.randn(train_x.shape, generator=torch.Generator().manual_seed(1))
    data = (train_x[:300], train_y[:300], test_x[:100], test_y[:100])
    found = paper_probes(*data, heads=["linear"], epochs=12, batch_size=300, lr=0.02)["linear"]
    logits = 10 * torch.tanh(slow_linear(data, 12, 0.02) / 10)
    log_p = torch.log_softmax(logits, 1).gather(1, test_y[:100, None])
    p = 300 / 301 * log_p.exp() + 1 / 301 / 11
    assert found.cross_entropy == pytest.approx(-float(p.log().mean()), rel=1e-4)
    assert found.accuracy == pytest.approx(
        float((logits.argmax(1) == test_y[:100]).float().mean()), abs=0.011
    )


def test_decay_is_at_two_thirds_and_eleven_twelfths() -> None:
    for epochs, first, second in ((120, 80, 110), (30, 20, 28), (300, 200, 275), (1, 1, 1)):
        factors = [decay(epoch, epochs) for epoch in range(epochs)]
        assert factors.count(1) == first and factors.count(0.2) == second - first


def test_heads_come_out_together_as_alone(digit_pixels: Data) -> None:
    before = torch.get_rng_state()
    both = paper_probes(*digit_pixels, epochs=2, batch_size=100)
    alone = [paper_probes(*digit_pixels, epochs=2, batch_size=100, heads=[h]) for h in both]
    assert torch.equal(torch.get_rng_state(), before)
    for name, single in zip(both, alone, strict=True):
        assert single[name].cross_entropy == both[name].cross_entropy
        assert single[name].probe == name


def test_mlp_head_reads_what_the_linear_one_cannot() -> None:
    x = torch.randn(1500, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] * x[:, 1] > 0).long()
    found = paper_probes(x[:1000], y[:1000], x[1000:], y[1000:], epochs=15, batch_size=100, lr=5e-3)
    assert found["mlp"].accuracy > 0.9 > 0.65 > found["linear"].accuracy


def test_digits_are_read_well(digit_pixels: Data) -> None:
    found = paper_probes(*digit_pixels, epochs=25, batch_size=64, lr=2e-3)
    assert found["linear"].accuracy > 0.93 and found["mlp"].accuracy > 0.95
    raw = paper_probes(*digit_pixels, epochs=25, batch_size=64, lr=2e-3, clip=None)
    assert "plain cross-entropy" in raw["linear"].settings
    assert raw["linear"].cross_entropy != found["linear"].cross_entropy


def test_unlabelled_images_change_nothing(digit_pixels: Data) -> None:
    train_x, train_y, test_x, test_y = digit_pixels
    train_x, train_y = train_x[:200], train_y[:200]
    noise = torch.full((50, 64), 1e6)
    more = torch.cat([noise, train_x]), torch.cat([torch.full((50,), -1), train_y])
    plain = paper_probes(train_x, train_y, test_x, test_y, epochs=2)
    for anew in (None, lambda epoch: more[0]):
        mixed = paper_probes(*more, test_x, test_y, epochs=2, anew=anew)
        assert mixed["mlp"].cross_entropy == plain["mlp"].cross_entropy


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"heads": ["knn"]}, "--probe: unknown 'knn'"),
        ({"epochs": 0}, "--epochs: 0"),
        ({"batch_size": 1}, "--batch-size: 1"),
        ({"clip": 0.0}, "--logit-clip: 0"),
    ],
)
def test_nonsense_is_refused(digit_pixels: Data, given: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        paper_probes(*digit_pixels, **given)  # type: ignore[arg-type]


def test_sgd_comes_near_the_optimum(digit_pixels: Data) -> None:
    solved, descended = linear_probe(*digit_pixels), sgd_probe(*digit_pixels, epochs=20)
    assert descended.accuracy == pytest.approx(solved.accuracy, abs=0.02)
    assert descended.settings.startswith("SGD, rate ") and descended.probe == "linear"


def test_sgd_is_torchs(digit_pixels: Data) -> None:
    """One rate: the same numbers as torch.optim.SGD with a cosine schedule, from zero weights."""
    train_x, labels, test_x, test_y = (t[:200] for t in digit_pixels)
    ours = sgd_probe(train_x, labels, test_x, test_y, rates=(0.1,), epochs=3, batch_size=50)
    mean, std = train_x.mean(0), train_x.std(0, correction=0)
    std[std < 1e-6] = 1
    head = nn.Linear(64, 10)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for batch in torch.randperm(200, generator=generator).split(50):
            optimizer.zero_grad()
            logits = head((train_x[batch] - mean) / std)
            nn.functional.cross_entropy(logits, labels[batch]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        p = head((test_x - mean) / std).softmax(1).gather(1, test_y[:, None]).double()
    expected = -float((200 / 201 * p + 1 / 201 / 11).log().mean())
    assert ours.cross_entropy == pytest.approx(expected, rel=1e-4)


class Method(nn.Module):
    """Views by a recipe and a linear encoder."""

    def __init__(self, recipe: Recipe, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.views = recipe.build(shape)
        shapes = self.views.shapes(shape)[: 1 if self.views.shared_encoder else 2]
        self.encoders = nn.ModuleList(Flat(math.prod(s)) for s in shapes)

    def forward(self, images: Tensor) -> Tensor:
        looks = self.views.looks(images)
        last = len(self.encoders) - 1
        return torch.cat([self.encoders[min(i, last)](v).summary for i, v in enumerate(looks)], 1)


class Flat(nn.Module):
    """A random projection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Dropout(0.5), nn.Linear(width, 6))

    def forward(self, view: Tensor) -> Features:
        return Features(self.layer(view.flatten(1)))


@pytest.fixture
def pictures() -> Images:
    """Thirty colourful 3x8x8 images."""
    generator = torch.Generator().manual_seed(0)
    return Images(torch.randint(256, (30, 3, 8, 8), generator=generator, dtype=torch.uint8), "toy")


@pytest.mark.parametrize("split", [None, "color_space"])
def test_without_augmentation_views_are_looks(pictures: Images, split: str | None) -> None:
    """A recipe without ops: the augmented features are the plain ones, splits joined."""
    method = Method(Recipe.from_dict({"split": split}), (3, 8, 8)).train()
    plain = extract(method, pictures, batch_size=7)
    torch.testing.assert_close(augmented(method, pictures, batch_size=7), plain)
    assert method.encoders[0].layer[0].training  # modes are as they were
    assert plain.shape == (30, 6 if split is None else 12)


def test_augmented_views_are_drawn_by_the_seed(pictures: Images) -> None:
    method = Method(Recipe.from_dict({"ops": ["horizontal_flip"], "shared": []}), (3, 8, 8))
    first, again, other = (augmented(method, pictures, seed=s) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    turned = Images(pictures.pixels.flip(3), "turned")
    straight, mirrored = extract(method, pictures), extract(method, turned)
    near = [(first - other).abs().amax(1) < 1e-4 for other in (straight, mirrored)]
    assert bool((near[0] ^ near[1]).all()) and 5 < int(near[1].sum()) < 25


def test_raw_pixels_stand_in_for_a_method(pictures: Images) -> None:
    """Up to the views' mean and deviation they are the plain pixels, brought down alike."""
    views = Recipe.load("none").build((3, 8, 8))
    raw = RawPixels(views, 4)
    ours, plain = extract(raw, pictures), pixels(pictures, 4)
    standard = [(x - x.mean(0)) / x.std(0) for x in (ours, plain)]
    torch.testing.assert_close(*standard, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(augmented(raw, pictures), ours)
