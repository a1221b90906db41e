"""The table of the released collator's leak, on the kept runs of real ECGs."""

from pathlib import Path

import pytest

from dbeta_lib.sweeps import Comparison, leak_table, read_runs

KEPT = Path(__file__).parents[2] / "benchmarks" / "results" / "sweeps"


@pytest.fixture(scope="module")
def runs():
    return read_runs(KEPT, "negatives")


def test_each_share_is_the_runs_own_and_the_last_column_their_difference(runs):
    table = leak_table(Comparison(runs))
    asked = [("released leak", "leak"), ("released leak", "far"), ("N3S", "far"), ("N3S", "random")]
    for (name, texts), row in zip(asked, table.to_dict("records"), strict=True):
        own = [run.facts for run in runs if run.name == name]
        right, control = (
            sum(facts[f"etm_{texts}{end}"] for facts in own) / len(own) for end in ("", "_shuffled")
        )
        assert (row["accuracy"], row["shuffled"]) == pytest.approx((right, control))
        assert row["from the ECG"] == pytest.approx(right - control)


def test_with_the_leak_all_is_known_without_an_ecg_and_nothing_about_wrong_texts(runs):
    leaking, honest, closed, _ = leak_table(Comparison(runs)).to_dict("records")
    assert leaking["accuracy"] > 0.95 and abs(leaking["from the ECG"]) < 0.02
    assert abs(honest["accuracy"] - 0.5) < 0.05
    assert closed["accuracy"] > 0.6 and closed["from the ECG"] > 0.1


def test_the_table_is_empty_unless_both_rows_are_finished(runs):
    table = leak_table(Comparison([run for run in runs if run.name != "N3S"]))
    assert len(table) == 0 and "accuracy" in table
