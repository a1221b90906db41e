"""The printed numbers: the same as in the collected ones, doubts kept, each joined once."""

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.results import Result, load_all
from dbeta_lib.reporting import paper_numbers as paper

ROOT = Path(__file__).resolve().parents[2]
COLLECTED = ROOT.parent / "shared" / "design" / "paper_results.csv"
CELL = ("table", "row", "column", "dataset", "metric", "value", "source")
LOGS = "DERI-kit per-epoch log"  # of an unlabelled run: no published table
PROBE = Result(
    encoder="ours", data="ptb-xl", store_fingerprint="f" * 64, task="rhythm",
    protocol="linear probe", metric="macro_auc", value=0.9, low=0.8, high=0.95, n=500,
    label_fraction=0.01, n_train=170, profile="ptbxl",
)  # fmt: skip


def results(folder, *records):
    for record in records:
        record.save(folder)
    return load_all(folder)


@pytest.mark.skipif(not COLLECTED.is_file(), reason="../shared/design is not there")
def test_every_collected_number_but_the_logs_is_in_the_csv_word_for_word():
    with COLLECTED.open(newline="", encoding="utf-8") as file:
        collected = [row for row in csv.DictReader(file) if row["table"] != LOGS]
    with paper.PATH.open(newline="", encoding="utf-8") as file:
        ours = list(csv.DictReader(file))
    assert [[row[c] for c in CELL] for row in ours] == [[row[c] for c in CELL] for row in collected]
    grades = ["high" if r["doubt"].startswith("HIGH: ") else bool(r["doubt"]) for r in collected]
    assert [g if g == "high" else g == "some" for g in (r["doubt_grade"] for r in ours)] == grades


def test_no_printed_number_stands_in_the_code():
    printed = set(re.findall(r"\b\d\d\.\d+\b", " ".join(paper.published()["value"])))
    assert len(printed) > 200
    for module in ("paper_numbers", "paper_tables", "paper_lists", "certificate"):
        code = (ROOT / "dbeta_lib/reporting" / f"{module}.py").read_text(encoding="utf-8")
        assert not printed & set(re.findall(r"\b\d\d\.\d+\b", code)), module


def test_a_row_is_joined_to_the_dataset_protocol_and_share_that_its_words_say():
    words = {"ptb-xl": "PTB-XL", "csn": "CSN", "cpsc2018": "CPSC2018", "code-test": "CODE-test",
             "cinc2021": "PhysioNet 2021"}  # fmt: skip
    frame = paper.published()
    keyed = frame[frame["protocol"] != ""]
    assert len(keyed) > 230
    for row in keyed.to_dict("records"):
        assert row["dataset"].startswith(words[row["data"]])
        if row["data"] == "ptb-xl" and row["task"] != "identification":
            assert row["dataset"].split()[1].lower() == row["task"]
        if row["protocol"] == "linear probe":
            assert row["column"] == f"{100 * float(row['label_fraction']):g}%"
        else:
            assert row["label_fraction"] == ""
            assert row["protocol"] in (row["table"], "identification")
        leads = re.match(r"(\d+) leads?", row["column"])
        assert row["lead_subset"] == (leads[1] if leads else "12")
    unkeyed = frame[frame["protocol"] == ""]
    assert (unkeyed[paper.KEYS] == "").all(axis=None)


def test_every_cell_has_at_most_one_number_of_d_beta_and_no_number_is_lost():
    frame = paper.published()
    cells = paper.cells(frame)
    asked = ["data", "task", "protocol", "label_fraction", "lead_subset"]
    assert not cells.duplicated(asked).any()
    assert not cells["printed"].str.contains(";").any()
    own = frame[(frame["group"] == "paper") & (frame["protocol"] != "")]
    own = own[own["row"].map(paper.is_dbeta)]
    assert sorted(cells["printed"][cells["printed"] != ""]) == sorted(
        paper.marked(row) for row in own.to_dict("records")
    )
    probes = cells[cells["protocol"] == "linear probe"]
    assert len(probes) == 18, "six tasks at three shares of labels"


def test_a_difference_of_two_models_is_no_other_model():
    frame = paper.published()
    assert paper.DIFFERENCE in set(frame["row"][frame["protocol"] != ""])
    compared = " ".join(paper.cells(frame)["compared"])
    assert "; Gain" not in compared and "a difference: D-BETA's gain 12.5" in compared


def test_doubts_are_marked_and_each_mark_has_its_note():
    frame = paper.published()
    said = dict(paper.notes(frame).itertuples(index=False))
    for row in frame.to_dict("records"):
        mark = paper.marked(row)
        assert (row["doubt"] != "") == ("note" in mark)
        assert ("doubtful" in mark) == (row["doubt_grade"] == "high")
        if row["doubt"]:
            assert said[int(re.search(r"note (\d+)", mark)[1])] == row["doubt"]


