"""The AMDIM encoder against its published sizes, slow loops, and its laws."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from goodviews.encoders import ENCODERS, AMDIMEncoder, build
from goodviews.encoders import residual as products
from goodviews.encoders.amdim import ResidualBlock, ResidualLayer, SharedSpace
from goodviews.interfaces import UserError

PUBLISHED = [
    # (ndf, n_rkhs, n_depth), input, millions of weights without and with heads
    ((128, 1024, 10), 32, 27.8, 32.0),
    ((256, 2048, 10), 32, 111.0, 127.9),
    ((192, 1536, 8), 64, 193.9, 208.2),
    ((192, 1536, 8), 128, 194.3, 208.5),
    ((256, 2048, 10), 128, 400.9, 426.3),
    ((320, 2560, 10), 128, 626.4, 666.0),
]
LAYERS = [
    (1, 1, 4, 4, 5),
    (1, 1, 3, 5, 4),
    (4, 2, 3, 6, 8),
    (2, 2, 4, 5, 6),
    (3, 1, 4, 4, 5),
    (3, 1, 4, 7, 3),
]
"""k, s, channels before and after, side of the maps."""


def millions(module):
    return sum(weight.numel() for weight in module.parameters()) / 1e6


def awake(module, seed=0):
    """The module with second convolutions that are not zero, as after some training."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, ResidualLayer | SharedSpace):
            nn.init.normal_(part.second.weight, std=0.1)
    return module


@pytest.mark.parametrize(("sizes", "pixels", "bare", "whole"), PUBLISHED)
def test_published_numbers_of_weights(sizes, pixels, bare, whole):
    """With heads, counted with the batch norms that the released code holds but may not use."""
    with torch.device("meta"):
        encoder = AMDIMEncoder(*sizes, input_size=pixels)
        normed = AMDIMEncoder(*sizes, input_size=pixels, batch_norm=True)
    assert round(millions(encoder) - millions(encoder.heads), 1) == bare
    assert round(millions(normed), 1) == whole


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("pixels", "factor"), [(32, 4), (64, 8), (128, 8)])
@pytest.mark.parametrize(("depth", "channels"), [(1, 1), (2, 3)])
def test_shapes(pixels, factor, depth, channels, batch_norm):
    encoder = AMDIMEncoder(4, 40, depth, pixels, channels, batch_norm)
    features = encoder(torch.randn(3, channels, pixels, pixels))
    embedded = encoder.embed(features)
    assert features.summary.shape == (3, encoder.dim) == (3, encoder.n_rkhs)
    assert encoder.channels == {5: 4 * factor, 7: 4 * factor}
    for side in (5, 7):
        assert features.local[side].shape == (3, 4 * factor, side, side)
        assert embedded.local[side].shape == (3, 40, side, side)
    assert embedded.summary is features.summary


