"""Bank, queue, momentum encoder and JigSaw branch against their formulas, term by term."""

import math

import pytest
import torch
from torch import nn

from goodviews.interfaces import Batch, UserError
from goodviews.methods import METHODS
from goodviews.methods.momentum import JigSawHead
from goodviews.studies.frozen import Design, export, load
from goodviews.studies.presets import PRESETS
from goodviews.views import Recipe

SHAPE, IMAGES = (3, 16, 16), 12
NAMED = ("instdis", "cmc", "moco", "moco-v2", "pirl", "cmc-v2", "infomin")


def batch(n=6, first=0):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, *SHAPE), dtype=torch.uint8, generator=generator)
    index = torch.arange(first, first + n)
    return Batch(pixels[index], None, None, index)


def make(name, recipe="simclr", **options):
    views = Recipe.load(recipe).build(SHAPE)
    options = {"images": IMAGES, "negatives": 5, "projection_dim": 8, **options}
    return METHODS[name](views, "convnet-half", SHAPE, **options)


def normalised(z):
    return nn.functional.normalize(z.detach().double(), dim=1)


def slow(anchors, positives, negatives, temperature):
    """Mean of -log softmax, term by term; negatives (n, K, d)."""
    losses = []
    for z, positive, others in zip(normalised(anchors), positives, negatives, strict=True):
        scores = [math.exp(float(z @ row) / temperature) for row in [positive, *others]]
        losses.append(-math.log(scores[0] / sum(scores)))
    return sum(losses) / len(losses)


def quiet(method):
    """Batch norm by its running numbers, and the draws of the next step at hand."""
    return method.eval(), method.draw()


@pytest.mark.parametrize("name", NAMED)
def test_small_and_published_presets_have_the_parts_of_the_method(name):
    """What a preset says and what the function does by itself is the same."""
    alone = make(name, views_of(name), negatives=None)
    for preset in (PRESETS[name], PRESETS[f"{name}-paper"]):
        assert preset["method"] == name
        keys = ("memory", "jigsaw", "head", "temperature")
        told = make(name, preset["views"], negatives=None, **{key: preset[key] for key in keys})
        assert type(told) is type(alone) and told.critic.temperature == alone.critic.temperature
        assert told.state_dict().keys() == alone.state_dict().keys()
    assert len(alone.encoders) == (2 if name.startswith("cmc") else 1)
    assert (alone.jigsaw is not None) == (name in ("pirl", "infomin"))


def views_of(name):
    return PRESETS[name]["views"]


@pytest.mark.parametrize("name", ["instdis", "pirl"])
def test_a_banks_loss_is_its_loop(name):
    method, _ = quiet(make(name, jigsaw_weight=0.3 if name == "pirl" else None))
    some, before = batch(), make(name).memories[0].rows.double()
    generator = method.draw()
    v1, _ = method.views(some.images, generator)
    z = method.embed(0, v1)
    places = method.memories[0].draw(some.index, 5, generator)
    rows = before[places]
    expected = slow(z, rows[:, 0], rows[:, 1:], 0.07)
    nats = math.log(6) - expected
    if name == "pirl":
        (puzzle,) = method.puzzles(some.images, 1, generator)
        expected = 0.7 * expected + 0.3 * slow(puzzle, rows[:, 0], rows[:, 1:], 0.07)
    found = method.contrast(some, method.draw())
    assert found.loss.item() == pytest.approx(expected, abs=1e-5)
    assert found.nats.item() == pytest.approx(nats, abs=1e-5)
    after = before.clone()
    after[some.index] = normalised(0.5 * before[some.index] + 0.5 * normalised(z))
    torch.testing.assert_close(method.memories[0].rows.double(), after, rtol=0, atol=1e-6)


