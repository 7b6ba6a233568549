"""The audit: errors, fresh critics, negatives, rules of the verdict, one run from start to end."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from goodviews import data as data_room
from goodviews.critics import InnerProduct
from goodviews.data.images import Images
from goodviews.estimators.heldout import infonce_values
from goodviews.interfaces import Interrupted, Shape, UserError, ViewPair
from goodviews.studies.audit import (
    audit,
    audit_encoder,
    bank,
    every,
    fresh,
    own,
    session,
    shape,
    words,
)
from goodviews.studies.audit.bank import Narrow, Pairs, Sizing
from goodviews.studies.audit.compare import Sample, difference
from goodviews.studies.audit.contenders import HEAD, INVERTIBLE, MAP, RUN
from goodviews.studies.audit.subject import (
    GivenEncoder,
    Subject,
    read_view,
    subject_of_module,
    subject_of_run,
)
from goodviews.studies.audit.verdict import (
    AGREE,
    CONTRADICTED,
    FORBIDDEN,
    MATCHED,
    REVERSED,
    SAME,
    UNDECIDED,
    Standing,
    pairs_of,
    rank_correlation,
    verdict,
)
from goodviews.studies.conclude import RAW, UNTRAINED
from goodviews.studies.frozen import Design
from goodviews.studies.pages import write_report
from goodviews.studies.runs import Run
from goodviews.views import Recipe

LAB: dict[str, Any] = {"name": "lab", "split": {"color_space": {}}}
"""Views that need an encoder each."""

Finished = tuple[Run, list[str]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, few images, few Jacobians: an audit of seconds."""
    monkeypatch.setattr(fresh, "STEPS", 10)
    monkeypatch.setattr(fresh, "LOOK", 5)
    few = {name: fresh.KINDS[name] for name in ("inner product", "small concat")}
    monkeypatch.setattr(every, "KINDS", few)
    monkeypatch.setattr(bank, "TRAIN_IMAGES", 128)
    monkeypatch.setattr(bank, "HELD_IMAGES", 64)
    monkeypatch.setattr(session, "PROBE_IMAGES", 64)
    monkeypatch.setattr(session, "GEOMETRY_PAIRS", 64)
    monkeypatch.setattr(shape, "IMAGES", 2)
    monkeypatch.setattr(own, "PAIRS", 64)
    monkeypatch.setattr(own, "SETS", 3)


# --- numbers with errors --------------------------------------------------------------------------


def test_a_difference_by_two_roads() -> None:
    """The interval from the written formula, term by term."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, (3, 40)), rng.normal(0, 1, (2, 40))
    found = difference(Sample(a), Sample(b), comparisons=4)
    gaps = [sum(a[:, i]) / 3 - sum(b[:, i]) / 2 for i in range(40)]
    mean = sum(gaps) / 40
    images = math.sqrt(sum((g - mean) ** 2 for g in gaps) / 39 / 40)
    parts = []
    for values in (a, b):
        means = [sum(row) / 40 for row in values]
        middle = sum(means) / len(means)
        variance = sum((m - middle) ** 2 for m in means) / (len(means) - 1)
        parts.append((variance / len(means), len(means) - 1))
    total = sum(part for part, _ in parts)
    df = total**2 / sum(part**2 / f for part, f in parts)
    from scipy.stats import norm, t

    z, student = norm.ppf(1 - 0.05 / 8), t.ppf(1 - 0.05 / 8, df)
    assert found.value == pytest.approx(mean)
    assert found.half == pytest.approx(math.sqrt((z * images) ** 2 + student**2 * total))


def test_intervals_hold_the_truth() -> None:
    """About 95 of 100 intervals hold the true mean, of three seeds with a spread of their own."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(400):
        seeds = rng.normal(0, 0.3, (3, 1))
        sample = Sample(2.0 + seeds + rng.normal(0, 1, (3, 50)))
        hits += abs(sample.mean - 2.0) <= sample.half
    assert 0.93 <= hits / 400 <= 1.0


