"""K-pair and triplet losses: against slow loops, against InfoNCE, against another library."""

import math
import sys

import pytest
import torch
from torch.func import grad, vmap

from goodviews.bounds import Pairs, infonce
from goodviews.critics import Bilinear, InnerProduct, Separable
from goodviews.interfaces import UserError
from goodviews.objectives import distances, kpair_loss, mined, triplet_loss

pytorch_metric_learning = pytest.importorskip("pytorch_metric_learning")
from pytorch_metric_learning import losses, miners, reducers, regularizers  # noqa: E402
from pytorch_metric_learning.distances import DotProductSimilarity, LpDistance  # noqa: E402

N, D = 7, 3


def embeddings(seed=0, n=N, spread=0.7):
    z1, noise = torch.randn(
        2, n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return z1, z1 + spread * noise


def slow_kpair(s):
    k = len(s)
    rows = [
        math.log(1 + sum(math.exp(s[i][j] - s[i][i]) for j in range(k) if j != i)) for i in range(k)
    ]
    return sum(rows) / k


def slow_triplets(z1, z2, margin, mining, squared):
    power = 1.0 if squared else 0.5
    d = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) ** power for y in z2] for x in z1]
    found = []
    for i, row in enumerate(d):
        others = sorted(value for j, value in enumerate(row) if j != i)
        farther = [value for value in others if value > row[i]]
        chosen = {
            "all": others,
            "hard": others[:1],
            "semi-hard": farther[:1] or others[-1:],
        }[mining]
        for value in chosen:
            gap = row[i] - value
            found.append(math.log(1 + math.exp(gap)) if margin is None else max(0, gap + margin))
    return sum(found) / len(found)


# --- K-pair -------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 16])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_kpair_is_the_formula_and_log_k_minus_infonce(k, scale):
    scores = scale * torch.randn(k, k, generator=torch.Generator().manual_seed(k)).double()
    assert kpair_loss(scores).item() == pytest.approx(slow_kpair(scores.tolist()), rel=1e-12)
    assert abs((kpair_loss(scores) + infonce(scores)).item() - math.log(k)) < 1e-12


def test_kpair_is_stable_and_reads_pairs():
    scores = torch.tensor([[0.0, 1e4], [-1e4, 0.0]])
    assert kpair_loss(scores).item() == 5e3
    tiny = torch.tensor([[30.0, 0.0], [0.0, 30.0]], dtype=torch.float64)
    assert kpair_loss(tiny).item() == pytest.approx(math.exp(-30), rel=1e-12, abs=0)
    pairs = Pairs(torch.tensor([1.0]), torch.tensor([[0.0, 0.5, 2.0]]))
    found = math.log(1 + math.exp(-1) + math.exp(-0.5) + math.exp(1))
    assert kpair_loss(pairs).item() == pytest.approx(found, rel=1e-6)
    with pytest.raises(ValueError, match=r"is not \(n, n\) with n >= 2"):
        kpair_loss(torch.zeros(2, 3))


class Symmetric(torch.nn.Module):
    """phi(x)^T phi(y), one phi for both."""

    def __init__(self, dim):
        super().__init__()
        self.phi = Separable(dim, hidden=5).phi1

    def forward(self, z1, z2):
        return self.phi(z1) @ self.phi(z2).T


@pytest.mark.parametrize("critic", ["inner product", "bilinear", "symmetric separable"])
def test_maximising_infonce_is_minimising_kpair(critic):
    """Also in every weight of one encoder that makes both embeddings."""
    torch.manual_seed(0)
    make = {
        "inner product": lambda: _Double(),
        "bilinear": lambda: Bilinear(D),
        "symmetric separable": lambda: Symmetric(D),
    }
    encoder = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, D))
    net = torch.nn.ModuleList([encoder, make[critic]()]).double()
    x1, x2 = torch.randn(2, N, 4, dtype=torch.float64)
    scores = net[1](encoder(x1), encoder(x2))
    assert scores.dtype == torch.float64
    weights = list(net.parameters())
    up = torch.autograd.grad(infonce(scores), weights, retain_graph=True)
    down = torch.autograd.grad(kpair_loss(scores), weights)
    for a, b in zip(up, down, strict=True):
        assert b.abs().max() > 1e-6
        torch.testing.assert_close(a, -b, rtol=0, atol=1e-13)


class _Double(InnerProduct):
    """The inner product in the precision of its inputs (the catalogue's is float32)."""

    def forward(self, z1, z2):
        return z1 @ z2.T


