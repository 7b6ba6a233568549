"""Bad input through the command: one line with thing and remedy, exit 2, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]
Quickly = tuple[str, ...]

Maker = Callable[[Path], Path]


def bomb(path: Path) -> None:
    """Write a PNG of a few bytes whose header promises 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def truncated(path: Path) -> None:
    """Write the first half of a PNG."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_FILES: dict[str, Callable[[Path], Any]] = {
    "zero-byte": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not an image"),
    "truncated": truncated,
    "bomb": bomb,
}


def untouched(out: Path) -> None:
    """No encoder was exported and no temporary file left."""
    left = {path.name for path in out.rglob("*")} if out.exists() else set()
    assert "encoder.safetensors" not in left
    assert "report.html" not in left
    assert not [name for name in left if name.startswith(".") or name.endswith((".part", ".tmp"))]


@pytest.fixture
def train(goodviews: Command, photos: Path, tmp_path: Path, quickly: Quickly) -> Iterator[Any]:
    """`goodviews train` on the photos with more options; afterwards nothing may be exported."""

    def run(*words: object) -> Any:
        out = tmp_path / "out"
        return goodviews("train", "--data", photos, "--out", out, *quickly, *words)

    yield run
    untouched(tmp_path / "out")


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _floats(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).random((n, 16, 16, 3), dtype=np.float32)


def _nan(tmp: Path) -> Path:
    images = _floats()
    images[3, 0, 0, 0] = np.nan
    return _npz(tmp / "nan.npz", images=images)


def _folder(tmp: Path, *names: str) -> Path:
    (tmp / "odd").mkdir()
    for name in names:
        (tmp / "odd" / name).write_text("hello")
    return tmp / "odd"


def _one(tmp: Path) -> Path:
    folder = _folder(tmp)
    Image.new("RGB", (16, 16)).save(folder / "only.png")
    return folder


DATA: dict[str, tuple[Maker, list[str]]] = {
    "missing folder": (lambda tmp: tmp / "nowhere", ["--data", "nowhere"]),
    "misspelt name": (lambda tmp: Path("factros"), ["--data", "Did you mean factors"]),
    "needs a root": (lambda tmp: Path("cifar10"), ["--data-root"]),
    "empty folder": (_folder, ["--data", "odd", "Give a folder with images"]),
    "no image": (lambda tmp: _folder(tmp, "a.txt", "b.csv"), ["odd", "Give a folder with images"]),
    "only broken images": (lambda tmp: _folder(tmp, "a.png", "b.png"), ["odd", "unreadable"]),
    "one image": (_one, ["--data", "1 image", "give at least"]),
    "a text file": (lambda tmp: _folder(tmp, "a.txt") / "a.txt", ["--data", "a.txt"]),
    "NaN pixels": (_nan, ["nan.npz", "[3]", "NaN", "Remove or repair"]),
    "one image's shape": (
        lambda tmp: _npz(tmp / "s.npz", images=np.zeros((16, 16, 3), np.uint8)),
        ["s.npz", "(16, 16, 3)", "Give (n, h, w, c)"],
    ),
    "two dimensions": (
        lambda tmp: _npz(tmp / "s.npz", images=np.zeros((40, 256), np.uint8)),
        ["s.npz", "(40, 256)", "Give (n, h, w, c)"],
    ),
    "no images array": (lambda tmp: _npz(tmp / "s.npz", stuff=_floats()), ["s.npz", "images"]),
    "too few labels": (
        lambda tmp: _npz(tmp / "s.npz", images=_floats(), labels=np.arange(3)),
        ["labels", "3", "40"],
    ),
    "one class": (
        lambda tmp: _npz(tmp / "s.npz", images=_floats(), labels=np.zeros(40, int)),
        ["single class", "--labels none"],
    ),
    "no zip": (lambda tmp: _folder(tmp, "s.npz") / "s.npz", ["s.npz"]),
}


@pytest.mark.parametrize("verb", ["train", "choose", "views preview"])
@pytest.mark.parametrize("case", DATA)
def test_data_that_cannot_be(goodviews: Command, tmp_path: Path, case: str, verb: str) -> None:
    """Every verb that reads data refuses before anything is written."""
    make, words = DATA[case]
    out = tmp_path / "out.png"
    goodviews(*verb.split(), "--data", make(tmp_path), "--out", out).mistake(*words)
    assert not out.exists()


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file(
    train: Command, goodviews: Command, photos: Path, tmp_path: Path, kind: str
) -> None:
    """A broken file is skipped, counted and listed; --strict stops there and names it."""
    BAD_FILES[kind](photos / "cat" / "bad.png")
    train("--strict").mistake("bad.png", "Repair or remove it", "--strict")
    sheet = tmp_path / "sheet.png"
    assert goodviews("views", "preview", "--data", photos, "--out", sheet, "--n", 2).code == 0
    ended = train("--lr", "1e30")  # fails later than the data check
    assert "1 unreadable image" in ended.out.replace("files", "images"), ended.out
    assert "bad.png" in ended.out + (tmp_path / "out" / "data_report.json").read_text()


LABELS = {
    "unknown names": ("00.png,a\nnobody.png,b\n", ["--labels", "nobody.png", "Correct"]),
    "no rows": ("file,label\n", ["--labels", "no row"]),
    "one column": ("00.png\n01.png\n", ["--labels", "line 1", "file,label"]),
    "two labels": ("00.png,a\n00.png,b\n", ["--labels", "line 2", "00.png"]),
    "one class": ("00.png,a\n01.png,a\n02.png,a\n", ["single class", "--labels none"]),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_cannot_be(train: Command, tmp_path: Path, case: str) -> None:
    """A label file is read strictly."""
    text, words = LABELS[case]
    (tmp_path / "labels.csv").write_text(text)
    train("--labels", tmp_path / "labels.csv").mistake(*words)
    assert not (tmp_path / "out").exists()


def test_missing_labels_file(train: Command) -> None:
    """The flag is named."""
    train("--labels", "nowhere.csv").mistake("--labels", "nowhere.csv", "file,label")


def test_some_labels_missing(
    goodviews: Command, photos: Path, tmp_path: Path, quickly: Quickly
) -> None:
    """Images that the label file does not name stay unlabelled, and are counted."""
    lines = [f"{i:02d}.png,{'ab'[i % 2]}" for i in range(20)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    words = ("--labels", tmp_path / "labels.csv", "--out", tmp_path / "run", "--no-probes")
    ended = goodviews("train", "--data", photos, *words, *quickly)
    assert (ended.code, ended.err) == (0, "")
    assert "20 of 40 images are not in" in ended.out


def test_one_class_folder(
    goodviews: Command, photos: Path, tmp_path: Path, quickly: Quickly
) -> None:
    """One sub-folder is no task: the images count as unlabelled, and the run says so."""
    shutil.rmtree(photos / "dog")
    out = ("--out", tmp_path / "run")
    ended = goodviews("train", "--data", photos, *out, *quickly)
    assert (ended.code, ended.err) == (0, "")
    assert "no labels" in ended.out
    goodviews("evaluate", tmp_path / "run").mistake("label", "class")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--views", "simclrr"], ["--views", "simclrr", "Did you mean", "simclr"]),
        (["--views", "nowhere.yaml"], ["--views", "nowhere.yaml", "Check the path"]),
        (["--encoder", "convnett"], ["--encoder", "Did you mean 'convnet'"]),
        (["--encoder", "timm/resnet81"], ["--encoder", "timm"]),
        (["--method", "simclrr"], ["simclrr", "Did you mean 'simclr'"]),
        (["--method", "infonce", "--critic", "cosin"], ["--critic", "Did you mean 'cosine'"]),
        (["--method", "infonce", "--bound", "nwjj"], ["--bound", "Did you mean 'nwj'"]),
        (["--epochs", "0"], ["--epochs", "0", "1 or more"]),
        (["--steps", "0"], ["--steps", "0", "1 or more"]),
        (["--batch-size", "1"], ["--batch-size", "1", "2 images"]),
        (["--batch-size", "256"], ["batch", "256"]),
        (["--lr", "-1"], ["--lr", "-1", "1e-3"]),
        (["--lr", "nan"], ["--lr", "nan"]),
        (["--lr", "1e30"], ["diverged", "Lower --lr"]),
        (["--device", "tpu"], ["--device", "tpu"]),
        (["--precision", "12"], ["--precision", "12"]),
        (["--image-size", "2"], ["--image-size", "2", "or more"]),
        (["--max-images", "1"], ["--max-images", "1", "2 or more"]),
        (["--test-fraction", "2"], ["--test-fraction", "2", "0.2"]),
        (["--log", "nonsense"], ["--log", "nonsense"]),
        (["--temperature", "0"], ["--temperature", "0", "more than 0"]),
        (["--projection-dim", "0"], ["--projection-dim", "0", "1 or more"]),
        (["--score-clip", "-1"], ["--score-clip", "-1", "0 or more"]),
        (["--seed", "-1"], ["--seed", "-1", "0 or more"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_settings_that_cannot_be(train: Command, words: list[str], said: list[str]) -> None:
    """Names and numbers: the flag, the value, the remedy."""
    train(*words).mistake(*said)


def test_recipe_files_are_strict(train: Command, tmp_path: Path) -> None:
    """Unknown keys, ops and settings of a recipe get the nearest name."""
    recipe = tmp_path / "mine.yaml"
    for text, word in {
        "opps: []": "'ops'",
        "ops: [blurr]": "'blur'",
        "ops: [{blur: {sigmaa: [1, 2]}}]": "'sigma'",
    }.items():
        recipe.write_text(text)
        train("--views", recipe).mistake("Did you mean", word)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--families", "crop-scal"], ["--families", "Did you mean 'crop-scale'"]),
        (["--families", ","], ["--families", "none given"]),
        (["--encoder", "convnett"], ["--encoder", "Did you mean 'convnet'"]),
        (["--base", "simclrr"], ["simclrr", "Did you mean"]),
        (["--seeds", "0"], ["--seeds", "0", "1 or more"]),
        (["--lr", "0"], ["--lr", "0"]),
        (["--device", "tpu"], ["--device", "tpu"]),
        (["--precision", "12"], ["--precision", "12"]),
    ],
)
def test_studies_that_cannot_be(
    goodviews: Command, photos: Path, tmp_path: Path, words: list[str], said: list[str]
) -> None:
    """`choose` refuses before the first run."""
    out = tmp_path / "study"
    goodviews("choose", "--data", photos, "--out", out, *words).mistake(*said)
    assert not (out / "rows.jsonl").exists()


@pytest.mark.parametrize("kind", ["metods", "xyzzy"])
def test_list_of_something_else(goodviews: Command, kind: str) -> None:
    """`list` names what there is."""
    goodviews("list", kind).mistake(kind, "methods")


def test_a_folder_that_is_no_run(goodviews: Command, photos: Path, tmp_path: Path) -> None:
    """evaluate, embed and report name the folder and what they want."""
    for verb in ("evaluate", "embed", "report"):
        goodviews(verb, photos).mistake(str(photos))
        goodviews(verb, tmp_path / "nowhere").mistake("nowhere")


def test_out_in_use(train: Command, tmp_path: Path) -> None:
    """Never overwrite: both ways out are named."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("dear")
    train().mistake("--out", "not empty", "--resume", "out-2")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "dear"
    train("--resume").mistake("--out", "no run")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").write_text("a file")
    train().mistake("--out", "is a file")


