"""The clip encoder and the contrast of clip and image, by slow roads."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from goodviews.encoders import ClipEncoder, FrameCNN, build
from goodviews.interfaces import Batch, UserError
from goodviews.methods.clips import ClipAndImage, FactorClassifier, clips


def test_the_lstm_by_its_formula() -> None:
    """Gates i, f, g, o: c = f c + i g, h = o tanh c, from a state of zeros, in float64."""
    torch.manual_seed(0)
    encoder = ClipEncoder(build("mlp", 1, (4, 4)), hidden=5).eval()
    films = torch.randn(3, 6, 1, 4, 4)
    own = encoder.lstm
    weights = (own.weight_ih_l0, own.weight_hh_l0, own.bias_ih_l0, own.bias_hh_l0)
    w_in, w_h, b_in, b_h = (w.detach().double() for w in weights)
    found = []
    for film in films:
        h, c = torch.zeros(2, 5, dtype=torch.float64)
        for frame in film:
            x = encoder.frame_encoder(frame[None]).summary[0].detach().double()
            i, f, g, o = (w_in @ x + b_in + w_h @ h + b_h).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        found.append(h)
    summary = encoder(films).summary
    torch.testing.assert_close(summary.double(), torch.stack(found), rtol=1e-4, atol=1e-5)


def test_the_order_of_frames_counts_and_clips_do_not_mix() -> None:
    torch.manual_seed(0)
    encoder = ClipEncoder(FrameCNN(3)).eval()
    films = torch.randn(2, 4, 3, 16, 16)
    summary = encoder(films).summary
    assert not torch.allclose(summary, encoder(films.flip(1)).summary)
    torch.testing.assert_close(encoder(films[1:]).summary, summary[1:], rtol=1e-4, atol=1e-5)


def test_every_weight_gets_a_gradient() -> None:
    encoder = ClipEncoder(FrameCNN(3), hidden=8)
    encoder(torch.randn(4, 3, 3, 16, 16)).summary.square().sum().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
        assert weight.grad.abs().sum() > 0 or name == "lstm.weight_hh_l0", name


def test_a_clip_encoder_reads_clips_only() -> None:
    with pytest.raises(UserError, match=r"shape \(2, 3, 16, 16\). Give clips"):
        ClipEncoder(FrameCNN(3))(torch.zeros(2, 3, 16, 16))


@torch.no_grad()
def test_the_loss_of_a_clip_and_an_image_by_loops() -> None:
    torch.manual_seed(0)
    method = clips("frame-cnn", (3, 16, 16), temperature=0.5, seed=1).eval()
    films = torch.randint(256, (5, 3, 3, 16, 16), dtype=torch.uint8)
    images = torch.randint(256, (5, 3, 16, 16), dtype=torch.uint8)
    views = ClipAndImage()(films, partners=images)
    loss, nats = method.objective(*method.project(*views))
    z1 = [method.heads[0](method.encoders[0](v[None]).summary)[0].double() for v in views.v1]
    z2 = [method.heads[1](method.encoders[1](v[None]).summary)[0].double() for v in views.v2]
    rows = 0.0
    for i in range(5):
        for one, other in ((z1, z2), (z2, z1)):
            s = [float(functional.cosine_similarity(one[i], z, dim=0)) / 0.5 for z in other]
            rows += s[i] - math.log(sum(map(math.exp, s)))
    assert float(nats) == pytest.approx(math.log(5) + rows / 10, abs=1e-4)
    assert float(loss) == pytest.approx(-float(nats))


def test_called_on_images_it_is_the_image_encoder() -> None:
    method = clips("frame-cnn", (3, 16, 16)).eval()
    images = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8)
    own = method.encoders[1](images.float() / 127.5 - 1).summary
    torch.testing.assert_close(method(images), own)
    film = method.encoders[0](images[:, None].float() / 127.5 - 1).summary
    torch.testing.assert_close(method(images[:, None]), film)
    with pytest.raises(UserError, match="partner image"):
        method.training_step(Batch(images[:, None], None, None, torch.arange(4)), 0)


def test_seeds_decide_the_weights() -> None:
    one, two, other = (clips("frame-cnn", (3, 8, 8), seed=s) for s in (0, 0, 1))
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(
        not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


@torch.no_grad()
def test_the_supervised_losses_by_hand() -> None:
    torch.manual_seed(0)
    net = FactorClassifier("frame-cnn", (3, 16, 16), {"digit": 4}, spread=2.0).eval()
    images = torch.randint(256, (6, 3, 16, 16), dtype=torch.uint8)
    digit, position = torch.randint(4, (6,)), 16 * torch.rand(6, 2)
    found = net.losses(images, {"digit": digit, "position": position})
    z = net(images)
    logits, told = net.heads["digit"](z).double(), net.heads["position"](z).double()
    cross = [
        math.log(sum(map(math.exp, r))) - r[y] for r, y in zip(logits.tolist(), digit, strict=True)
    ]
    squares = [
        (told[i, a].item() - (position[i, a].item() - 7.5) / 2) ** 2
        for i in range(6)
        for a in (0, 1)
    ]
    assert float(found["digit"]) == pytest.approx(sum(cross) / 6, abs=1e-5)
    assert float(found["position"]) == pytest.approx(sum(squares) / 12, rel=1e-4)
