"""Arrays and .npz files: shapes, types, labels, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from goodviews.data import Images, load
from goodviews.data.arrays import to_pixels
from goodviews.interfaces import UserError

DICE = np.random.default_rng(0)
COLOUR = DICE.integers(0, 256, (20, 12, 16, 3), dtype=np.uint8)
TRUTH = torch.from_numpy(COLOUR).permute(0, 3, 1, 2)


def npz(tmp_path: Path, **arrays: object) -> Path:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("array", "truth"),
    [
        (COLOUR, TRUTH),
        (COLOUR.transpose(0, 3, 1, 2), TRUTH),
        (COLOUR / 255, TRUTH),
        (COLOUR.astype(np.float32), TRUTH),
        (COLOUR.astype(np.int64), TRUTH),
        (COLOUR[..., 0], TRUTH[:, :1].expand(-1, 3, -1, -1)),
        (COLOUR[..., :1], TRUTH[:, :1].expand(-1, 3, -1, -1)),
        (COLOUR[:, None, :, :, 0], TRUTH[:, :1].expand(-1, 3, -1, -1)),
        (COLOUR[..., 0] > 99, (TRUTH[:, :1] > 99).byte().expand(-1, 3, -1, -1) * 255),
        (np.concatenate([COLOUR, np.full_like(COLOUR[..., :1], 255)], axis=3), TRUTH),
        (np.concatenate([COLOUR, np.zeros_like(COLOUR[..., :1])], axis=3), TRUTH * 0 + 255),
    ],
)
def test_layouts_and_types(array: np.ndarray, truth: torch.Tensor) -> None:
    assert torch.equal(to_pixels(array, "x"), truth)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 3, 32, 3)), r"shape \(5, 3, 32, 3\)"),
        (np.zeros((32, 32, 3)), "looks like a single image"),
        (np.zeros((5, 32, 32, 2)), r"c = 1, 3 or 4"),
        (np.zeros((5, 4, 4, 3)), "at least 8 pixels"),
        (np.zeros((5, 768)), r"shape \(5, 768\)"),
        (np.full((5, 8, 8, 3), 256), "from 256 to 256"),
        (np.full((5, 8, 8, 3), -0.5), "from -0.5"),
        (np.full((5, 8, 8), "a"), "type <U1"),
    ],
)
def test_what_is_no_image_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        to_pixels(array, "x.npz images")


def test_nan_pixels_name_the_first_image(tmp_path: Path) -> None:
    images = COLOUR / 255
    images[[7, 9], 3, 3, 0] = np.nan
    with pytest.raises(UserError, match=r"images\[7\] has NaN .* 2 of 20"):
        load(npz(tmp_path, images=images))


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(20) % 2,
        np.array(["no", "yes"])[np.arange(20) % 2],
        (np.arange(20) % 2)[:, None],
        (np.arange(20) % 2).astype(float),
    ],
)
def test_labels_stay_with_their_images(tmp_path: Path, labels: np.ndarray) -> None:
    images = np.zeros((20, 9, 9, 3), np.uint8)
    images[:] = np.arange(20)[:, None, None, None]
    found = load(npz(tmp_path, images=images, labels=labels))
    assert (len(found.train), len(found.test)) == (16, 4) and len(found.train.classes) == 2
    for part in (found.train, found.test):
        assert part.labels is not None
        assert torch.equal(part.images(range(len(part)))[:, 0, 0, 0] % 2, part.labels.byte())


def test_labels_of_an_array_set(tmp_path: Path) -> None:
    labels = np.array([0, 1, -1, 5] * 5)
    path = npz(tmp_path, x=COLOUR, y=labels)
    found = load(path)
    assert found.train.classes == ("0", "1", "5") and found.report["labelled"] == 15
    assert load(path, labels="none").train.labels is None
    assert load(COLOUR, labels=labels).train.classes == ("0", "1", "5")
    with pytest.raises(UserError, match=r"--labels: x.csv does not fit"):
        load(path, labels="x.csv")


def test_a_split_inside_the_file(tmp_path: Path) -> None:
    """Names as Keras and MedMNIST write them; test classes are numbered as in training."""
    y = np.array([3, 5] * 10)
    keras = load(npz(tmp_path, x_train=COLOUR, y_train=y, x_test=COLOUR[:4], y_test=[5, 5, 3, 7]))
    assert (len(keras.train), len(keras.test)) == (20, 4)
    assert keras.test.labels is not None and keras.test.labels.tolist() == [1, 1, 0, -1]
    assert any("1 test classes have no training image: 7" in w for w in keras.report["warnings"])
    medical = load(
        npz(
            tmp_path,
            train_images=COLOUR,
            train_labels=y[:, None],
            val_images=COLOUR,
            val_labels=y[:, None],
            test_images=COLOUR[:3],
            test_labels=y[:3, None],
        )
    )
    assert len(medical.test) == 3


def test_a_folder_of_two_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", images=COLOUR, labels=np.arange(20) % 4)
    np.savez(tmp_path / "test.npz", images=COLOUR[:5], labels=np.arange(5) % 4)
    found = load(tmp_path)
    assert (len(found.train), len(found.test), found.name) == (20, 5, tmp_path.name)
    assert found.report["duplicates_between_train_and_test"] == 5


def test_resizing_arrays() -> None:
    found = load(np.full((6, 120, 100), 77, np.uint8))
    assert found.train.shape == (3, 64, 64) and found.hints == {"grey"}
    assert (found.train.images([0]) == 77).all()
    assert load(COLOUR).train.shape == (3, 12, 12)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": COLOUR, "labels": np.zeros(20)}, r"a single class \(0\)"),
        ({"images": COLOUR, "labels": np.zeros(19)}, r"shape \(19,\) for 20 images"),
        ({"images": COLOUR, "labels": np.linspace(0, 1, 20)}, "type float64"),
        ({"pictures": COLOUR}, r"no array called images \(found: pictures\)"),
        ({"images": np.array([{}, {}])}, "pickled objects"),
        ({"images": COLOUR[:1]}, "has 1 image"),
        ({"images": COLOUR[:0]}, "has 0 images"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(npz(tmp_path, **arrays))


def test_broken_archives_are_refused(tmp_path: Path) -> None:
    whole = npz(tmp_path, images=COLOUR).read_bytes()
    middle = len(whole) // 2
    scratched = whole[:middle] + b"garbage" + whole[middle + 7 :]
    for data in (b"", b"hello", whole[:middle], scratched):
        (tmp_path / "cut.npz").write_bytes(data)
        with pytest.raises(UserError, match=r"cut.npz (is not a whole .npz|cannot be read)"):
            load(tmp_path / "cut.npz")


def test_images_check_their_rows() -> None:
    with pytest.raises(UserError, match="labels: 3 for 20"):
        Images(TRUTH, "x", torch.zeros(3, dtype=torch.int64))
    with pytest.raises(UserError, match="uint8"):
        Images(TRUTH.float(), "x")


@pytest.mark.parametrize("setting", [{"test_fraction": 1.0}, {"max_images": 1}])
def test_settings_out_of_range(setting: dict[str, float]) -> None:
    with pytest.raises(UserError, match="^--"):
        load(COLOUR, **setting)  # type: ignore[arg-type]
