"""The mixture network m_k."""

import pytest
import torch

from goodviews.encoders.mixture import MixtureHeads
from goodviews.interfaces import UserError


def unit(n, dim):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("k", [1, 3])
def test_shared_hidden_layer_is_the_formula(k):
    torch.manual_seed(0)
    heads, f1 = MixtureHeads(6, k, hidden=5), unit(4, 6)
    first, _, last = heads.networks[0]
    hidden = (f1 @ first.weight.T + first.bias).clamp(min=0)
    assert heads(f1).shape == (4, k, 6)
    for j, (w, b) in enumerate(zip(last.weight.split(6), last.bias.split(6), strict=True)):
        torch.testing.assert_close(heads(f1)[:, j], f1 + hidden @ w.T + b)


def test_without_sharing_each_feature_has_its_own_network():
    torch.manual_seed(0)
    heads, f1 = MixtureHeads(6, 3, hidden=5, sharing="none"), unit(4, 6)
    for j, network in enumerate(heads.networks):
        torch.testing.assert_close(heads(f1)[:, j], f1 + network(f1))
    heads(f1)[:, 1].sum().backward()
    assert [any(p.grad.any() for p in net.parameters()) for net in heads.networks] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("sharing", ["hidden", "none"])
def test_features_start_near_the_summary_and_apart(sharing):
    torch.manual_seed(0)
    f1 = unit(64, 256)
    features = MixtureHeads(256, 3, sharing=sharing, spread=0.1)(f1)
    assert 0.09 < (features - f1[:, None]).std() < 0.11
    between = (features[:, 0] - features[:, 1]).std()
    assert 0.12 < between < 0.16, "independent residuals: sqrt(2) times the spread"


def test_every_parameter_gets_a_gradient():
    for sharing in ("hidden", "none"):
        heads = MixtureHeads(6, 2, sharing=sharing)
        heads(unit(8, 6)).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in heads.parameters())


def test_wrong_settings_say_what_to_do():
    with pytest.raises(UserError, match=r"k: 0 mixture features. Use 1 or more, for example 3\."):
        MixtureHeads(4, 0)
    with pytest.raises(UserError, match=r"sharing: unknown 'hiden'. Did you mean 'hidden'\?"):
        MixtureHeads(4, 2, sharing="hiden")
