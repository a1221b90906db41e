"""A run that was trained for one sweep is copied for another that asks for the same."""

import json

import numpy as np
import pytest

from dbeta_lib.sweeps import read_runs, read_sweep, run_all
from dbeta_lib.sweeps import run as engine

ROWS = """\
- {name: full, group: added}
- {name: full again, group: left out, note: the same}
- {name: other, overrides: {negatives: random}}
"""


@pytest.fixture
def trained(monkeypatch):
    """Names of the runs that were really trained."""
    names, outcome = [], engine._outcome
    monkeypatch.setattr(
        engine, "_outcome", lambda run, *rest: names.append(run.name) or outcome(run, *rest)
    )
    return names


def test_one_training_serves_two_rows_and_another_sweep(store, write_sweep, trained, tmp_path):
    path, said = write_sweep(ROWS), []
    assert run_all(read_sweep(path).runs, store, tmp_path, say=said.append) == []
    assert trained == ["full", "other"]
    assert said[1] == "[2/3] small, full again, seed 0: the same as small: full, copied"
    full, again, _ = read_runs(tmp_path, "small")
    for name, array in full.scores.items():
        assert np.array_equal(array, again.scores[name])
    assert again.facts["copied_from"] == "small: full" and "copied_from" not in full.facts
    assert (again.group, again.facts["note"], again.facts["order"]) == ("left out", "the same", 1)
    differ = {k for k, v in full.facts.items() if again.facts[k] != v}
    assert differ == {"name", "group", "order", "note"}
    assert {r.encoder for r in again.results} == {"full again"}
    assert [r.value for r in again.results] == pytest.approx([r.value for r in full.results])

    other = path.with_name("another.yaml")
    other.write_text(path.read_text())
    assert run_all(read_sweep(other).runs, store, tmp_path, say=said.append) == []
    assert trained == ["full", "other"], "nothing was trained again"
    assert all(run.facts["copied_from"] for run in read_runs(tmp_path, "another"))
    assert said[-1].endswith("other, seed 0: the same as small: other, copied")
    run_all(read_sweep(other).runs, store, tmp_path, say=said.append)
    assert said[-1].endswith("finished before")


def test_what_differs_or_is_damaged_is_no_twin(store, write_sweep, trained, tmp_path):
    path = write_sweep(ROWS)
    runs = read_sweep(path).runs
    run_all(runs[:1], store, tmp_path, say=str)
    folder = runs[0].folder(tmp_path)
    facts = json.loads((folder / "run.json").read_text())
    facts["identity"]["seed"] = 1
    (folder / "run.json").write_text(json.dumps(facts))
    run_all(runs[1:2], store, tmp_path, say=str)
    assert trained == ["full", "full again"]
    (runs[1].folder(tmp_path) / "scores.npz").write_bytes(b"cut")
    run_all(runs[:1], store, tmp_path, say=str)
    assert trained == ["full", "full again", "full"]


def test_a_model_that_is_to_be_kept_is_trained(store, write_sweep, trained, tmp_path):
    path = write_sweep(ROWS)
    run_all(read_sweep(path, keep_models=True).runs[:2], store, tmp_path, say=str)
    assert trained == ["full", "full again"]
