"""Reading finished runs: in their order, checked, and refused in a sentence where damaged."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.errors import DBetaError
from dbeta_lib.sweeps import read_runs, run_all, table_of_runs
from dbeta_lib.sweeps.finished import read_scores, save_scores

ROWS = """\
- {name: zebra, model: random, seeds: [1, 0]}
- {name: apple, model: random, group: fruit, overrides: {ecg_layers: 2}}
- {name: words, model: text-only}
"""


@pytest.fixture(scope="module")
def made(store, runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    assert run_all(runs(ROWS), store, out, say=lambda s: None) == []
    return out


@pytest.fixture
def copied(made, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(made, tmp_path / "copy")


def test_runs_come_in_the_order_of_rows_and_seeds(made):
    found = read_runs(made, "small")
    assert [(one.name, one.seed) for one in found] == [
        ("zebra", 0), ("zebra", 1), ("apple", 0), ("words", 0)
    ]  # fmt: skip
    assert [one.group for one in found] == ["", "", "fruit", ""]


def test_the_table_has_a_row_per_run_and_nan_where_nothing_was_measured(made):
    table = table_of_runs(read_runs(made, "small")).set_index(["name", "seed"])
    assert len(table) == 4 and table["probe_100"].between(0, 1).all()
    assert pd.isna(table.loc[("words", 0), "zero_shot"])
    assert pd.isna(table.loc[("words", 0), "etm_far"])
    assert 0 <= table.loc[("apple", 0), "zero_shot"] <= 1
    assert table.loc[("zebra", 0), "probe_10"] != table.loc[("zebra", 1), "probe_10"]


def damage(path, how):
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif how == "pickle":
        np.savez(path, record_id=np.array([{}], dtype=object))
    else:
        kept = read_scores(path)
        if how == "lacks":
            del kept["probe_10"]
        else:
            kept["labels"] = kept["labels"][:-1]
        save_scores(path, kept)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("gone", "is not there"), ("cut", "is damaged"), ("pickle", "is damaged"),
        ("lacks", "has no 'probe_10'"), ("short", "labels is"),
    ],
)  # fmt: skip
def test_absent_or_damaged_scores_are_named_with_the_remedy(copied, how, sentence):
    path = copied / "small" / "apple" / "seed0" / "scores.npz"
    damage(path, how)
    one = next(run for run in read_runs(copied, "small") if run.name == "apple")
    with pytest.raises(DBetaError, match=sentence) as error:
        _ = one.scores
    assert str(path) in str(error.value) and "run the sweep again" in str(error.value)


def test_a_damaged_run_json_and_a_damaged_record_are_named(copied):
    folder = copied / "small" / "apple" / "seed0"
    record = next((folder / "results").glob("*.json"))
    record.write_text("{}")
    one = next(run for run in read_runs(copied, "small") if run.name == "apple")
    with pytest.raises(DBetaError, match=record.name):
        _ = one.results
    for text, sentence in (("{", "is damaged"), ("{}", "has no 'sweep'"), ("[]", "has no 'sweep'")):
        (folder / "run.json").write_text(text)
        with pytest.raises(DBetaError, match=sentence) as error:
            read_runs(copied, "small")
        assert str(folder) in str(error.value)


@pytest.mark.parametrize("what", ["data", "profile"])
def test_runs_of_two_data_sets_or_profiles_are_not_handed_out_together(copied, what):
    path = copied / "small" / "apple" / "seed0" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), what: "another"}))
    with pytest.raises(DBetaError, match=rf"is of {what} '\w+', .* of '\w+'; keep them in two"):
        read_runs(copied, "small")


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        (("identity", "settings", "steps"), "is of steps"),
        (("identity", "store"), "is of store at 100 Hz"),
        (("identity", "evaluation", "draws"), "is of evaluation"),
        (("batch_size",), "is of batch size"),
    ],
)
def test_runs_of_other_steps_data_or_measures_are_not_handed_out_together(copied, where, sentence):
    path = copied / "small" / "apple" / "seed0" / "run.json"
    facts = json.loads(path.read_text())
    part = facts
    for name in where[:-1]:
        part = part[name]
    assert where[-1] in part
    part[where[-1]] = "another"
    path.write_text(json.dumps(facts))
    with pytest.raises(DBetaError, match=sentence):
        read_runs(copied, "small")


def test_no_runs_is_said_with_the_command_or_the_nearest_name(made, tmp_path):
    with pytest.raises(DBetaError, match="did you mean 'small'"):
        read_runs(made, "smal")
    (tmp_path / "small" / "apple" / "seed0").mkdir(parents=True)
    with pytest.raises(DBetaError, match="holds no finished run yet; run it: dbeta sweep"):
        read_runs(tmp_path, "small")
    with pytest.raises(DBetaError, match="is not there; run it"):
        read_runs(tmp_path / "nowhere", "small")
