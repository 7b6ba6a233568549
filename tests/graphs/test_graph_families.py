"""Recipes and families of graph views."""

from __future__ import annotations

import pytest
import torch
import yaml
from torch_geometric.data import Batch, Data

from goodviews.interfaces import UserError
from goodviews.views.graphs import (
    GRAPH_FAMILIES,
    GRAPH_RECIPES,
    DropNodes,
    GraphRecipe,
    LinkDropper,
    MaskFeatures,
    MaskUnimportant,
    OneOf,
    PersonalisedPageRank,
    RemoveBetween,
    RemoveLinks,
    RemoveUnimportant,
)
from goodviews.views.graphs.link_sets import with_links

RECIPES = pytest.mark.parametrize("name", GRAPH_RECIPES)
FAMILIES = pytest.mark.parametrize("name", GRAPH_FAMILIES)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def ring(n=20, features=6):
    """A ring with a chord over two from every other node: triads, and pairs left open."""
    at = torch.arange(n)
    ends = torch.stack((torch.cat((at, at[::2])), torch.cat(((at + 1) % n, (at[::2] + 2) % n))))
    return with_links(Data(x=torch.rand(n, features, generator=seeded(9)) + 0.1), ends)


def same(one, two):
    keys = {"x", "edge_index", "edge_weight", "kept"}
    assert keys & set(one.keys()) == keys & set(two.keys())
    return all(torch.equal(one[key], two[key]) for key in keys & set(one.keys()))


def by_hand(recipe, data, generator):
    """The recipe op by op, nothing prepared ahead."""
    for op in recipe.shared:
        data = op(data, generator)
    views = []
    for chain in (recipe.first, recipe.second):
        view = data
        for op in chain:
            view = op(view, generator)
        views.append(view)
    return views


@RECIPES
def test_bound_recipe_is_the_chain_op_by_op(name):
    recipe = GRAPH_RECIPES[name]
    for data in (ring(), Batch.from_data_list([ring(), ring(8)])):
        draw, generator, hand = recipe.bind(data), seeded(), seeded()
        for _ in range(3):
            bound, truth = draw(generator), by_hand(recipe, data, hand)
            assert all(same(a, b) for a, b in zip(bound, truth, strict=True))
            assert all(view is not data and view.x.shape == data.x.shape for view in bound)


def test_what_an_op_reads_is_prepared_anew_when_an_op_before_changes_it():
    data = ring()
    chains = (
        (RemoveLinks(0.5), RemoveBetween(0.3), RemoveUnimportant(0.4)),
        (DropNodes(0.3), PersonalisedPageRank(0.2)),
        (MaskFeatures(0.3), MaskUnimportant(0.5), RemoveBetween(0.3)),
    )
    for chain in chains:
        recipe = GraphRecipe(first=chain, second=chain, shared=(RemoveLinks(0.1),))
        draw, generator, hand = recipe.bind(data), seeded(), seeded()
        for _ in range(3):
            pairs = zip(draw(generator), by_hand(recipe, data, hand), strict=True)
            assert all(same(a, b) for a, b in pairs)


def test_bind_prepares_once(monkeypatch):
    count = []
    plain = PersonalisedPageRank.prepare
    monkeypatch.setattr(
        PersonalisedPageRank, "prepare", lambda op, data: count.append(1) or plain(op, data)
    )
    draw = GRAPH_RECIPES["mvgrl"].bind(ring())
    views = [draw(seeded(i)) for i in range(3)]
    assert len(count) == 1 and same(views[0][1], views[2][1])
    late = GraphRecipe(second=(RemoveLinks(0.2), PersonalisedPageRank())).bind(ring())
    assert len(count) == 1
    assert not same(late(seeded(1))[1], late(seeded(2))[1]) and len(count) == 3


def test_shared_ops_are_drawn_once_for_both_views():
    recipe = GraphRecipe(shared=(RemoveLinks(0.5), MaskFeatures(0.5)))
    v1, v2 = recipe(ring(), seeded())
    assert same(v1, v2) and v1.num_edges < ring().num_edges


@RECIPES
def test_recipe_survives_yaml(name, tmp_path):
    recipe = GRAPH_RECIPES[name]
    assert recipe.name == name
    plain = yaml.safe_load(yaml.safe_dump(recipe.to_dict()))
    assert GraphRecipe.from_dict(plain) == recipe
    recipe.save(tmp_path / "views.yaml")
    assert GraphRecipe.load(tmp_path / "views.yaml") == recipe
    assert GraphRecipe.load(name.upper().replace("-", "_")) is recipe


def test_published_strengths():
    """Zhu et al. 2020: p_e and p_f of both views."""
    published = {
        "grace": ((0.2, 0.3), (0.4, 0.4)),
        "grace-citeseer": ((0.2, 0.3), (0.0, 0.2)),
        "grace-pubmed": ((0.4, 0.0), (0.1, 0.2)),
    }
    for name, truth in published.items():
        recipe = GRAPH_RECIPES[name]
        found = tuple(tuple(op.p for op in chain) for chain in (recipe.first, recipe.second))
        assert found == truth
        assert {op.name for op in recipe.first} == {"remove_links", "mask_features"}
        assert all(op.by == "dimension" for op in recipe.first if isinstance(op, MaskFeatures))


def test_gca_weighs_by_the_whole_graph():
    names = [op.name for op in GRAPH_RECIPES["gca"].first]
    assert names == ["mask_unimportant", "remove_unimportant"]


