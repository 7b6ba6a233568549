"""A finished run: load, evaluate, embed, report; and the encoder for scikit-learn."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

import goodviews
from goodviews import data as data_room
from goodviews.evaluation.task import ProbeResult
from goodviews.interfaces import UserError
from goodviews.studies.comparison import Labels, Rivals, compare, format_table, verdict
from goodviews.studies.embedding import embed
from goodviews.studies.evaluate import evaluate
from goodviews.studies.frozen import load
from goodviews.studies.pages import write_report
from goodviews.studies.runs import Run
from goodviews.studies.view_encoder import ViewEncoder

Finished = tuple[Run, list[str]]
Probe = Literal["mlp", "finetune"]


def quiet(line: str) -> None:
    """Print nothing."""


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run, to be spoilt."""
    assert finished[0].out is not None
    return Path(shutil.copytree(finished[0].out, tmp_path / "copy"))


def spoil(run: Path, **entries: object) -> None:
    """Change entries of encoder.json."""
    card = json.loads((run / "encoder.json").read_text())
    (run / "encoder.json").write_text(json.dumps({**card, **entries}))


def test_import_is_light() -> None:
    code = "import sys, goodviews; dir(goodviews); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert all(callable(getattr(goodviews, n)) for n in goodviews.__all__ if n[0] != "_")
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = goodviews.trian


def test_load_names_the_tensor_that_does_not_fit(copied: Path) -> None:
    spoil(copied, encoder="convnet")
    with pytest.raises(UserError, match=r"encoders\.0\.layers.* has shape \(16, .*\(32,"):
        load(copied)
    with pytest.raises(UserError, match=r"encoders\.0\.layers"):
        evaluate(copied, device="cpu", echo=quiet)
    spoil(copied, encoder="mlp")
    with pytest.raises(UserError, match=r"tensor encoders\.0"):
        load(copied)


