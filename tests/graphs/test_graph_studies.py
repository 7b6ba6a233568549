"""Graphs through the main jobs: choose, study, train, evaluate, embed, on worlds drawn here."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from goodviews.cli import main
from goodviews.data.graphs import load_graphs, permuted
from goodviews.interfaces import UserError
from goodviews.studies.graphs import choose as choosing
from goodviews.studies.graphs.choose import GRAPH_BUDGETS as BUDGETS
from goodviews.studies.graphs.choose import choose_graph, plan, spend
from goodviews.studies.graphs.curve import claimed
from goodviews.studies.graphs.frozen import load_graph_run
from goodviews.studies.graphs.methods import graph_methods
from goodviews.studies.graphs.missing import missing_links
from goodviews.studies.graphs.runs import train_graph
from goodviews.studies.graphs.tasks import held_out, raw_vectors, task_of
from goodviews.studies.graphs.views import graph_views

WORLD = "sbm:nodes=90,blocks=3,inside=0.3,between=0.03,features=12"


def hush(line):
    """Takes what would be printed."""


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    out = tmp_path_factory.mktemp("graph") / "study"
    return choose_graph(
        WORLD, task="links", families="edge-removal=0.1:0.8", seeds=2, epochs=4, out=out, echo=hush
    )


def test_choose_gives_the_page_and_a_recipe(chosen):
    study = json.loads((chosen.out / "study.json").read_text())
    assert study["words"]["probe"] == "link AUC"
    assert chosen.recipe is not None and chosen.recipe.first
    page = (chosen.out / "report.html").read_text()
    assert "link AUC" in page and "Linear probe" not in page
    assert "held-out images" not in page and "raw pixels" not in page
    done = [row for row in chosen.rows if row.kind == "candidate"]
    assert len(done) == 4 and all(row.status == "done" for row in done), done[0].error
    assert all(0.4 < row.linear <= 1 and row.nats <= row.ceiling for row in done)


def test_choose_says_where_links_join_what_differs(tmp_path):
    said = {}
    for between, encoder in ((0.3, "gcn"), (0.3, "mlp"), (0.02, "gcn")):
        told = []
        choose_graph(
            f"sbm:nodes=60,blocks=2,inside=0.1,between={between}", task="nodes", encoder=encoder,
            families="feature-masking=0.2:0.5", seeds=1, epochs=1, budget="quick",
            out=tmp_path / f"{between}{encoder}", echo=told.append,
        )  # fmt: skip
        said[between, encoder] = any("Compare --encoder mlp" in line for line in told)
    assert said == {(0.3, "gcn"): True, (0.3, "mlp"): False, (0.02, "gcn"): False}


def test_choose_resumes_and_refuses_other_settings(chosen):
    told = []
    again = choose_graph(
        WORLD, task="links", families="edge-removal=0.1:0.8", seeds=2, epochs=4, out=chosen.out,
        echo=told.append,
    )  # fmt: skip
    assert any("already" in line for line in told)
    assert [r.to_dict() for r in again.rows] == [r.to_dict() for r in chosen.rows]
    with pytest.raises(UserError, match="other settings"):
        choose_graph(WORLD, task="nodes", seeds=2, epochs=4, out=chosen.out, echo=hush)


def test_no_hidden_link_is_seen_in_training():
    task = task_of("links", load_graphs(WORLD))
    scene = task.scene(3)
    seen = {tuple(pair) for pair in scene.graphs[0].edge_index.t().tolist()}
    whole = {tuple(pair) for pair in task.data.edge_index.t().tolist()}
    assert seen < whole and len(whole) - len(seen) >= 2 * round(0.1 * len(whole) / 2)


def test_tasks_refuse_what_does_not_suit():
    one = load_graphs(WORLD)
    with pytest.raises(UserError, match="--task links or --task nodes"):
        task_of("graphs", one)
    with pytest.raises(UserError, match="unknown 'link'"):
        task_of("link", one)
    bare = load_graphs(WORLD, labels="none")
    with pytest.raises(UserError, match="needs labels"):
        task_of("nodes", bare).scene(0)


def test_held_out_nodes_are_no_part_of_the_contrast():
    scene = task_of("nodes", load_graphs(WORLD)).scene(1)
    both = torch.cat([scene.heldout, scene.contrasted]).sort().values
    assert torch.equal(both, torch.arange(90))
    assert torch.equal(held_out(90, 1), scene.heldout)


def test_a_plan_has_baselines_and_all_values():
    jobs = plan("edge-removal=0.1:0.2,feature-masking", spend(BUDGETS["quick"], seeds=1))
    names = [job.candidate for job in jobs]
    assert names[:4] == ["raw features", "untrained network", "edge-removal=0.1",
                         "edge-removal=0.2"]  # fmt: skip
    assert 2 <= sum(name.startswith("feature-masking") for name in names) <= 4
    with pytest.raises(UserError, match="unknown 'edge-removel'"):
        plan("edge-removel", BUDGETS["quick"])
    with pytest.raises(UserError, match="no number"):
        plan("edge-removal=x", BUDGETS["quick"])


def test_the_missing_link_curve(tmp_path):
    found = missing_links(
        WORLD, variants="adamic-adar,raw features,edge-removal=0.3,resample=0.3", hidden="0.2,0.6",
        seeds=2, epochs=3, out=tmp_path / "m", echo=hush,
    )  # fmt: skip
    assert all(row.status == "done" for row in found.rows), [r.error for r in found.rows]
    auc = {(r.family, r.value, r.seed): r.linear for r in found.rows}
    assert auc["adamic-adar", 0.2, 0] > auc["adamic-adar", 0.6, 0]  # fewer links, fewer hints
    (claim,) = found.record["claims"]  # along the whole curve, seed by seed
    by_seed = [
        sum(auc["resample=0.3", s, seed] - auc["edge-removal=0.3", s, seed] for s in (0.2, 0.6)) / 2
        for seed in (0, 1)
    ]
    assert claim["value"] == pytest.approx(sum(by_seed) / 2)
    assert claim["half"] == pytest.approx(abs(by_seed[0] - by_seed[1]) / 2 * 12.706, rel=1e-3)
    assert "report.html" in {path.name for path in (tmp_path / "m").iterdir()}


def test_any_method_can_be_asked_for_missing_links(tmp_path):
    found = missing_links(
        WORLD, variants="grace,mvgrl,gae,hidden-links=0.5+feature-masking=0.3", hidden="0.3",
        seeds=1, epochs=1, out=tmp_path / "m", echo=hush,
    )  # fmt: skip
    assert all(row.status == "done" for row in found.rows), [r.error for r in found.rows]


def test_our_views_are_judged_against_uniform_dropping_with_the_same_beside():
    asked = [
        "edge-removal=0.3", "edge-removal=0.7+feature-masking=0.3", "feature-masking=0.3",
        "hidden-links=0.5", "resample=0.2+feature-masking=0.3", "learned=1",
    ]  # fmt: skip
    assert [(c.better.arm, c.worse.arm) for c in claimed(asked)] == [
        ("hidden-links=0.5", "edge-removal=0.3"),
        ("learned=1", "edge-removal=0.3"),
        ("resample=0.2+feature-masking=0.3", "edge-removal=0.7+feature-masking=0.3"),
    ]
    for wrong in ("hidden-links", "hidden-links=x", "learned=1+resample=0.2", "hiddn-links=1"):
        with pytest.raises(UserError, match="--variants"):
            missing_links(WORLD, variants=wrong)


def test_methods_are_set_beside_their_baselines(tmp_path):
    found = graph_methods(
        WORLD, task="links", variants="grace,gae", seeds=2, epochs=2, out=tmp_path / "g", echo=hush
    )
    assert all(row.status == "done" for row in found.rows), [r.error for r in found.rows]
    assert [claim["words"] for claim in found.record["claims"]] == [
        "grace beats raw features", "gae beats raw features",
        "grace beats untrained network", "gae beats untrained network",
    ]  # fmt: skip
    raw = [row.linear for row in found.rows if row.candidate == "raw features"]
    assert len(set(raw)) == 2  # each seed hides other links


def test_graph_views_asks_for_links_and_nodes(tmp_path):
    found = graph_views(
        WORLD, variants="edge-removal=0.1:0.5:0.9", seeds=2, epochs=3, out=tmp_path / "v", echo=hush
    )
    assert all(row.status == "done" for row in found.rows), [r.error for r in found.rows]
    assert {name.rpartition(", ")[2] for name in {r.candidate for r in found.rows}} == {
        "links", "nodes",
    }  # fmt: skip
    assert len(found.record["claims"]) == 2


def test_learned_views_never_see_the_hidden_links(tmp_path, monkeypatch):
    seen = []
    before = choosing.learned_recipe

    def watched(graph, *args, **options):
        seen.append({tuple(pair) for pair in graph.edge_index.t().tolist()})
        return before(graph, *args, **options)

    monkeypatch.setattr(choosing, "learned_recipe", watched)
    found = choose_graph(
        WORLD, task="links", families="learned=1", seeds=2, epochs=4, out=tmp_path / "c", echo=hush
    )
    assert [row.status for row in found.rows] == ["done"] * 6, [row.error for row in found.rows]
    whole = {tuple(pair) for pair in load_graphs(WORLD).graphs[0].edge_index.t().tolist()}
    assert [len(pairs) < len(whole) for pairs in seen] == [True, True, False]  # last: the recipe
    assert found.recipe is not None and found.recipe.first[0].name == "learned_drop"


def test_learn_views_writes_a_recipe_that_train_takes(tmp_path, capsys):
    out = tmp_path / "l"
    words = ["learn-views", "--data", WORLD, "--task", "links", "--budget-nats", "1"]
    assert main([*words, "--seeds", "2", "--epochs", "4", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "kept of links within a class" in told
    train_graph(
        "grace", WORLD, views=str(out / "recipe.yaml"), epochs=2, baseline_seeds=1,
        out=tmp_path / "t", echo=hush,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("graph-run") / "run"
    return train_graph("grace", WORLD, epochs=5, baseline_seeds=2, out=out, echo=hush)


def test_a_run_is_loaded_as_it_was(run):
    data = load_graphs(WORLD).graphs[0]
    again = load_graph_run(run.out)
    assert torch.equal(again(data), run.method.embed(data))
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    moved = again(permuted(data, order))
    assert torch.allclose(moved, again(data)[order], atol=1e-5) or torch.allclose(
        moved[order], again(data), atol=1e-5
    )


def test_evaluate_and_embed_from_the_command_line(run, tmp_path, capsys):
    assert main(["embed", str(run.out), "--out", str(tmp_path / "z.npz")]) == 0
    z = np.load(tmp_path / "z.npz")
    assert z["embeddings"].shape[0] == 90 and len(z["labels"]) == 90
    assert main(["evaluate", str(run.out), "--baseline-seeds", "1"]) == 0
    assert "this run" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, line",
    [
        (["choose", "--data", WORLD, "--task", "links", "--image-size", "3"], "means nothing on"),
        (["choose", "--data", WORLD, "--hard", "degree"], "Add --task"),
        (["choose", "--data", "cora", "--task", "nodes"], "needs --data-root"),
        (["train", "grace", "--data", WORLD, "--jigsaw"], "--jigsaw: means nothing on graphs"),
        (["choose", "--data", "sbm:nodes=4,blocks=2", "--task", "links"], "too few"),
        (["study", "missing-links", "--data", WORLD, "--hidden", "1.5"], "--hidden"),
        (["study", "missing-links", "--data", WORLD, "--variants", "resample"], "resample=0.3"),
    ],
)
def test_mistakes_are_told_in_one_line(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert line in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_sets_of_graphs_are_embedded_one_by_one():
    graphs = [load_graphs(f"sbm:nodes={n},blocks=2,inside=0.6,between=0.2").graphs[0]
              for n in (12, 20)]  # fmt: skip
    assert torch.allclose(raw_vectors(graphs)[1], graphs[1].x.mean(0), atol=1e-6)


def test_a_missing_extra_is_told_in_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("goodviews.cli.graphs.importlib.util.find_spec", lambda name: None)
    for words in (
        ["choose", "--data", WORLD, "--task", "links"],
        ["train", "grace", "--data", WORLD],
        ["list", "graphs"],
    ):
        assert main(words) == 2
        assert 'pip install "goodviews[graph]"' in capsys.readouterr().err


def test_images_need_no_torch_geometric():
    code = (
        "import sys; sys.modules['torch_geometric'] = None; "
        "import goodviews.cli, goodviews.studies.catalogue, goodviews.studies.choose, "
        "goodviews.studies.runs, goodviews.training.fit, goodviews.evaluation.task"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
