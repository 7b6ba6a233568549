"""Extraction, raw pixels, maps."""

import pytest
import torch
from torch import Tensor, nn

from goodviews.data.images import Images
from goodviews.evaluation.features import draw, extract, pixels
from goodviews.evaluation.maps import neighbours, pca_2d
from goodviews.interfaces import UserError
from goodviews.layers import evaluating


class Net(nn.Module):
    """Dropout and batch norm: wrong in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.BatchNorm1d(64).eval()
        self.noise = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        return self.noise(self.frozen(images.flatten(1).float()))


def test_extract_runs_in_eval_mode_and_restores_every_part(digits: tuple[Images, Images]) -> None:
    net, source = Net(), digits[1]
    z = extract(net, source, batch_size=77)
    assert net.training and net.noise.training and not net.frozen.training
    assert torch.allclose(z, source.pixels.flatten(1).float(), rtol=1e-4)
    assert z.dtype == torch.float32 and not z.is_inference()
    assert torch.equal(z, extract(net, source, batch_size=500))


def test_modes_come_back_after_an_error() -> None:
    net = Net()
    with pytest.raises(RuntimeError), evaluating(net):
        raise RuntimeError
    assert net.training and not net.frozen.training


def test_empty_source_is_a_user_error() -> None:
    empty = Images(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), "toy")
    with pytest.raises(UserError, match="no image"):
        extract(Net(), empty)


def test_pixels(digits: tuple[Images, Images]) -> None:
    source = digits[1]
    assert torch.equal(pixels(source), source.pixels.flatten(1) / 255)
    small = pixels(source, size=4)
    blocks = source.pixels.float().reshape(-1, 4, 2, 4, 2).mean((2, 4)) / 255
    assert torch.allclose(small, blocks.flatten(1), atol=1e-6)
    assert pixels(source, size=100).shape == (500, 64)
    wide = Images(torch.zeros(2, 3, 10, 20, dtype=torch.uint8), "toy")
    assert pixels(wide, size=10).shape == (2, 3 * 5 * 10)


def test_draw_takes_labelled_images_once() -> None:
    labels = torch.tensor([-1, 0, 1] * 10)
    source = Images(torch.arange(30, dtype=torch.uint8).reshape(30, 1, 1, 1), "toy", labels)
    some = draw(source, 12, 0, labelled=True)
    assert (some.labels >= 0).all()
    assert len(some.pixels.unique()) == 12
    assert len(draw(source, 100, 0)) == 30
    with pytest.raises(UserError, match="no labels"):
        draw(Images(source.pixels, "toy"), 5, 0, labelled=True)


def test_pca_2d_is_the_svd_whatever_the_sign() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(50, 6, generator=generator) * torch.tensor([5.0, 3, 1, 1, 1, 1])
    flat = pca_2d(z)
    centred = z - z.mean(0)
    sigma = torch.linalg.svdvals(centred)[:2]
    assert torch.allclose(flat.norm(dim=0), sigma, rtol=1e-4)
    assert torch.allclose(pca_2d(z[torch.arange(49, -1, -1)]).flip(0), flat, atol=1e-4)
    assert pca_2d(torch.randn(5, 1)).shape == (5, 2)
    assert pca_2d(torch.ones(1, 4)).tolist() == [[0.0, 0.0]]


def test_neighbours_are_the_slow_sort() -> None:
    generator = torch.Generator().manual_seed(0)
    bank, query = torch.randn(2000, 8, generator=generator).split([600, 1400])
    places, cosines = neighbours(query, bank, 5)
    for i in (0, 1023, 1024, 1399):
        cos = torch.nn.functional.cosine_similarity(bank, query[i : i + 1])
        assert places[i].tolist() == cos.argsort(descending=True)[:5].tolist()
        assert torch.allclose(cosines[i], cos.sort(descending=True).values[:5], atol=1e-5)
    assert neighbours(bank, bank, 1)[0].flatten().tolist() == list(range(600))
    assert neighbours(query[:2], bank[:3], 10)[0].shape == (2, 3)