def test_load_refuses_foreign_files(copied: Path) -> None:
    tensors = load_file(copied / "encoder.safetensors")
    tensors["heads.0.0.weight" if "heads.0.0.weight" in tensors else next(iter(tensors))] += 1
    save_file(tensors, copied / "encoder.safetensors")
    with pytest.raises(UserError, match="sha256"):
        load(copied)
    (copied / "encoder.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="not readable"):
        load(copied)
    (copied / "encoder.safetensors").unlink()
    with pytest.raises(UserError, match="no such file"):
        load(copied)
    spoil(copied, format=99)
    with pytest.raises(UserError, match="format 99.*upgrade"):
        load(copied)
    (copied / "encoder.json").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        load(copied)
    (copied / "encoder.json").unlink()
    with pytest.raises(UserError, match="no trained encoder.*--resume"):
        load(copied)
    with pytest.raises(UserError, match="no such folder"):
        load(copied / "nowhere")


def test_evaluate_repeats_the_runs_own_table(finished: Finished, copied: Path) -> None:
    run, _ = finished
    lines: list[str] = []
    table = evaluate(copied, probe="knn", baseline_seeds=1, device="cpu", echo=lines.append)
    assert [r["knn"] for r in table["rows"]] == [r["knn"] for r in run.probes["rows"]]
    assert json.loads((copied / "evaluate-knn.json").read_text()) == table
    assert any("this run" in line for line in lines)
    assert f"verdict: {table['verdict']}" in lines


@pytest.mark.parametrize("probe", ["mlp", "finetune"])
def test_other_probes_have_all_rows(copied: Path, probe: Probe) -> None:
    table = evaluate(copied, probe=probe, max_images=64, baseline_seeds=1, device="cpu", echo=quiet)
    assert [row["name"] for row in table["rows"]][::2] == ["raw pixels", "this run"]
    assert all(0 <= row[probe] <= 1 for row in table["rows"])


def test_few_labels_are_drawn_three_times(copied: Path) -> None:
    table = evaluate(copied, labels_per_class=2, baseline_seeds=1, device="cpu", echo=quiet)
    for row in table["rows"]:
        assert row["linear_runs"] == 3 and row["linear_sd"] >= 0
        assert row["linear_lo"] < row["linear"] < row["linear_hi"]
    assert table["extra"]["labelled training images"] == 20
    assert (copied / "evaluate-linear-2-a-class.json").exists()
    table = evaluate(
        copied, labels_fraction=0.1, draws=1, baseline_seeds=0, device="cpu", echo=quiet
    )
    assert [row["name"] for row in table["rows"]] == ["raw pixels", "this run"]
    assert 20 <= table["extra"]["labelled training images"] <= 30
    with pytest.raises(UserError, match="both given"):
        evaluate(copied, labels_fraction=0.1, labels_per_class=1, echo=quiet)
    with pytest.raises(UserError, match=r"--labels-fraction: 2"):
        evaluate(copied, labels_fraction=2.0, device="cpu", echo=quiet)
    with pytest.raises(UserError, match="Did you mean 'linear'"):
        evaluate(copied, probe="liner", echo=quiet)  # type: ignore[arg-type]


def test_evaluate_on_other_data(copied: Path) -> None:
    table = evaluate(copied, "factors", labels="position", max_images=64, probe="knn",
                     baseline_seeds=1, device="cpu", echo=quiet)  # fmt: skip
    assert table["extra"]["data"] == "factors" and table["n_test"] == 16
    assert (copied / "evaluate-knn-factors.json").exists()
    with pytest.raises(UserError, match=r"labels.*--labels FILE.csv"):
        evaluate(copied, "factors", labels="none", max_images=64, device="cpu", echo=quiet)


def probe_result(correct: list[bool]) -> ProbeResult:
    """A result with these hits."""
    hits = torch.tensor(correct)
    zeros = torch.zeros(len(correct), dtype=torch.int64)
    share = float(hits.float().mean())
    return ProbeResult(share, (share, share), None, None, 1, len(hits), hits, zeros, zeros)


def test_verdict_is_decided_by_the_paired_interval() -> None:
    good, bad = probe_result([True] * 90 + [False] * 10), probe_result([True] * 50 + [False] * 50)
    near = probe_result([True] * 88 + [False] * 12)

    def words(run: ProbeResult, pixels: ProbeResult, *untrained: ProbeResult) -> str:
        rows = {"this run": [run], "raw pixels": [pixels], "untrained network": list(untrained)}
        return verdict(rows, "linear")

    assert words(good, bad, bad, bad).startswith("it learned")
    assert words(bad, bad, good, good).startswith("worse than untrained")
    assert words(good, good, bad).startswith("undecided")
    assert words(bad, good, bad).startswith("worse than raw pixels")
    assert words(near, bad, bad, good).startswith("undecided")  # one seed is as good
    assert "+40.0 points" in words(good, bad, bad) and "90.0 %" in words(good, bad, bad)


class Told(nn.Module):
    """A representation that knows the answer: the mean of each quarter of the image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Four means an image."""
        return nn.functional.adaptive_avg_pool2d(images.float(), 2).mean(1).flatten(1)


def test_table_ranks_a_representation_that_knows_the_answer() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (400,), generator=generator)
    noise = torch.randint(0, 200, (400, 3, 8, 8), generator=generator)
    noise[:, :, :4, :4] += 40 * labels[:, None, None, None]
    images = data_room.Images(noise.byte(), "bright", labels, ("dark", "bright"))
    train, test = images.subset(range(200)), images.subset(range(200, 400))

    class Random(Told):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.float().flatten(1)[:, -2:]

    table, found = compare(Rivals(Told(), [Random()]), train, test, ["linear"], Labels())
    by_name = {row["name"]: row["linear"] for row in table["rows"]}
    assert by_name["this run"] > 0.9 > 0.65 > by_name["untrained network"]
    assert len(found["linear"]["this run"]) == 1
    assert "better than the untrained network" in table["verdict"]
    assert len(format_table(table).splitlines()) == 4


