"""Finished runs beside each other: paired by seed, on the same rows, tables as loops give them."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.verdict import difference, resample
from dbeta_lib.files import write_json
from dbeta_lib.sweeps import read_runs
from dbeta_lib.sweeps.compare import Comparison, found_runs
from dbeta_lib.sweeps.finished import FORMAT, save_scores
from dbeta_lib.sweeps.spec import slug
from dbeta_lib.sweeps.verdict_files import load_verdicts, save_verdicts
from dbeta_lib.training.monitor import MATCHING

N, CLASSES = 120, 3
LABELS = (np.random.default_rng(0).random((N, CLASSES)) < 0.4).astype(np.uint8)
HARD = np.random.default_rng(1).normal(size=(N, CLASSES))
MERITS = {"worse": 0.8, "better": 2.4, "no text": 0.8}


def write_run(out, name, seed, merit, order, text=True, patients=None, sweep="made", **facts):
    """A folder by the contract; a positive row scores `merit` higher."""
    draw = np.random.default_rng([seed, order])
    drawn = lambda *shape: (  # noqa: E731
        LABELS * merit + HARD + draw.normal(size=(*shape, N, CLASSES))
    ).astype(np.float32)
    scores = {
        "record_id": np.arange(N).astype(str), "classes": np.array(["A", "B", "C"]),
        "patient_id": np.arange(N).astype(str) if patients is None else patients,
        "labels": LABELS, "probe_1": drawn(2), "probe_10": drawn(2), "probe_100": drawn(1),
        **({"zero_shot": drawn()} if text else {}),
    }  # fmt: skip
    folder = out / sweep / slug(name) / f"seed{seed}"
    folder.mkdir(parents=True)
    save_scores(folder / "scores.npz", scores)
    known = {
        "format": FORMAT, "sweep": sweep, "name": name, "group": "g", "order": order, "seed": seed,
        "profile": "demo", "data": "made", "identity": {}, "model": "dbeta", "task": "things",
        "store_fingerprint": "f", "steps": 10 if merit else 0, "train_seconds": 2.0 + seed,
        "records_per_s": 5.0, "parameters": 7, "peak_memory_mb": 100.0,
        **dict.fromkeys(MATCHING, 0.5 + seed / 10),
    }  # fmt: skip
    write_json(folder / "run.json", {**known, **facts})
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    for order, (name, merit) in enumerate(MERITS.items()):
        for seed in (0, 1, 2) if name != "better" else (2, 1, 3):
            write_run(folder, name, seed, merit, order, text=name != "no text")
    write_run(folder, "drawn", 0, 0, 3, text=False, **dict.fromkeys(MATCHING))
    return folder


@pytest.fixture(scope="module")
def compared(out):
    return Comparison(read_runs(out, "made"), resamples=200)


def slow_auc(run, question):
    """Mean over draws and classes, by scikit-learn."""
    scores = run.scores[question].reshape(-1, N, CLASSES).astype(float)
    return np.mean(
        [[roc_auc_score(LABELS[:, k], one[:, k]) for k in range(CLASSES)] for one in scores]
    )


def test_levels_are_means_over_seeds_with_each_seeds_value(compared):
    table = compared.levels().set_index(["name", "question"])
    for name in MERITS:
        runs = [run for run in compared.runs if run.name == name]
        for question in ("probe_1", "probe_10", "probe_100", "zero_shot"):
            if name == "no text" and question == "zero_shot":
                assert (name, question) not in table.index
                continue
            row = table.loc[(name, question)]
            expected = [slow_auc(run, question) for run in runs]
            assert row["per_seed"] == pytest.approx(expected)
            assert row["value"] == pytest.approx(np.mean(expected)) and row["seeds"] == 3
            assert row["low"] < row["value"] < row["high"]
    assert compared.names == ("worse", "better", "no text", "drawn")


def test_a_pair_is_compared_on_the_seeds_that_both_have(compared):
    pairs = {"merit": ("better", "worse"), "nothing": ("no text", "worse")}
    table = compared.verdicts(pairs, "probe_10")
    assert list(table.index) == ["merit", "nothing"]
    assert list(table["verdict"]) == ["helps", "cannot tell"]
    assert table.loc["merit", "seeds"] == 2 and table.loc["nothing", "seeds"] == 3
    both = [
        [next(r for r in compared.runs if (r.name, r.seed) == (name, seed)) for seed in (1, 2)]
        for name in ("better", "worse")
    ]
    stacks = [np.stack([run.scores["probe_10"] for run in runs]) for runs in both]
    patients = both[0][0].scores["patient_id"]
    slow = difference(*(resample(LABELS, stack, patients, 200) for stack in stacks))
    row = table.loc["merit"]
    assert row["value"] == pytest.approx(slow.value) and row["p"] == pytest.approx(slow.p)
    assert (row["low"], row["high"]) == pytest.approx((slow.low, slow.high))
    assert (row["with"], row["without"], row["question"]) == ("better", "worse", "probe_10")
    assert row["p_holm"] == pytest.approx(min(2 * row["p"], 1))


def test_what_is_not_there_is_left_out_and_named(compared, tmp_path):
    pairs = {"merit": ("better", "worse"), "words": ("no text", "worse"), "gone": ("full", "worse")}
    assert list(compared.verdicts(pairs, "zero_shot").index) == ["merit"]
    assert compared.missing(pairs) == ["full"]
    empty = compared.verdicts({"gone": ("full", "worse")}, "probe_1")
    assert len(empty) == 0 and "verdict" in empty
    with pytest.raises(UsageError, match="no scores 'probe_50'"):
        compared.levels(["probe_50"])
    said = []
    assert found_runs(tmp_path, "components", said.append) == []
    assert said[0].startswith("components: ") and "run it: dbeta sweep" in said[0]


def test_one_draw_of_chance_gets_no_zero_shot_verdict(tmp_path):
    untaught = {"identity": {"config": {"objective": {"ets_weight": 0.0}}}}
    for order, name in enumerate(("with", "without")):
        for seed in (0, 1):
            facts = untaught if name == "without" else {}
            write_run(tmp_path, name, seed, 2.0, order, sweep="few", **facts)
    runs = read_runs(tmp_path, "few")
    pair = {"contrast": ("with", "without")}
    assert Comparison(runs, 50).untaught == {"without"}
    assert list(Comparison(runs, 50).verdicts(pair, "zero_shot").index) == ["contrast"]
    one = Comparison([run for run in runs if run.seed == 0], 50)
    assert one.verdicts(pair, "zero_shot").empty
    assert list(one.verdicts(pair, "probe_10").index) == ["contrast"]


def test_matching_and_costs_are_means_over_seeds_of_what_was_measured(compared):
    matching = compared.matching()
    assert set(matching["name"]) == set(MERITS) and set(matching["texts"]) == {"random", "far"}
    row = matching[(matching["name"] == "better") & (matching["texts"] == "far")].iloc[0]
    assert row["accuracy"] == pytest.approx(np.mean([0.6, 0.7, 0.8])) == row["shuffled"]
    assert row["per_seed"] == pytest.approx((0.6, 0.7, 0.8))
    costs = compared.costs().set_index("name")
    assert list(costs.index) == list(MERITS) and costs.loc["worse", "train_seconds"] == 3.0


def test_runs_scored_on_other_rows_are_not_compared(out, tmp_path):
    write_run(tmp_path, "one", 0, 1.0, 0)
    folder = write_run(tmp_path, "other", 0, 1.0, 1)
    runs = read_runs(tmp_path, "made")
    moved = {**runs[1].scores, "record_id": runs[1].scores["record_id"][::-1]}
    save_scores(folder / "scores.npz", moved)
    with pytest.raises(DBetaError, match="scored on other rows or classes"):
        Comparison(read_runs(tmp_path, "made"), 20).levels()


def test_a_table_of_verdicts_is_kept_and_read_again(compared, tmp_path):
    pairs = {"merit": ("better", "worse"), "nothing": ("no text", "worse")}
    table = compared.verdicts(pairs, "probe_10")
    path = save_verdicts(compared, table, tmp_path, "left out")
    assert path.name == "made-left-out-probe-10.json"
    about, again = load_verdicts(path)
    assert (about["sweep"], about["task"], about["data"]) == ("made", "things", "made")
    assert about["tests"] == 2 and about["steps"] == [10] and "dbeta" in about["versions"]
    assert again[table.columns].to_dict("index") == table.to_dict("index")
    save_verdicts(compared, table, tmp_path, "left out")
    assert len(list(tmp_path.iterdir())) == 1
    path.write_text(path.read_text().replace('"helps"', '"is best"'))
    with pytest.raises(DBetaError, match="a row that is no verdict"):
        load_verdicts(path)
    path.write_text("{}")
    with pytest.raises(DBetaError, match="no table of verdicts"):
        load_verdicts(path)
    with pytest.raises(DBetaError, match="without rows"):
        save_verdicts(compared, table.iloc[:0], tmp_path)