def loop(x, first, second, stride):
    """A residual layer, one number after the other."""
    (n, c, h, w), (o, _, k, _) = x.shape, first.shape
    out = torch.zeros(n, o, (h - k) // stride + 1, (w - k) // stride + 1, dtype=x.dtype)
    for b, i, j in torch.cartesian_prod(*(torch.arange(s) for s in (n, *out.shape[2:]))).tolist():
        window = x[b, :, i * stride : i * stride + k, j * stride : j * stride + k]
        hidden = [max(0.0, float((first[q] * window).sum())) for q in range(o)]
        for q in range(o):
            out[b, q, i, j] = sum(float(second[q, p, 0, 0]) * hidden[p] for p in range(o))
            if q < c:
                out[b, q, i, j] += window[q].mean()
    return out


@pytest.mark.parametrize(("k", "s", "before", "after", "side"), LAYERS)
def test_layer_and_products_equal_a_loop(k, s, before, after, side):
    layer = awake(ResidualLayer(before, after, k, s).double())
    x = torch.randn(2, before, side, side, dtype=torch.float64)
    weights = layer.first.weight.detach(), layer.second.weight.detach()
    expected = loop(x, *weights, s)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(products.residual(x, *weights, s), expected)


@pytest.mark.parametrize("gathered", [1, 10**6])
@pytest.mark.parametrize(("k", "s", "before", "after", "side"), LAYERS)
def test_gradients_of_products_equal_the_modules(k, s, before, after, side, gathered, monkeypatch):
    """In parts of one image as well as all at once, whatever the memory format."""
    monkeypatch.setattr(products, "GATHERED", gathered)
    layer = awake(ResidualLayer(before, after, k, s).double())
    x = torch.randn(3, before, side, side, dtype=torch.float64, requires_grad=True)
    inputs = (x, layer.first.weight, layer.second.weight)
    by_modules = layer.by_modules(x)
    grad = torch.randn_like(by_modules)
    expected = torch.autograd.grad(by_modules, inputs, grad)
    for value in (x, x.contiguous(memory_format=torch.channels_last)):
        out = products.residual(value, *inputs[1:], s)
        torch.testing.assert_close(out, by_modules)
        for found, wanted in zip(torch.autograd.grad(out, inputs, grad), expected, strict=True):
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("input_size", [32, 64])
def test_bf16_takes_products_as_exact_as_the_modules(input_size, monkeypatch):
    encoder = awake(AMDIMEncoder(8, 64, 2, input_size))
    view = torch.randn(8, 3, input_size, input_size)
    directions = [torch.randn(8, 64, *shape) for shape in ((), (5, 5), (7, 7))]

    def run(dtype):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            features = encoder.embed(encoder(view))
        values = [features.summary, features.local[5], features.local[7]]
        loss = sum((v.float() * d).sum() for v, d in zip(values, directions, strict=True))
        grads = torch.autograd.grad(loss, list(encoder.parameters()))
        return [
            torch.cat([v.detach().float().flatten() for v in found]) for found in (values, grads)
        ]

    def count(*arguments):
        calls.append(arguments[0].dtype)
        return apply(*arguments)

    calls, apply = [], products.Residual.apply
    monkeypatch.setattr(products.Residual, "apply", count)
    exact = run(torch.float32)
    assert not calls
    found = run(torch.bfloat16)
    layers = sum(isinstance(part, ResidualLayer) for part in encoder.modules())
    assert calls == [torch.bfloat16] * layers
    monkeypatch.setattr(ResidualLayer, "forward", ResidualLayer.by_modules)
    for ours, modules, truth in zip(found, run(torch.bfloat16), exact, strict=True):
        assert (ours - truth).norm() < 1.2 * (modules - truth).norm() < 0.2 * truth.norm()


def test_products_are_left_to_modules_where_windows_leave_a_rest():
    x = torch.zeros(1, 2, 7, 7, dtype=torch.bfloat16)
    assert products.pays(x, 3, 1) and not products.pays(x, 2, 2) and not products.pays(x, 3, 2)
    layer = ResidualLayer(2, 2, 3, 2).bfloat16()
    assert layer(x).shape == (1, 2, 3, 3)


def test_a_new_network_is_average_pooling():
    """The second convolutions start at zero, so f7 is the stem's output, pooled twice."""
    torch.manual_seed(0)
    encoder = AMDIMEncoder(4, 32, 3).double()
    view = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    stem = functional.relu(encoder.to7[0](view))
    pooled = functional.avg_pool2d(functional.avg_pool2d(stem, 4, 2), 2, 2)
    f7 = encoder(view).local[7]
    torch.testing.assert_close(f7[:, :4], pooled)
    assert not f7[:, 4:].any()


def test_first_convolutions_start_kaiming_uniform():
    """With a = sqrt 5: uniform between -+ 1 / sqrt(fan in), variance a third of its square."""
    torch.manual_seed(0)
    weight = ResidualBlock(32, 64, 4, 2, 1)[0].first.weight
    end = 1 / math.sqrt(32 * 4 * 4)
    assert weight.abs().max() <= end
    assert weight.var().item() == pytest.approx(end**2 / 3, rel=0.05)


def test_a_new_head_is_nearly_the_identity():
    torch.manual_seed(0)
    head = SharedSpace(6, 9).eval()
    local = torch.randn(2, 6, 7, 7)
    shortcut = head.shortcut.weight[:, :, 0, 0]
    assert (shortcut.diagonal() == 1).all()
    assert (shortcut - torch.eye(9, 6)).abs().max() <= 0.01
    straight = head.shortcut.bias[:6, None, None] + local
    assert (head(local)[:, :6] - straight).abs().max() < 0.06 * local.abs().max()


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_every_weight_gets_a_gradient(batch_norm, autocast):
    encoder = awake(AMDIMEncoder(4, 32, 2, batch_norm=batch_norm))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        features = encoder.embed(encoder(torch.randn(4, 3, 32, 32)))
        values = [features.summary, *features.local.values()]
        sum((v * torch.randn_like(v)).sum() for v in values).backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
        inert = name.endswith("shortcut.bias")  # a batch norm follows
        assert inert or weight.grad.any(), name


def test_eval_is_deterministic_and_image_by_image():
    encoder = awake(AMDIMEncoder(4, 32, 2))
    view = torch.randn(4, 3, 32, 32)
    running = encoder.to1[2].running_mean.clone(), encoder.heads["7"].out_norm.running_var.clone()
    encoder.embed(encoder(view))
    moved = encoder.to1[2].running_mean, encoder.heads["7"].out_norm.running_var
    assert not any(torch.equal(a, b) for a, b in zip(running, moved, strict=True))
    encoder.eval()
    whole = encoder.embed(encoder(view))
    again = encoder.embed(encoder(view))
    one = encoder.embed(encoder(view[:1]))
    assert torch.equal(whole.summary, again.summary)
    torch.testing.assert_close(one.summary, whole.summary[:1], rtol=1e-4, atol=1e-5)
    for side in (5, 7):
        torch.testing.assert_close(one.local[side], whole.local[side][:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 31, 1, 32), "n_rkhs: 31 is below 4 ndf = 32"),
        ((8, 63, 1, 64), "n_rkhs: 63 is below 8 ndf = 64"),
        ((8, 63, 1, 128), "n_rkhs: 63 is below 8 ndf = 64"),
        ((8, 64, 1, 96), "input_size: .* not 96.*--image-size 32"),
        ((8, 64, 0, 32), "n_depth: 0 is below 1"),
    ],
)
def test_sizes_that_cannot_be(arguments, message):
    with pytest.raises(UserError, match=message):
        AMDIMEncoder(*arguments)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 32, 32), (3, 32, 31)])
