"""AMDIM and local DIM as methods: what they predict, what the probes may not touch, any views."""

import copy
import math

import pytest
import torch

from goodviews.interfaces import Batch, UserError
from goodviews.methods import METHODS, step_generator
from goodviews.views import Recipe

SHAPE = (3, 32, 32)


def images(n=8, seed=0, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (n, shape[0], 4, 4), generator=generator)
    return coarse.repeat_interleave(8, 2).repeat_interleave(8, 3).to(torch.uint8)


def make(name="amdim", recipe="amdim-cifar", encoder="amdim-tiny", shape=SHAPE, **options):
    return METHODS[name](Recipe.load(recipe).build(shape), encoder, shape, **options)


def step(method, labels=None, n=8, partners=None, shape=SHAPE):
    """Loss of the first step and what it logs."""
    logged = {}
    method.log_dict = lambda values, **kwargs: logged.update(values)
    batch = Batch(images(n, shape=shape), partners, labels, torch.arange(n))
    return method.training_step(batch, 0), logged


def test_probes_never_reach_the_encoder():
    plain, probed = make(), make(classes=3)
    probed.load_state_dict(plain.state_dict(), strict=False)
    step(plain)[0].backward()
    loss, logged = step(probed, labels=torch.arange(8) % 3)
    loss.backward()
    assert loss.item() > logged["loss"].item()  # the probes' part
    for one, two in zip(plain.encoders.parameters(), probed.encoders.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad)
    assert all(p.grad is not None for p in probed.classifiers.parameters())


def test_unlabelled_images_train_no_probe():
    loss, logged = step(make(classes=3), labels=torch.full((8,), -1))
    assert loss.item() == pytest.approx(logged["loss"].item())


def test_nats_by_scale_and_their_ceilings():
    _, logged = step(make())
    five, seven = math.log(1 + 7 * 25), math.log(1 + 7 * 49)
    assert logged["ceiling"] == pytest.approx((2 * five + seven) / 3)
    parts = [logged[f"nats_{pair}"] for pair in ("1to5", "1to7", "5to5")]
    assert logged["nats"].item() == pytest.approx(torch.stack(parts).mean().item(), abs=1e-6)
    assert all(part <= limit for part, limit in zip(parts, (five, seven, five), strict=True))


def test_features_of_all_views_in_one_pass_are_those_of_each():
    method = make().eval()
    v1, v2 = method.views(images(), step_generator(0, 0))
    with torch.no_grad():
        together = method.features(v1, v2)
        apart = [method.features(view)[0] for view in (v1, v2)]
    for one, two in zip(together, apart, strict=True):
        assert torch.allclose(one.summary, two.summary, atol=1e-5)
        for side in (5, 7):
            assert torch.allclose(one.local[side], two.local[side], atol=1e-5)


def test_pair_scores_are_means_of_clipped_scores():
    method = make(pairs=["1-7"], clip=2.0).eval()
    v1, v2 = method.views(images(5), step_generator(0, 0))
    with torch.no_grad():
        found = method.pair_scores(v1, v2)
        one, two = method.features(v1, v2)
    expected = torch.zeros(5, 5)
    for i in range(5):
        for j in range(5):
            for y in range(7):
                for x in range(7):
                    for antecedent, consequent, a, c in ((one, two, i, j), (two, one, j, i)):
                        score = antecedent.summary[a] @ consequent.local[7][c, :, y, x] / 16
                        expected[i, j] += 2.0 * torch.tanh(score / 2.0) / (2 * 49)
    assert torch.allclose(found, expected, atol=1e-5)


def test_local_dim_reads_one_view_only():
    loss, logged = step(make("dim", "none"))
    assert set(logged) >= {"nats_1to7"} and "nats_1to5" not in logged
    method = make("dim", "amdim-cifar")
    first = method.views(images(), step_generator(0, 0)).v1
    expected = method.objective(method.features(first)).loss
    assert step(method)[0].item() == pytest.approx(expected.item(), rel=1e-4)
    for bound in ("donsker-varadhan", "jensen-shannon"):
        assert torch.isfinite(step(make("dim", "none", bound=bound))[0])


def test_more_than_two_views_meet():
    loss, logged = step(make(n_views=4))
    assert torch.isfinite(loss) and logged["ceiling"] == step(make())[1]["ceiling"]


def test_views_of_different_channels_have_an_encoder_each():
    recipe = Recipe.from_dict({"name": "lab", "split": {"color_space": {"space": "lab"}}})
    method = make(recipe=recipe, classes=2)
    assert len(method.encoders) == 2
    loss, _ = step(method, labels=torch.arange(8) % 2)
    loss.backward()
    assert method(images()).shape == (8, 512)
    with pytest.raises(UserError, match="--n-views: 3"):
        make(recipe=recipe, n_views=3)


def test_paired_images_are_the_second_view():
    method = make(recipe={"name": "pairs", "partners": ["digit"]})
    loss, _ = step(method, partners=images(seed=1))
    other, _ = step(method, partners=images(seed=2))
    assert loss.item() != other.item()


@pytest.mark.parametrize("k", [1, 3])
def test_a_mixture_trains_its_heads(k):
    method = make(mixture=k)
    step(method)[0].backward()
    assert all(p.grad is not None for p in method.objective.heads.parameters())


def test_no_parameter_is_idle():
    for method in (make(), make(pairs=["1-7"]), make("dim", "none")):
        step(method)[0].backward()
        idle = [name for name, p in method.named_parameters() if p.grad is None]
        assert not idle


def test_a_copy_draws_the_same():
    method = make()
    twin = copy.deepcopy(method)
    assert step(method)[0].item() == step(twin)[0].item()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encoder": "convnet"}, "--encoder: convnet has no local features"),
        ({"pairs": ["1>7"]}, "--pairs: '1>7'"),
        ({"pairs": ["1-9"]}, "--pairs: amdim-tiny makes no map 9 wide. Use 1, 5, 7"),
        ({"shape": (3, 24, 24)}, "32, 64 or 128"),
    ],
)
def test_what_cannot_be_is_told(options, words):
    with pytest.raises(UserError, match=words):
        make(**options)
