"""The synthetic cohort as a whole: labels, truth columns, exactness, repeatability, the store."""

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.data import synthetic
from dbeta_lib.data.synthetic import CONDITIONS, generate, prepare
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import derive_limb_leads

RHYTHMS = list(CONDITIONS[:5])


@pytest.fixture(scope="module")
def cohort():
    """96 patients with two records each."""
    return generate(96, 2, 100, seed=3)


def test_there_are_18_conditions_and_each_occurs(cohort):
    _, records, labels = cohort
    assert len(CONDITIONS) == len(set(CONDITIONS)) == 18
    assert list(labels.columns) == list(CONDITIONS)
    assert len(labels) == len(records) == 192
    assert (labels.sum() >= 5).all()


def test_each_record_has_one_underlying_rhythm_and_the_rate_that_it_says(cohort):
    _, records, labels = cohort
    assert (labels[RHYTHMS].sum(axis=1) == 1).all()
    # Premature beats hasten the mean; the rhythm is named by its own rate.
    own = ~labels[["premature atrial contractions", "premature ventricular contractions"]].any(
        axis=1
    )
    rate, labels = records["heart_rate"][own], labels[own]
    assert rate[labels["sinus bradycardia"] == 1].max() < 60
    assert rate[labels["sinus rhythm"] == 1].between(60, 100).all()
    assert rate[labels["sinus tachycardia"] == 1].min() > 100


def test_normal_is_sinus_rhythm_and_nothing_else(cohort):
    _, records, labels = cohort
    others = labels.drop(columns=["normal ecg", "sinus rhythm"]).any(axis=1)
    assert ((labels["normal ecg"] == 1) == ((labels["sinus rhythm"] == 1) & ~others)).all()
    normal = records[labels["normal ecg"] == 1]
    assert normal["qrs_ms"].max() < 120 and normal["pr_ms"].max() < 200
    assert normal["severity"].max() == 0


def test_truth_columns_agree_with_the_definitions_of_the_conditions(cohort):
    _, records, labels = cohort
    deviated = labels["left axis deviation"] == 1
    assert records["axis_deg"][deviated].max() < -30 <= records["axis_deg"][~deviated].min()
    bundle = labels[["left bundle branch block", "right bundle branch block"]].any(axis=1)
    assert records["qrs_ms"][bundle].min() >= 120 > records["qrs_ms"][~bundle].max()
    blocked = labels["first degree av block"] == 1
    assert records["pr_ms"][blocked].min() > 200 > records["pr_ms"][~blocked].max()
    no_p = labels[["atrial fibrillation", "atrial flutter"]].any(axis=1)
    assert (records["pr_ms"].isna() == no_p).all()
    qtc = records["qt_ms"] / (60 / records["heart_rate"]) ** (1 / 3)
    assert qtc[(labels["long qt interval"] == 1) & ~bundle].min() > 455
    assert qtc[(labels["long qt interval"] == 0) & ~bundle].max() < 475


def test_limb_leads_follow_einthoven_and_goldberger(cohort):
    ecg = cohort[0].astype(float)
    derived = derive_limb_leads(ecg)
    assert np.array_equal(ecg[:, 2], derived[:, 2])
    assert np.abs(ecg - derived).max() <= 0.5


def test_signals_are_finite_and_of_human_size(cohort):
    ecg = cohort[0] / 1000.0
    assert ecg.shape == (192, 12, 1000)
    assert np.ptp(ecg, axis=2).min() > 0.05  # no flat lead
    assert np.quantile(np.ptp(ecg, axis=2), 0.99) < 12


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(cohort):
    again = generate(32, 2, 100, seed=3)
    assert np.array_equal(again[0], cohort[0][:64])
    shared = [column for column in again[1] if column != "split"]
    pd.testing.assert_frame_equal(again[1][shared], cohort[1][shared][:64])
    assert not np.array_equal(generate(32, 2, 100, seed=4)[0], again[0])


def test_a_patient_keeps_anatomy_but_not_every_finding(cohort):
    _, records, labels = cohort
    first, second = records[::2].reset_index(drop=True), records[1::2].reset_index(drop=True)
    assert (first["patient_id"] == second["patient_id"]).all()
    assert (first["age"] == second["age"]).all()
    stable = labels["left bundle branch block"].to_numpy()
    assert (stable[::2] == stable[1::2]).mean() > 0.95
    rhythm = labels[RHYTHMS].to_numpy().argmax(axis=1)
    assert 0.2 < (rhythm[::2] != rhythm[1::2]).mean() < 0.8


def test_no_patient_crosses_splits_and_all_splits_are_there(cohort):
    records = cohort[1]
    assert records.groupby("patient_id")["split"].nunique().max() == 1
    share = records["split"].value_counts(normalize=True)
    assert share["train"] == pytest.approx(0.7, abs=0.02)
    assert share["test"] == pytest.approx(0.2, abs=0.02)


def test_prepare_writes_what_generate_makes_whatever_the_workers(tmp_path):
    ecg, records, labels = generate(20, 2, 100, seed=5)
    options = {"patients": 20, "records_per_patient": 2, "seed": 5, "progress": False}
    one = prepare(None, tmp_path / "one", **options)
    two = prepare(None, tmp_path / "two", workers=2, **options)
    assert one.fingerprint == two.fingerprint
    assert np.array_equal(one.signals, ecg)
    assert one.tasks() == [synthetic.TASK]
    named = labels.set_axis(records["record_id"])
    pd.testing.assert_frame_equal(one.labels(synthetic.TASK), named)
    for column in ("record_id", "patient_id", "split", "report", "heart_rate"):
        assert list(one.records[column]) == list(records[column])
    assert one.lead_mask().all() and one.labels_valid(synthetic.TASK).all()


def test_the_store_says_that_its_reports_were_written_from_the_labels(tmp_path):
    assert prepare(None, tmp_path / "s", patients=10, progress=False).reports_from_labels


def test_500_hz_is_the_same_cohort_finer(cohort):
    fine, records, _ = generate(32, 2, 500, seed=3)
    assert fine.shape == (64, 12, 5000)
    assert list(records["report"]) == list(cohort[1]["report"][:64])
    coarse = cohort[0][:64].astype(float)
    same = [np.corrcoef(fine[i, 1, ::5], coarse[i, 1])[0, 1] for i in range(64)]
    assert np.median(same) > 0.97


@pytest.mark.parametrize(
    "options", [{"patients": 3}, {"records_per_patient": 0}, {"sampling_rate": 20}]
)
def test_options_that_make_no_cohort_are_refused(tmp_path, options):
    with pytest.raises(UsageError):
        prepare(None, tmp_path / "store", progress=False, **options)
    assert not (tmp_path / "store").exists()


def test_a_data_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="made, not read"):
        prepare(tmp_path, tmp_path / "store")
