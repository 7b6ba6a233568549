"""JigSaw: sizes, order, where patches come from, what is drawn, what is refused."""

import pytest
import torch
from torch import Generator, Tensor

from goodviews import encoders
from goodviews.interfaces import UserError
from goodviews.views import JigSaw
from goodviews.views.ops import run

SHAPE = (3, 32, 32)


def batch(n: int = 6, side: int = 32, channels: int = 3) -> Tensor:
    generator = Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("side", "cell", "patch"), [(224, 85, 64), (96, 36, 27), (64, 24, 18), (32, 12, 9)]
)
def test_sizes_keep_the_published_proportions(side: int, cell: int, patch: int) -> None:
    jigsaw = JigSaw((3, side, side))
    assert (jigsaw.cell, jigsaw.patch, jigsaw.shape) == (cell, patch, (3, patch, patch))
    assert jigsaw.ops[0].size == 3 * cell and jigsaw.ops[0].scale == (0.6, 1.0)


def test_patches_are_cut_from_their_own_cells_image_by_image() -> None:
    """The slow road: the same draws, one cell at a time with Python's slices."""
    jigsaw, images = JigSaw(SHAPE, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.2)), batch()
    fast = jigsaw(images, Generator().manual_seed(3))
    generator = Generator().manual_seed(3)
    crops = run(jigsaw.ops, images.float() / 255, generator)
    drawn = torch.rand(2, 6, 9, generator=generator)
    slow = []
    for i in range(6):
        for k in range(9):
            top = 12 * (k // 3) + int(drawn[0, i, k] * 4)
            left = 12 * (k % 3) + int(drawn[1, i, k] * 4)
            slow.append(crops[i, :, top : top + 9, left : left + 9])
    mean = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    expected = (torch.stack(slow) - mean) / torch.tensor([0.5, 0.25, 0.2]).view(3, 1, 1)
    assert fast.shape == (54, 3, 9, 9) and fast.dtype == torch.float32
    torch.testing.assert_close(fast, expected)


def test_offsets_fill_the_cell_evenly() -> None:
    """A ramp shows each patch's corner: every offset 0..3 in every cell, about equally often."""
    jigsaw = JigSaw((1, 36, 36), mean=(0.0,), std=(1.0,), scale=(1.0, 1.0))
    jigsaw.ops = ()
    jigsaw.cell, jigsaw.patch = 12, 9
    rows = torch.arange(36.0).view(1, 1, 36, 1).expand(2000, 1, 36, 36)
    tops = jigsaw(rows, Generator().manual_seed(0))[:, 0, 0, 0].view(2000, 9) % 12
    share = torch.stack([(tops == offset).float().mean(0) for offset in range(4)])
    torch.testing.assert_close(share, torch.full((4, 9), 0.25), atol=0.04, rtol=0)


def test_deterministic_by_generator_and_images_stay_as_they_are() -> None:
    jigsaw, images = JigSaw(SHAPE), batch().float() / 255
    kept = images.clone()
    one, two, other = (jigsaw(images, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other) and torch.equal(images, kept)


def test_no_change_of_colour() -> None:
    """A flat image stays flat: its nine patches have its own colour."""
    colour = torch.tensor([10, 120, 250], dtype=torch.uint8).view(1, 3, 1, 1)
    patches = JigSaw(SHAPE, (0.0,) * 3, (1.0,) * 3)(colour.expand(2, 3, 32, 32))
    torch.testing.assert_close(patches, (colour / 255).expand_as(patches))


@pytest.mark.parametrize("channels", [1, 2])
def test_other_channel_counts_and_oblong_images(channels: int) -> None:
    images = batch(channels=channels)[:, :, :, :28]
    jigsaw = JigSaw((channels, 32, 28), grid=2)
    assert jigsaw(images).shape == (24, *jigsaw.shape) and jigsaw.shape[0] == channels


@pytest.mark.parametrize("name", ["convnet", "convnet-half", "resnet-small"])
def test_convolutional_encoders_read_patches_of_32_pixel_images(name: str) -> None:
    """Encoders built for whole views read the small patches, with a gradient that is not zero."""
    encoder = encoders.build(name, 3, (32, 32))
    summary = encoder(JigSaw(SHAPE)(batch(2), Generator().manual_seed(0))).summary
    assert summary.shape == (18, encoder.dim) and summary.std(0).max() > 0
    summary.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in encoder.parameters() if p.grad is not None)


def test_refusals() -> None:
    with pytest.raises(UserError, match="larger images"):
        JigSaw((3, 8, 8))
    with pytest.raises(UserError, match="at least 2"):
        JigSaw(SHAPE, grid=1)
    with pytest.raises(UserError, match="2 numbers"):
        JigSaw(SHAPE, mean=(0.1, 0.2))
