"""Dependent negatives: the Gaussian's critics, batches of images, the study as a whole."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.func import vmap

from goodviews import bounds
from goodviews.critics import Concat
from goodviews.data import load
from goodviews.interfaces import Row
from goodviews.studies.claims import NOT_SHOWN, SHOWN, judge
from goodviews.studies.doubts import negatives as gaussian
from goodviews.studies.doubts import negatives_images as pictures
from goodviews.studies.doubts.bench import Bench, Budget
from goodviews.studies.doubts.halves import HalfImages
from goodviews.studies.doubts.negatives import NEGATIVES, DeepConcat, Tracker
from goodviews.studies.grid import Job

ARMS = {arm.name: arm for arm in gaussian.arms(True)}
SHARED_NWJ = "Gaussian shared Z I_NWJ"
SAME, NEAR, CLASS = "images: same image", "images: near images", "images: same class"


@pytest.fixture(scope="module")
def halves() -> HalfImages:
    return HalfImages.of(load("digits", max_images=400))


@pytest.fixture
def bench(halves: HalfImages, tmp_path: Path) -> Bench:
    return Bench(halves, Budget(steps=6, every=3, batch_size=16, lr=1e-3), tmp_path)


def tracker(name: str, bench: Bench, seeds: tuple[int, ...] = (0, 1)) -> Tracker:
    return Tracker([Job(name, seed) for seed in seeds], ARMS[name], bench)


# --- the Gaussian -------------------------------------------------------------------------------


def test_the_critic_is_the_papers():
    critic = DeepConcat()
    assert sum(p.numel() for p in critic.parameters()) == 481
    widths = [tuple(p.shape) for name, p in critic.named_parameters() if name.endswith("weight")]
    assert widths == [(10, 2), *[(10, 10)] * 4, (1, 10)]


def test_the_critic_is_an_mlp_of_every_pair():
    """Against a loop in float64, and against the other layout in value and gradient."""
    torch.manual_seed(0)
    critic, other = DeepConcat().double(), Concat(1, hidden=10, depth=5).double()
    other.load_state_dict(critic.state_dict())
    x, y = torch.randn(4, 1).double(), torch.randn(3, 1).double()
    scores = critic(x, y)
    layers = [m for m in critic.modules() if isinstance(m, torch.nn.Linear)]
    for i in range(4):
        for j in range(3):
            h = np.array([x[i].item(), y[j].item()])
            for k, layer in enumerate(layers):
                h = layer.weight.detach().numpy() @ (np.maximum(h, 0) if k else h)
                h = h + layer.bias.detach().numpy()
            assert scores[i, j].item() == pytest.approx(h.item(), abs=1e-12)
    for one in (critic, other):
        one(x, y).square().sum().backward()
    for ours, theirs in zip(critic.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_exact_quantities():
    """The constants by hand: correlations 0.2, 0.9 given Z, -0.25 of negatives that share Z."""
    assert pytest.approx(-0.5 * math.log(1 - 0.2**2), abs=1e-12) == gaussian.TRUE
    assert pytest.approx(-0.5 * math.log(1 - 0.9**2), abs=1e-12) == gaussian.GIVEN
    trace = 2 * (1 + 0.25 * 0.2) / (1 - 0.25**2)
    apart = 0.5 * (trace - 2 + math.log((1 - 0.25**2) / (1 - 0.2**2)))
    assert pytest.approx(apart, abs=1e-12) == gaussian.APART
    assert gaussian.WORLD.pair.nats == pytest.approx(gaussian.TRUE, abs=1e-12)
    assert gaussian.WORLD.given.nats == pytest.approx(gaussian.GIVEN, abs=1e-12)


def test_nwj_of_batches_that_share_z_reaches_the_divergence_of_its_pairs():
    """With the critic that is best for these pairs, over many batches: a known truth."""
    rng = np.random.default_rng(0)
    drawn = np.array([gaussian.WORLD.draw(16, rng, True) for _ in range(4_000)])[..., 0]
    x, y = drawn[:, 0], drawn[:, 1]
    pairs = np.stack(np.broadcast_arrays(x[:, :, None], y[:, None]), -1).reshape(-1, 2)
    positive, negative = (
        stats.multivariate_normal(np.zeros(2), c) for c in (gaussian.POSITIVE, gaussian.NEGATIVE)
    )
    scores = 1.0 + positive.logpdf(pairs) - negative.logpdf(pairs)
    values = vmap(bounds.nwj)(torch.from_numpy(scores).view(-1, 16, 16))
    error = float(values.std()) / math.sqrt(len(values))
    assert abs(float(values.mean()) - gaussian.APART) < 4 * error < 0.03


def test_batches_are_of_their_seed_and_step_and_kind(bench: Bench):
    run = tracker(SHARED_NWJ, bench)
    x, y = run.batch([3, 4], 7, True)
    assert x.shape == y.shape == (2, 16, 1) and x.dtype == torch.float32
    again = tracker(SHARED_NWJ, bench).batch([4], 7, True)
    torch.testing.assert_close(again[0][0], x[1], rtol=0, atol=0)
    assert not torch.equal(run.batch([4], 8, True)[0][0], x[1])
    drawn = {shared: run.batch(range(400), 0, shared) for shared in (True, False)}
    for shared, (a, b) in drawn.items():
        within = torch.stack(
            [torch.corrcoef(torch.stack(p)[..., 0]) for p in zip(a, b, strict=True)]
        )[:, 0, 1]
        assert within.mean() == pytest.approx(0.9 if shared else 0.2, abs=0.05)
        spread = a.mean(1).var()  # of the batches' means: Z's variance, where there is one Z
        assert spread == pytest.approx(1.0 + 1 / 16 if shared else 2 / 16, rel=0.3)


def test_a_run_that_was_cut_off_goes_on_to_the_same_numbers(bench: Bench):
    whole = tracker(SHARED_NWJ, bench).rows()
    (folder,) = [bench.folder / p.name for p in bench.folder.glob("*.pt")]
    folder.unlink()
    cut = tracker(SHARED_NWJ, bench)
    advance = cut.advance

    def breaks(step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt
        advance(step)

    cut.advance = breaks  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        cut.rows()
    rest = tracker(SHARED_NWJ, bench)
    taken: list[int] = []
    advance = rest.advance
    rest.advance = lambda step: (taken.append(step), advance(step))  # type: ignore
    assert [row.to_dict() for row in rest.rows()] == [row.to_dict() for row in whole]
    assert taken == [3, 4, 5]


def test_a_seed_trains_as_if_alone_and_is_read_before_each_step(bench: Bench):
    """Stacked seeds against one critic and Adam by hand."""
    run = tracker("Gaussian i.i.d. I_NCE", bench, (0, 5))
    critic = run.critics.member(1)
    critic.requires_grad_(True)
    adam, nats = torch.optim.Adam(critic.parameters(), lr=1e-3), []
    for step in range(6):
        x, y = run.batch([5], step, False)
        value = bounds.infonce(critic(x[0], y[0]))
        nats.append(value.item())
        adam.zero_grad()
        (-value).backward()
        adam.step()
    row = run.rows()[1]
    np.testing.assert_allclose(run.trace.nats[:, 1].numpy(), nats, atol=1e-5)
    assert row.measures["own"] == pytest.approx(np.mean(nats[-2:]), abs=1e-5)
    assert row.measures["own_sd"] == pytest.approx(np.std(nats[-2:], ddof=1), abs=1e-5)
    assert row.measures["excess"] == pytest.approx(row.measures["own"] - row.true_nats)
    centre, spread = gaussian.REFERENCE[row.candidate]
    off = abs(row.measures["own"] - centre) / spread
    assert row.measures["off_reference"] == pytest.approx(off)
    assert row.steps == 6 and row.candidates == 16


def test_the_running_estimate_is_a_normal_average_of_the_steps():
    rng = np.random.default_rng(0)
    trace = rng.standard_normal(1_000)
    curve = gaussian.with_running([{"step": 0, "iid": 1.0}, {"step": 777, "iid": 2.0}], trace)
    found = {entry["step"]: entry["running"] for entry in curve if "running" in entry}
    weights = np.exp(-0.5 * ((np.arange(1_000) - 500) / 100) ** 2)
    assert found[500] == pytest.approx(weights @ trace / weights.sum(), abs=2e-3)
    assert [entry["iid"] for entry in curve if "iid" in entry] == [1.0, 2.0]
    assert len(found) == 200


# --- batches of images --------------------------------------------------------------------------


def test_windows_are_cut_where_they_are_said_to_be():
    images = torch.randint(256, (2, 3, 1, 28, 14), dtype=torch.uint8)
    down, across = pictures.spots(images.shape)
    assert (down, across) == (5, 3)
    places = torch.arange(6).view(2, 3) * 2
    found = pictures.cut(images, places)
    assert found.shape == (2, 3, 1, 24, 12)
    for e in range(2):
        for i in range(3):
            top, left = divmod(int(places[e, i]), across)
            assert torch.equal(found[e, i], images[e, i, :, top : top + 24, left : left + 12])


def test_the_representation_is_of_the_middle_window(halves: HalfImages):
    windows = pictures.WindowHalves(halves.train, halves.train_y, halves.test, halves.test_y)
    top, bottom = windows.views(halves.train[:4])
    middle = halves.train[:4, :, 2:-2, 2:-2].float() / 255
    torch.testing.assert_close(torch.cat([top, bottom], 2), middle)
    assert windows.shape == tuple(top.shape[1:])


def places_of(found: torch.Tensor, images: torch.Tensor) -> list[set[int]]:
    """For each window the places of its image that show just this."""
    every = [
        pictures.cut(images, torch.full((len(images),), place))
        for place in range(math.prod(pictures.spots(images.shape)))
    ]
    return [
        {place for place, windows in enumerate(every) if torch.equal(windows[i], found[i])}
        for i in range(len(images))
    ]


def test_several_windows_of_one_image_are_in_a_batch_and_none_twice(halves: HalfImages):
    company = pictures.COMPANY[SAME]()
    rows = company.rows(halves, 0, 3, 32)
    assert list(Counter(rows.tolist()).values()) == [8] * 4
    noise = torch.randint(256, halves.train.shape, dtype=torch.uint8)  # no two windows alike
    blank = HalfImages(noise, halves.train_y, noise, halves.test_y)
    x1, x2 = company.batch(blank, [0], 3, 32)
    windows = (torch.cat([x1, x2], 3)[0] * 255).round().to(torch.uint8)
    seen = places_of(windows, noise[rows])
    assert all(len(places) == 1 for places in seen)
    for start in range(0, 32, 8):
        assert len(set.union(*seen[start : start + 8])) == 8


@pytest.mark.parametrize("name", pictures.COMPANY)
def test_every_image_is_used_alike(halves: HalfImages, name: str):
    """One pass: each image in one batch at most, nothing but the last few left out."""
    company, size = pictures.COMPANY[name](), 32
    images = size // company.per_image
    steps = len(halves.train) // images
    seen = torch.cat([company.rows(halves, 7, step, size).unique() for step in range(steps)])
    assert len(set(seen.tolist())) == len(seen) == steps * images
    later = company.rows(halves, 7, steps, size)
    assert not torch.equal(later, company.rows(halves, 7, 0, size))


@pytest.mark.parametrize("name", pictures.COMPANY)
def test_a_batch_is_a_function_of_seed_and_step(halves: HalfImages, name: str):
    company = pictures.COMPANY[name]()
    for step in range(30):
        batch = company.batch(halves, [2, 3], step, 32)
    alone = pictures.COMPANY[name]().batch(halves, [3], 29, 32)
    assert batch[0].shape == (2, 32, *pictures.WindowBench.of(_bench(halves)).halves.shape)
    for ours, theirs in zip(batch, alone, strict=True):
        assert torch.equal(ours[1], theirs[0])


def _bench(halves: HalfImages) -> Bench:
    return Bench(halves, Budget(), Path())


@pytest.mark.parametrize("name", [SAME, pictures.CONTROL])
def test_windows_are_equally_likely(name: str):
    company = pictures.COMPANY[name]()
    images = torch.zeros(64, 1, 8, 8)
    counts = torch.zeros(9)
    for step in range(300):
        places = company._places(images, torch.Generator().manual_seed(step))
        counts += torch.bincount(places, minlength=9)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_near_images_are_near_and_classes_are_one(halves: HalfImages):
    def batches(name: str) -> list[torch.Tensor]:
        company = pictures.COMPANY[name]()
        return [company.rows(halves, 0, step, 16) for step in range(len(halves.train) // 16)]

    def distance(name: str) -> float:
        x = halves.train.float().flatten(1)
        return float(torch.stack([torch.pdist(x[rows]).mean() for rows in batches(name)]).mean())

    assert distance(NEAR) < 0.8 * distance(pictures.CONTROL)
    classes = [len(halves.train_y[rows].unique()) for rows in batches(CLASS)]
    assert sum(count > 1 for count in classes) <= int(halves.train_y.max())  # at the seams
    assert np.mean([len(halves.train_y[rows].unique()) for rows in batches(NEAR)]) > 1


@pytest.mark.parametrize("count", [1, 16, 17, 250])
def test_the_tree_parts_images_into_full_leaves(count: int):
    x = torch.randn(count, 3)
    leaves = pictures._leaves(x, torch.arange(count), 16, torch.Generator().manual_seed(0))
    assert sorted(torch.cat(leaves).tolist()) == list(range(count))
    assert all(len(leaf) == 16 for leaf in leaves[:-1]) and 0 < len(leaves[-1]) <= 16


def test_the_own_bound_is_the_mean_over_fresh_batches(bench: Bench):
    windows = pictures.WindowBench.of(bench)
    pair = ARMS[SAME].build([0, 1], windows.halves.shape)
    company = pictures.COMPANY[SAME]()

    def draw(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return company.batch(windows.halves, [0, 1], step, 16)

    with torch.no_grad():
        found = pictures.own_bound(pair, "infonce", draw, windows)
        for e in range(2):
            g1, g2, critic = (part.member(e) for part in (pair.g1, pair.g2, pair.critic))
            values = []
            for i in range(pictures.BATCHES):
                x1, x2 = draw(6 + i)
                values.append(bounds.infonce(critic(g1(x1[e]), g2(x2[e]))).item())
            assert found[e] == pytest.approx(np.mean(values), abs=1e-4)


# --- the study ----------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "max_images": 300,
    "steps": 2,
    "seeds": 2,
    "batch_size": 16,
    "precision": "32",
    "device": "cpu",
}


def test_a_small_run_makes_rows_and_goes_on(tmp_path: Path):
    lines: list[str] = []
    names = [SHARED_NWJ, "Gaussian i.i.d. I_NCE", pictures.CONTROL, SAME]
    options = {**SMALL, "variants": ",".join(names), "out": tmp_path, "echo": lines.append}
    found = NEGATIVES("digits", **options)
    runs = [row for row in found.rows if row.kind == "candidate"]
    assert {row.candidate for row in runs} == set(names)
    assert len(runs) == 2 * len(names) and all(row.status == "done" for row in runs)
    for row in runs:
        numbers = [row.nats, *row.measures.values()]
        numbers += [value for look in row.curve for value in look.values()]
        assert all(math.isfinite(number) for number in numbers)
        kind = {"shared", "excess"} if row.candidate in gaussian.GAUSSIAN else {"accuracy", "gap"}
        assert kind <= set(row.measures)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    lines.clear()
    again = NEGATIVES("digits", **options)
    assert [row.to_dict() for row in again.rows] == [row.to_dict() for row in found.rows]
    assert any(line.startswith("resuming: 9 of 9") for line in lines)
    assert not any(line.startswith("  step") for line in lines)


def rows_of(names: list[str]) -> list[Row]:
    """Made-up rows that say what the reference implementation and the paper say."""
    rows = []
    for name in names:
        for seed in (0, 1, 2):
            row, more = Row("candidate", name, seed), 1e-3 * seed
            if name in gaussian.GAUSSIAN:
                own = gaussian.REFERENCE[name][0] + more
                row.measures = {
                    "own": own,
                    "excess": own - gaussian.TRUE,
                    "off_reference": more,
                    "shared": 0.5,
                }
                row.nats = -0.25
            else:
                lost = 0.0 if name == pictures.CONTROL else 0.5
                row.nats = 3.0 - lost + more
                row.measures = {"own": 3.0, "gap": lost + more, "accuracy": 0.9 + more}
            rows.append(row)
    return rows


def test_claims_answer_and_panels_are_of_the_arms_that_were_run(bench: Bench):
    """Names hold no comma, so --variants can list them."""
    assert not any("," in name for name in ARMS)
    rows = rows_of(list(ARMS))
    judged = judge(rows, gaussian.claims(list(ARMS)))
    assert len(judged) == 4 * 2 + 1 + 3 * 3
    assert {claim["verdict"] for claim in judged} == {SHOWN}
    assert len(gaussian.panels(rows, bench)) == 5
    words = [claim.words for claim in gaussian.claims([SHARED_NWJ, NEAR])]  # NEAR has no control
    assert len(words) == 3 and all(word.startswith(SHARED_NWJ) for word in words)
    few = rows_of([SHARED_NWJ])
    assert [panel["measure"] for panel in gaussian.panels(few, bench)] == ["running", "iid"]
    told = "Of 0.020 nats: shared Z I_NWJ 0.102 (-0.250 on i.i.d. batches). "
    assert gaussian.answer(few, []).startswith(told)
    few = rows_of(["Gaussian i.i.d. I_NCE"])
    assert "i.i.d. I_NCE 0.021 (0.500 on batches that share Z). " in gaussian.answer(few, [])


def test_a_wrong_number_is_not_shown():
    """I.i.d. estimates above the truth, dependent ones at it, and features that fall."""
    rows = rows_of(list(ARMS))
    for row in rows:
        own = 0.1 if "i.i.d." in row.candidate else gaussian.TRUE
        if row.candidate in gaussian.GAUSSIAN:
            jitter = 1e-4 * row.seed
            row.measures = {"own": own + jitter, "excess": own - gaussian.TRUE - 1e-3 + jitter}
        elif row.candidate != pictures.CONTROL:
            row.measures["accuracy"] -= 0.2
    verdicts = {claim["words"]: claim["verdict"] for claim in judge(rows, gaussian.claims(ARMS))}
    for name in gaussian.GAUSSIAN:
        first = next(word for word in verdicts if word.startswith(name))
        assert verdicts[first] == NOT_SHOWN
    lost = [words for words in verdicts if "features" in words]
    assert len(lost) == 3 and {verdicts[words] for words in lost} == {NOT_SHOWN}
