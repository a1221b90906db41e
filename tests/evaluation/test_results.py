"""A record comes back as it was saved; whatever is wrong with a file is said by its name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dbeta_lib import code_commit
from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation import results
from dbeta_lib.evaluation.results import Provenance, Result

RESULT = Result(
    encoder="D-BETA mini", data="ptb-xl", store_fingerprint="abc", task="super",
    protocol="linear probe", metric="macro_auc", value=0.8, low=0.78, high=0.82, n=386,
    weights_hash="w", switches="paper", label_fraction=0.01, n_train=13, seeds=(0, 1, 2),
    sd=0.02, k=5, k_used=4, excluded_classes=("HYP",), per_class={"MI": {"auc": 0.7}},
    provenance=Provenance(("ptb-xl abc",), False, False, True), wall_time_s=1.5,
)  # fmt: skip


def test_a_record_comes_back_as_it_was_saved(tmp_path):
    path = RESULT.save(tmp_path)
    assert results.load(path) == RESULT
    assert path.name.startswith("d-beta-mini-ptb-xl-super-linear-probe-macro-auc-1pc-12leads-")


def test_a_rerun_replaces_its_record_and_another_experiment_does_not(tmp_path):
    RESULT.save(tmp_path)
    replace(RESULT, value=0.9, low=0.8, high=0.95, wall_time_s=9, date="2026-11-21").save(tmp_path)
    replace(RESULT, seeds=(0,), weights_hash="v").save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    for change in (
        {"label_fraction": 0.1}, {"store_fingerprint": "d"}, {"lead_subset": "2"}, {"task": "sub"},
        {"variant": "description en 01234567"}, {"pretraining_seed": 1}, {"variant": "name en"},
        {"protocol": "k-NN probe"}, {"against": "random", "metric": "macro_auc_gain"},
    ):  # fmt: skip
        replace(RESULT, **change).save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 10


def test_what_does_not_exist_is_null_in_the_file_and_nan_when_read(tmp_path):
    path = replace(RESULT, low=np.nan, high=float("nan"), sd=float("nan")).save(tmp_path)
    assert "NaN" not in path.read_text()
    back = results.load(path)
    assert np.isnan(back.low) and np.isnan(back.high) and back.sd is None


def test_numpy_values_are_written_as_plain_numbers(tmp_path):
    path = replace(RESULT, value=np.float32(0.5), n=np.int64(7), seeds=(np.int64(3),)).save(
        tmp_path
    )
    back = results.load(path)
    assert (back.value, back.n, back.seeds) == (0.5, 7, (3,))


def test_all_records_of_a_folder_make_one_frame(tmp_path):
    RESULT.save(tmp_path)
    replace(RESULT, encoder="random", provenance=Provenance()).save(tmp_path)
    replace(RESULT, encoder="other", provenance=Provenance(("mimic 0",))).save(tmp_path)
    frame = results.load_all(tmp_path)
    assert dict(zip(frame["encoder"], frame["domain"], strict=True)) == {
        "D-BETA mini": "in-domain", "random": "untrained", "other": "out-of-domain",
    }  # fmt: skip
    assert list(frame["file"]) == sorted(frame["file"])
    assert frame["per_class"][0] == {"MI": {"auc": 0.7}}


def test_nothing_is_called_out_of_domain_without_evidence(tmp_path):
    unknown = Provenance.unknown("no summary", "0123456789abcdef")
    for provenance in (unknown, Provenance.unknown(""), Provenance(("another store 0123",))):
        assert replace(RESULT, provenance=provenance).domain == "not known"
    assert replace(RESULT, provenance=Provenance(("ptb-xl a", "unknown"))).domain == "in-domain"
    assert replace(RESULT, provenance=Provenance(("mimic a", "unknown"))).domain == "not known"
    back = results.load(replace(RESULT, provenance=unknown).save(tmp_path))
    assert back.provenance == unknown and back.provenance.signals_seen is None
    assert results.table(results.load_all(tmp_path)).splitlines()[2].endswith("| not known |")


def test_the_table_says_what_a_reader_must_know_of_pretraining(tmp_path):
    seen = Provenance(("ptb-xl abc",), True, True, False, True)
    replace(RESULT, provenance=seen).save(tmp_path)
    row = results.table(results.load_all(tmp_path)).splitlines()[2]
    for words in ("ECGs seen", "patients' reports read", "made from labels"):
        assert words in row
    assert "training records read" not in row


def test_new_weights_answer_the_same_question_and_another_seed_does_not():
    assert replace(RESULT, weights_hash="v", store_fingerprint="d").question == RESULT.question
    assert replace(RESULT, pretraining_seed=2).question != RESULT.question
    assert replace(RESULT, label_fraction=0.1).question != RESULT.question


def test_other_draws_and_edited_prompts_answer_the_same_question(tmp_path):
    assert replace(RESULT, seeds=(0,)).question == RESULT.question
    for old, new in (("name en, 01234567", "name en, 89abcdef"), ("name (01234567)", "name")):
        one, two = replace(RESULT, variant=old), replace(RESULT, variant=new)
        assert one.question == two.question and one.file_name == two.file_name
    assert replace(RESULT, variant="name de, 01234567").question != one.question


def test_an_empty_folder_is_an_empty_frame_and_an_absent_one_a_sentence(tmp_path):
    frame = results.load_all(tmp_path)
    assert frame.empty and "value" in frame.columns and results.table(frame) == "no results"
    with pytest.raises(DBetaError, match=r"nowhere is not there"):
        results.load_all(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda v: v.pop("task"), "no field 'task'"),
        (lambda v: v.update(vale=1), "unknown field 'vale'; did you mean 'value'"),
        (lambda v: v["provenance"].pop("stores"), "no field 'stores'"),
        (lambda v: v["provenance"].update(seen=True), "unknown field 'seen'"),
        (lambda v: v.update(provenance=[]), "provenance"),
        (lambda v: v.update(value=80.0), "value is 80.0, outside 0..1"),
        (lambda v: v.update(n="many"), "n is 'many', no number"),
        (lambda v: v.update(encoder=""), "encoder is empty"),
        (lambda v: v.update(format=99), "format 99"),
    ],
)
def test_a_damaged_record_is_named_with_what_is_wrong(tmp_path, damage, said):
    path = RESULT.save(tmp_path)
    values = json.loads(path.read_text())
    damage(values)
    path.write_text(json.dumps(values))
    with pytest.raises(DBetaError, match=said) as error:
        results.load_all(tmp_path)
    assert path.name in str(error.value)


def test_broken_json_and_other_json_are_named_too(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DBetaError, match=r"a\.json is damaged"):
        results.load_all(tmp_path)
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(DBetaError, match=r"a\.json is no result record"):
        results.load_all(tmp_path)


def test_nothing_impossible_can_be_saved(tmp_path):
    with pytest.raises(DBetaError, match=r"outside 0\.\.1"):
        replace(RESULT, value=80.3).save(tmp_path)
    assert not list(tmp_path.iterdir())
    replace(RESULT, metric="macro_auc_gain", value=-0.1, low=-0.2, high=0.0).save(tmp_path)


def test_the_table_sorts_by_task_labels_and_domain_and_tells_all(tmp_path):
    replace(RESULT, encoder="random", value=0.6, low=0.5, high=0.7,
            provenance=Provenance()).save(tmp_path)  # fmt: skip
    replace(RESULT, label_fraction=1.0, n_train=1357, sd=None).save(tmp_path)
    RESULT.save(tmp_path)
    lines = results.table(results.load_all(tmp_path)).splitlines()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in lines]
    assert [(c[3], c[5]) for c in cells[2:]] == [
        ("1 % (13)", "D-BETA mini"), ("1 % (13)", "random"), ("100 % (1357)", "D-BETA mini"),
    ]  # fmt: skip
    assert cells[2][7] == "0.800 [0.780, 0.820]" and cells[2][8] == "0.020"
    assert cells[2][10] == "4/5" and cells[3][11] == "untrained"
    assert cells[2][11] == "in-domain, reports of the probe's training records read"


def test_versions_name_the_kit_and_its_libraries():
    found = results.versions()
    assert found["numpy"] == np.__version__ and set(found) == {"dbeta", *results.LIBRARIES}


def test_a_record_says_where_splits_are_by_recording_and_an_old_one_means_patients(tmp_path):
    path = RESULT.save(tmp_path)
    old = json.loads(path.read_text())
    assert old.pop("split_by") == "patient"
    path.write_text(json.dumps(old))
    assert results.load(path) == RESULT
    assert "recording" not in results.table(results.load_all(tmp_path))
    replace(RESULT, data="cinc2021", split_by="recording").save(tmp_path)
    frame = results.load_all(tmp_path)
    assert sorted(frame["split_by"]) == ["patient", "recording"]
    note = results.split_note(frame)
    assert note.startswith("The patients of cinc2021 are not known") and "by recording" in note
    assert results.table(frame).endswith(f"|\n\n{note}")
    assert results.split_note(frame[["value"]]) == ""


def test_a_record_names_its_commit_and_an_old_one_none(tmp_path):
    assert RESULT.commit == code_commit.running_commit()
    path = RESULT.save(tmp_path)
    old = json.loads(path.read_text())
    assert old.pop("commit") == RESULT.commit
    path.write_text(json.dumps(old))
    assert results.load(path) == replace(RESULT, commit="")
    assert results.load_all(tmp_path)["commit"].tolist() == [""]
    with pytest.raises(DBetaError, match=r"commit is 7, no text"):
        replace(RESULT, commit=7).save(tmp_path)


def test_a_unit_of_splitting_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DBetaError, match="split_by is 'beat'"):
        replace(RESULT, split_by="beat").save(tmp_path)
