"""Probing a finished run: several probes, protocols, the transductive row, transfer."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from goodviews import data as data_room
from goodviews.data.images import Images
from goodviews.evaluation.features import extract, labels_of
from goodviews.evaluation.finetune import finetune
from goodviews.evaluation.paper import paper_probes
from goodviews.evaluation.refresh import bn_refreshed
from goodviews.interfaces import UserError
from goodviews.studies import readers
from goodviews.studies.comparison import REFRESHED, RUN, Rivals, compare
from goodviews.studies.evaluate import evaluate
from goodviews.studies.frozen import load, load_design
from goodviews.studies.readers import Protocol
from goodviews.studies.runs import Run, train

Finished = tuple[Run, list[str]]
FAST: dict[str, Any] = {"device": "cpu", "baseline_seeds": 1, "echo": lambda line: None}


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run on digits at 16x16."""
    assert finished[0].out is not None
    return Path(shutil.copytree(finished[0].out, tmp_path / "copy"))


def names(table: dict[str, Any]) -> list[str]:
    """The rows' names."""
    return [row["name"] for row in table["rows"]]


def test_several_probes_are_one_table(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers as one by one, from features that are extracted once a network."""
    fast = FAST | {"max_images": 64}
    apart = {probe: evaluate(copied, probe=probe, **fast) for probe in ("linear", "knn")}
    calls: list[int] = []

    def counted(module: nn.Module, source: Images) -> Tensor:
        calls.append(1)
        return extract(module, source)

    monkeypatch.setattr(readers, "extract", counted)
    lines: list[str] = []
    table = evaluate(copied, probe="linear,knn,linear", **(fast | {"echo": lines.append}))
    assert len(calls) == 4  # two networks, two splits
    for probe, other in apart.items():
        assert [r[probe] for r in table["rows"]] == [r[probe] for r in other["rows"]]
        assert f"verdict: {table['verdicts'][probe]}" in lines
    assert json.loads((copied / "evaluate-linear-knn.json").read_text()) == table


def test_paper_protocol_has_all_rows(copied: Path) -> None:
    table = evaluate(copied, probe=["linear", "mlp"], protocol="paper", epochs=3, **FAST)
    assert names(table) == ["raw pixels", "untrained network", "this run"]
    assert table["extra"]["protocol"] == "paper"
    assert "3 epochs of Adam" in table["extra"]["settings"]["mlp"]
    assert (copied / "evaluate-linear-mlp-paper-3-epochs.json").exists()
    loaded = data_room.load("digits", image_size=16, max_images=256)
    method, both = load(copied), (loaded.train, loaded.test)
    known, asked = ((extract(method, s), labels_of(s)) for s in both)
    wanted = paper_probes(*known, *asked, epochs=3)
    for probe in ("linear", "mlp"):
        assert table["rows"][-1][probe] == wanted[probe].accuracy


def test_augmented_features_are_new_each_epoch(copied: Path) -> None:
    """Every row reads views; it is another number than from fixed features, and repeats."""
    how: dict[str, Any] = {"probe": "linear", "protocol": "paper", "epochs": 2, **FAST}
    plain = evaluate(copied, **how)
    first, again = (evaluate(copied, augment=True, **how) for _ in range(2))
    assert first == again
    for row, other in zip(first["rows"], plain["rows"], strict=True):
        assert row["linear_label_nats"] != other["linear_label_nats"]
    assert "augmented view" in first["extra"]["settings"]["linear"]
    assert (copied / "evaluate-linear-paper-2-epochs-augment.json").exists()


def test_sgd_protocol(copied: Path) -> None:
    table = evaluate(copied, protocol="sgd", epochs=5, batch_size=32, **FAST)
    assert "SGD, rate" in table["extra"]["settings"]["linear"]
    assert (copied / "evaluate-linear-sgd-5-epochs-batch-32.json").exists()


def test_refreshed_row_stands_apart(copied: Path) -> None:
    """The honest rows and the verdict are what they were; the encoder is as it was."""
    how: dict[str, Any] = {"protocol": "paper", "epochs": 2, **FAST}
    honest = evaluate(copied, **how)
    table = evaluate(copied, bn_refresh=True, **how)
    assert names(table) == [*names(honest), REFRESHED]
    assert table["rows"][:-1] == honest["rows"] and table["verdicts"] == honest["verdicts"]
    assert any("verdict does not read" in note for note in table["extra"]["notes"])
    assert (copied / "evaluate-linear-paper-2-epochs-bn-refresh.json").exists()
    loaded = data_room.load("digits", image_size=16, max_images=256)
    method, before, features = load(copied), load(copied).state_dict(), []
    for source in (loaded.train, loaded.test):
        with bn_refreshed(method, source):
            features.append((extract(method, source), labels_of(source)))
    wanted = paper_probes(*features[0], *features[1], heads=["linear"], epochs=2)["linear"]
    assert table["rows"][-1]["linear_label_nats"] == wanted.label_nats
    assert wanted.label_nats != honest["rows"][-1]["linear_label_nats"]
    for augment in (False, True):
        given = Protocol("paper", epochs=2, augment=augment, bn_refresh=True)
        _, found = compare(Rivals(method), loaded.train, loaded.test, ["linear"], None, given)
        nats = [found["linear"][row][0].label_nats for row in (RUN, REFRESHED)]
        assert nats[0] != nats[1] and (nats[1] == wanted.label_nats) != augment
        assert all(torch.equal(t, before[name]) for name, t in method.state_dict().items())


def test_transfer_says_from_where_to_where(copied: Path) -> None:
    """Trained on digits at 16x16, probed on coloured scenes of 32x32 brought to that size."""
    lines: list[str] = []
    table = evaluate(copied, "factors", labels="digit", max_images=400, probe="knn",
                     **(FAST | {"echo": lines.append}))  # fmt: skip
    where = table["extra"]
    assert where["encoder trained on"] == "digits"
    assert where["probed on"] == "factors (400 training and 100 held-out images, 16x16)"
    assert any("encoder trained on: digits, probed on: factors" in line for line in lines)
    assert (copied / "evaluate-knn-factors.json").exists()
    own = evaluate(copied, probe="knn", **FAST)["extra"]
    assert own["encoder trained on"] == "digits" and own["probed on"].startswith("digits (256 ")


def test_transfer_to_larger_images(tmp_path: Path, tiny: dict[str, Any]) -> None:
    """And back: an encoder of one size only, probed on smaller images brought up to it."""
    given = tiny | {"data": "factors", "image_size": None, "encoder": "mlp", "probes": False}
    run = train(**given, out=tmp_path / "run", echo=lambda line: None).out
    assert run is not None
    table = evaluate(run, "digits", probe="knn", max_images=256, **FAST)
    assert table["extra"]["encoder trained on"] == "factors"
    assert table["extra"]["probed on"].endswith("32x32)")
    with pytest.raises(UserError, match=r"images of 8x8.*32x32.*image_size=32"):
        evaluate(run, data_room.load("digits", image_size=8, max_images=64), **FAST)


def test_fine_tuning_is_held_against_an_untrained_network(copied: Path) -> None:
    """On other data: the same fine-tuning from this run's weights and from random ones."""
    how: dict[str, Any] = {"labels": "digit", "max_images": 64}
    table = evaluate(copied, "factors", probe="finetune", epochs=2, **how, **FAST)
    loaded = data_room.load("factors", image_size=16, **how)
    starts = {"untrained network": load_design(copied).build(1), "this run": load(copied)}
    for row in table["rows"][1:]:
        wanted = finetune(starts[row["name"]], loaded.train, loaded.test, epochs=2)
        assert row["finetune"] == wanted.accuracy
    assert "untrained networks are fine-tuned in the same way" in str(table["extra"]["notes"])
    assert "the untrained network" in table["verdict"]


@pytest.mark.gpu
@pytest.mark.parametrize(
    "how",
    [
        {"probe": "linear,knn,mlp,finetune", "epochs": 2},
        {"protocol": "sgd", "epochs": 5},
        {"protocol": "paper", "probe": "linear,mlp", "epochs": 5, "bn_refresh": True},
        {"protocol": "paper", "probe": "linear,mlp", "epochs": 2, "augment": True},
    ],
)
def test_on_a_gpu_it_is_as_on_a_cpu(copied: Path, how: dict[str, Any]) -> None:
    """The same rows; linear accuracies of the fixed features within three images of 64."""
    tables = [evaluate(copied, **how, **(FAST | {"device": d})) for d in ("cpu", "cuda")]
    assert names(tables[0]) == names(tables[1])
    linear = [[row["linear"] for row in table["rows"]] for table in tables]
    if not how.get("augment"):
        assert linear[0] == pytest.approx(linear[1], abs=0.05)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"probe": "linear,mpl"}, "--probe: unknown 'mpl'. Did you mean 'mlp'"),
        ({"probe": []}, "--probe: names no probe"),
        ({"protocol": "papers"}, "--protocol: unknown 'papers'. Did you mean 'paper'"),
        (
            {"probe": "linear,knn", "protocol": "paper"},
            "--protocol paper: is for linear and mlp, not for knn. Leave knn out",
        ),
        ({"probe": "mlp", "protocol": "sgd"}, "--protocol sgd: is for linear, not for mlp"),
        ({"probe": "linear,finetune", "bn_refresh": True}, "--bn-refresh: is for linear and mlp"),
        ({"epochs": 3}, "--epochs: linear by --protocol modern is not trained"),
        ({"batch_size": 3, "probe": "knn"}, "--batch-size: knn by --protocol modern"),
        ({"batch_size": 1, "probe": "mlp"}, "--batch-size: 1. Use 2 or more"),
        ({"augment": True}, "--augment: goes with --protocol paper"),
        ({"logit_clip": None, "probe": "mlp"}, "--logit-clip: goes with --protocol paper"),
        ({"logit_clip": -1.0, "protocol": "paper"}, "--logit-clip: -1. Use more than 0"),
    ],
)
def test_what_cannot_be_is_told_first(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Before the run is even looked at."""
    with pytest.raises(UserError, match=words):
        evaluate(tmp_path / "no run", **given, **FAST)
