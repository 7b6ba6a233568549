"""Couplings and RealNVP: inverses, log-determinants, permutations, precision, stacking."""

import math

import pytest
import torch
from scipy.stats import kstest, truncnorm
from torch.func import functional_call, jacrev, stack_module_state, vmap

from goodviews.encoders import Coupling, RealNVP, build
from goodviews.encoders.invertible import truncated_normal_
from goodviews.interfaces import UserError


def roughened(module, gain, seed=0):
    """Weights N(0, gain^2 / fan in): the larger the gain, the farther from a permutation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            scale = gain / weight.shape[1] ** 0.5 if weight.ndim == 2 else 0.1 * gain
            weight.normal_(0, scale, generator=generator)
    return module


def small(dim=7, affine=True, gain=1.0, seed=0, couplings=4):
    flow = RealNVP(dim, couplings, hidden=(16, 16), affine=affine, seed=seed)
    return roughened(flow, gain, seed)


def views(n, *shape):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=[False, True], ids=["additive", "affine"])
def paper_size(request):
    torch.manual_seed(0)
    return RealNVP(392, affine=request.param)


def worst_error(flow, x):
    with torch.no_grad():
        return float((flow.inverse(flow(x).summary) - x.flatten(1)).abs().max())


def test_parameter_count_of_the_paper(paper_size):
    affine = paper_size.couplings[0].affine
    count, last = (16_938_480, 392) if affine else (13_922_040, 196)
    assert sum(weight.numel() for weight in paper_size.parameters()) == count
    assert count == 30 * (196 * 512 + 512 + 512 * 512 + 512 + 512 * last + last)


def test_inverse_at_the_start(paper_size):
    x = views(16, 1, 14, 28)
    assert worst_error(paper_size, x) < 1e-4
    with torch.autocast("cpu", torch.bfloat16):
        assert worst_error(paper_size, x) < 1e-4
    assert worst_error(paper_size.double(), x.double()) < 1e-10
    paper_size.float()


def test_inverse_far_from_the_start(paper_size):
    """The error is about rounding times the condition number: some 800 and 200 here."""
    affine = paper_size.couplings[0].affine
    flow, x = roughened(paper_size, 0.5 if affine else 1.0), views(16, 392)
    with torch.no_grad():
        shifts = [coupling._conditioned(x[:, :196])[0].std() for coupling in flow.couplings]
    assert min(shifts) > 0.03, "every coupling does something"
    assert worst_error(flow, x) < 1e-4
    assert worst_error(flow.double(), x.double()) < 1e-10
    flow.float()


def test_inverse_under_autocast_with_trained_weights():
    flow, x = small(64, affine=False, gain=0.5, couplings=30), views(16, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert worst_error(flow, x) < 1e-4


@pytest.mark.parametrize("affine", [False, True])
def test_autocast_rounds_the_conditioner_alone(affine):
    flow, x, seen = small(8, affine, couplings=3), views(4, 8), []
    for coupling in flow.couplings:
        coupling.register_forward_pre_hook(lambda module, args: seen.append(args[0].dtype))
        coupling.conditioner[0].register_forward_hook(lambda m, a, out: seen.append(out.dtype))
    exact = flow(x).summary
    assert set(seen) == {torch.float32}
    seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        rough = flow(x).summary
    assert seen == [torch.float32, torch.bfloat16] * 3
    assert rough.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        conditioned = flow.couplings[0]._conditioned(x[:, :4])
    assert {one.dtype for one in conditioned if one is not None} == {torch.float32}
    assert 0 < (rough - exact).abs().max() < 0.05


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("dim", [2, 3, 7, 8])
def test_coupling_is_the_formula(dim, affine):
    torch.manual_seed(0)
    coupling = Coupling(dim, (5,), affine, floor=0.01, std=0.5).double()
    x, half = views(3, dim).double(), dim // 2
    first, _, last = coupling.conditioner
    for row, y, log_det in zip(x, *coupling.forward_and_log_det(x), strict=True):
        raw = last.weight @ (first.weight @ row[:half] + first.bias).clamp(min=0) + last.bias
        shift = raw[: dim - half]
        scale = 0.01 + (1 + raw[dim - half :].exp()).log() if affine else torch.ones(dim - half)
        torch.testing.assert_close(y, torch.cat([row[:half], row[half:] * scale + shift]))
        torch.testing.assert_close(log_det, scale.prod().log().double())
    torch.testing.assert_close(coupling(x), coupling.forward_and_log_det(x)[0], rtol=0, atol=0)


def test_the_last_permutation_comes_first_and_a_coupling_last():
    flow, x = small(5, couplings=3), views(4, 5)
    y = x
    for k in (2, 1, 0):
        y = flow.couplings[k](y[:, flow.permutations[k]])
    torch.testing.assert_close(flow(x).summary, y, rtol=0, atol=0)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("dim", [2, 7, 12])
def test_log_determinant_is_that_of_the_jacobian(dim, affine):
    flow, x = small(dim, affine).double(), views(5, dim).double()
    for row, found in zip(x, flow.log_det(x), strict=True):
        jacobian = jacrev(lambda one: flow(one[None]).summary[0])(row)
        torch.testing.assert_close(
            found, torch.linalg.slogdet(jacobian).logabsdet, atol=1e-10, rtol=0
        )
    assert affine == bool(flow.log_det(x).abs().max() > 1e-3)


@pytest.mark.parametrize("affine", [False, True])
def test_zuko_agrees(affine):
    """The same couplings and permutations as a chain of zuko's, last of the list first."""
    transforms = pytest.importorskip("zuko").transforms
    flow, x = small(9, affine).double(), views(5, 9).double()
    chain = []
    for coupling, permutation in reversed(
        list(zip(flow.couplings, flow.permutations, strict=True))
    ):

        def conditioned(x1, coupling=coupling):
            shift, scale = coupling._conditioned(x1)
            scale = torch.ones_like(shift) if scale is None else scale
            return torch.distributions.AffineTransform(shift, scale, event_dim=1)

        chain.append(transforms.PermutationTransform(permutation))
        chain.append(transforms.CouplingTransform(conditioned, torch.arange(9) < 4))
    y, log_det = transforms.ComposedTransform(*chain).call_and_ladj(x)
    torch.testing.assert_close(flow(x).summary, y)
    torch.testing.assert_close(flow.log_det(x), log_det)


