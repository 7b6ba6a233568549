"""The games of view learning: losses, turns, resumption, and what they do to two channels."""

import math
import re

import pytest
import torch

from goodviews.data import Images, loader
from goodviews.interfaces import UserError
from goodviews.methods.view_learning import view_learning
from goodviews.objectives.infomin import OBJECTIVES, ViewGame
from goodviews.training import TrainSettings, fit


def slow_nats(z1, z2, temperature):
    """I_NCE in both directions by loops."""
    n, total = len(z1), 0.0
    unit1, unit2 = (z / z.norm(dim=1, keepdim=True) for z in (z1, z2))
    for a, b in ((unit1, unit2), (unit2, unit1)):
        for i in range(n):
            scores = [float(a[i] @ b[j]) / temperature for j in range(n)]
            total += math.log(n) + scores[i] - math.log(sum(math.exp(s) for s in scores))
    return total / (2 * n)


def slow_entropy(logits, labels):
    found = 0.0
    for row, label in zip(logits, labels, strict=True):
        found -= float(row[label]) - math.log(sum(math.exp(float(x)) for x in row))
    return found / len(labels)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("budget", [None, 0.3, 2.0])
def test_game_is_the_formula(objective, budget):
    torch.manual_seed(0)
    z1 = torch.randn(6, 4)
    z2 = z1 + 0.5 * torch.randn(6, 4)
    logits, labels = (torch.randn(5, 3), torch.randn(5, 3)), torch.tensor([0, 1, 2, 1, 0])
    if objective == "supervised" and budget is not None:
        with pytest.raises(UserError, match="has no information in it"):
            ViewGame(objective, 0.5, budget)
        return
    nats = slow_nats(z1, z2, 0.5)
    assert 0.3 < nats < 2.0
    entropy = 0.0 if objective == "unsupervised" else sum(slow_entropy(x, labels) for x in logits)
    removed = 0.0 if objective == "supervised" else abs(nats - (budget or 0.0))
    losses = ViewGame(objective, 0.5, budget)(z1, z2, logits, labels)
    assert float(losses.generator) == pytest.approx(removed + entropy, abs=1e-5)
    assert float(losses.encoders) == pytest.approx(entropy - nats, abs=1e-5)
    assert float(losses.nats) == pytest.approx(nats, abs=1e-5)
    assert float(losses.cross_entropy) == pytest.approx(entropy, abs=1e-5)


def test_game_refuses():
    for words, call in {
        "--objective: unknown 'semi'": lambda: ViewGame("semi"),
        "--budget-nats: 0 is not positive": lambda: ViewGame(budget=0),
    }.items():
        with pytest.raises(UserError, match=re.escape(words)):
            call()


def two_channels(n=256, seed=0):
    """Images (n, 2, 4, 4): channel 0 is a pattern, channel 1 the same pattern plus its own."""
    generator = torch.Generator().manual_seed(seed)
    first, own = (torch.rand(n, 1, 4, 4, generator=generator) for _ in range(2))
    both = torch.cat([first, 0.5 * first + 0.5 * own], 1)
    return Images((255 * both).round().byte(), "patterns", (first.mean((1, 2, 3)) > 0.5).long(),
                  ("dark", "bright"))  # fmt: skip


def made(objective="unsupervised", source=None, **options):
    source = source or two_channels()
    labelled = (source.pixels[:64], source.labels[:64])
    return view_learning(
        source.shape, "mlp", objective=objective, space="raw", labelled=labelled, classes=2,
        projection_dim=16, **options
    )  # fmt: skip


def trained(method, steps, source=None, **options):
    settings = TrainSettings(
        steps=steps, batch_size=64, lr=3e-3, precision="32", device="cpu", evaluate_every=0,
        log=(), **options
    )  # fmt: skip
    return fit(method, loader(source or two_channels(), 64), settings)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_turns(objective):
    """On an encoders' turn the generator stays, on its own turn the encoders do."""
    method = made(objective, turns=3, rate=0.5)
    sides = {
        "g": list(method.generator.parameters()),
        "f": [*method.encoders.parameters(), *method.heads.parameters()],
        "c": list(method.classifiers.parameters()),
    }
    moved = []
    before = method.optimizer_step

    def watched(*args, **kwargs):
        old = {name: [p.detach().clone() for p in own] for name, own in sides.items()}
        before(*args, **kwargs)
        moved.append(
            {
                name
                for name, own in sides.items()
                if any(not torch.equal(a, b) for a, b in zip(old[name], own, strict=True))
            }
        )

    method.optimizer_step = watched
    trained(method, 3)
    labels = set() if objective == "unsupervised" else {"c"}
    assert moved == [{"f"} | labels, {"f"} | labels, {"g"} | labels]


def test_game_lowers_what_is_shared_to_the_budget():
    """Encoders alone find more than 3.2 of log 64 = 4.16 nats; the generator stops at 2.8."""
    nats = {}
    for turns, budget in ((1000, None), (2, 2.8)):
        history = trained(made(turns=turns, budget=budget, warmup=40), 140).history
        nats[budget] = sum(row["nats_train"] for row in history[-8:]) / 8
    assert nats[None] > 3.2
    assert abs(nats[2.8] - 2.8) < 0.3


def test_resumed_is_uninterrupted(tmp_path):
    whole, part = made("semi-supervised", turns=2), made("semi-supervised", turns=2)
    trained(whole, 7)
    source = two_channels()
    settings = TrainSettings(
        steps=7, batch_size=64, lr=3e-3, precision="32", device="cpu", evaluate_every=0, log=(),
        save_every=1,
    )  # fmt: skip

    class Stop(Exception):
        pass

    def stop(*args, **kwargs):
        if part.global_step == 5:
            raise Stop
        return step(*args, **kwargs)

    step = part.training_step
    part.training_step = stop
    with pytest.raises(Stop):
        fit(part, loader(source, 64), settings, tmp_path, quiet=True)
    again = made("semi-supervised", turns=2)
    fit(again, loader(source, 64), settings, tmp_path, resume=True, quiet=True)
    for (name, one), two in zip(
        whole.state_dict().items(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name
