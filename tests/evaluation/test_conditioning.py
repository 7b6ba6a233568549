"""Singular values of Jacobians."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from goodviews.encoders import MLPEncoder, RealNVP, SkipMLP, build
from goodviews.evaluation.conditioning import (
    jacobian_singular_values,
    log_condition,
    percentiles,
)


def views(n, *shape):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))


def roughened(module):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0, 1 / weight[0].numel() ** 0.5, generator=generator)
    return module


def linear(spectrum, d_out, d_in):
    """A linear encoder of 1 x 1 x d_in views with these singular values, in float32."""
    generator = torch.Generator().manual_seed(0)

    def orthogonal(d):
        return torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator))[0]

    encoder, k = MLPEncoder(1, (1, d_in), (), d_out), len(spectrum)
    u, v = orthogonal(d_out)[:, :k], orthogonal(d_in)[:k]
    encoder.layers[0].weight.data = ((u * spectrum) @ v).float()
    return encoder


@pytest.mark.parametrize(("d_out", "d_in"), [(5, 5), (3, 8), (8, 3)])
def test_a_linear_map_has_its_own(d_out, d_in):
    spectrum = torch.tensor([7.0, 2.0, 0.5, 0.3, 0.1], dtype=torch.float64)[: min(d_out, d_in)]
    found = jacobian_singular_values(linear(spectrum, d_out, d_in), views(4, 1, 1, d_in))
    torch.testing.assert_close(found, spectrum.expand(4, -1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("log_kappa", [2.0, 8.0, 12.0])
def test_condition_numbers_of_float32_maps_are_right(log_kappa):
    """Beyond the paper's axis, which ends at 8, to a hundredth and better."""
    spectrum = torch.linspace(0, -log_kappa, 64, dtype=torch.float64).exp()
    found = jacobian_singular_values(linear(spectrum, 64, 64), views(2, 1, 1, 64))
    assert found.dtype == torch.float64
    assert log_condition(found).tolist() == pytest.approx([log_kappa] * 2, abs=1e-3)


def slow_singular_values(encoder, x):
    rows = []
    for image in x:
        jacobian = torch.autograd.functional.jacobian(
            lambda one: encoder(one[None]).summary[0], image
        )
        rows.append(np.linalg.svd(jacobian.flatten(1).numpy(), compute_uv=False))
    return torch.tensor(np.array(rows))


def batch_normed():
    encoder = build("convnet-half", 2, (8, 8))
    for layer in encoder.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return encoder


@pytest.mark.parametrize(
    "make",
    [
        lambda: roughened(SkipMLP(2, (8, 8))),
        lambda: build("tschannen-convnet", 2, (8, 8)),
        batch_normed,
    ],
    ids=["skip-mlp", "layer norm", "batch norm"],
)
def test_equals_a_loop_over_images(make):
    torch.manual_seed(0)
    encoder, x = make().double().eval(), views(5, 2, 8, 8).double()
    slow = slow_singular_values(encoder, x)
    encoder.train()
    for chunk in (2, 16):
        found = jacobian_singular_values(encoder, x, chunk)
        torch.testing.assert_close(found, slow, rtol=1e-6, atol=1e-7 * float(slow.max()))
    assert all(part.training for part in encoder.modules()), "left as it was"


@pytest.mark.parametrize("affine", [False, True])
def test_the_product_is_the_determinant_of_a_flow(affine):
    flow = roughened(RealNVP(12, 6, (16,), affine)).double()
    x = views(3, 1, 3, 4).double()
    singular = jacobian_singular_values(flow, x)
    torch.testing.assert_close(singular.log().sum(1), flow.log_det(x), rtol=0, atol=1e-8)
    assert affine or flow.log_det(x).tolist() == [0, 0, 0]
    assert (log_condition(singular) > 0.5).all(), "far from a permutation"


def test_the_skip_mlp_starts_near_zero():
    """Figure 2 starts at 0: all singular values within a per cent or so of 1."""
    values = log_condition(jacobian_singular_values(SkipMLP(1, (14, 28)), views(2, 1, 14, 28)))
    assert 0 < values.max() < 0.05


def test_autocast_changes_nothing():
    encoder, x = roughened(SkipMLP(1, (2, 4))), views(3, 1, 2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        rough = jacobian_singular_values(encoder, x)
    torch.testing.assert_close(rough, jacobian_singular_values(encoder, x), rtol=1e-6, atol=0)
    assert not rough.requires_grad


def test_log_condition():
    values = torch.tensor([[8.0, 4.0], [1.0, 1.0], [1.0, 0.0], [5.0, 5e-9], [0.0, 0.0]])
    floor = -math.log(1e-7)
    assert log_condition(values).tolist() == pytest.approx(
        [math.log(2), 0, floor, floor, floor], abs=1e-5
    )


def test_percentiles_are_numpys():
    values = torch.randn(3, 37, generator=torch.Generator().manual_seed(0))
    found = percentiles(values)
    assert list(found) == ["min", "p20", "p40", "p60", "p80", "max"]
    expected = np.percentile(values.double().numpy(), [0, 20, 40, 60, 80, 100])
    assert list(found.values()) == pytest.approx(expected.tolist())
