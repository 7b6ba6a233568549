"""The MLP, the layer-normed ConvNet and the skip MLP of Tschannen et al. 2019."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from goodviews.encoders import HalvesMLP, LayerNormConvNet, MLPEncoder, SkipMLP
from goodviews.encoders.tschannen import LayerNormPool, SameConv2d
from goodviews.interfaces import UserError

HALF = (14, 28)


def views(n, *shape):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))


def roughened(module):
    """Weights of any sort, biases too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0, 1 / weight[0].numel() ** 0.5, generator=generator)
    return module


@pytest.mark.parametrize(
    ("encoder", "count", "dim"),
    [
        (HalvesMLP(1, HALF), 238_300, 100),
        (LayerNormConvNet(1), 219_748, 100),
        (SkipMLP(1, HALF), 770_280, 392),
    ],
)
def test_parameter_counts_of_the_paper(encoder, count, dim):
    assert sum(weight.numel() for weight in encoder.parameters()) == count
    assert encoder.dim == dim
    assert encoder(views(2, 1, *HALF)).summary.shape == (2, dim)


@pytest.mark.parametrize("encoder", [HalvesMLP(1, HALF), LayerNormConvNet(1)])
def test_weights_start_glorot_uniform(encoder):
    for layer in encoder.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            outputs, inputs, *kernel = layer.weight.shape
            bound = math.sqrt(6 / ((inputs + outputs) * math.prod(kernel)))
            weight = layer.weight.detach().abs()
            assert 0.99 * bound < weight.max() <= bound * (1 + 1e-6)
            assert float(weight.mean()) == pytest.approx(bound / 2, rel=0.05)
            assert not layer.bias.any()


def test_mlp_is_the_house_mlp_started_another_way():
    torch.manual_seed(0)
    ours, plain = HalvesMLP(1, HALF), MLPEncoder(1, HALF)
    x = views(3, 1, *HALF)
    before = plain(x).summary
    plain.load_state_dict(ours.state_dict())
    assert not torch.equal(before, plain(x).summary)
    assert torch.equal(ours(x).summary, plain(x).summary)


def slow_same_convolution(x, weight, bias, stride):
    """One image (c, h, w), pixel by pixel; padding by the rule in TensorFlow's manual."""
    c_out, c_in, k, _ = weight.shape
    sizes = [math.ceil(n / stride) for n in x.shape[1:]]
    totals = [max(k - (n % stride or stride), 0) for n in x.shape[1:]]
    y = torch.zeros(c_out, *sizes, dtype=x.dtype)
    for row in range(sizes[0]):
        for column in range(sizes[1]):
            for i in range(k):
                for j in range(k):
                    r = row * stride + i - totals[0] // 2
                    s = column * stride + j - totals[1] // 2
                    if 0 <= r < x.shape[1] and 0 <= s < x.shape[2]:
                        y[:, row, column] += weight[:, :, i, j] @ x[:, r, s]
    return y + bias[:, None, None]


@pytest.mark.parametrize("size", [(14, 8), (7, 6), (5, 6), (3, 1)])
@pytest.mark.parametrize(("kernel", "stride"), [(5, 2), (3, 1), (3, 3)])
def test_same_convolution_is_tensorflows(size, kernel, stride):
    conv, x = roughened(SameConv2d(2, 3, kernel, stride)).double(), views(1, 2, *size).double()
    slow = slow_same_convolution(x[0], conv.weight, conv.bias, stride)
    torch.testing.assert_close(conv(x)[0], slow)


def test_even_sizes_are_padded_unevenly():
    """14 pixels: one zero before, two after; the usual two and two would be another network."""
    conv, x = roughened(SameConv2d(1, 4, 5, 2)), views(1, 1, *HALF)
    even = functional.conv2d(x, conv.weight, conv.bias, 2, padding=2)
    assert conv(x).shape == even.shape
    assert (conv(x) - even).abs().max() > 0.1


def test_layer_norm_pool_is_the_formula():
    pool, x = roughened(LayerNormPool(3)).double(), views(2, 3, 4, 5).double()
    for image, pooled in zip(x, pool(x), strict=True):
        values = image.flatten().tolist()
        mean = math.fsum(values) / 60
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / 60)
        normal = (image - mean) / (deviation + 1e-6)
        normal = normal * pool.scale[:, None, None] + pool.bias[:, None, None]
        torch.testing.assert_close(pooled, normal.mean((1, 2)))


