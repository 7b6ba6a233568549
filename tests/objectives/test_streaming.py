"""The tiled losses against loops written from the formula, in float64."""

import math

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from goodviews import bounds
from goodviews.critics import Cosine, SoftClip
from goodviews.interfaces import UserError
from goodviews.objectives import BoundObjective, InfoNCE, NTXent
from goodviews.objectives import products as products_module
from goodviews.objectives import softmax as softmax_module
from goodviews.objectives import tiles as tiles_module
from goodviews.objectives.streaming import infonce_loss, multiscale_nce, ntxent_loss

IMAGES, A, L, D = 6, 2, 3, 8


def inputs(dtype=torch.float64, size=2.0, a=A, images=IMAGES, seed=0):
    """Antecedents and consequents that ask for gradients; their numbers are bf16 numbers."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (images, a, D), (images, L, D)
    return [
        (size * torch.randn(shape, generator=generator)).bfloat16().to(dtype).requires_grad_()
        for shape in shapes
    ]


def slow(antecedents, consequents, weights=None, penalty=5e-2, clip=20.0, scale=None):
    """Loss and log posteriors, one softmax at a time."""
    antecedents, consequents = antecedents.double(), consequents.double()
    (n, a, width), places = antecedents.shape, consequents.shape[1]
    scale = width**-0.5 if scale is None else scale
    squares, logs = 0.0, torch.zeros(n, a, places, dtype=torch.float64)
    loss = 0.0
    for i in range(n):
        for k in range(a):
            scores = scale * consequents @ antecedents[i, k]
            squares = squares + scores.square().sum() / (n * a * n * places)
            if clip is not None:
                scores = clip * torch.tanh(scores / clip)
            noise = torch.cat([scores[:i], scores[i + 1 :]]).flatten()
            for place in range(places):
                candidates = torch.cat([scores[i, place][None], noise])
                log = functional.log_softmax(candidates, 0)[0]
                logs[i, k, place] = log.detach()
                loss = loss - log * (1 / (n * places) if weights is None else weights[i, k, place])
    return loss + penalty * squares, logs, squares


def gradients(loss, leaves):
    return [g.double() for g in torch.autograd.grad(loss, leaves)]


def agrees(found, expected, tolerance):
    for x, y in zip(found, expected, strict=True):
        assert (x - y).abs().max() <= tolerance * max(1.0, y.abs().max())


@pytest.mark.parametrize("a", [1, 2])
@pytest.mark.parametrize("penalty", [0.0, 5e-2])
@pytest.mark.parametrize("clip", [20.0, 2.0, None])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_equals_the_slow_loop(dtype, tolerance, clip, penalty, a):
    weights = torch.rand(IMAGES, a, L, generator=torch.Generator().manual_seed(1))
    for given in (None, weights):
        pair = inputs(dtype, a=a)
        nce = multiscale_nce(*pair, weights=given, penalty=penalty, clip=clip, tile=2 * a)
        loss, logs, squares = slow(*pair, given, penalty, clip)
        assert nce.loss.dtype == dtype
        agrees([nce.loss, nce.log_posterior, nce.penalty], [loss, logs, squares], tolerance)
        agrees(gradients(nce.loss, pair), gradients(loss, pair), tolerance)
        assert not nce.log_posterior.requires_grad and not nce.penalty.requires_grad


def test_gradcheck_also_of_the_weights():
    weights = torch.rand(IMAGES, A, L, dtype=torch.float64, requires_grad=True)

    def loss(*tensors):
        return multiscale_nce(*tensors[:2], weights=tensors[2], clip=3.0, tile=4).loss

    assert torch.autograd.gradcheck(loss, (*inputs(size=0.5), weights))


@pytest.mark.parametrize("images, locations, a", [(2, 1, 1), (4, 25, 1), (8, 49, 2)])
def test_zero_scores_are_chance(images, locations, a):
    zero = torch.zeros(images, a, D)
    nce = multiscale_nce(zero, torch.zeros(images, locations, D))
    assert nce.loss.item() == pytest.approx(a * math.log(1 + (images - 1) * locations), rel=1e-6)
    assert nce.penalty.item() == 0


def test_permuting_the_batch_permutes_the_rest():
    pair, order = inputs(), torch.randperm(IMAGES, generator=torch.Generator().manual_seed(3))
    nce = multiscale_nce(*pair)
    moved = [x.detach()[order].requires_grad_() for x in pair]
    other = multiscale_nce(*moved)
    agrees([other.loss, other.log_posterior], [nce.loss, nce.log_posterior[order]], 1e-13)
    expected = [g[order] for g in gradients(nce.loss, pair)]
    agrees(gradients(other.loss, moved), expected, 1e-13)


@pytest.mark.parametrize("tile", [1, 4, 6, 1000])
def test_tiles_and_parts_do_not_matter(tile, monkeypatch):
    pair = inputs(images=9)
    nce = multiscale_nce(*pair)
    monkeypatch.setattr(softmax_module, "CACHE", 2 * A * 9 * L)
    other = multiscale_nce(*pair, tile=tile)
    agrees([other.loss, other.log_posterior], [nce.loss, nce.log_posterior], 1e-13)
    agrees(gradients(other.loss, pair), gradients(nce.loss, pair), 1e-13)


def test_large_scores_without_a_clip_stay_finite():
    pair = inputs(torch.float32, size=60.0)
    nce = multiscale_nce(*pair, clip=None, penalty=0.0)
    loss, _, _ = slow(*pair, clip=None, penalty=0.0)
    assert loss.item() > 1000
    agrees([nce.loss], [loss], 1e-6)
    agrees(gradients(nce.loss, pair), gradients(loss, pair), 1e-4)


def test_weights_may_be_a_number_or_a_function_of_the_log_posteriors():
    pair = inputs()
    even = multiscale_nce(*pair, weights=1 / (IMAGES * L), tile=4)
    agrees([even.loss], [multiscale_nce(*pair).loss], 1e-13)

    def posterior(logs):
        assert logs.shape[1:] == (A, L)  # all antecedents of an image come together
        return logs.softmax(1)

    fixed = posterior(even.log_posterior)
    found = multiscale_nce(*pair, weights=posterior, tile=4)
    expected = multiscale_nce(*pair, weights=fixed)
    agrees([found.loss], [expected.loss], 1e-13)
    agrees(gradients(found.loss, pair), gradients(expected.loss, pair), 1e-13)


def test_float32_inside_autocast():
    pair = inputs(torch.float32)
    expected = multiscale_nce(*pair)
    with torch.autocast("cpu", torch.bfloat16):
        found = multiscale_nce(*pair)
    assert torch.equal(found.loss, expected.loss)
    for x, y in zip(gradients(found.loss, pair), gradients(expected.loss, pair), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("block", [8, 2**20])
def test_bf16_inputs_have_float32_scores(block, monkeypatch):
    """The same numbers in bf16 and in float32: only gradients are rounded, a tile at a time."""
    monkeypatch.setattr(products_module, "BLOCK", block)
    before = torch.backends.mkldnn.matmul.fp32_precision
    exact, pair = inputs(torch.float32, images=40), inputs(torch.bfloat16, images=40)
    expected, found = multiscale_nce(*exact), multiscale_nce(*pair, tile=20)
    assert found.loss.dtype == torch.float32
    agrees([found.loss, found.log_posterior], [expected.loss, expected.log_posterior], 1e-6)
    for x, y in zip(gradients(found.loss, pair), gradients(expected.loss, exact), strict=True):
        assert (x - y).norm() < 0.01 * y.norm()
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_nothing_is_made_that_is_not_wanted():
    antecedents, consequents = inputs()
    with torch.no_grad():
        assert not multiscale_nce(antecedents, consequents).loss.requires_grad
    loss = multiscale_nce(antecedents.detach(), consequents).loss
    expected = gradients(multiscale_nce(antecedents, consequents).loss, [consequents])
    agrees(gradients(loss, [consequents]), expected, 1e-15)
    detached = multiscale_nce(antecedents.detach(), consequents.detach()).loss
    assert not detached.requires_grad


def test_backward_twice_and_scaled():
    """The kept gradients are handed out as they are, so nobody may have changed them."""
    pair = inputs()
    loss = multiscale_nce(*pair).loss
    expected = torch.autograd.grad(loss, pair, retain_graph=True)
    expected = [g.clone() for g in expected]
    for _ in range(2):
        loss.backward(retain_graph=True)
    (3 * loss).backward()
    agrees([x.grad for x in pair], [5 * g for g in expected], 1e-14)


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that is made."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, torch.Tensor):
                self.size = max(self.size, x.untyped_storage().nbytes() // x.element_size())
        return out


@pytest.mark.parametrize("objective, candidates", [(InfoNCE(), 3072), (NTXent(), 6144)])
def test_no_matrix_of_all_scores_is_made(objective, candidates):
    z1, z2 = torch.randn(2, 3072, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with Largest() as largest:
        loss, _ = objective(z1, z2)
        torch.autograd.grad(loss, (z1, z2))
    assert candidates * 4 <= largest.size < candidates**2 // 1.2


@pytest.mark.parametrize("clip", [None, 3.0])
def test_infonce_is_the_bound_of_the_cosine_critic(clip):
    z1, z2 = torch.randn(2, 40, 5, generator=torch.Generator().manual_seed(0))
    pair = [z1.requires_grad_(), z2.requires_grad_()]
    critic = Cosine(0.1) if clip is None else SoftClip(Cosine(0.1), clip)
    loss, nats = BoundObjective(critic, bounds.infonce)(*pair)
    expected = gradients(loss, pair)
    other, value = InfoNCE(0.1, clip)(*pair)
    agrees([other, value], [loss, nats], 1e-6)
    agrees(gradients(other, pair), expected, 1e-6)
    assert value == -other and not value.requires_grad


def test_ntxent_is_the_cross_entropy_of_the_partner():
    n = 9
    z1, z2 = torch.randn(2, n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pair = [z1.requires_grad_(), z2.requires_grad_()]
    z = torch.cat(pair)
    scores = (0.7 * z @ z.T).fill_diagonal_(-math.inf)
    expected = functional.cross_entropy(scores, torch.arange(2 * n).roll(n))
    for tile in (2, 5, None):
        loss = ntxent_loss(*pair, scale=0.7, tile=tile)
        agrees([loss], [expected], 1e-13)
        wanted = torch.autograd.grad(expected, pair, retain_graph=True)
        agrees(gradients(loss, pair), wanted, 1e-13)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("clip", [20.0, None])
@pytest.mark.parametrize("penalty", [0.0, 5e-2])
def test_functions_for_a_gpu_are_the_same_arithmetic(penalty, clip, dtype, monkeypatch):
    """Not compiled here; with -m gpu they are."""
    pair = inputs(dtype)
    expected = multiscale_nce(*pair, penalty=penalty, clip=clip, tile=4)
    wanted = gradients(expected.loss, pair)
    monkeypatch.setattr(tiles_module, "fuses", lambda device: True)
    monkeypatch.setattr(softmax_module.FusedSoftmax, "compile", staticmethod(lambda f: f))
    found = multiscale_nce(*pair, penalty=penalty, clip=clip, tile=4)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-6
    agrees(found[:3], expected[:3], tolerance)
    agrees(gradients(found.loss, pair), wanted, max(tolerance, 1e-12))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-3), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("clip", [20.0, None])
def test_a_gpu_finds_the_same(clip, dtype, tolerance):
    pair = inputs(dtype, images=33)
    there = [x.detach().cuda().requires_grad_() for x in pair]
    expected = multiscale_nce(*pair, clip=clip)
    found = multiscale_nce(*there, clip=clip, tile=20)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-4)
    wanted = gradients(expected.loss, pair)
    for x, y in zip(gradients(found.loss, there), wanted, strict=True):
        assert (x.cpu() - y).norm() < tolerance * y.norm()


@pytest.mark.parametrize(
    "left, right, message",
    [
        ((1, 1, 4), (1, 3, 4), "1 image leaves no negative. Use at least 2"),
        ((2, 4), (2, 3, 4), r"must be \(B, a, D\) and \(B, L, D\)"),
        ((3, 1, 4), (2, 3, 4), "must have the same number of images"),
        ((2, 1, 5), (2, 3, 4), "must have the same width D"),
    ],
)
def test_shapes_that_do_not_fit(left, right, message):
    with pytest.raises(UserError, match=message):
        multiscale_nce(torch.zeros(left), torch.zeros(right))


def test_other_mistakes():
    pair = inputs()
    with pytest.raises(UserError, match=r"weights: \(6, 1, 3\) must be \(6, 2, 3\)"):
        multiscale_nce(*pair, weights=torch.ones(IMAGES, 1, L))
    with pytest.raises(UserError, match="clip: 0 is not positive"):
        multiscale_nce(*pair, clip=0)
    with pytest.raises(UserError, match="tile: 0 is not positive"):
        multiscale_nce(*pair, tile=0)
    with pytest.raises(UserError, match="at least 2"):
        infonce_loss(torch.zeros(1, 4), torch.zeros(1, 4))