def test_embed_writes_the_same_numbers_in_three_formats(copied: Path, tmp_path: Path) -> None:
    paths = {end: tmp_path / f"x.{end}" for end in ("npz", "csv", "parquet")}
    for path in paths.values():
        assert embed(copied, None, path, max_images=64, device="cpu", echo=quiet) == path
    stored = np.load(paths["npz"])
    assert stored["embeddings"].shape == (80, 128) and stored["embeddings"].dtype == np.float32
    assert set(stored["split"]) == {"train", "test"} and set(stored["labels"]) <= set("0123456789")
    loaded = data_room.load("digits", image_size=16, max_images=64)
    wanted = load(copied)(loaded.test.images(range(16)))
    np.testing.assert_allclose(stored["embeddings"][64:], wanted.numpy(), rtol=1e-4, atol=1e-6)
    with paths["csv"].open() as file:
        rows = list(csv.DictReader(file))
    numbers = [[float(row[f"e{i}"]) for i in range(128)] for row in rows]
    np.testing.assert_allclose(numbers, stored["embeddings"], rtol=1e-5, atol=1e-9)
    assert [row["file"] for row in rows] == stored["files"].tolist()
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(paths["parquet"])
    np.testing.assert_array_equal(np.stack(table["embedding"].to_numpy()), stored["embeddings"])
    with pytest.raises(UserError, match="exists.*--overwrite"):
        embed(copied, None, paths["npz"], echo=quiet)
    with pytest.raises(UserError, match=r"none of \.npz"):
        embed(copied, None, tmp_path / "x.txt", echo=quiet)


def test_report_is_rebuilt_from_the_files(copied: Path, tmp_path: Path) -> None:
    (copied / "report.html").unlink()
    assert write_report(copied) == copied / "report.html"
    assert "this run" in (copied / "report.html").read_text()
    with pytest.raises(UserError, match="neither a run"):
        write_report(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        write_report(tmp_path / "nothing")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """300 digits as NHWC uint8 with labels."""
    loaded = data_room.load("digits", image_size=16, max_images=300)
    assert isinstance(loaded.train, data_room.Images) and loaded.train.labels is not None
    return loaded.train.pixels.permute(0, 2, 3, 1).numpy(), loaded.train.labels.numpy()


def encoder(**given: Any) -> ViewEncoder:
    """A small one."""
    return ViewEncoder("none", "mlp", steps=3, batch_size=32, device="cpu", **given)


def test_view_encoder_in_a_pipeline(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = digits
    model = make_pipeline(encoder(), LogisticRegression(max_iter=2000)).fit(x[:200], y[:200])
    assert model.score(x[200:], y[200:]) > 0.5
    first = model[0]
    z = first.transform(x)
    assert z.shape == (300, 100) and z.dtype == np.float32
    assert len(first.get_feature_names_out()) == 100 and len(first.history_) >= 1


def test_view_encoder_is_a_scikit_learn_estimator(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = digits
    one = encoder(seed=3)
    two = clone(one)
    assert two.get_params() == one.get_params() and two.set_params(lr=0.1).lr == 0.1
    with pytest.raises(NotFittedError):
        one.transform(x)
    z = one.fit(x).transform(x)
    np.testing.assert_array_equal(clone(one).fit_transform(x), z)
    chw = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    np.testing.assert_array_equal(one.transform(chw), z)
    np.testing.assert_array_equal(one.transform(torch.from_numpy(chw)), z)
    np.testing.assert_allclose(one.transform(x / 255.0), z, rtol=1e-4, atol=1e-4)


def test_view_encoder_names_what_is_wrong(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, _ = digits
    broken = x[:20] / 255.0
    broken[7, 3, 3, 0] = math.nan
    with pytest.raises(UserError, match="7"):
        encoder().fit(broken)
    with pytest.raises(UserError, match="1 image"):
        encoder().fit(x[:1])
    with pytest.raises(UserError, match="16x16"):
        encoder().fit(x).transform(np.zeros((2, 8, 8, 3), dtype=np.uint8))
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"row 0.*a\.png"):
        encoder(image_size=16).fit([tmp_path / "a.png", tmp_path / "a.png"])


def test_view_encoder_reads_files_and_writes_only_where_told(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    x, _ = digits
    paths = [str(tmp_path / f"{i}.png") for i in range(8)]
    for path, image in zip(paths, x, strict=False):
        Image.fromarray(image).save(path)
    model = encoder(image_size=16).fit(paths)
    np.testing.assert_allclose(model.transform(paths), model.transform(x[:8]), rtol=1e-5)
    assert len(list(tmp_path.iterdir())) == 8
    encoder(out="run").fit(x)
    assert (tmp_path / "run" / "encoder.safetensors").exists()