def test_refuses_other_views(shape):
    with pytest.raises(UserError, match=r"reads views of shape \(3, 32, 32\), got"):
        AMDIMEncoder(4, 32, 1)(torch.zeros(2, *shape))


@pytest.mark.parametrize("name", [name for name in ENCODERS if name.startswith("amdim")])
def test_every_size_of_the_catalogue_exists_at_32_64_and_128_pixels(name):
    with torch.device("meta"):
        for pixels in (32, 64, 128):
            encoder = build(name, 3, (pixels, pixels))
            assert encoder.expected == (3, pixels, pixels)
            assert encoder.dim == ENCODERS[name].n_rkhs


@pytest.mark.parametrize("size", [(96, 96), (32, 64)])
def test_build_refuses_other_sizes(size):
    with pytest.raises(UserError, match=f"not {size[0]} x {size[1]}.*--image-size 32"):
        build("amdim-tiny", 3, size)


@pytest.mark.gpu
def test_cuda_agrees_with_cpu():
    encoder = awake(AMDIMEncoder(8, 64, 2)).eval()
    view = torch.randn(4, 3, 32, 32)
    exact = encoder.embed(encoder(view))
    encoder, view = encoder.cuda(), view.cuda()
    with torch.autocast("cuda", torch.bfloat16):
        found = encoder.embed(encoder(view))
    pairs = [(found.summary, exact.summary), (found.local[7], exact.local[7])]
    for ours, truth in pairs:
        assert (ours.float().cpu() - truth).norm() < 0.05 * truth.norm()
