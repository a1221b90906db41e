"""Finished runs are copied whole, without their models, and read like those that were trained."""

import numpy as np
import pytest

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.sweeps import keep, read_runs, read_sweep, run_all

ROWS = "- {name: drawn, model: random}\n- {name: words, model: text-only}\n- {name: full}\n"


@pytest.fixture(scope="module")
def finished(store, write_sweep, tmp_path_factory):
    """Two of three rows finished, the first with its model."""
    out = tmp_path_factory.mktemp("out")
    runs = read_sweep(write_sweep(ROWS), keep_models=True).runs
    assert run_all(runs[:2], store, out, say=str) == []
    (runs[0].folder(out) / "training").mkdir(exist_ok=True)
    return runs, out


def test_what_is_finished_is_kept_and_reads_the_same(finished, tmp_path):
    runs, out = finished
    assert keep(runs, out, tmp_path / "kept") == 2
    kept, own = read_runs(tmp_path / "kept", "small"), read_runs(out, "small")
    assert [(r.name, r.facts) for r in kept] == [(r.name, r.facts) for r in own]
    assert [r.results for r in kept] == [r.results for r in own]
    for one, other in zip(kept, own, strict=True):
        assert np.array_equal(one.scores["probe_10"], other.scores["probe_10"])
    assert not list((tmp_path / "kept").rglob("training"))
    assert not list((tmp_path / "kept").rglob("*.partial"))


def test_a_run_kept_before_makes_way_and_others_stay(finished, tmp_path):
    runs, out = finished
    keep(runs, out, tmp_path)
    stale = runs[0].folder(tmp_path) / "results" / "stale.json"
    stale.write_text("{}")
    (tmp_path / "small" / "elsewhere" / "seed0").mkdir(parents=True)
    assert keep(runs[:1], out, tmp_path) == 1
    assert not stale.exists()
    assert (tmp_path / "small" / "elsewhere" / "seed0").is_dir()


def test_a_damaged_run_or_the_same_folder_is_refused_before_anything_is_copied(finished, tmp_path):
    runs, out = finished
    with pytest.raises(UsageError, match="the folder of the runs itself"):
        keep(runs, out, out)
    keep(runs, out, tmp_path / "copy")
    (runs[1].folder(tmp_path / "copy") / "scores.npz").write_bytes(b"no archive")
    with pytest.raises(DBetaError, match=r"scores\.npz is damaged"):
        keep(runs, tmp_path / "copy", tmp_path / "second")
    assert not (tmp_path / "second").exists()
