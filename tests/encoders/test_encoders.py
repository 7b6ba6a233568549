"""One battery over all encoders."""

import pytest
import torch

from goodviews.encoders import ENCODERS, MLPEncoder, build
from goodviews.interfaces import UserError

NAMES = [*(name for name in ENCODERS if not name.startswith("amdim")), "timm/resnet18"]


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_battery(name, channels):
    torch.manual_seed(0)
    encoder = build(name, channels, (32, 32))
    view = torch.randn(4, channels, 32, 32)
    summary = encoder(view).summary
    assert summary.shape == (4, encoder.dim)
    summary.square().sum().backward()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
    encoder.eval()
    torch.testing.assert_close(
        encoder(view[:1]).summary, encoder(view).summary[:1], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ["convnet", "resnet-small"])
@pytest.mark.parametrize("size", [12, 33, 64])
def test_convolutions_take_any_size(name, size):
    assert build(name, 3, (32, 32)).eval()(torch.zeros(1, 3, size, size)).summary.isfinite().all()


def test_parameter_count_of_the_paper():
    """MLP 392-300-300-100 has 238,300 weights (paper C, section 4.4)."""
    encoder = MLPEncoder(1, (14, 28))
    assert (
        sum(p.numel() for p in encoder.parameters())
        == 392 * 300 + 300 + 300 * 300 + 300 + 300 * 100 + 100
    )
    assert sum(p.numel() for p in encoder.parameters()) == 238_300


def test_mlp_refuses_another_size():
    with pytest.raises(UserError, match=r"\(1, 14, 28\).*convnet"):
        MLPEncoder(1, (14, 28))(torch.zeros(1, 1, 28, 28))


@pytest.mark.parametrize(
    ("name", "near"), [("resnet-smal", "resnet-small"), ("timm/resnet81", "timm/resnet")]
)
def test_unknown_names_get_the_nearest(name, near):
    with pytest.raises(UserError, match=f"Did you mean '{near}"):
        build(name, 3, (32, 32))
