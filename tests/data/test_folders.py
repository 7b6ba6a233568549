"""Folders of real files of every mode, and of every kind of damage."""

import json
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from goodviews.data import Images, StreamedImages, load, loader, reading
from goodviews.data.decoding import decode_file
from goodviews.data.streamed import FileReader
from goodviews.interfaces import ImageSource, UserError


def picture(seed: int, size: tuple[int, int] = (24, 24), mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def folder(root: Path, names: list[str], size: tuple[int, int] = (24, 24)) -> Path:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed + 1000 * len(names), size).save(root / name)
    return root


def numbered(folder: str, count: int) -> list[str]:
    return [f"{folder}/{i}.png" for i in range(count)]


def bomb(path: Path) -> None:
    """Write a valid PNG header that promises 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", "png"),
        ("RGB", "jpg"),
        ("RGB", "webp"),
        ("RGB", "bmp"),
        ("RGB", "tiff"),
        ("RGB", "gif"),
        ("L", "png"),
        ("L", "jpg"),
        ("LA", "png"),
        ("RGBA", "png"),
        ("RGBA", "webp"),
        ("P", "png"),
        ("1", "png"),
        ("CMYK", "jpg"),
        ("CMYK", "tiff"),
        ("LAB", "tiff"),
        ("I;16", "png"),
        ("F", "tiff"),
        ("I", "tiff"),
    ],
)
def test_every_mode_decodes_to_what_was_drawn(tmp_path: Path, mode: str, suffix: str) -> None:
    flat = Image.new("RGB", (32, 32), (128, 128, 128))
    flat.paste((255, 255, 255), (16, 0, 32, 32))
    path = tmp_path / f"image.{suffix}"
    low = 128
    if mode in {"I;16", "F", "I"}:
        deep = np.asarray(flat.convert("L")).astype(np.float32) * 200 - 25600
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        Image.fromarray(deep.astype(kind)).save(path)
        low = 0
    elif mode == "LAB":
        Image.new("LAB", (32, 32), (255, 0, 0)).save(path)
    else:
        flat.convert(mode, palette=Image.Palette.ADAPTIVE).save(path)
    got = decode_file(path, 32)
    assert got.shape == (3, 32, 32) and got.dtype == np.uint8
    if mode in {"1", "LAB"}:
        return
    assert abs(int(got[:, 16, 4].mean()) - low) <= 3
    assert int(got[:, 16, 28].min()) >= 252


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 8, 16))
    image.save(tmp_path / "a.png")
    got = decode_file(tmp_path / "a.png", 16)
    assert got[:, 5, 3].tolist() == [255, 255, 255] and got[:, 5, 12].tolist() == [255, 0, 0]
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([0, 0, 255, 255, 0, 0])
    palette.save(tmp_path / "p.gif", transparency=0)
    assert (decode_file(tmp_path / "p.gif", 16) == 255).all()


def test_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste((255, 255, 255), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    got = decode_file(tmp_path / "turned.png", 20)
    assert got[0, 2, 10] == 255 and got[0, 17, 10] == 0


def test_draft_of_a_large_jpeg_is_close_to_the_whole(tmp_path: Path) -> None:
    smooth = Image.linear_gradient("L").resize((1024, 768)).convert("RGB")
    smooth.save(tmp_path / "large.jpg", quality=95)
    whole = smooth.crop((128, 0, 896, 768)).resize((32, 32), Image.Resampling.BICUBIC)
    got = decode_file(tmp_path / "large.jpg", 32).transpose(1, 2, 0).astype(int)
    assert np.abs(got - np.asarray(whole)).max() <= 3


def test_class_folders_are_split_by_class(tmp_path: Path) -> None:
    folder(tmp_path, numbered("cat", 10) + numbered("dog/deep/er", 20) + numbered("10", 5))
    found = load(tmp_path)
    assert isinstance(found.train, Images) and isinstance(found.train, ImageSource)
    assert found.train.classes == ("10", "cat", "dog") and found.train.shape == (3, 24, 24)
    assert found.train.labels is not None and found.test.labels is not None
    assert found.train.labels.bincount().tolist() == [4, 8, 16]
    assert found.test.labels.bincount().tolist() == [1, 2, 4]
    train, test = (part.paths for part in (found.train, found.test))
    assert train and test and not set(train) & set(test)
    for path, label in zip(train, found.train.labels.tolist(), strict=True):
        assert found.train.classes[label] in path
    again, other = load(tmp_path), load(tmp_path, seed=1)
    assert again.test.paths == test and other.test.paths != test
    json.dumps(found.report)


def test_own_split_is_used_and_further_folders_named(tmp_path: Path) -> None:
    names = [f"set/{part}/{c}/{i}.png" for part in ("train", "val") for c in "ab" for i in range(4)]
    folder(tmp_path, names + numbered("set/test", 3) + numbered("set/masks", 2))
    found = load(tmp_path)
    assert (len(found.train), len(found.test)) == (8, 8)
    assert found.test.classes == ("a", "b") and "masks, test" in found.report["warnings"][0]


@pytest.mark.parametrize("where", ["", "sub/", "one/two/three/"])
def test_flat_and_nested_folders_have_no_labels(tmp_path: Path, where: str) -> None:
    found = load(folder(tmp_path, [f"{where}{i}.png" for i in range(10)]))
    assert found.train.labels is None and len(found.train) == 8


def test_labels_none_leaves_folder_names_out(tmp_path: Path) -> None:
    found = load(folder(tmp_path, numbered("a", 5) + numbered("b", 5)), labels="none")
    assert found.train.labels is None and found.report["labelled"] == 0


def damage(root: Path) -> dict[str, str]:
    """Write one file of each kind of damage; return name -> the reason to expect."""
    picture(1, (200, 200)).save(root / "whole.jpg")
    whole = (root / "whole.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    picture(2).save(root / "ok.png")
    png = (root / "ok.png").read_bytes()
    (root / "cut.png").write_bytes(png[: len(png) // 2])
    (root / "flipped.png").write_bytes(png[:60] + b"garbage!" + png[68:])
    (root / "zero.png").touch()
    (root / "text.png").write_text("not an image")
    (root / "link.png").symlink_to(root / "nowhere.png")
    bomb(root / "bomb.png")
    values = np.ones((20, 20), np.float32)
    values[3, 3] = np.nan
    Image.fromarray(values).save(root / "nan.tiff")
    return {
        "cut.jpg": "truncated",
        "cut.png": "",
        "flipped.png": "",
        "zero.png": "empty file",
        "text.png": "not an image",
        "link.png": "broken link",
        "bomb.png": "too many pixels; the limit is 100 million",
        "nan.tiff": "NaN",
    }


def test_bad_files_are_skipped_and_listed_by_path(tmp_path: Path) -> None:
    expected = damage(tmp_path)
    folder(tmp_path, [f"good{i}.png" for i in range(20)])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".DS_Store").write_text("hello")
    (tmp_path / ".hidden").mkdir()
    found = load(tmp_path, image_size=16)
    reasons = {Path(one["path"]).name: one["reason"] for one in found.report["skipped"]}
    assert set(reasons) == set(expected)
    assert all(expected[name] in reasons[name] for name in expected), reasons
    assert len(found.train) + len(found.test) == 22 and found.report["ignored"] == 3
    assert any("8 unreadable images are skipped" in text for text in found.report["warnings"])
    assert found.train.labels is None and len(found.train.paths or ()) == len(found.train)


def test_strict_stops_at_a_bad_file(tmp_path: Path) -> None:
    damage(tmp_path)
    with pytest.raises(UserError, match=r"bomb.png: .*--strict"):
        load(tmp_path, strict=True)


def test_mostly_bad_folder_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, [f"{i}.png" for i in range(4)])
    for i in range(6):
        (tmp_path / f"bad{i}.png").touch()
    with pytest.raises(UserError, match=r"most of .* unreadable \(6 files"):
        load(tmp_path)


def test_labels_stay_with_their_images_when_files_are_skipped(tmp_path: Path) -> None:
    for i in range(40):
        name = tmp_path / "ab"[i % 2] / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (i % 2 * 200, i, 0)).save(name)
        if i % 5 == 0:
            name.write_bytes(name.read_bytes()[:50])
    found = load(tmp_path)
    for part in (found.train, found.test):
        pixels = part.images(range(len(part)))
        assert part.labels is not None
        assert torch.equal(pixels[:, 0, 0, 0] // 200, part.labels.byte())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "none", r"none does not exist|no known data set"),
        (lambda root: root / "none" / "deep" / "x", r"does not exist"),
        (lambda root: root, "is an empty folder"),
        (lambda root: (root / "a.txt").write_text("x") and root, r"holds no image \(found 1 .txt"),
        (lambda root: (root / "a.txt").write_text("x") and root / "a.txt", "neither a folder nor"),
        (lambda root: folder(root, ["one.png"]), "has 1 image to train on"),
        (lambda root: (root / "a.png").touch() or (root / "b.png").touch() or root, "unreadable"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(tmp_path: Path, make, message) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(make(tmp_path))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("--data: ")


@pytest.mark.parametrize(
    ("data", "hint"), [("cifar-10", "cifar10"), ("factor", "factors"), ("MNIST", "mnist")]
)
def test_misspelt_names_get_a_suggestion(data: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"Did you mean {hint}"):
        load(data)


def test_sizes_are_chosen_and_told(tmp_path: Path) -> None:
    mixed = folder(tmp_path / "mixed", numbered("x", 4), (100, 80))
    folder(mixed, numbered("y", 4), (30, 40))
    found = load(mixed)
    assert found.train.shape == (3, 64, 64) and found.report["image_size"] == 64
    assert any("4 images are enlarged to 64" in text for text in found.report["warnings"])
    small = folder(tmp_path / "small", numbered("x", 4), (40, 40))
    assert load(folder(small, numbered("y", 4), (24, 30))).train.shape == (3, 40, 40)
    assert load(small, image_size=20).train.shape == (3, 20, 20)
    large = folder(tmp_path / "large", numbered("x", 8), (120, 100))
    assert load(large).train.shape == (3, 64, 64)
    with pytest.raises(UserError, match="--image-size: 4"):
        load(large, image_size=4)


def test_max_images_keeps_the_classes_balanced(tmp_path: Path) -> None:
    root = folder(tmp_path, numbered("a", 40) + numbered("b", 20))
    found = load(root, max_images=12)
    assert found.train.labels is not None
    assert found.train.labels.bincount().tolist() == [8, 4] and len(found.test) == 3


def test_duplicates_and_leaks_are_counted(tmp_path: Path) -> None:
    folder(tmp_path, numbered("train", 6) + numbered("test", 3))
    (tmp_path / "test/again.png").write_bytes((tmp_path / "train/0.png").read_bytes())
    (tmp_path / "train/again.png").write_bytes((tmp_path / "train/1.png").read_bytes())
    report = load(tmp_path).report
    assert report["duplicates"] == 2 and report["duplicates_between_train_and_test"] == 1
    assert "1 test images are also training images" in report["warnings"][0]


def test_grey_images_give_the_hint(tmp_path: Path) -> None:
    for i in range(6):
        picture(i, mode="L").save(tmp_path / f"{i}.jpg")
    assert load(tmp_path).hints == {"grey"}
    picture(9).save(tmp_path / "colour.png")
    assert not load(tmp_path).hints


def test_streamed_images_equal_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path, numbered("a", 10) + numbered("b", 10), (50, 40))
    memory = load(root, image_size=24)
    monkeypatch.setattr(reading, "MEMORY_LIMIT", 0)
    streamed = load(root, image_size=24)
    assert isinstance(streamed.train, StreamedImages) and isinstance(streamed.train, ImageSource)
    assert streamed.report["streamed"] and not memory.report["streamed"]
    assert torch.equal(streamed.train.images(range(16)), memory.train.images(range(16)))
    monkeypatch.setattr(reading, "HEADER_LIMIT", 5)
    sampled = load(root, image_size=24).report
    assert sampled["unchecked"] == 11 and sum(sampled["modes"].values()) == 9
    part = streamed.train.subset([3, 5])
    assert torch.equal(part.images([1]), memory.train.images([5]))
    assert memory.train.labels is not None and part.labels is not None
    assert torch.equal(part.labels, memory.train.labels[[3, 5]])
    one, two = (
        list(loader(source, 4, seed=3, workers=workers))
        for source, workers in ((memory.train, 0), (streamed.train, 2))
    )
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.index, b.index)


def test_a_file_that_breaks_later_is_named_and_stood_in_for(tmp_path: Path) -> None:
    names = [tmp_path / f"{i}.png" for i in range(3)]
    folder(tmp_path, [name.name for name in names])
    source = StreamedImages(FileReader(names), 24, "three")
    names[1].write_bytes(b"")
    with pytest.warns(UserWarning, match=r"1.png: empty file"):
        pixels = source.images([0, 1, 2])
    assert (pixels[1] == 127).all() and pixels[0].float().std() > 30


def rows(root: Path, text: str) -> Path:
    path = root.parent / "labels.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("head", ["", "file,label\n", "filename,class\n"])
def test_csv_labels(tmp_path: Path, head: str) -> None:
    root = folder(tmp_path / "set", [f"x/{i}.png" for i in range(10)])
    body = "".join(f"x/{i}.png,{'odd' if i % 2 else 'even'}\n" for i in range(8))
    found = load(root, labels=rows(root, head + body + "8.png,even\n"))
    everything = torch.cat([part.labels for part in (found.train, found.test)])  # type: ignore
    assert found.train.classes == ("even", "odd")
    assert everything.sort().values.tolist() == [-1] + [0] * 5 + [1] * 4
    assert any("1 of 10 images are not in" in text for text in found.report["warnings"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a.png,1\nb.png,2\nc.png,2\nd.png,1\ne.png,1\n",
            r"names 4 files .*b.png, c.png, d.png, \.\.\.",
        ),
        ("0.png,1\n1.png,1\n", r"a single class \(1\).*--labels none"),
        ("0.png,1\n1.png\n", "line 2 is not file,label"),
        ("0.png,1\n0.png,2\n", "second label"),
        ("", "holds no row"),
        ("0.png,\n", "holds no row|no label"),
    ],
)
def test_bad_csv_is_refused(tmp_path: Path, text: str, message: str) -> None:
    root = folder(tmp_path / "set", [f"{i}.png" for i in range(10)] + ["a.png"])
    with pytest.raises(UserError, match=message):
        load(root, labels=rows(root, text))
    with pytest.raises(UserError, match=r"none.csv does not exist"):
        load(root, labels=tmp_path / "none.csv")


def test_one_class_folder_asked_for_as_labels_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path, numbered("cat", 6))
    with pytest.raises(UserError, match=r"no label\. A probe needs two classes"):
        load(root, labels="folders")


def test_random_damage_never_escapes(tmp_path: Path) -> None:
    """Files cut and scribbled at random end as images or as reasons, nothing else."""
    dice = random.Random(0)
    for i, suffix in enumerate(["jpg", "png", "gif", "tiff", "webp", "bmp"] * 10):
        path = tmp_path / f"{i}.{suffix}"
        picture(i, (40, 30)).save(path)
        data = bytearray(path.read_bytes())
        for _ in range(5):
            data[dice.randrange(len(data))] = dice.randrange(256)
        if i % 3 == 0:
            path.write_bytes(bytes(data))
    found = load(tmp_path, image_size=16)
    total = len(found.train) + len(found.test) + len(found.report["skipped"])
    assert total == 60
