"""Maps against slow loops, and the object contrast where the answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from goodviews.data.factors import digit_boxes, factors
from goodviews.evaluation.dense import covered, location_similarity, object_contrast, score_map
from goodviews.interfaces import UserError


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers by seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("clip", [None, 0.5])
def test_score_map_is_the_slow_loop(clip: float | None) -> None:
    """The formula, location by location, in float64."""
    summary, local = gaussian(3, 6), gaussian(2, 6, 4, 5, seed=1)
    found = score_map(summary, local, clip)
    assert found.shape == (3, 2, 4, 5)
    for i, j, h, w in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist():
        s = math.fsum(
            float(summary[i, k]) * float(local[j, k, h, w]) / math.sqrt(6) for k in range(6)
        )
        s = s if clip is None else clip * math.tanh(s / clip)
        assert float(found[i, j, h, w]) == pytest.approx(s, abs=1e-5)


def test_widths_must_agree() -> None:
    """Features that were not embedded have other widths."""
    with pytest.raises(ValueError, match="widths 4 and 5"):
        score_map(torch.ones(1, 4), torch.ones(1, 5, 2, 2))


def test_location_similarity_is_the_slow_loop() -> None:
    """Cosine and scaled inner product of one place, and the centre as default."""
    a, b = gaussian(6, 5, 5), gaussian(6, 3, 4, seed=1)
    angle, score = (location_similarity(a, b, (1, 4), cosine=c) for c in (True, False))
    for h in range(3):
        for w in range(4):
            inner = float(a[:, 1, 4].double() @ b[:, h, w].double())
            norms = float(a[:, 1, 4].norm() * b[:, h, w].norm())
            assert float(angle[h, w]) == pytest.approx(inner / norms, abs=1e-5)
            assert float(score[h, w]) == pytest.approx(inner / math.sqrt(6), abs=1e-5)
    assert torch.equal(location_similarity(a, b), location_similarity(a, b, (2, 2)))
    assert float(location_similarity(a, a)[2, 2]) == pytest.approx(1, abs=1e-6)
    assert not torch.allclose(location_similarity(a, a, (0, 0)), location_similarity(a, a))


def test_contrast_of_gaussians_is_known() -> None:
    """Normal scores moved by delta on the object: AUROC = Phi(delta / sqrt 2)."""
    n, delta = 4000, 1.0
    masks = torch.zeros(n, 6, 6, dtype=torch.bool)
    masks[:, :3] = True
    found = object_contrast(gaussian(n, 6, 6) + delta * masks, masks)
    truth = 0.5 * (1 + math.erf(delta / 2))
    assert abs(found.auroc - truth) < 4 * found.stderr and found.stderr < 0.003
    # half the locations are moved, so their variance is 1 + (delta / 2)^2
    assert found.deviations == pytest.approx(delta / math.sqrt(1.25), abs=0.03)
    assert found.images == n


def test_contrast_against_scikit_learn_and_laws() -> None:
    """AUROC with ties; a constant map says nothing; the sign turns it round."""
    maps, masks = gaussian(3, 4, 4).mul(2).round(), gaussian(3, 4, 4, seed=1) > 0.3
    areas = [roc_auc_score(o.flatten(), s.flatten()) for s, o in zip(maps, masks, strict=True)]
    found = object_contrast(maps, masks)
    assert found.auroc == pytest.approx(sum(areas) / 3)
    assert object_contrast(-maps, masks).auroc == pytest.approx(1 - found.auroc)
    assert object_contrast(-maps, masks).deviations == pytest.approx(-found.deviations)
    flat = object_contrast(torch.ones(3, 4, 4), masks)
    assert (flat.auroc, flat.deviations) == (0.5, 0)
    moved = object_contrast(maps * 5 - 3, masks)
    assert moved.deviations == pytest.approx(found.deviations)


def test_images_without_object_are_left_out() -> None:
    """They are not counted; where no image is left the message says so."""
    maps, masks = gaussian(2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, 0, 0] = True
    found = object_contrast(maps, masks)
    assert found.images == 1 and math.isnan(found.stderr)
    with pytest.raises(UserError, match="no image has both"):
        object_contrast(maps, torch.ones(2, 4, 4))


def test_the_digit_is_where_the_mask_says() -> None:
    """Images that differ only in the digit's place differ only inside the two boxes."""
    first, _ = factors(train=1, test=1)
    boxes = digit_boxes(first.factors["position"])
    assert boxes.shape == (1800, 32, 32) and boxes.sum((1, 2)).unique().tolist() == [16 * 16]
    background = first.factors["background"]
    pixels = first.pixels.float()
    for b in (0, 13):
        here = background == b
        clean = pixels[here].median(0).values  # the digit covers a pixel in a minority of images
        far = (pixels[here] - clean).abs().amax(1) > 8
        inside, outside = (float((far & m).sum() / m.sum()) for m in (boxes[here], ~boxes[here]))
        assert inside > 10 * outside
    spots = covered(boxes, (7, 7))
    assert object_contrast(spots.float(), boxes).auroc == 1