def test_affine_flow_starts_by_shrinking(paper_size):
    """Scale log 2 at each of 30 x 196 changes; additive flows keep volumes exactly."""
    flow, x = RealNVP(392, affine=paper_size.couplings[0].affine), views(4, 392)
    expected = 30 * 196 * math.log(math.log(2)) if flow.couplings[0].affine else 0.0
    assert flow.log_det(x).tolist() == pytest.approx([expected] * 4, rel=1e-4, abs=0)


@pytest.mark.parametrize("affine", [False, True])
def test_every_parameter_gets_a_gradient(affine):
    flow = small(7, affine)
    flow(views(32, 7)).summary.square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in flow.parameters())


def test_gradients_are_the_differences():
    flow = small(5, gain=0.5, couplings=2).double()
    x = views(2, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda one: flow(one).summary, x)
    assert torch.autograd.gradcheck(flow.log_det, x)


def test_permutations_belong_to_the_seed():
    one, same, other = RealNVP(20, 3, (4,)), RealNVP(20, 3, (4,)), RealNVP(20, 3, (4,), seed=1)
    assert torch.equal(one.permutations, same.permutations)
    assert not (one.permutations == other.permutations).all(1).any()
    assert (one.permutations.sort(1).values == torch.arange(20)).all()
    assert len(one.permutations.unique(dim=0)) == 3, "each coupling has its own"
    state = torch.get_rng_state()
    RealNVP(20, 3, (4,), std=0)
    drawn = [build("realnvp", 1, (2, 4)) for _ in range(2)]
    assert not torch.equal(drawn[0].permutations, drawn[1].permutations)
    torch.set_rng_state(state)
    RealNVP(20, 3, (4,), std=0)
    assert torch.equal(build("realnvp", 1, (2, 4)).permutations, drawn[0].permutations)


def test_a_saved_flow_loads_exactly():
    saved, other, x = small(8, seed=0), small(8, seed=1), views(4, 2, 2, 2)
    assert not torch.equal(saved(x).summary, other(x).summary)
    other.load_state_dict(saved.state_dict())
    assert torch.equal(saved(x).summary, other(x).summary)


@pytest.mark.parametrize("affine", [False, True])
def test_stacked_equals_one_after_another(affine):
    flows, x = [small(9, affine, seed=seed) for seed in range(3)], views(3, 6, 1, 3, 3)
    weights, buffers = stack_module_state(flows)

    def summary(weights, buffers, x):
        return functional_call(flows[0], (weights, buffers), (x,)).summary

    together = vmap(summary)(weights, buffers, x)
    together.square().sum().backward()
    for e, flow in enumerate(flows):
        alone = flow(x[e]).summary
        torch.testing.assert_close(together[e], alone)
        alone.square().sum().backward()
        for name, weight in flow.named_parameters():
            torch.testing.assert_close(weights[name].grad[e], weight.grad, rtol=1e-4, atol=1e-5)


def test_truncated_normal_is_scipys():
    torch.manual_seed(0)
    weight = truncated_normal_(torch.empty(100, 200), 0.01)
    assert weight.abs().max() <= 0.02
    assert kstest(weight.flatten().numpy() / 0.01, truncnorm(-2, 2).cdf).pvalue > 0.01


def test_mistakes_say_what_to_do():
    with pytest.raises(UserError, match=r"views of 8 values, got \(1, 3, 3\).*RealNVP\(9\)"):
        small(8)(views(2, 1, 3, 3))
    with pytest.raises(UserError, match="1 coordinate cannot be split"):
        Coupling(1)
