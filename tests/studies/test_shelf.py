"""Runs and studies side by side."""

import json

import pytest

from goodviews.interfaces import UserError
from goodviews.studies.shelf import shelf, shelf_table


def test_runs_and_studies_are_listed_with_their_numbers(tmp_path):
    run, study, broken = tmp_path / "a", tmp_path / "deep" / "b", tmp_path / "c"
    for folder in (run, study, broken):
        folder.mkdir(parents=True)
    (run / "config.yaml").write_text("method: simclr\ndata: digits\nviews: {name: mine}\n")
    (run / "encoder.json").write_text("{}")
    probes = {
        "rows": [{"name": "raw pixels", "linear": 0.1}, {"name": "this run", "linear": 0.625}]
    }
    (run / "probes.json").write_text(json.dumps(probes))
    (broken / "config.yaml").write_text("method: infonce\n")
    (study / "rows.jsonl").write_text("")
    (study / "settings.json").write_text('{"data": "factors"}')
    best = {"candidate": "grey=0.2", "recommended": True, "linear": 0.5, "knn": None, "nats": 1.25}
    (study / "study.json").write_text(json.dumps({"summary": [best]}))
    entries = {e["folder"].rsplit("/", 1)[-1]: e for e in shelf(tmp_path)}
    assert entries["a"]["linear %"] == "62.5" and entries["a"]["views"] == "mine"
    assert entries["b"]["I_NCE"] == "1.25" and entries["b"]["views"] == "grey=0.2"
    assert entries["b"]["kNN %"] == "-"
    assert [entries[name]["state"] for name in "abc"] == ["done", "done", "unfinished"]
    assert len(shelf_table(list(entries.values())).splitlines()) == 4


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no run and no study"):
        shelf(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        shelf(tmp_path / "x")
