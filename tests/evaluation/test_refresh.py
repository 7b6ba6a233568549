"""Batch norm refreshed on test images, and put back."""

import pytest
import torch
from torch import Tensor, nn

from goodviews.data.images import Images
from goodviews.evaluation.features import extract
from goodviews.evaluation.refresh import bn_refreshed
from goodviews.interfaces import UserError


class Net(nn.Module):
    """Batch norm after a convolution, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten()
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images.float() / 255)


def test_statistics_become_those_of_the_images(digits: tuple[Images, Images]) -> None:
    """50 batches at momentum 0.1 leave half a per cent of the old statistics."""
    net, (_, test) = Net().eval(), digits
    maps = net.body[0](test.images(range(500)).float() / 255)
    with bn_refreshed(net, test, batch_size=500):
        norm = net.body[1]
        old = 0.9**50
        torch.testing.assert_close(norm.running_mean, (1 - old) * maps.mean((0, 2, 3)))
        variance = maps.transpose(0, 1).flatten(1).var(1)
        torch.testing.assert_close(norm.running_var, (1 - old) * variance + old)
        assert int(norm.num_batches_tracked) == 50
        assert not net.body[3].training


def test_everything_is_put_back(digits: tuple[Images, Images]) -> None:
    net, (_, test) = Net(), digits
    net.body[1].eval()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    state, features = torch.get_rng_state(), extract(net, test)
    with bn_refreshed(net, test, batch_size=64, seed=1):
        refreshed = extract(net, test)
    assert not torch.allclose(refreshed, features)
    with pytest.raises(RuntimeError, match="inside"), bn_refreshed(net, test):
        raise RuntimeError("inside")
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(extract(net, test), features)
    assert net.training and net.body[3].training and not net.body[1].training
    with bn_refreshed(net, test, batch_size=64, seed=1):
        assert torch.equal(extract(net, test), refreshed)


def test_few_images_make_several_passes(digits: tuple[Images, Images]) -> None:
    net, (_, test) = Net(), digits
    with bn_refreshed(net, test.subset(range(10)), batches=7):
        assert int(net.body[1].num_batches_tracked) == 7


class Aside(nn.Flatten):
    """Its batch norm is a projection head's: the representation does not pass it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.BatchNorm1d(3)


@pytest.mark.parametrize("net", [nn.Flatten(), Aside()])
def test_nothing_to_refresh(digits: tuple[Images, Images], net: nn.Module) -> None:
    wanted = "--bn-refresh: this encoder has no batch norm"
    with pytest.raises(UserError, match=wanted), bn_refreshed(net, digits[1]):
        pass