def test_a_record_answers_its_own_cell_only(tmp_path):
    others = [
        replace(PROBE, metric="macro_auc_gain", against="x"), replace(PROBE, lead_subset="2"),
        replace(PROBE, label_fraction=0.05), replace(PROBE, task="other"),
        replace(PROBE, data="mine"), replace(PROBE, protocol="k-NN probe"),
        replace(PROBE, protocol="zero-shot"), replace(PROBE, profile="demo"),
        replace(PROBE, variant="a.json, 4 of 5 classes (1a2b3c4d)"),
        replace(PROBE, profile="smoke"), replace(PROBE, metric="macro_auc_best_test_epoch"),
    ]  # fmt: skip
    cells = paper.cells(paper.published())
    joined = paper.join(cells, results(tmp_path, PROBE, *others))
    assert len(joined) == len(cells)
    (row,) = joined[joined["our_encoder"].notna()].to_dict("records")
    assert (row["dataset"], row["label_fraction"]) == ("PTB-XL Rhythm", 0.01)
    assert row["our_file"] == PROBE.file_name


def test_variants_of_task_protocol_and_share_that_ask_the_same_are_joined(tmp_path):
    csn = replace(PROBE, data="csn", task="csn-merl")
    drawn = replace(PROBE, label_fraction=170 / 17084, protocol="linear probe, MERL's recipe")
    joined = paper.join(paper.cells(paper.published()), results(tmp_path, csn, drawn))
    assert set(joined["our_file"].dropna()) == {csn.file_name, drawn.file_name}


def test_no_record_leaves_every_cell_in_its_place(tmp_path):
    cells = paper.cells(paper.published())
    joined = paper.join(cells, load_all(tmp_path))
    assert joined["dataset"].tolist() == cells["dataset"].tolist()
    assert joined["our_value"].isna().all() and (joined["verdict"] == "").all()


@pytest.mark.parametrize("value, said", [(0.9, "ours contains it"), (0.7, "ours is lower"),
                                         (0.99, "ours is higher")])  # fmt: skip
def test_the_verdict_says_where_our_interval_lies(tmp_path, value, said):
    cells = paper.cells(paper.published())
    cells["number"] = 0.9
    record = replace(PROBE, value=value, low=value - 0.005, high=value + 0.005)
    trained = replace(record, provenance=replace(record.provenance, stores=("mimic-iv-ecg 0",)))
    joined = paper.join(cells, results(tmp_path / "a", trained)).dropna(subset="our_value")
    assert joined["verdict"].tolist() == [said]
    untrained = paper.join(cells, results(tmp_path / "b", record)).dropna(subset="our_value")
    assert untrained["verdict"].tolist() == [""], "a random encoder is not asked"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_verdict_contains_exactly_what_lies_between_the_bounds(number, a, b):
    low, high = sorted((a, b))
    assert (paper.verdict(number, low, high) == "ours contains it") == (low <= number <= high)
    assert paper.verdict(number, low, math.nan) == paper.verdict(math.nan, low, high) == ""


@given(st.text(max_size=8))
def test_only_plain_numbers_are_numbers(text):
    value = paper.number(text)
    assert math.isnan(value) or float(text) == pytest.approx(100 * value)
    assert math.isnan(paper.number("~" + text)) and math.isnan(paper.number(">" + text))


def test_a_damaged_csv_is_told_in_one_sentence(tmp_path):
    with pytest.raises(DBetaError, match="is not there"):
        paper.published(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DBetaError, match="damaged"):
        paper.published(tmp_path / "empty.csv")
    (tmp_path / "short.csv").write_text("table,row\na,b\n")
    with pytest.raises(DBetaError, match="other columns"):
        paper.published(tmp_path / "short.csv")
    frame = pd.read_csv(paper.PATH, dtype=str, keep_default_na=False)
    frame.loc[frame["protocol"] != "", "task"] = "nosuch"
    frame.to_csv(tmp_path / "strange.csv", index=False)
    with pytest.raises(DBetaError, match="nosuch"):
        paper.published(tmp_path / "strange.csv")


def test_gathered_records_are_those_of_all_folders_and_each_counts_once(tmp_path):
    other = replace(PROBE, value=0.91)
    PROBE.save(tmp_path / "run" / "results")
    PROBE.save(tmp_path / "kept")
    replace(PROBE, task="form").save(tmp_path / "kept")
    other.save(tmp_path / "again")
    found = paper.gather(tmp_path / "run" / "results", [tmp_path / "kept", tmp_path / "again"])
    assert found[["task", "value", "folder"]].to_records(index=False).tolist() == [
        ("rhythm", 0.9, "run"), ("form", 0.9, "kept"), ("rhythm", 0.91, "again")
    ]  # fmt: skip
    alone = paper.gather(tmp_path / "run" / "results")
    pd.testing.assert_frame_equal(
        alone.drop(columns="folder"), load_all(tmp_path / "run" / "results")
    )


def test_an_empty_run_is_taken_and_an_empty_or_absent_further_folder_is_told(tmp_path):
    (tmp_path / "none").mkdir()
    found = paper.gather(tmp_path / "none")
    assert found.empty and {"domain", "file", "folder"} <= set(found.columns)
    with pytest.raises(UsageError, match="none holds no result record"):
        paper.gather(tmp_path / "none", [tmp_path / "none"])
    with pytest.raises(DBetaError, match="absent is not there"):
        paper.gather(tmp_path / "none", [tmp_path / "absent"])