def test_cmc_scores_each_side_against_the_others_bank():
    method, generator = quiet(make("cmc", "cmc"))
    some, banks = batch(), [bank.rows.double() for bank in method.memories]
    v1, v2 = method.views(some.images, generator)
    assert (v1.shape[1], v2.shape[1]) == (1, 2)
    z1, z2 = method.project(v1, v2)
    places = method.memories[0].draw(some.index, 5, generator)
    expected = sum(
        slow(z, rows[places[:, 0]], rows[places[:, 1:]], 0.07)
        for z, rows in ((z1, banks[1]), (z2, banks[0]))
    )
    found = method.contrast(some, method.draw())
    assert found.loss.item() == pytest.approx(expected, abs=1e-5)
    assert found.nats.item() == pytest.approx(math.log(6) - expected / 2, abs=1e-5)
    for bank, rows, z in zip(method.memories, banks, (z1, z2), strict=True):
        moved = normalised(0.5 * rows[some.index] + 0.5 * normalised(z))
        torch.testing.assert_close(bank.rows[some.index].double(), moved, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name, recipe", [("moco", "moco"), ("cmc-v2", "cmc-v2")])
def test_a_queues_loss_is_its_loop(name, recipe):
    method, generator = quiet(make(name, recipe))
    some, tau = batch(4), method.critic.temperature
    queues = [queue.rows.double() for queue in method.memories]
    views = method.views(some.images, generator)
    other = method.views(some.images, generator) if len(queues) == 2 else views[1:]
    keys = [normalised(method.embed(side, view)) for side, view in enumerate(other)]
    expected = sum(
        slow(method.embed(side, view), keys[-1 - side], queues[-1 - side].expand(4, -1, -1), tau)
        for side, view in enumerate(views[: len(queues)])
    )
    found = method.contrast(some, method.draw())
    assert found.loss.item() == pytest.approx(expected, abs=2e-5)
    for queue, rows, new in zip(method.memories, queues, keys, strict=True):
        torch.testing.assert_close(
            queue.rows.double(), torch.cat([new, rows[4:]]), rtol=0, atol=1e-6
        )
        assert queue.pointer == 4


def test_in_batch_negatives_are_infonce_in_both_directions():
    method, generator = quiet(make("moco-v2", memory="batch", negatives=None))
    some = batch()
    z1, z2 = method.project(*method.views(some.images, generator))
    u1, u2 = normalised(z1), normalised(z2)
    rest = [torch.tensor([j for j in range(6) if j != i]) for i in range(6)]
    expected = 0.5 * (
        slow(u1, u2, [u2[r] for r in rest], 0.2) + slow(u2, u1, [u1[r] for r in rest], 0.2)
    )
    found = method.contrast(some, method.draw())
    assert found.loss.item() == pytest.approx(expected, abs=1e-5)
    assert method.candidates(6) == 6


def test_the_momentum_encoder_moves_by_one_minus_alpha_and_gets_no_gradient():
    method = make("moco-v2", momentum_encoder=0.9).train()
    keys = list(method.keys.parameters())
    trained = [*method.encoders.parameters(), *method.heads.parameters()]
    before = [key.clone() for key in keys]
    with torch.no_grad():
        for weight in trained:
            weight.add_(1.0)
    method.contrast(batch(), method.draw()).loss.backward()
    for key, old, weight in zip(keys, before, trained, strict=True):
        torch.testing.assert_close(key, 0.9 * old + 0.1 * weight, rtol=0, atol=1e-6)
        assert key.grad is None and not key.requires_grad
        assert weight.grad is not None
    means = [name for name in method.state_dict() if name.endswith("running_mean")]
    mine, theirs = (
        [method.state_dict()[n] for n in means if n.startswith(part)]
        for part in ("encoders.", "keys.")
    )
    assert len(mine) == len(theirs) > 0
    for one, other in zip(mine, theirs, strict=True):  # by its own passes, not averaged
        assert other.abs().sum() > 0 and not torch.allclose(one, other)
    assert method.keys.training and all(part.training for part in method.keys.modules())


def test_dropout_of_the_momentum_encoder_is_off():
    method = make("moco-v2")
    method.keys["heads"][0].append(nn.Dropout(1.0))
    method.train().contrast(batch(), method.draw())
    assert method.memories[0].rows[:5].norm(dim=1).min() > 0.99


def test_the_jigsaw_branch_is_trained_and_weighed():
    method = make("infomin", jigsaw_weight=1.0).train()
    method.contrast(batch(), method.draw()).loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in method.jigsaw_heads.parameters() if p.dim() > 1)
    assert all(p.grad is None or not p.grad.any() for p in method.heads.parameters())
    assert any(p.grad.abs().sum() > 0 for p in method.encoders.parameters())
    method = make("infomin", jigsaw_weight=0.0).train()
    method.contrast(batch(), method.draw()).loss.backward()
    assert all(not p.grad.any() for p in method.jigsaw_heads.parameters())


def test_jigsaw_pieces_are_put_together_in_their_order():
    head, pieces = JigSawHead(4, 3, "linear"), torch.randn(2 * 9, 4)
    order = torch.stack([torch.randperm(9) for _ in range(2)])
    found = head(pieces, order)
    for i in range(2):
        row = [head.piece(pieces[9 * i + k][None])[0] for k in order[i].tolist()]
        torch.testing.assert_close(found[i], head.joined(torch.cat(row)), rtol=0, atol=1e-6)


