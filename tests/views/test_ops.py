"""One battery over every op of the catalogue, and the strength dials."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from goodviews.views import OPS
from goodviews.views.ops import Op, change_some, run

SURE: dict[str, dict[str, object]] = {
    "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "greyscale": {"p": 0.5},
    "blur": {"p": 1.0},
    "solarise": {"p": 0.5},
    "resize": {"size": 32},
}


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    """Smooth colourful images, so that every change shows."""
    coarse = torch.rand(16, 3, 8, 8, generator=seeded())
    return torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear")


@pytest.fixture(params=sorted(OPS))
def op(request: pytest.FixtureRequest) -> Op:
    return OPS[request.param](**SURE.get(request.param, {}))


def test_keeps_shape_range_dtype_and_input(op: Op, images: Tensor) -> None:
    before = images.clone()
    after = op(images, seeded())
    assert after.shape == images.shape and after.dtype == torch.float32
    assert after.min() >= -1e-6 and after.max() <= 1 + 1e-6
    assert after.shape[1:] == op.shape((3, 32, 32))
    assert torch.equal(images, before), "the input was overwritten"


def test_same_generator_same_result(op: Op, images: Tensor) -> None:
    assert torch.equal(op(images, seeded(3)), op(images, seeded(3)))


def test_in_place_and_any_memory_order_give_the_same(op: Op, images: Tensor) -> None:
    plain = op(images, seeded(3))
    torch.testing.assert_close(op(images.clone(), seeded(3), inplace=True), plain)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(op(last, seeded(3), inplace=True), plain)


def test_images_of_a_batch_are_changed_differently(op: Op, images: Tensor) -> None:
    if op.name == "resize":
        pytest.skip("resize draws nothing")
    same = images[:1].expand(16, -1, -1, -1).contiguous()
    after = op(same, seeded(1))
    assert (after - after[:1]).abs().flatten(1).amax(1).gt(1e-4).any()


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channel_counts(op: Op, channels: int) -> None:
    images = torch.rand(5, channels, 32, 32, generator=seeded())
    assert op(images, seeded()).shape == images.shape


def test_one_image_and_none(op: Op, images: Tensor) -> None:
    assert op(images[:1], seeded()).shape == (1, 3, 32, 32)


def test_without_generator_the_global_seed_counts(op: Op, images: Tensor) -> None:
    torch.manual_seed(5)
    first = op(images)
    torch.manual_seed(5)
    assert torch.equal(op(images), first)


def test_only_some_are_changed(images: Tensor) -> None:
    after = change_some(images, 0.5, seeded(), False, lambda some, _: some * 0)
    gone = after.flatten(1).amax(1).eq(0)
    assert 2 < gone.sum() < 14
    assert torch.equal(after[~gone], images[~gone])


def test_chain_equals_its_ops_one_by_one(images: Tensor) -> None:
    chain = [OPS["translate"](), OPS["horizontal_flip"](), OPS["blur"](), OPS["noise"]()]
    generator = seeded(2)
    slow = images
    for op in chain:
        slow = op(slow, generator)
    torch.testing.assert_close(run(chain, images, seeded(2)), slow)


DIALS: dict[str, tuple[Callable[[float], Op], tuple[float, ...]]] = {
    "crop": (lambda v: OPS["random_resized_crop"](scale=(v, v)), (0.9, 0.5, 0.2, 0.05)),
    "flip": (lambda v: OPS["horizontal_flip"](p=v), (0.1, 0.5, 1.0)),
    "translate": (lambda v: OPS["translate"](pixels=int(v)), (1, 3, 6, 12)),
    "rotate": (lambda v: OPS["rotate"](degrees=v), (5, 20, 60, 180)),
    "brightness": (lambda v: OPS["color_jitter"](brightness=v), (0.1, 0.4, 0.9)),
    "contrast": (lambda v: OPS["color_jitter"](contrast=v), (0.1, 0.4, 0.9)),
    "saturation": (lambda v: OPS["color_jitter"](saturation=v), (0.1, 0.4, 0.9)),
    "hue": (lambda v: OPS["color_jitter"](hue=v), (0.02, 0.1, 0.3)),
    "jitter p": (lambda v: OPS["color_jitter"](brightness=0.5, p=v), (0.1, 0.5, 1.0)),
    "greyscale": (lambda v: OPS["greyscale"](p=v), (0.1, 0.4, 0.9)),
    "solarise p": (lambda v: OPS["solarise"](p=v), (0.1, 0.4, 0.9)),
    "solarise": (lambda v: OPS["solarise"](threshold=v, p=1.0), (0.9, 0.8, 0.7)),
    "blur": (lambda v: OPS["blur"](sigma=v, p=1.0), (0.4, 1, 2, 4)),
    "noise": (lambda v: OPS["noise"](std=v), (0.02, 0.1, 0.4)),
    "erase": (lambda v: OPS["erase"](area=v, ratio=1.0), (0.02, 0.1, 0.3, 0.7)),
}


@pytest.mark.parametrize("dial", sorted(DIALS))
def test_stronger_dial_changes_more(dial: str, images: Tensor) -> None:
    make, values = DIALS[dial]
    many = images.repeat(16, 1, 1, 1)
    moved = [(make(v)(many, seeded(7)) - many).abs().mean().item() for v in values]
    assert moved == sorted(moved) and moved[0] < moved[-1], moved