@pytest.fixture
def run(goodviews: Command, photos: Path, tmp_path: Path, quickly: Quickly) -> Path:
    """A finished run."""
    words = ("--data", photos, "--out", tmp_path / "run", "--no-probes")
    assert goodviews("train", *words, *quickly).code == 0
    return tmp_path / "run"


def test_weights_of_another_shape(goodviews: Command, run: Path) -> None:
    """Another encoder's name, another projection, broken weights: told, not loaded."""
    card = run / "encoder.json"
    text = card.read_text()
    assert '"linear"' in text
    card.write_text(text.replace('"linear"', '"convnet"'))
    goodviews("evaluate", run).mistake("encoder")
    card.write_text(text[: len(text) // 2])
    goodviews("embed", run).mistake("encoder.json")
    card.write_text(text)
    (run / "encoder.safetensors").write_bytes(b"nonsense")
    goodviews("evaluate", run).mistake("encoder.safetensors")


def test_resume_with_other_settings(goodviews: Command, run: Path) -> None:
    """The differences are listed and the run is left as it is."""
    before = (run / "encoder.safetensors").read_bytes()
    config = ("--config", run / "config.yaml", "--resume")
    goodviews("train", *config, "--lr", "0.5").mistake("lr", "0.5", "--resume", "--out")
    goodviews("train", *config, "--encoder", "mlp").mistake("encoder", "linear", "mlp")
    assert (run / "encoder.safetensors").read_bytes() == before
    assert "finished" in goodviews("train", *config).out


def test_evaluate_that_cannot_be(goodviews: Command, run: Path, photos: Path) -> None:
    """Probe and label counts."""
    goodviews("evaluate", run, "--probe", "liner").mistake("--probe", "Did you mean 'linear'")
    goodviews("evaluate", run, "--labels-fraction", "2").mistake("--labels-fraction", "2")
    goodviews("evaluate", run, "--data", photos, "--labels", "none").mistake("label")
    goodviews("embed", run, "--out", "x.doc").mistake("--out", "x.doc", ".npz")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or mount is None:
        pytest.skip("mounting a small disk needs root")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False)
    if made.returncode:
        pytest.skip("no tmpfs may be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_full_disk(goodviews: Command, photos: Path, small_disk: Path, quickly: Quickly) -> None:
    """No space left: said so with the remedy; the run can go on once there is space."""
    out = small_disk / "run"
    ended = goodviews("train", "--data", photos, "--out", out, *quickly)
    ended.mistake(str(out), "Free some space", "--resume")
    untouched(out)
    big = small_disk / "big.npz"
    (small_disk / "filler").write_bytes(b"0" * 100_000)
    ended = goodviews("views", "preview", "--data", photos, "--n", 16, "--image-size", 128,
                      "--out", small_disk / "sheet.png")  # fmt: skip
    ended.mistake("sheet.png", "pace")
    assert not (small_disk / "sheet.png").exists()
    assert not big.exists()


def test_a_folder_that_may_not_be_written(
    goodviews: Command, photos: Path, quickly: Quickly
) -> None:
    """A place nobody can write to is refused in one line."""
    for out in ("/proc/goodviews", photos / "cat" / "00.png" / "run"):
        ended = goodviews("train", "--data", photos, "--out", out, *quickly)
        ended.mistake(str(out))


def test_debug_shows_the_traceback(
    goodviews: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--debug and GOODVIEWS_DEBUG=1 add the traceback; the line and the code stay."""
    words = ("train", "--data", tmp_path / "nowhere")
    ended = goodviews(*words, "--debug")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert ended.err.strip().splitlines()[-1].startswith("goodviews: --data")
    monkeypatch.setenv("GOODVIEWS_DEBUG", "1")
    assert "Traceback" in goodviews(*words).err
    assert "Traceback" not in goodviews("list", "data").err


def test_data_report_is_json(train: Command, tmp_path: Path) -> None:
    """What a stopped run leaves is readable."""
    train("--lr", "1e30").mistake("diverged")
    assert json.loads((tmp_path / "out" / "data_report.json").read_text())
