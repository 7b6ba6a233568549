"""Receptive fields measured by gradients against arithmetic, and against changed pixels."""

import pytest
import torch
from torch import nn

from goodviews.encoders import (
    AMDIMEncoder,
    MultiscaleTimm,
    audit_table,
    receptive_field_audit,
)
from goodviews.interfaces import Features, UserError

FIELDS = {  # Bachman et al. 2019: pixels / stride, of f7, f5 and f1
    32: [(7, 8, 4), (5, 16, 4), (1, 32, None)],
    64: [(7, 16, 8), (5, 32, 8), (1, 64, None)],
    128: [(7, 35, 16), (5, 67, 16), (1, 128, None)],  # f1: 131, of which the image has 128
}


class Stack(nn.Module):
    """Convolutions (k, s, padding) and the features after them."""

    def __init__(self, layers, mode="zeros"):
        super().__init__()
        convs = [nn.Conv2d(3, 3, k, s, p, padding_mode=mode) for k, s, p in layers]
        self.layers = nn.Sequential(*convs)

    def forward(self, view):
        local = self.layers(view)
        return Features(local.mean((2, 3)), {local.shape[2]: local})


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("pixels", [32, 64, 128])
def test_fields_and_strides_of_amdim(pixels, depth):
    """Depth does not widen them, no place can tell where it is, only 128 pixels are cut."""
    torch.manual_seed(0)
    encoder = AMDIMEncoder(6, 48, depth, pixels)
    rows = receptive_field_audit(encoder, (3, pixels, pixels))
    square = [(side, (r, r), s and (s, s)) for side, r, s in FIELDS[pixels]]
    assert [(row.side, row.field, row.stride) for row in rows] == square
    assert all(row.padded == 0 for row in rows)
    assert [row.cut > 0 for row in rows] == [pixels == 128, pixels == 128, False]


def test_a_changed_pixel_changes_the_places_that_read_it():
    """f7 at (2, 3) reads rows 8 to 15 and columns 12 to 19, f5 at (1, 2) rows 4 to 19."""
    torch.manual_seed(0)
    encoder = AMDIMEncoder(8, 32, 1, in_channels=1).double().eval()
    for part in encoder.modules():
        if hasattr(part, "second"):
            nn.init.normal_(part.second.weight, std=0.1)
    view = torch.randn(1, 1, 32, 32, dtype=torch.float64)
    changed = view.expand(32 * 32, 1, 32, 32).clone()
    pixels = torch.arange(32 * 32)
    changed[pixels, 0, pixels // 32, pixels % 32] += 1
    with torch.no_grad():
        before, after = encoder(view), encoder(changed)
    for side, (i, j), rows, columns in [
        (7, (2, 3), (8, 16), (12, 20)),
        (5, (1, 2), (4, 20), (8, 24)),
    ]:
        moved = after.local[side][:, :, i, j] != before.local[side][:, :, i, j]
        expected = torch.zeros(32, 32, dtype=torch.bool)
        expected[slice(*rows), slice(*columns)] = True
        assert torch.equal(moved.any(1).view(32, 32), expected)


@pytest.mark.parametrize(
    ("layers", "pixels", "side", "field", "stride"),
    [
        ([(3, 1, 0)], 9, 7, 3, 1),
        ([(5, 3, 0)], 23, 7, 5, 3),
        ([(3, 1, 0), (3, 2, 0)], 17, 7, 5, 2),
        ([(2, 2, 0), (3, 1, 0), (4, 2, 0)], 34, 6, 12, 4),
    ],
)
def test_stacks_of_convolutions(layers, pixels, side, field, stride):
    row, _ = receptive_field_audit(Stack(layers), (3, pixels, pixels))
    assert (row.side, row.field, row.stride) == (side, (field, field), (stride, stride))
    assert row.cut == row.padded == 0
    assert row.neighbours == pytest.approx(max(0, 1 - stride / field))


def test_overlap_of_positives_is_the_mean_over_pairs():
    """Fields 3 wide, 1 apart, on 4 places: |i - j| = 0, 1, 2 share 3, 2, 1 thirds."""
    row, summary = receptive_field_audit(Stack([(3, 1, 0)]), (3, 6, 6))
    along = sum(max(0, 3 - abs(i - j)) / 3 for i in range(4) for j in range(4)) / 16
    assert row.positives == pytest.approx(along**2)
    assert summary.positives == 1 and summary.stride is None


@pytest.mark.parametrize(("mode", "padded"), [("zeros", 1 - 25 / 49), ("reflect", 0.0)])
def test_padding_shifts_features_of_the_border(mode, padded):
    row, _ = receptive_field_audit(Stack([(3, 1, 1)], mode), (3, 7, 7))
    assert row.field == (3, 3) and row.stride == (1, 1)
    assert row.cut == pytest.approx(1 - 25 / 49)
    assert row.padded == pytest.approx(padded)


def test_not_square():
    class Wide(Stack):
        def forward(self, view):
            local = nn.functional.avg_pool2d(super().forward(view).local[7], (1, 2))
            return Features(local.mean((2, 3)), {7: local})

    row, summary = receptive_field_audit(Wide([(3, 1, 0)]), (3, 9, 16))
    assert row.field == (3, 4) and row.stride == (1, 2)
    assert summary.field == (9, 16)


def test_a_padded_backbone_sees_the_whole_image():
    torch.manual_seed(0)
    f7, f5, f1 = receptive_field_audit(MultiscaleTimm("resnet10t", 3, (32, 32)), (3, 32, 32))
    assert f1.field == (32, 32)
    assert f7.field[0] > 16 and f7.positives > 0.3 and f7.padded > 0.3 and f5.padded > 0.3


def test_the_encoder_is_left_as_it_was():
    encoder = AMDIMEncoder(2, 8, 1).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    receptive_field_audit(encoder, (3, 32, 32))
    after = encoder.state_dict()
    assert encoder.training and all(p.requires_grad for p in encoder.parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_table_and_an_encoder_without_features():
    table = audit_table(receptive_field_audit(Stack([(3, 1, 1)]), (3, 7, 7))).splitlines()
    assert table[1].startswith("7 x 7  3 x 3  1 x 1 ") and table[1].endswith("49 %  49 %")
    assert table[2].startswith("1 x 1  7 x 7  -       -  ") and table[2].endswith("0 %   0 %")
    with pytest.raises(UserError, match="returned Tensor, not Features"):
        receptive_field_audit(nn.Conv2d(3, 3, 3), (3, 8, 8))