# --- the rules ------------------------------------------------------------------------------------


def standing(
    name: str, nats: float, right: float, of: tuple[str, ...] = (), seed: int = 0, seeds: int = 3
) -> Standing:
    """A contender whose true numbers are known, read on 2,000 images."""
    rng = np.random.default_rng(seed)
    level = nats + rng.normal(0, 0.01, (seeds, 1))
    correct = rng.random((1, 2000)) < right
    return Standing(name, Sample(level + rng.normal(0, 1.5, (seeds, 2000))), Sample(correct), of)


def judged(standings: list[Standing], ours: tuple[str, ...] = (RUN,), k: int = 1024) -> Any:
    """The verdict on them."""
    pairs = pairs_of(standings, math.log(k))
    return verdict(standings, pairs, list(ours), k, ["nothing"]), {
        (p["one"], p["other"]): p["says"] for p in pairs
    }


def test_where_mi_explains_nothing_is_contradicted() -> None:
    """Nats and accuracy in the same order: agreement, whatever the sizes."""
    ordered = [
        standing(RUN, 5.0, 0.7, seed=1),
        standing(UNTRAINED, 2.0, 0.4, seed=2),
        standing("other", 3.5, 0.55, seed=3),
    ]
    found, says = judged(ordered)
    assert found["state"] == AGREE and set(says.values()) == {SAME}
    assert found["line"].startswith("MI and accuracy agree here (no contradiction found)")
    assert "70" in found["line"] and found["truth"] == ""
    assert rank_correlation(ordered)["value"] == 1.0  # type: ignore[index]


def test_fewer_nats_and_a_better_probe_contradict() -> None:
    found, says = judged([standing(RUN, 3.0, 0.7, seed=1), standing("x", 4.5, 0.4, seed=2)])
    assert found["state"] == CONTRADICTED and says[RUN, "x"] == REVERSED
    assert found["line"].startswith("MI does not explain this result: this run has fewer nats")


def test_as_many_nats_and_another_accuracy_contradict() -> None:
    """The case of the paper's figure 4: 4.1 of 4.3 nats, far apart in accuracy."""
    matched = [standing(RUN, 4.3, 0.67, seed=1), standing(UNTRAINED, 4.15, 0.41, seed=2)]
    found, says = judged(matched)
    assert found["state"] == CONTRADICTED and says[RUN, UNTRAINED] == MATCHED
    assert re.search(r"an untrained network reaches 4\.\d+ of this run's 4\.", found["line"])
    assert re.search(r"probes at 4\d\.\d % against 6\d", found["line"])
    near = [standing(RUN, 4.3, 0.67, seed=1), standing(UNTRAINED, 4.15, 0.64, seed=2)]
    assert judged(near)[1][RUN, UNTRAINED] != MATCHED  # accuracies are near, too


def test_noise_contradicts_nothing() -> None:
    """Contenders that are alike in truth, and contenders in order with small gaps: 200 draws."""
    bad = 0
    for draw in range(100):
        alike = [standing(n, 3.0, 0.5, seed=10 * draw + i) for i, n in enumerate((RUN, "a", "b"))]
        close = [
            standing(n, 3.0 + 0.2 * i, 0.5 + 0.02 * i, seed=10_000 + 10 * draw + i)
            for i, n in enumerate(("a", "b", RUN))
        ]
        for some in (alike, close):
            bad += judged(some)[0]["state"] == CONTRADICTED
    assert bad == 0


def test_data_processing_outranks_critics() -> None:
    """A function of pixels with more nats than pixels: the critic's order counts neither way."""
    trio = [
        standing(RUN, 5.0, 0.7, (RAW,), seed=1),
        standing(HEAD, 5.6, 0.6, (RUN, RAW), seed=2),
        standing(RAW, 1.0, 0.4, (INVERTIBLE,), seed=3),
        standing(INVERTIBLE, 1.6, 0.3, (RAW,), seed=4),
    ]
    found, says = judged(trio, (RUN, HEAD))
    assert set(says.values()) == {FORBIDDEN}
    assert found["state"] == UNDECIDED
    assert "by data processing raw pixels cannot share less than this run" in found["truth"]
    trio[2] = standing(RAW, 1.0, 0.8, (INVERTIBLE,), seed=3)
    trio[3] = standing(INVERTIBLE, 1.6, 0.8, (RAW,), seed=4)
    assert judged(trio, (RUN, HEAD))[0]["truth"] == ""


