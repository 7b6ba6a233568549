"""Every deterministic form equals torchvision (geometry, colour, blur) or scikit-image (spaces)."""

import pytest
import torch
from skimage import color as skcolor
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from goodviews.views import color, colorspaces, filters, geometry


@pytest.fixture
def images() -> Tensor:
    """Six float images; the last is grey, one pixel black, one white, one pure."""
    drawn = torch.rand(6, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    drawn[5] = drawn[5, :1]
    drawn[0, :, 0, 0], drawn[0, :, 0, 1] = 0.0, 1.0
    drawn[0, :, 0, 2] = torch.tensor([0.0, 0.7, 0.7])
    drawn[0, :, 0, 3] = torch.tensor([0.3, 0.3, 0.9])
    return drawn


FACTORS = torch.tensor([0.0, 0.3, 0.9, 1.0, 1.4, 2.5])


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_adjustments(name: str, images: Tensor) -> None:
    values = torch.tensor([-0.5, -0.2, 0.0, 0.1, 0.4, 0.5]) if name == "hue" else FACTORS
    ours = getattr(color, f"adjust_{name}")(images, values)
    theirs = getattr(tv, f"adjust_{name}")
    slow = torch.stack([theirs(x, v.item()) for x, v in zip(images, values, strict=True)])
    torch.testing.assert_close(ours, slow, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_adjustments_in_place_and_by_rows_agree(name: str, images: Tensor) -> None:
    adjust = getattr(color, f"adjust_{name}")
    values = torch.linspace(0.1, 0.5, 6)
    plain = adjust(images, values)
    by_rows = images.permute(0, 2, 1, 3).contiguous().permute(0, 2, 1, 3)
    torch.testing.assert_close(adjust(by_rows, values), plain)
    kept = images.clone()
    assert adjust(kept, values, kept) is kept
    torch.testing.assert_close(kept, plain)


def test_greyscale_and_solarise(images: Tensor) -> None:
    slow = tv.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(color.greyscale(images), slow, atol=1e-6, rtol=1e-5)
    limits = torch.linspace(0, 1, 6)
    slow = torch.stack([tv.solarize(x, t.item()) for x, t in zip(images, limits, strict=True)])
    torch.testing.assert_close(color.solarise(images, limits), slow)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(24, 20), (40, 33), (7, 5)])
def test_resized_crop(mode: str, size: tuple[int, int], images: Tensor) -> None:
    boxes = torch.tensor(
        [
            [0, 0, 24, 20],
            [3, 2, 10, 15],
            [23, 19, 1, 1],
            [5, 5, 8, 3],
            [0, 1, 24, 2],
            [11, 0, 13, 20],
        ]
    )
    ours = geometry.resized_crop(images, boxes, size, mode)
    how = v2.InterpolationMode(mode)
    slow = torch.stack(
        [
            tv.resized_crop(x, *box.tolist(), list(size), how, antialias=True)
            for x, box in zip(images, boxes, strict=True)
        ]
    ).clamp(0, 1)
    torch.testing.assert_close(ours, slow, atol=2e-5, rtol=1e-4)


def test_crop_boxes_have_torchvisions_law() -> None:
    """Same areas, aspects and corners in the mean and spread as RandomResizedCrop."""
    torch.manual_seed(0)
    image = torch.zeros(3, 40, 60)
    transform = v2.RandomResizedCrop(32, (0.2, 1.0))
    drawn = [transform.make_params([image]) for _ in range(3000)]
    theirs = torch.tensor([[d["top"], d["left"], d["height"], d["width"]] for d in drawn]).float()
    ours = geometry.crop_boxes(20000, (40, 60), (0.2, 1.0), (3 / 4, 4 / 3), torch.device("cpu"))
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=0.6, rtol=0)
    torch.testing.assert_close(ours.std(0), theirs.std(0), atol=0.5, rtol=0)
    assert (ours[:, 0] + ours[:, 2] <= 40).all() and (ours[:, 1] + ours[:, 3] <= 60).all()