def test_two_items_make_the_soft_triplet_loss():
    z1, z2 = embeddings(n=2)
    soft = triplet_loss(z1, z2, margin=None)
    torch.testing.assert_close(kpair_loss(-distances(z1, z2)), soft, rtol=1e-12, atol=0)
    s = z1 @ z2.T
    by_hand = 0.5 * sum(math.log(1 + math.exp(s[i, 1 - i] - s[i, i])) for i in range(2))
    assert kpair_loss(s).item() == pytest.approx(by_hand, rel=1e-12)


def test_kpair_is_the_other_library_s_npairs_loss():
    z1, z2 = embeddings(3)
    plain = DotProductSimilarity(normalize_embeddings=False)
    theirs = mined(losses.NPairsLoss(distance=plain), both=True)
    torch.testing.assert_close(theirs(z1, z2), kpair_loss(z1 @ z2.T), rtol=1e-12, atol=0)
    # with Sohn's penalty on norms
    l2 = {"embedding_regularizer": regularizers.LpRegularizer(power=2), "embedding_reg_weight": 0.1}
    penalised = mined(losses.NPairsLoss(distance=plain, **l2), both=True)
    expected = kpair_loss(z1 @ z2.T) + 0.1 * torch.cat([z1, z2]).square().sum(1).mean()
    torch.testing.assert_close(penalised(z1, z2), expected, rtol=1e-12, atol=0)
    # its own distance normalises
    u1, u2 = (torch.nn.functional.normalize(z, dim=1) for z in (z1, z2))
    default = mined(losses.NPairsLoss(), both=True)(z1, z2)
    torch.testing.assert_close(default, kpair_loss(u1 @ u2.T), rtol=1e-12, atol=0)