def test_bounds_at_their_ceiling_decide_nothing() -> None:
    full = [standing(RUN, 2.68, 0.7, seed=1), standing("x", 2.7, 0.4, seed=2)]
    assert judged(full, k=16)[1][RUN, "x"] == UNDECIDED
    assert judged(full, k=1024)[1][RUN, "x"] in (MATCHED, REVERSED)


def test_without_labels_the_verdict_is_undecided() -> None:
    bare = [Standing(s.name, s.nats, None) for s in (standing(RUN, 3, 1), standing("x", 4, 1))]
    found, says = judged(bare)
    assert (found["state"], says) == (UNDECIDED, {}) and "nothing" in found["line"]
    assert rank_correlation(bare) is None


# --- fresh critics --------------------------------------------------------------------------------


def gaussian(n: int, rho: float, width: int, seed: int) -> Pairs:
    """Pairs with I = -width/2 log(1 - rho^2)."""
    generator = torch.Generator().manual_seed(seed)
    x, e = torch.randn(2, n, width, generator=generator)
    return Pairs(x, rho * x + math.sqrt(1 - rho**2) * e, n)


@pytest.mark.parametrize("objective", ["infonce", "nwj"])
def test_critics_find_what_is_there_and_no_more(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known truth: 2 correlated pairs, 1.24 nats; and independent ones, none."""
    monkeypatch.setattr(fresh, "STEPS", 200)
    truth = -math.log(1 - 0.843**2)
    for rho, low, high in ((0.843, 0.7 * truth, truth), (0.0, -0.02, 0.0)):
        seen, held = gaussian(2000, rho, 2, 0), gaussian(512, rho, 2, 1)
        kind = "separable" if rho else "bilinear"
        found = fresh.fit(kind, objective, seen, held, [16, 256], [1, 2], batch=128)
        assert low - found.held.half <= found.held.mean <= high + found.held.half
        assert found.held.seeds == 2 and found.by_size[16].mean <= math.log(16)


def test_reading_by_two_roads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of K held-out pairs, loops and logarithms, against the reading of a fixed critic."""
    monkeypatch.setattr(fresh, "PASSES", 1)
    held = gaussian(32, 0.9, 3, 0)
    ensemble = fresh.Ensemble(InnerProduct, held.x, held.y, 1, None, 0)
    found = fresh._read(ensemble, held, 0, torch.arange(32), 8, "infonce")
    order = torch.randperm(32, generator=torch.Generator().manual_seed(8)).tolist()
    x, y = held.x.double().tolist(), held.y.double().tolist()
    score = [[sum(a * b for a, b in zip(p, q, strict=True)) for q in y] for p in x]
    total = 0.0
    for start in range(0, 32, 8):
        places = order[start : start + 8]
        for i in places:
            row = sum(math.exp(score[i][j]) for j in places)
            column = sum(math.exp(score[j][i]) for j in places)
            total += math.log(8) + score[i][i] - (math.log(row) + math.log(column)) / 2
    assert found.mean == pytest.approx(total / 32, abs=1e-5)


def test_images_that_stop_are_not_trained_on() -> None:
    pairs = Pairs(torch.zeros(300, 1), torch.zeros(300, 1), 100)
    learnt, stop = fresh._split(pairs, [3])
    assert sorted([*learnt.tolist(), *stop.tolist()]) == list(range(100))
    assert sorted(fresh._rows(pairs, stop).tolist()) == sorted(
        d * 100 + i for d in range(3) for i in stop.tolist()
    )


def test_narrowing_keeps_what_critics_read() -> None:
    """Below the width inner products are only shifted and scaled; above, the axes are shared."""
    pairs = gaussian(500, 0.9, 6, 0)
    narrow = Narrow(pairs.x, pairs.y)
    x, y = narrow(0, pairs.x), narrow(1, pairs.y)
    centred = [side - side.mean(0) for side in (pairs.x, pairs.y)]
    expected = centred[0] @ centred[1].T / (narrow.scales[0] * narrow.scales[1])
    assert torch.allclose(x @ y.T, expected, atol=1e-4)
    wide = torch.randn(400, 8) @ torch.randn(8, 300)  # of rank 8: nothing is lost
    both = Narrow(wide, wide)
    back = both(0, wide) @ both.axes[0].float().T * both.scales[0]  # type: ignore[union-attr]
    assert torch.allclose(back, wide - wide.mean(0), atol=1e-2)
    assert both(0, wide).shape[1] == bank.WIDTH


def test_sizes_fit_the_data() -> None:
    """Few images are seen in several draws and in small batches; K needs two sets of images."""
    few = Sizing.of(200, 60)
    assert (few.train_draws, few.sizes, few.batch) == (8, (4, 16), 16)
    many = Sizing.of(10**6, 10**6)
    assert (many.train, many.held, many.train_draws, many.batch) == (12_000, 4_000, 1, 256)


# --- negatives ------------------------------------------------------------------------------------


class Same:
    """Views that are the image itself."""

    shared_encoder = True

    def __call__(self, images: Tensor, generator: Any = None, partners: Any = None) -> ViewPair:
        """Twice the image."""
        x = images.float() / 255
        return ViewPair(x, x)

    def looks(self, images: Tensor) -> tuple[Tensor, ...]:
        """The image."""
        return (images.float() / 255,)

    def shapes(self, image_shape: Shape) -> tuple[Shape, Shape]:
        """Both like the image."""
        return image_shape, image_shape


class Knows(nn.Module):
    """An encoder that knows the class, which is the image's brightness, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(6.0))

    def forward(self, view: Tensor) -> Tensor:
        """One-hot, (n, 4)."""
        return self.strength * nn.functional.one_hot((view.mean((1, 2, 3)) * 3.99).long(), 4)


def brightness() -> Images:
    """Four classes of 40 images, each of one brightness."""
    labels = torch.arange(4).repeat(40)
    pixels = (labels * 80).to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4)
    return Images(pixels.contiguous(), "brightness", labels, ("a", "b", "c", "d"))


def test_negatives_change_the_number_as_known() -> None:
    """Of one class or image nothing is left to tell; nearest images are of one class here, too."""
    subject = Subject("known", GivenEncoder(Same(), [Knows()], (), InnerProduct()), None)  # type: ignore[arg-type]
    found = own.by_negatives(subject, brightness(), 0)
    sets = {name: value["value"] for name, value in found["sets"].items()}
    assert found["K"] == 32
    # random negatives: log K - log(the mean number of images of one's own class)
    assert sets[own.RANDOM] == pytest.approx(math.log(4), abs=0.1)
    for kind in (own.CLASS, own.NEAREST):
        assert sets[kind] == pytest.approx(0.0, abs=1e-6)
    assert 0 <= sets[own.ITSELF] <= math.log(found["K"] / own.SHOTS) + 1e-6


def test_sets_are_what_they_say() -> None:
    source, generator = brightness(), torch.Generator().manual_seed(0)
    assert source.labels is not None
    for index in own._classes(source.labels, 16, generator):
        assert len(set(index.tolist())) == 16 and len(source.labels[index].unique()) == 1
    for index in own._random(160, 32, generator):
        assert len(set(index.tolist())) == 32
    for index in own._itself(160, 16, generator):
        assert index.bincount().max() == own.SHOTS and len(index) == 16
    unlabelled = Images(source.pixels, "bare")
    assert sum(1 for _ in own._nearest(unlabelled, 8, generator)) == own.SETS


# --- subjects -------------------------------------------------------------------------------------


def test_layers_are_the_method_s_own(finished: Finished) -> None:
    """Two roads: the projection read side by side is what the method projects, looks too."""
    assert finished[0].out is not None
    subject = subject_of_run(finished[0].out, "cpu")
    images = torch.randint(0, 256, (4, *subject.facts["image_shape"]), dtype=torch.uint8)
    pair = subject.method.views(images, torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = subject.method.project(*pair)
        found = [read_view(subject.method, i, view)["projection"] for i, view in enumerate(pair)]
        looked = read_view(subject.method, 0, subject.method.views.looks(images)[0])["summary"]
        assert torch.allclose(looked, subject.method(images), atol=1e-6)
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert subject.scored_layer == "projection"


def test_a_given_encoder_is_left_alone() -> None:
    """It is copied; the untrained twin has other weights, the same for the same seed."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.BatchNorm1d(5)).train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    subject = subject_of_module(encoder, Same(), (3, 4, 4))
    assert encoder.training and all(p.requires_grad for p in encoder.parameters())
    assert subject.untrained is not None
    twins = [subject.untrained(seed).encoders[0].network[1].weight for seed in (1, 1, 2)]  # type: ignore[union-attr,index]
    assert torch.equal(twins[0], twins[1]) and not torch.equal(twins[0], twins[2])
    assert not torch.equal(twins[0], before["1.weight"])
    assert all(torch.equal(t, before[name]) for name, t in encoder.state_dict().items())
    given = subject_of_module(encoder, Same(), (3, 4, 4), untrained=lambda seed: encoder)
    assert given.untrained is not None and given.notes == []


class Mean(nn.Module):
    """A layer that cannot draw its weight anew."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, view: Tensor) -> Tensor:
        """Weighted channel means, (n, 3)."""
        return view.mean((2, 3)) * self.weight


def test_what_cannot_be_audited() -> None:
    """One line each, before any work."""
    data = data_room.load("digits", max_images=64, image_size=8)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    for given, told in (
        ((lambda x: x, "simclr"), "encoder: function is no torch module"),
        ((flat, 3), "views: int makes no views"),
        ((flat, "simclrr"), "Did you mean"),
        ((nn.Linear(7, 4), "simclr"), r"does not read the views of \(3, 8, 8\)"),
        ((nn.Conv2d(3, 4, 3), LAB), "1 given, these views need 2"),
    ):
        with pytest.raises(UserError, match=told):
            audit_encoder(*given, data, device="cpu", echo=str)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="--seeds: 0"):
        audit_encoder(flat, "simclr", data, seeds=0)
    few = data_room.Loaded(data.train, data.test.subset([0, 1, 2]), {}, "few")
    with pytest.raises(UserError, match="3 held-out images are too few"):
        audit_encoder(flat, "simclr", few, device="cpu", echo=str)


# --- from start to end ----------------------------------------------------------------------------


def numbers(record: dict[str, Any]) -> Any:
    """What two equal audits have in common."""
    keep = ("pairs", "checks", "verdict", "correlation")
    return json.dumps({key: record[key] for key in keep})


@pytest.mark.usefixtures("small")
def test_an_audit_of_a_run_goes_on(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted, resumed, made again, refused with other settings, its page written anew."""
    assert finished[0].out is not None
    run = Path(shutil.copytree(finished[0].out, tmp_path / "a run"))
    fast: dict[str, Any] = {"seeds": 2, "device": "cpu"}

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(session.Session, "_critics", stop)
        with pytest.raises(Interrupted, match="goodviews audit --run") as ended:
            audit(run, **fast, echo=str)
    assert ended.value.code == 130
    with pytest.raises(UserError, match="unfinished"):
        write_report(run / "audit")
    lines: list[str] = []
    first = audit(run, **fast, echo=lines.append)
    told = "\n".join(lines)
    for name in (RUN, HEAD, UNTRAINED, RAW, INVERTIBLE):
        assert f"{name}: kept from before" in told
    assert f"verdict: {first.verdict}" in lines
    again = audit(run, **fast, echo=str)
    assert numbers(again.record) == numbers(first.record)
    record = json.loads((run / "audit" / "audit.json").read_text())
    assert record["command"] == f"goodviews audit --run '{run}' --seeds 2 --device cpu"
    assert [c["name"] for c in record["checks"]] == [
        "ceiling", "pixels", "control", "critic", "negatives", "geometry", "order",
    ]  # fmt: skip
    assert len(record["pairs"]) == 10
    entry = record["measured"]["contenders"][UNTRAINED]
    assert entry["networks"] == 2 and entry["probe"]["seeds"] == 2
    (run / "audit" / "report.html").unlink()
    assert write_report(run / "audit").is_file()
    with pytest.raises(UserError, match=r"other settings \(seeds"):
        audit(run, seeds=1, device="cpu", echo=str)
    with pytest.raises(UserError, match="holds no audit"):
        audit(run, **fast, out=run, echo=str)


@pytest.mark.usefixtures("small")
def test_without_labels_and_without_a_critic() -> None:
    """What needs them is left out or read otherwise, and said."""
    data = data_room.load("digits", max_images=128, image_size=8, labels="none")
    found = audit_encoder(Mean(), "simclr", data, seeds=1, device="cpu", echo=str).record
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert status["negatives"] == status["order"] == words.LEFT_OUT
    assert "No critic of its own was given" in found["checks"][0]["reading"]
    assert found["verdict"]["state"] == UNDECIDED and "no labels" in found["verdict"]["line"]
    assert UNTRAINED not in found["measured"]["contenders"]
    assert any("reset_parameters" in note for note in found["notes"])
    assert any("one seed" in line for line in found["verdict"]["missing"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("method", "encoder", "views", "side"),
    [("amdim", "amdim-tiny", "amdim-cifar", 32), ("infonce", "convnet-half", LAB, 8)],
)
def test_other_methods(method: str, encoder: str, views: Any, side: int) -> None:
    """AMDIM is read at f1 and a local map, splits with two encoders."""
    data = data_room.load("factors", max_images=64, image_size=side)
    design = Design(method, encoder, Recipe.load(views), (3, side, side))
    trained = design.build(0).eval().requires_grad_(False)
    subject = Subject(method, trained, lambda seed: design.build(seed).eval())
    found = session.Session(subject, data, 1, 0, None, "", str).run().record
    names = list(found["measured"]["contenders"])
    second = HEAD if method == "infonce" else MAP
    assert names == [RUN, second, UNTRAINED, RAW, INVERTIBLE]
    assert found["measured"]["critics"]["layer"] == ("projection" if second == HEAD else "summary")
    assert len(found["measured"]["ceiling"]) == 1  # 16 held-out images: K = 4
    assert found["measured"]["geometry"]["conditioning"][RUN]["images"] == 2


def test_a_run_without_breaks_finds_the_same(
    finished: Finished, small: None, tmp_path: Path
) -> None:
    """What was kept half-way is what one go finds."""
    assert finished[0].out is not None
    how: dict[str, Any] = {"seeds": 1, "device": "cpu", "max_images": 64, "echo": str}
    whole = audit(finished[0].out, **how, out=tmp_path / "whole")
    torn = tmp_path / "torn"
    shutil.copytree(tmp_path / "whole", torn)
    record = json.loads((torn / "audit.json").read_text())
    for part in ("critics", "geometry"):
        del record["measured"][part]
    del record["measured"]["contenders"][RAW]
    (torn / "audit.json").write_text(json.dumps(record))
    assert numbers(audit(finished[0].out, **how, out=torn).record) == numbers(whole.record)


def test_infonce_values_is_what_is_read() -> None:
    """Both roads to the own critic's number are the mean over rows and columns."""
    scores = torch.randn(6, 6, dtype=torch.float64)
    assert float(infonce_values(scores).mean()) == pytest.approx(
        float(fresh.OBJECTIVES["infonce"](scores))
    )
