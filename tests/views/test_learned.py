"""Learned views: exact inverses, log-determinants, and how a recipe keeps a generator."""

import re

import pytest
import torch
import yaml

from goodviews.interfaces import UserError
from goodviews.views import Recipe, colorspaces
from goodviews.views.generator import SPACES, PixelCoupling, ViewGenerator
from goodviews.views.learned import Learned


def trained(channels=3, family="nvp", space="rgb", alone=1, scale=0.5, **options):
    """A generator whose last layers are not zero, as after training."""
    torch.manual_seed(0)
    made = ViewGenerator(channels, family, space, alone, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(scale * torch.randn_like(parameter) / parameter[0].numel() ** 0.5)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("family", ["vp", "nvp"])
@pytest.mark.parametrize(
    ("space", "channels", "alone"), [*((s, 3, 1) for s in SPACES), ("raw", 5, 2)]
)
def test_inverse(family, space, channels, alone):
    images = torch.rand(4, channels, 6, 5)
    g = trained(channels, family, space, alone)
    changed = g(images)
    assert changed.shape == images.shape
    assert (changed - trained(channels, family, space, alone, scale=0.0)(images)).abs().max() > 0.1
    assert (g.inverse(changed) - images).abs().max() < 1e-4
    g, images = g.double(), images.double()
    assert (g.inverse(g(images)) - images).abs().max() < 1e-12


@pytest.mark.parametrize("family", ["vp", "nvp"])
def test_log_det_is_autograds(family):
    g = trained(4, family, "raw", 2).double()
    images = torch.rand(2, 4, 1, 2, dtype=torch.float64)
    start = 0.25 ** (-8)  # the standardisation by 0.25 of eight values is not counted
    for image, found in zip(images, g.log_det(images), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: g(x[None])[0], image).view(8, 8)
        slow = jacobian.det().abs().log() - torch.tensor(start).log()
        assert abs(float(slow - found)) < 1e-6
        assert (found == 0) == (family == "vp")


def test_coupling_is_the_formula():
    """The formula b' = b e^s + t, pixel by pixel, both ways round; the conditioning part passes."""
    torch.manual_seed(1)
    for flipped in (False, True):
        coupling = PixelCoupling(3, 1, flipped, affine=True, hidden=(4,), bound=0.7)
        torch.nn.init.normal_(coupling.conditioner[-1].weight)
        x = torch.randn(2, 3, 3)
        y, log_det = coupling(x)
        kept, changed = ([1, 2], [0]) if flipped else ([0], [1, 2])
        for i in range(2):
            for j in range(3):
                raw = coupling.conditioner(x[i, j, kept])
                t, s = raw[: len(changed)], 0.7 * torch.tanh(raw[len(changed) :] / 0.7)
                torch.testing.assert_close(y[i, j, changed], x[i, j, changed] * s.exp() + t)
                torch.testing.assert_close(log_det[i, j], s.sum())
        assert torch.equal(y[..., kept], x[..., kept])


def test_no_spatial_mixing():
    g, images = trained(), torch.rand(1, 3, 4, 4)
    other = images.clone()
    other[..., 2, 1] = 1 - other[..., 2, 1]
    differs = (g(images) != g(other)).any(1)[0]
    assert differs[2, 1] and differs.sum() == 1


@pytest.mark.parametrize("space", ["rgb", "ydbdr"])
def test_untrained_is_the_colour_space(space):
    images = torch.rand(3, 3, 4, 4)
    raw = colorspaces.standardise(colorspaces.convert(images, space), space)
    g = ViewGenerator(3, "nvp", space).eval()
    torch.testing.assert_close(g(images), raw)
    torch.testing.assert_close(torch.cat(g.views(images), 1), raw, rtol=1e-4, atol=1e-4)


def test_settled_views_are_standard():
    g, images = trained(), torch.rand(64, 3, 8, 8)
    g.settle(images)
    views = torch.cat(g.views(images), 1)
    assert views.mean((0, 2, 3)).abs().max() < 1e-3
    assert (views.std((0, 2, 3)) - 1).abs().max() < 1e-3


def test_a_recipe_keeps_the_generator(tmp_path):
    """A relative path counts from the recipe; afterwards the file may go."""
    g = trained()
    g.settle(torch.rand(8, 3, 4, 4))
    g.save(tmp_path / "sub" / "generator.safetensors")
    plain = {"shared": ["horizontal_flip"], "split": {"learned": {"path": "generator.safetensors"}}}
    (tmp_path / "sub" / "recipe.yaml").write_text(yaml.safe_dump(plain))
    recipe = Recipe.load(tmp_path / "sub" / "recipe.yaml")
    (tmp_path / "sub" / "generator.safetensors").unlink()
    recipe.save(tmp_path / "copy.yaml")
    again = Recipe.load(tmp_path / "copy.yaml")
    assert again == recipe == Recipe.from_dict(recipe.to_dict())
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    built = again.build((3, 8, 8))
    assert not built.shared_encoder and built.shapes((3, 8, 8)) == ((1, 8, 8), (2, 8, 8))
    for ours, right in zip(built.looks(images), g.views(images / 255.0), strict=True):
        torch.testing.assert_close(ours, right)


def test_messages(tmp_path):
    g = ViewGenerator(4, space="raw")
    split = Learned(str(g.save(tmp_path / "g.safetensors")))
    (tmp_path / "bad.safetensors").write_bytes(b"x" * 20)
    cases = {
        "1 channel cannot be split": lambda: ViewGenerator(1, space="raw"),
        "--space: rgb needs three channels, these images have 4": lambda: ViewGenerator(4),
        "alone: 3 of 3 channels. Use 1 to 2.": lambda: ViewGenerator(3, alone=3),
        "couplings: 1 leaves a channel unchanged": lambda: ViewGenerator(3, couplings=1),
        "--family: unknown 'np'": lambda: ViewGenerator(3, "np"),
        "trained on 4 channels, these images have 3": lambda: split.shapes((3, 8, 8)),
        "gone.safetensors cannot be read (No such file": lambda: Learned(
            str(tmp_path / "gone.safetensors")
        ),
        "bad.safetensors: holds no view generator": lambda: Learned(
            str(tmp_path / "bad.safetensors")
        ),
        "learned.weights: no base64": lambda: Learned(weights="??"),
        "learned: give a path": lambda: Recipe.from_dict({"split": "learned"}),
    }
    for words, call in cases.items():
        with pytest.raises(UserError, match=re.escape(words)):
            call()