def test_convnet_is_the_formula():
    encoder = roughened(LayerNormConvNet(2, width=3, dim=4)).double()
    x = views(1, 2, 9, 6).double()
    first, _, second, _, norm, last = encoder.layers
    y = slow_same_convolution(x[0], first.weight, first.bias, 2).clamp(min=0)
    y = slow_same_convolution(y, second.weight, second.bias, 2).clamp(min=0)
    y = (y - y.mean()) / (y.std(correction=0) + 1e-6)
    y = y * norm.scale[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(encoder(x).summary[0], last.weight @ y.mean((1, 2)) + last.bias)


def test_convnet_ignores_contrast_at_the_start():
    """Without biases layer norm undoes a factor."""
    encoder, x = LayerNormConvNet(1), views(2, 1, *HALF)
    torch.testing.assert_close(encoder(3 * x).summary, encoder(x).summary, rtol=1e-3, atol=1e-4)


def test_a_constant_image_has_finite_gradients():
    x = torch.ones(2, 3, 4, 4, requires_grad=True)
    LayerNormPool(3)(x).square().sum().backward()
    assert x.grad.isfinite().all()
    encoder = LayerNormConvNet(1)
    encoder(torch.zeros(2, 1, *HALF)).summary.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in encoder.parameters())


@pytest.mark.parametrize("size", [(1, 1), (12, 33), (64, 64)])
def test_convnet_takes_any_size(size):
    assert LayerNormConvNet(3)(views(2, 3, *size)).summary.isfinite().all()


def test_skip_mlp_is_the_formula():
    encoder, x = roughened(SkipMLP(1, (2, 3))).double(), views(3, 1, 2, 3).double()
    for image, summary in zip(x, encoder(x).summary, strict=True):
        y = image.flatten()
        for layer in encoder.layers[:4]:
            y = y + (layer.weight @ y + layer.bias).clamp(min=0)
        y = y + encoder.layers[4].weight @ y + encoder.layers[4].bias
        torch.testing.assert_close(summary, y)


def test_skip_mlp_starts_near_the_identity():
    encoder, x = SkipMLP(1, HALF), views(8, 1, *HALF)
    moved = (encoder(x).summary - x.flatten(1)).abs().max()
    assert 0 < moved < 0.02
    weights = torch.cat([layer.weight.detach().flatten() for layer in encoder.layers])
    assert weights.abs().max() <= 2e-4
    assert float(weights.std()) == pytest.approx(0.8796e-4, rel=0.01)
    assert not any(layer.bias.any() for layer in encoder.layers)


def test_skip_mlp_keeps_the_view_in_float32_under_autocast():
    encoder, x = SkipMLP(1, HALF), views(8, 1, *HALF)
    with torch.autocast("cpu", torch.bfloat16):
        summary = encoder(x).summary
    assert summary.dtype == torch.float32
    torch.testing.assert_close(summary, encoder(x).summary, rtol=0, atol=1e-3)


def encoders():
    return {
        "mlp": lambda: HalvesMLP(2, (6, 5), (12,), 4),
        "convnet": lambda: LayerNormConvNet(2, width=3, dim=4),
        "skip": lambda: SkipMLP(2, (6, 5), std=0.1),
    }


@pytest.mark.parametrize("name", encoders())
def test_every_parameter_gets_a_gradient(name):
    encoder = roughened(encoders()[name]())
    encoder(views(32, 2, 6, 5)).summary.square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in encoder.parameters())


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("name", encoders())
def test_stacked_equals_one_after_another(name, bfloat16):
    torch.manual_seed(0)
    members, x = [encoders()[name]() for _ in range(3)], views(3, 5, 2, 6, 5)
    weights, _ = stack_module_state(members)
    rtol, atol = (0.05, 0.05) if bfloat16 else (1e-4, 1e-5)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        together = vmap(lambda w, x: functional_call(members[0], w, (x,)).summary)(weights, x)
        apart = [member(x[e]).summary for e, member in enumerate(members)]
    together.float().square().sum().backward()
    for e, member in enumerate(members):
        torch.testing.assert_close(together[e], apart[e].to(together), rtol=rtol, atol=atol)
        apart[e].float().square().sum().backward()
        for key, weight in member.named_parameters():
            slack = atol * (1 + float(weight.grad.abs().max()))
            torch.testing.assert_close(weights[key].grad[e], weight.grad, rtol=rtol, atol=slack)


def test_stacked_convolutions_run_in_bfloat16():
    """Autocast does not reach a convolution below vmap, so the layer casts itself."""
    members = [SameConv2d(1, 2, 5, 2) for _ in range(2)]
    weights, _ = stack_module_state(members)
    with torch.autocast("cpu", torch.bfloat16):
        y = vmap(lambda w, x: functional_call(members[0], w, (x,)))(weights, views(2, 3, 1, 8, 8))
    assert y.dtype == torch.bfloat16


def test_other_sizes_are_refused():
    with pytest.raises(UserError, match=r"\(1, 14, 28\), got \(1, 28, 28\).*convnet"):
        SkipMLP(1, HALF)(torch.zeros(1, 1, 28, 28))