def test_one_of_draws_each_as_often():
    op = OneOf((DropNodes(0.5), RemoveLinks(1.0), MaskFeatures(1.0)))
    data, generator, seen = ring(), seeded(), {"nodes": 0, "links": 0, "features": 0}
    for _ in range(300):
        view = op(data, generator)
        kind = "nodes" if "kept" in view else "links" if view.num_edges == 0 else "features"
        seen[kind] += 1
    assert all(70 < count < 130 for count in seen.values())
    assert op.strength == pytest.approx(2.5 / 3)
    assert OneOf(({"remove_links": {"p": 0.0}},)).idle


def test_learned_op_in_a_recipe_file_is_found_beside_it(tmp_path):
    dropper = LinkDropper(6)
    dropper.save(tmp_path / "sub" / "d.safetensors")
    entry = {"learned_drop": {"path": "d.safetensors"}}
    text = yaml.safe_dump({"first": [entry, {"one_of": {"ops": [entry]}}]})
    (tmp_path / "sub" / "views.yaml").write_text(text)
    recipe = GraphRecipe.load(tmp_path / "sub" / "views.yaml")
    assert recipe.first[0] == dropper.to_recipe_op() == recipe.first[1].ops[0]
    again = GraphRecipe.from_dict(yaml.safe_load(yaml.safe_dump(recipe.to_dict())))
    assert again == recipe
    views = recipe(ring(), seeded())
    assert views[0].num_edges < ring().num_edges


@pytest.mark.parametrize(
    ("plain", "line"),
    [
        ({"frist": []}, "recipe key: 'frist' is unknown. Did you mean 'first'?"),
        ({"first": ["remove_link"]}, "op: 'remove_link' is unknown. Did you mean 'remove_links'?"),
        ({"first": [{"remove_links": {"q": 1}}]}, "remove_links setting: 'q' is unknown"),
        ({"first": [{"remove_links": {"p": 2}}]}, "remove_links.p: 2 is out of range"),
        ({"first": [{"remove_links": {"p": "a"}}]}, "remove_links.p: a is out of range"),
        ({"first": {"remove_links": {}}}, "is no list. Put a `-` before each op"),
        ({"first": [{"one_of": {"ops": ["drop_node"]}}]}, "Did you mean 'drop_nodes'"),
        ({"first": ["one_of"]}, "one_of.ops: empty"),
        ([], "is no mapping"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(plain, line):
    with pytest.raises(UserError) as error:
        GraphRecipe.from_dict(plain)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_a_wrong_source_is_one_clear_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("first: [")
    for source, line in (
        ("graec", "--views: 'graec' is unknown. Did you mean 'grace'?"),
        (tmp_path / "gone.yaml", "does not exist"),
        (tmp_path / "bad.yaml", "is not valid YAML"),
    ):
        with pytest.raises(UserError, match=line) as error:
            GraphRecipe.load(source)
        assert "\n" not in str(error.value)


# --- families ----------------------------------------------------------------------------------

WANTED = [
    "edge-removal",
    "edge-addition",
    "feature-masking",
    "node-dropping",
    "subgraph",
    "diffusion",
    "rewiring",
    "attribute-shuffle",
    "community-removal",
    "degree-removal",
    "spectral",
    "resample",
    "complete",
    "hidden-links",
]


def test_the_catalogue_has_the_families_that_are_asked_for():
    assert set(WANTED) <= set(GRAPH_FAMILIES)


@FAMILIES
def test_family_goes_from_the_weakest_to_the_strongest(name):
    family, data = GRAPH_FAMILIES[name], ring()
    assert list(family.values) == sorted(set(family.values)) and len(family.values) >= 5
    assert family.words.endswith(".") and family.dial and family.title
    strengths = []
    for value in family.values:
        recipe = family.recipe(value)
        assert recipe.name == f"{name}={value:g}"
        assert GraphRecipe.from_dict(recipe.to_dict()) == recipe
        v1, v2 = recipe(data, seeded())
        assert v1.x.shape == v2.x.shape == data.x.shape
        ops = recipe.first + recipe.second + recipe.shared
        strengths.append(max(op.strength for op in ops))
        assert bool(recipe.shared) == family.shared
        assert family.single or recipe.first == recipe.second
    assert strengths == sorted(set(strengths))
    if family.values[0] == 0:
        assert all(same(view, data) for view in family.recipe(0)(data, seeded()))


@FAMILIES
def test_family_turns_only_its_own_dial(name):
    base = GraphRecipe.load("grace")
    recipe = GRAPH_FAMILIES[name].recipe(GRAPH_FAMILIES[name].values[2], base)
    own = {op.name for op in GRAPH_FAMILIES[name].recipe(GRAPH_FAMILIES[name].values[2]).second}
    assert [op.name for op in recipe.shared] == ["hide_links"] * GRAPH_FAMILIES[name].shared
    for chain, before in ((recipe.first, base.first), (recipe.second, base.second)):
        rest = [op for op in chain if op.name not in own]
        assert rest == [op for op in before if op.name not in own]
        assert len({op.name for op in chain}) == len(chain)


def test_a_wrong_value_is_one_clear_line():
    with pytest.raises(UserError, match=r"remove_links.p: 1.5 is out of range"):
        GRAPH_FAMILIES["edge-removal"].recipe(1.5)