def test_crop_that_never_fits_is_central_as_in_torchvision() -> None:
    boxes = geometry.crop_boxes(3, (10, 100), (0.9, 1.0), (3 / 4, 4 / 3), torch.device("cpu"))
    drawn = v2.RandomResizedCrop(8, (0.9, 1.0)).make_params([torch.zeros(3, 10, 100)])
    expected = [drawn["top"], drawn["left"], drawn["height"], drawn["width"]]
    assert boxes.tolist() == [[float(x) for x in expected]] * 3


def test_flip_translate_and_their_composition(images: Tensor) -> None:
    mask = torch.tensor([True, False, True, True, False, True])
    down, right = torch.tensor([0, 4, -4, 1, -2, 3]), torch.tensor([4, -4, 0, 2, -1, -3])
    start = geometry.Resample.identity(images)
    ours = start.flip(mask).translate(down, right).flip(mask, vertical=True).apply(images)
    slow = []
    for x, flip, d, r in zip(images, mask, down.tolist(), right.tolist(), strict=True):
        x = tv.horizontal_flip(x) if flip else x
        x = tv.crop(tv.pad(x, [4], padding_mode="reflect"), 4 - d, 4 - r, 24, 20)
        slow.append(tv.vertical_flip(x) if flip else x)
    torch.testing.assert_close(ours, torch.stack(slow), atol=0, rtol=0)


def test_composed_chain_equals_one_after_the_other(images: Tensor) -> None:
    boxes = torch.tensor([[2.0, 3, 12, 9]]).expand(6, 4)
    down, right = torch.tensor([1, -1, 2, 0, 3, -3]), torch.zeros(6, dtype=torch.long)
    identity = geometry.Resample.identity(images)
    fused = identity.translate(down, right).crop(boxes, (24, 20), "bilinear")
    moved = identity.translate(down, right).apply(images)
    apart = geometry.resized_crop(moved, boxes, (24, 20))
    torch.testing.assert_close(fused.apply(images), apart, atol=1e-6, rtol=1e-5)


def test_rotation(images: Tensor) -> None:
    degrees = torch.tensor([0.0, 15, -40, 90, 180, 133])
    ours = geometry.rotate(images, degrees, "zeros")
    bilinear = v2.InterpolationMode.BILINEAR
    slow = torch.stack(
        [tv.rotate(x, a.item(), bilinear) for x, a in zip(images, degrees, strict=True)]
    )
    torch.testing.assert_close(ours, slow, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("taps", [3, 9, 15])
def test_blur(taps: int, images: Tensor) -> None:
    sigma = torch.tensor([0.1, 0.5, 1.0, 1.5, 2.0, 4.0])
    slow = torch.stack(
        [tv.gaussian_blur(x, [taps, taps], [s.item()]) for x, s in zip(images, sigma, strict=True)]
    )
    torch.testing.assert_close(filters.blur(images, sigma, taps), slow, atol=1e-5, rtol=1e-4)
    which = torch.tensor([4, 1])
    some = filters.blur(images, sigma[which], taps, which)
    torch.testing.assert_close(some, slow[which], atol=1e-5, rtol=1e-4)


def test_erase(images: Tensor) -> None:
    boxes = torch.tensor(
        [[0, 0, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0], [23, 19, 1, 1]] + [[1, 2, 3, 4]] * 2
    )
    slow = torch.stack(
        [
            tv.erase(x, *box.tolist(), torch.full((1, 1, 1), 0.5))
            for x, box in zip(images, boxes, strict=True)
        ]
    )
    torch.testing.assert_close(filters.erase(images, boxes, 0.5), slow)


@pytest.mark.parametrize("space", [s for s in colorspaces.COLOR_SPACES if s != "rgb"])
def test_color_spaces_equal_scikit_image(space: str, images: Tensor) -> None:
    theirs = getattr(skcolor, f"rgb2{space}")(images.double().permute(0, 2, 3, 1).numpy())
    slow = torch.from_numpy(theirs).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(
        colorspaces.convert(images, space), slow, atol=2e-3 if space == "lab" else 1e-4, rtol=1e-4
    )