# --- triplets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("mining", ["all", "semi-hard", "hard"])
@pytest.mark.parametrize("margin", [None, 0.0, 0.5, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_triplets_are_the_formula(squared, mining, margin, seed):
    z1, z2 = embeddings(seed)
    expected = slow_triplets(z1.tolist(), z2.tolist(), margin, mining, squared)
    found = triplet_loss(z1, z2, margin, mining, squared).item()
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_semi_hard_falls_back_to_the_farthest_negative():
    z1, z2 = torch.tensor([[0.0], [100.0]]), torch.tensor([[9.0], [3.0]])
    three = torch.tensor([[0.0], [100.0], [101.0]]), torch.tensor([[9.0], [3.0], [-5.0]])
    assert triplet_loss(z1, z2, 1.0, "semi-hard", squared=False).item() == pytest.approx(
        ((9 - 3 + 1) + (97 - 91 + 1)) / 2
    )
    # row 0: 9 against 3 and 5, none farther: 5; row 1: 97, farther is 105; row 2: 106: farthest 98
    expected = ((9 - 5 + 1) + 0 + (106 - 98 + 1)) / 3
    assert triplet_loss(*three, 1.0, "semi-hard", False).item() == pytest.approx(expected)


def unnormalised(squared):
    return LpDistance(normalize_embeddings=False, power=2 if squared else 1)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("margin", [None, 0.5, 5.0])
@pytest.mark.parametrize("mining", ["all", "hard", "semi-hard"])
@pytest.mark.parametrize("seed", range(4))
def test_mining_is_the_other_library_s(squared, margin, mining, seed):
    z1, z2 = (z.requires_grad_() for z in embeddings(seed))
    distance = unnormalised(squared)
    hard = {"pos_strategy": "hard", "distance": distance}
    miner = {
        "all": None,
        "hard": miners.BatchHardMiner(distance=distance),
        "semi-hard": miners.BatchEasyHardMiner(neg_strategy="semihard", **hard),
    }[mining]
    loss = losses.TripletMarginLoss(
        margin=margin or 0.0,
        smooth_loss=margin is None,
        distance=distance,
        reducer=reducers.MeanReducer(),
    )
    theirs = mined(loss, miner)(z1, z2)
    apart = distances(z1, z2, squared)
    some = torch.ones(N, dtype=torch.bool)
    if mining == "semi-hard":  # theirs leaves out anchors without such a negative
        some = (apart > apart.diagonal()[:, None]).any(1)
        assert some.any()
    ours = triplet_loss(z1, z2, margin, mining, squared)
    if not some.all():
        ours = triplet_mean_of(z1, z2, margin, mining, squared, some)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    one, other = (torch.autograd.grad(value, (z1, z2)) for value in (ours, theirs))
    torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10)


def triplet_mean_of(z1, z2, margin, mining, squared, some):
    """The mean over some anchors, out of losses of one anchor at a time put first."""
    found = []
    for i in some.nonzero().flatten().tolist():
        order = [i] + [j for j in range(N) if j != i]
        apart = distances(z1[i : i + 1], z2[order], squared)[0]
        positive, farther = apart[0], apart[1:][apart[1:] > apart[0]]
        gap = positive - farther.min()
        found.append(torch.nn.functional.softplus(gap) if margin is None else (gap + margin).relu())
    return torch.stack(found).mean()


def test_semi_hard_negatives_are_among_the_triplet_margin_miner_s():
    """That miner keeps all negatives farther than the positive and within the margin."""
    margin = 2.0
    z1, z2 = embeddings(5)
    labels = torch.arange(N)
    miner = miners.TripletMarginMiner(margin, "semihard", distance=unnormalised(True))
    a, _, n = miner(z1, labels, z2, labels.clone())
    apart = distances(z1, z2)
    anchors = a.unique().tolist()
    assert anchors
    for i in anchors:
        beyond = apart[i].masked_fill(apart[i] <= apart[i, i], torch.inf)
        assert int(beyond.argmin()) in n[a == i].tolist()
        assert beyond.min() == apart[i, n[a == i]].min()


# --- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mining", ["all", "semi-hard", "hard"])
@pytest.mark.parametrize("margin", [None, 1.0])
def test_stacked_losses_and_gradients_are_those_of_a_loop(mining, margin):
    pairs = [embeddings(seed) for seed in range(3)]
    z1, z2 = (torch.stack(side) for side in zip(*pairs, strict=True))

    def loss(a, b):
        return triplet_loss(a, b, margin, mining)

    torch.testing.assert_close(vmap(loss)(z1, z2), torch.stack([loss(*pair) for pair in pairs]))
    together = vmap(grad(loss))(z1, z2)
    torch.testing.assert_close(together, torch.stack([grad(loss)(*pair) for pair in pairs]))
    scores = z1 @ z2.mT
    torch.testing.assert_close(
        vmap(kpair_loss)(scores), torch.stack([kpair_loss(s) for s in scores])
    )


def test_gradients_are_right_and_finite_where_embeddings_coincide():
    z1, z2 = (z.requires_grad_() for z in embeddings(1, n=4))
    for mining in ("all", "semi-hard", "hard"):
        for squared in (True, False):
            assert torch.autograd.gradcheck(
                lambda a, b, m=mining, s=squared: triplet_loss(a, b, None, m, s), (z1, z2)
            )
    same = torch.zeros(4, D, requires_grad=True)
    for squared in (True, False):
        for mining in ("all", "semi-hard", "hard"):
            (found,) = torch.autograd.grad(triplet_loss(same, same, 1.0, mining, squared), same)
            assert found.isfinite().all()


def test_distances_do_not_cancel_far_from_the_origin_or_in_half_precision():
    z1, z2 = (z.float() for z in embeddings(2))
    torch.testing.assert_close(
        distances(z1 + 1e3, z2 + 1e3), torch.cdist(z1, z2).square(), rtol=1e-3, atol=2e-3
    )
    with torch.autocast("cpu", torch.bfloat16):
        assert distances(z1, z2).dtype == torch.float32
        torch.testing.assert_close(distances(z1, z2), torch.cdist(z1, z2).square())
    assert distances(z1.bfloat16(), z2.bfloat16()).dtype == torch.float32


def test_what_is_refused(monkeypatch):
    z1, z2 = embeddings()
    with pytest.raises(UserError, match="mining: unknown 'semihard'. Did you mean 'semi-hard'?"):
        triplet_loss(z1, z2, mining="semihard")
    with pytest.raises(ValueError, match=r"is not \(n, n\) with n >= 2"):
        triplet_loss(z1, z2[:3])
    with pytest.raises(UserError, match="loss: 'triplet' is no object of pytorch_metric_learning"):
        mined("triplet")
    with pytest.raises(UserError, match="miner: 'hard' is no object of pytorch_metric_learning"):
        mined(losses.TripletMarginLoss(), "hard")
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(UserError, match=r'Run: pip install "goodviews\[metric\]"'):
        mined(losses.TripletMarginLoss())
