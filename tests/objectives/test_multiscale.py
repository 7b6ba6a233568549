"""AMDIM's objective against a loop over views, pairs, images and locations, in float64."""

import itertools
import math

import pytest
import torch

from goodviews.interfaces import Features, UserError
from goodviews.objectives import MultiscaleNCE

PAIRS = ((1, 5), (1, 7), (5, 5))
B, D = 4, 6


def features(seed, dtype=torch.float64, memory=torch.channels_last):
    """The embedded features of one view, that ask for gradients."""
    generator = torch.Generator().manual_seed(seed)
    maps = {}
    for d in (5, 7):
        values = torch.randn(B, D, d, d, generator=generator, dtype=torch.float64)
        maps[d] = values.to(dtype).contiguous(memory_format=memory).requires_grad_()
    summary = torch.randn(B, D, generator=generator, dtype=torch.float64).to(dtype)
    return Features(summary.requires_grad_(), maps)


def leaves(views):
    return [x for v in views for x in (v.summary, *v.local.values())]


def directed(source, target, penalty, clip):
    """NCE and squared scores of antecedents (B, D) on a map (B, D, d, d), a location at a time."""
    places = target.flatten(2)
    scores = torch.einsum("id,jdl->ijl", source, places) / math.sqrt(D)
    squares = scores.square().mean()
    scores = scores if clip is None else clip * torch.tanh(scores / clip)
    total = 0.0
    for i in range(B):
        noise = sum(scores[i, j].exp().sum() for j in range(B) if j != i)
        for positive in scores[i, i]:
            total = total - (positive.exp() / (positive.exp() + noise)).log()
    return total / scores[0].numel() * scores.shape[1] / B, squares


def slow(views, places, pairs, penalty, clip):
    """Sum over pairs of the mean over ordered views; ``places`` are the drawn locations."""
    loss, nce = 0.0, {}
    ordered = list(itertools.permutations(range(len(views)), 2))
    for n, m in pairs:
        found = []
        for a, b in ordered:
            source = views[a].summary
            if n > 1:
                source = views[a].local[n].flatten(2)[range(B), :, places[n][a]]
            found.append(directed(source, views[b].local[m], penalty, clip))
        nce[f"{n}>{m}"] = sum(x for x, _ in found) / len(ordered)
        squares = sum(x for _, x in found) / len(ordered)
        loss = loss + nce[f"{n}>{m}"] + penalty * squares
    return loss, nce


def drawn(views, pairs, seed):
    """The locations that a generator of this seed gives, read off one-hot maps."""
    places = {}
    for n in sorted({n for n, _ in pairs if n > 1}):
        generator = torch.Generator().manual_seed(seed)
        places[n] = [torch.randint(n * n, (B,), generator=generator) for _ in views]
    return places


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("count, clip", [(2, 20.0), (2, None), (3, 2.0)])
def test_equals_the_slow_loop(count, clip, memory):
    views = [features(seed, memory=memory) for seed in range(count)]
    objective = MultiscaleNCE(clip=clip, tile=2)
    found = objective(views, torch.Generator().manual_seed(7))
    loss, nce = slow(views, drawn(views, PAIRS, 7), PAIRS, 5e-2, clip)
    assert found.loss.item() == pytest.approx(loss.item(), rel=1e-12)
    for key, value in nce.items():
        side = int(key[-1])
        assert found.ceilings[key] == pytest.approx(math.log(1 + (B - 1) * side**2))
        assert found.nats[key].item() == pytest.approx(found.ceilings[key] - value.item())
        assert not found.nats[key].requires_grad
    assert (found.loss - found.penalty).item() == pytest.approx(sum(nce.values()).item())
    expected = torch.autograd.grad(loss, leaves(views))
    for x, y in zip(torch.autograd.grad(found.loss, leaves(views)), expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)


def test_pairs_add_up():
    views, total = [features(seed) for seed in range(2)], 0.0
    for pairs in [*((pair,) for pair in PAIRS), PAIRS]:
        loss = MultiscaleNCE(pairs)(views, torch.Generator().manual_seed(1)).loss.item()
        total += loss if len(pairs) == 1 else -loss
    assert total == pytest.approx(0.0, abs=1e-12)


def test_a_location_is_drawn_for_every_image_and_view():
    """An antecedent map that is one number a location: the gradient shows which was read."""
    views = [features(seed) for seed in range(2)]
    objective, read = MultiscaleNCE(pairs=((5, 7),)), []
    for seed in range(40):
        loss = objective(views, torch.Generator().manual_seed(seed)).loss
        maps = torch.autograd.grad(loss, [v.local[5] for v in views])
        used = torch.stack([g.abs().sum(1).flatten(1) > 0 for g in maps])
        assert (used.sum(2) == 1).all()
        read.append(used.nonzero()[:, 2].view(2, B))
    read = torch.stack(read)
    assert read.unique().numel() == 25
    assert (read[:, 0] != read[:, 1]).float().mean() > 0.8
    assert (read[:, :, 0] != read[:, :, 1]).float().mean() > 0.8


def test_permuting_the_batch_changes_nothing():
    views, order = [features(seed) for seed in range(2)], torch.tensor([2, 0, 3, 1])
    moved = [Features(v.summary[order], {d: x[order] for d, x in v.local.items()}) for v in views]
    pairs = ((1, 5), (1, 7), (1, 1))
    first, second = (MultiscaleNCE(pairs)(x) for x in (views, moved))
    assert first.loss.item() == pytest.approx(second.loss.item(), rel=1e-12)


def test_bf16_under_autocast_is_near_float32():
    views, low = ([features(s, dtype) for s in range(2)] for dtype in (None, torch.bfloat16))
    expected = MultiscaleNCE()(views, torch.Generator().manual_seed(0)).loss
    with torch.autocast("cpu", torch.bfloat16):
        found = MultiscaleNCE()(low, torch.Generator().manual_seed(0)).loss
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-3)
    for x, y in zip(
        torch.autograd.grad(found, leaves(low)),
        torch.autograd.grad(expected, leaves(views)),
        strict=True,
    ):
        assert x.dtype == torch.bfloat16 and (x - y).norm() < 0.02 * y.norm()


def test_mistakes():
    views = [features(seed) for seed in range(2)]
    with pytest.raises(UserError, match="views: 1 is too few"):
        MultiscaleNCE()(views[:1])
    with pytest.raises(UserError, match="makes 5x5, not the 7x7 map.*amdim-tiny or multiscale"):
        MultiscaleNCE()([Features(v.summary, {5: v.local[5]}) for v in views])
    with pytest.raises(UserError, match="makes no maps.*amdim-tiny or multiscale/resnet18"):
        MultiscaleNCE()([Features(v.summary) for v in views])
    with pytest.raises(UserError, match="Use at least 2 images"):
        one = [Features(v.summary[:1], {d: x[:1] for d, x in v.local.items()}) for v in views]
        MultiscaleNCE()(one)
    with pytest.raises(UserError, match="each once"):
        MultiscaleNCE(pairs=((1, 5), (1, 5)))
