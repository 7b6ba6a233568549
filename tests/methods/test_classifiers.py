"""Probes trained beside the encoder."""

import math

import pytest
import torch

from goodviews.methods.classifiers import OnlineClassifiers


def data(n=12, dim=5, classes=3):
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    return torch.randn(n, dim, generator=draw), labels


def slow_loss(logits, labels, clip, penalty):
    """One image and class at a time."""
    total = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            clipped = [clip * math.tanh(z / clip) for z in row] if clip else row
            total.append(math.log(sum(map(math.exp, clipped))) - clipped[label])
            total[-1] += penalty * sum(z * z for z in row) / len(row) if clip else 0
    return sum(total) / len(total)


@pytest.mark.parametrize("clip", [10.0, 0.5, None])
def test_loss_is_the_formula_over_labelled_images(clip):
    torch.manual_seed(0)
    probes = OnlineClassifiers(5, 3, clip=clip, penalty=0.1).eval()
    summaries, labels = data()
    labels[::4] = -1
    logits = probes.logits(summaries)
    assert set(logits) == {"linear", "mlp"}
    expected = sum(slow_loss(z, labels, clip, 0.1) for z in logits.values())
    assert probes(summaries, labels).item() == pytest.approx(expected, rel=1e-5)


def test_heads_are_those_of_the_paper():
    probes = OnlineClassifiers(1024, 10)
    sizes = {
        name: sum(p.numel() for p in head.parameters()) for name, head in probes.named_children()
    }
    assert sizes == {"linear": 1024 * 10 + 10, "mlp": 1024**2 + 2 * 1024 + 1024 * 10 + 10}


def test_the_loss_never_reaches_the_encoder():
    torch.manual_seed(0)
    encoder, probes = torch.nn.Linear(5, 5), OnlineClassifiers(5, 3)
    images, labels = data()
    summaries = encoder(images)
    loss = probes(summaries, labels)
    (loss + summaries.square().mean()).backward()
    with_probes = [p.grad.clone() for p in encoder.parameters()]
    encoder.zero_grad()
    encoder(images).square().mean().backward()
    for beside, alone in zip(with_probes, encoder.parameters(), strict=True):
        assert torch.equal(beside, alone.grad)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in probes.parameters())
    loss = probes(encoder(images), labels)
    grads = torch.autograd.grad(loss, encoder.parameters(), allow_unused=True)
    assert grads == (None, None)


def test_a_batch_without_labels_costs_nothing():
    probes = OnlineClassifiers(5, 3)
    summaries, labels = data()
    loss = probes(summaries, torch.full_like(labels, -1))
    loss.backward()
    assert loss.item() == 0
    assert not any(p.grad.any() for p in probes.parameters()), "zero, and there for DDP to reduce"


def test_unlabelled_images_do_not_move_the_linear_probe():
    probes = OnlineClassifiers(5, 3).eval()
    summaries, labels = data()
    some = probes(summaries[:6], labels[:6])
    labels[6:] = -1
    torch.testing.assert_close(probes(summaries, labels), some)


def test_both_probes_learn_and_only_one_learns_what_is_not_linear():
    torch.manual_seed(0)
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(1)).sign()
    y = (x.prod(1) > 0).long()
    probes = OnlineClassifiers(2, 2)
    optimiser = torch.optim.Adam(probes.parameters(), 1e-2)
    for _ in range(30):
        optimiser.zero_grad()
        probes(x, y).backward()
        optimiser.step()
    found = {name: z.argmax(1).eq(y).float().mean() for name, z in probes.eval().logits(x).items()}
    assert found["mlp"] == 1 and found["linear"] < 0.8