def test_the_patches_of_a_colour_split_are_split_too():
    method = make("cmc", "cmc", jigsaw=True, memory="queue")
    found = method.contrast(batch(), method.draw())
    assert len(method.puzzles(batch().images, 2, method.draw())) == 2
    assert found.jigsaw is not None and torch.isfinite(found.loss)


def test_nce_keeps_its_z():
    method = make("instdis", loss="nce")
    found = method.contrast(batch(), method.draw())
    assert method.objective.known and method.objective.images == IMAGES
    assert 0 < found.loss.item() < 100 and found.nats <= math.log(6)


def test_negatives_are_at_most_the_images():
    assert make("moco", negatives=None).negatives == IMAGES
    assert make("moco", negatives=None, images=None).negatives == 65_536
    assert make("instdis", negatives=100).candidates(4) == IMAGES + 1


@pytest.mark.parametrize("name", ["infomin", "cmc"])
def test_a_frozen_encoder_has_no_memory(name, tmp_path):
    recipe = Recipe.load(views_of(name))
    options = {"projection_dim": 8, "negatives": 7}
    design = Design(name, "convnet-half", recipe, SHAPE, options)
    method = design.build(3, images=IMAGES)
    assert method.negatives == 7 and len(method.memories[0].rows) == (7, IMAGES)[name == "cmc"]
    method.train().contrast(batch(), method.draw())
    sample = method.eval()(batch().images)
    path = export(method, design, tmp_path, sample)
    names = {name.split(".")[0] for name in method.state_dict()}
    assert names >= {"encoders", "heads", "memories"}
    frozen = load(tmp_path)
    assert {name.split(".")[0] for name in frozen.state_dict()} == {"encoders", "heads"}
    weights = sum(p.numel() + 0 for p in frozen.state_dict().values())
    assert path.stat().st_size < 4 * weights + 20_000
    assert torch.equal(frozen(batch().images), sample)
    v1, v2 = method.views(batch().images, method.draw())
    assert torch.equal(frozen.pair_scores(v1, v2), method.pair_scores(v1, v2))
    with pytest.raises(UserError, match="frozen, its memory is gone"):
        frozen.contrast(batch(), frozen.draw())


@pytest.mark.parametrize(
    "name, recipe, options, words",
    [
        ("moco", "moco", {"memory": "bnak"}, "--memory: unknown 'bnak'. Did you mean 'bank'"),
        ("moco", "moco", {"head": "mpl"}, "--head: unknown 'mpl'"),
        ("moco", "moco", {"loss": "nce"}, "--loss nce: .* Add --memory bank"),
        ("moco", "moco", {"memory": "batch"}, "--negatives: .* Add --memory bank or queue"),
        ("instdis", "instdis", {"momentum_encoder": 0.9}, "--momentum-encoder: .* --memory queue"),
        ("moco", "moco", {"bank_momentum": 0.9}, "--bank-momentum: .* --memory bank"),
        ("moco", "moco", {"jigsaw_weight": 0.9}, "--jigsaw-weight: .* --jigsaw"),
        ("pirl", "instdis", {"jigsaw_weight": 1.5}, r"--jigsaw-weight: 1.5 is not in \[0, 1\]"),
        ("moco", "moco", {"momentum_encoder": 2.0}, r"--momentum-encoder: 2.0 is not in \[0, 1\]"),
        ("moco", "moco", {"negatives": 0}, "--negatives: 0 leaves none"),
        ("moco", "moco", {"temperature": 0.0}, "--temperature: 0.0"),
        ("moco", {"split": "halves"}, {"jigsaw": True}, "--jigsaw: the split halves"),
    ],
)
def test_options_that_do_not_go_together(name, recipe, options, words):
    with pytest.raises(UserError, match=words):
        make(name, recipe, **options)


def test_a_jigsaw_needs_an_encoder_of_patches():
    with pytest.raises(UserError, match="--jigsaw: the encoder mlp does not read patches of 5 px"):
        METHODS["pirl"](Recipe.load("none").build(SHAPE), "mlp", SHAPE, images=IMAGES)


def test_a_bank_needs_the_images_and_has_no_place_for_partners():
    method = make("instdis", images=None)
    with pytest.raises(UserError, match="images: a memory bank"):
        method.contrast(batch(), method.draw())
    paired = batch()._replace(partners=batch().images)
    method = make("instdis")
    with pytest.raises(UserError, match="--memory: a bank holds one row"):
        method.contrast(paired, method.draw())
