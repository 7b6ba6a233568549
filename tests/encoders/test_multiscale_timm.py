"""timm backbones as multiscale encoders."""

import sys

import pytest
import torch
from torch.nn import functional

from goodviews.encoders import MultiscaleTimm, build
from goodviews.interfaces import UserError


@pytest.mark.parametrize(
    ("name", "channels", "pixels"),
    [
        ("resnet10t", 1, 32),
        ("mobilenetv3_small_050", 3, 64),
        ("swin_tiny_patch4_window7_224", 3, 32),  # maps come channels last
        ("vit_tiny_patch16_224", 3, 112),  # maps of one size, an image size to be told
    ],
)
def test_shapes_and_gradients(name, channels, pixels):
    torch.manual_seed(0)
    encoder = build(f"multiscale/{name}", channels, (pixels, pixels))
    features = encoder(torch.randn(2, channels, pixels, pixels))
    embedded = encoder.embed(features)
    assert features.summary.shape == (2, encoder.dim) and encoder.n_rkhs == encoder.dim
    for side in (5, 7):
        assert features.local[side].shape == (2, encoder.channels[side], side, side)
        assert embedded.local[side].shape == (2, encoder.n_rkhs, side, side)
    values = [embedded.summary, *embedded.local.values()]
    sum((v * torch.randn_like(v)).sum() for v in values).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_the_deepest_maps_that_are_large_enough():
    """At 96 pixels resnet10t has maps of 48, 24, 12, 6 and 3: f7 from 12, f5 from 6."""
    encoder = MultiscaleTimm("resnet10t", 3, (96, 96)).eval()
    view = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        maps, features = encoder.maps(view), encoder(view)
    assert [one.shape[2] for one in maps] == [48, 24, 12, 6, 3]
    torch.testing.assert_close(features.local[7], functional.adaptive_avg_pool2d(maps[2], 7))
    torch.testing.assert_close(features.local[5], functional.adaptive_avg_pool2d(maps[3], 5))
    torch.testing.assert_close(features.summary, maps[4].mean((2, 3)))


def test_another_width_of_the_shared_space():
    """phi_1 is then linear; the local heads narrow as well as widen."""
    encoder = MultiscaleTimm("resnet10t", 3, (32, 32), n_rkhs=48)
    assert encoder.channels[7] > 48 and encoder.dim == 512
    embedded = encoder.embed(encoder(torch.randn(8, 3, 32, 32)))
    assert embedded.summary.shape == (8, 48) and embedded.local[7].shape == (8, 48, 7, 7)
    for values in (embedded.summary, embedded.local[5].transpose(0, 1).flatten(1).T):
        torch.testing.assert_close(values.mean(0), torch.zeros(48), atol=1e-4, rtol=0)
        torch.testing.assert_close(values.var(0, correction=0), torch.ones(48), atol=0.02, rtol=0)


def test_eval_is_image_by_image():
    encoder = MultiscaleTimm("resnet10t", 3, (32, 32)).eval()
    view = torch.randn(3, 3, 32, 32)
    whole, one = (encoder.embed(encoder(v)) for v in (view, view[:1]))
    torch.testing.assert_close(one.summary, whole.summary[:1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.local[7], whole.local[7][:1], rtol=1e-4, atol=1e-5)


def test_making_one_leaves_running_statistics_alone():
    encoder = MultiscaleTimm("resnet10t", 3, (32, 32))
    assert encoder.training
    assert all((b == 0).all() for n, b in encoder.named_buffers() if "num_batches" in n)


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("vit_tiny_patch16_224", 64, "largest map .* is 4 x 4 .* Use --image-size 112 or more"),
        ("resnet81", 32, "unknown 'multiscale/resnet81'. Did you mean 'multiscale/resnet"),
    ],
)
def test_errors(name, pixels, message):
    with pytest.raises(UserError, match=message):
        build(f"multiscale/{name}", 3, (pixels, pixels))


def test_a_model_without_maps(monkeypatch):
    import timm

    def refuse(*_, **options):
        raise RuntimeError("features_only not implemented for this model.")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(UserError, match="gives no feature maps .features_only not implemented"):
        build("multiscale/resnet18", 3, (32, 32))


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match="multiscale/resnet18 needs timm"):
        build("multiscale/resnet18", 3, (32, 32))
