"""The contrastive methods: same numbers as their parts, exact randomness, plain PyTorch use."""

import pytest
import torch

from goodviews.bounds import infonce as infonce_bound
from goodviews.interfaces import UserError
from goodviews.methods import METHODS, infonce, simclr, step_generator
from goodviews.views import Recipe

SHAPE = (3, 16, 16)
SPLIT = Recipe.from_dict({"name": "lab", "split": {"color_space": {"space": "lab"}}})


def images(n=32, seed=0):
    """Images of 2x2 random patches, so that a pooled encoder can tell them apart."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(0, 256, (n, 3, 2, 2), generator=generator)
    return patches.repeat_interleave(8, 2).repeat_interleave(8, 3).to(torch.uint8)


def make(name="infonce", recipe="simclr", **options):
    views = Recipe.load(recipe).build(SHAPE)
    return METHODS[name](views, "convnet-half", SHAPE, **options)


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, c = make(seed=3), make(seed=3), make(seed=4)
    assert torch.equal(torch.rand(1), expected)
    pairs = list(zip(a.parameters(), b.parameters(), strict=True))
    assert all(torch.equal(x, y) for x, y in pairs)
    assert any(not torch.equal(x, y) for x, y in zip(a.parameters(), c.parameters(), strict=True))


def test_step_generators_differ_by_seed_and_step():
    draws = {
        float(torch.rand(1, generator=step_generator(seed, step)))
        for seed in range(5)
        for step in range(5)
    }
    assert len(draws) == 25


def test_a_split_gets_two_encoders_and_joins_their_features():
    method = make(recipe=SPLIT)
    assert len(method.encoders) == 2 and len(method.heads) == 2
    parts = method.views.looks(images())
    assert [p.shape[1] for p in parts] == [1, 2]
    method.eval()
    joined = method(images())
    single = [e(v).summary for e, v in zip(method.encoders, parts, strict=True)]
    torch.testing.assert_close(joined, torch.cat(single, 1))


def test_pair_scores_are_the_objectives():
    method = make(seed=1).eval()
    v1, v2 = method.views(images(), torch.Generator().manual_seed(0))
    loss, nats = method.objective(*method.project(v1, v2))
    scores = method.pair_scores(v1, v2)
    expected = 0.5 * (infonce_bound(scores) + infonce_bound(scores.T))
    torch.testing.assert_close(nats, expected)
    torch.testing.assert_close(loss, -expected)


def test_plain_pytorch():
    """Ten lines without a Trainer: the loss falls."""
    method = simclr(Recipe.load("amdim-cifar").build(SHAPE), "convnet-half", SHAPE)
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)
    losses = []
    for step in range(30):
        v1, v2 = method.views(images(), step_generator(0, step))
        loss, _ = method.objective(*method.project(v1, v2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize(("option", "value"), [("critic", "cosin"), ("bound", "infonc")])
def test_unknown_parts(option, value):
    with pytest.raises(UserError, match=f"--{option}.*Did you mean"):
        infonce(Recipe.load("simclr").build(SHAPE), "convnet", SHAPE, **{option: value})
