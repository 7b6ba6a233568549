"""Sets by name: real ones from GOODVIEWS_DATA where there are any, and what is said when not."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from goodviews.data import DATA, load, reading
from goodviews.data.named import ARRAYS, FILES
from goodviews.interfaces import UserError


@pytest.fixture
def root() -> Path:
    given = os.environ.get("GOODVIEWS_DATA")
    if not given or not Path(given).is_dir():
        pytest.skip("set GOODVIEWS_DATA to a folder with MNIST/raw, cifar10, tiny-imagenet-20")
    return Path(given)


def need(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"GOODVIEWS_DATA has no {path.name}")


def test_mnist(root: Path) -> None:
    need(root / "MNIST/raw/train-images-idx3-ubyte")
    found = load("mnist", data_root=root)
    assert (len(found.train), len(found.test)) == (60_000, 10_000)
    assert found.train.shape == (3, 28, 28) and found.hints == {"grey", "no-flip"}
    assert load("mnist", data_root=root, labels="none", max_images=100).train.labels is None


def test_cifar10_from_a_folder_of_its_name(root: Path) -> None:
    need(root / "cifar10/train.npz")
    found = load("cifar10", data_root=root, max_images=5_000)
    assert (len(found.train), len(found.test)) == (5_000, 1_250) and not found.hints
    assert found.train.labels is not None
    assert found.train.labels.bincount().tolist() == [500] * 10


def test_tiny_imagenet(root: Path) -> None:
    need(root / "tiny-imagenet-20")
    found = load(root / "tiny-imagenet-20", max_images=400)
    assert (len(found.train), len(found.test)) == (400, 100) and len(found.train.classes) == 20
    assert found.train.shape == (3, 64, 64) and set(found.report["modes"]) <= {"RGB", "L"}


@pytest.mark.parametrize("name", sorted({*ARRAYS, *FILES}))
def test_a_set_that_is_not_there_is_told_and_nothing_is_fetched(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} was not found in .*--download"):
        load(name, data_root=tmp_path)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    with pytest.raises(UserError, match="needs --data-root"):
        load(name)


def test_the_catalogue_is_what_can_be_opened() -> None:
    assert set(DATA) == {*ARRAYS, *FILES, "factors", "digits", "imagenet"}


def jpeg(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (70, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def test_imagenet_is_a_folder_that_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"imagenet was not found in .*train/CLASS"):
        load("imagenet", data_root=tmp_path)
    for i in range(12):
        part, name = "train" if i < 8 else "val", f"n0{i % 2}"
        jpeg(tmp_path / "imagenet" / part / name / f"{i}.JPEG", i)
    monkeypatch.setattr(reading, "MEMORY_LIMIT", 0)
    found = load("imagenet", data_root=tmp_path)
    assert found.report["streamed"] and found.train.classes == ("n00", "n01")
    assert found.train.images([0, 1]).shape == (2, 3, 70, 70)


def test_torchvision_sets_of_files_keep_their_labels(tmp_path: Path) -> None:
    """EuroSAT's layout (one folder) and DTD's (lists of files), written by hand."""
    for i in range(10):
        jpeg(tmp_path / "eurosat/2750" / ("Forest" if i % 2 else "River") / f"{i}.jpg", i)
    found = load("eurosat", data_root=tmp_path)
    assert found.train.classes == ("Forest", "River") and len(found.test) == 2
    labels = tmp_path / "dtd/dtd/labels"
    labels.mkdir(parents=True)
    for part, places in {"train": range(6), "test": range(6, 10)}.items():
        names = [f"{'dotted' if i % 2 else 'banded'}/{i}.jpg" for i in places]
        (labels / f"{part}1.txt").write_text("\n".join(names))
        for i, name in zip(places, names, strict=True):
            jpeg(tmp_path / "dtd/dtd/images" / name, i)
    found = load("dtd", data_root=tmp_path)
    assert (len(found.train), len(found.test)) == (6, 4)
    assert found.train.classes == ("banded", "dotted") and found.train.labels is not None
    assert torch.equal(found.train.labels, torch.tensor([0, 1, 0, 1, 0, 1]))


def test_hugging_face_needs_its_extra() -> None:
    try:
        import datasets  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match=r'pip install "goodviews\[hf\]"'):
            load("hf:mnist")
    else:
        with pytest.raises(UserError, match=r"hf:no-such-set/anywhere could not be opened"):
            load("hf:no-such-set/anywhere")
