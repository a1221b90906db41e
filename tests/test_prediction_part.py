"""What is said of a recording is true of the ten seconds that are scored, and of what they lack."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.cli import main
from dbeta_lib.data.signals import to_signal
from dbeta_lib.errors import DBetaError
from dbeta_lib.leads import LEADS
from dbeta_lib.model import DBeta
from dbeta_lib.prediction import predict, predict_folder
from dbeta_lib.prediction.inputs import from_array
from dbeta_lib.prediction.known import Reference
from dbeta_lib.prediction.result import summary, summary_key, summary_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory, save_small_model):
    return save_small_model(tmp_path_factory.mktemp("run") / "model")


@pytest.fixture(scope="module")
def model(folder):
    return DBeta.from_pretrained(folder)


def with_reference(found, is_whole=True):
    reference = Reference("100 ECGs made here", {}, is_whole)
    about = dataclasses.replace(found.about, reference=reference)
    return dataclasses.replace(found, about=about, scores=found.scores.assign(rank=0.5))


def without_findings(found):
    """The beats of the tests are simpler than a heart's, and not all checks believe them."""
    return dataclasses.replace(found, given=dataclasses.replace(found.given, findings=()))


def names(ecg):
    return {f.name for f in from_array(ecg, 100).findings}


# ---- a long recording ----


def test_a_fault_within_the_scored_part_is_found_however_long_the_rest(make_beats):
    ecg = make_beats(0)
    spoilt = np.where(np.arange(12)[:, None] == 3, 0.25, ecg)  # one flat lead
    assert "flat" in names(spoilt)
    assert "flat" in names(np.concatenate([spoilt, *[ecg] * 59], axis=1))


def test_a_fault_after_the_scored_part_is_none_of_it(make_beats, model):
    ecg = make_beats(0)
    noise = np.random.default_rng(0).normal(0, 50, (12, 2000))
    assert names(np.concatenate([ecg, noise], axis=1)) == names(ecg)
    assert "gain" in names(np.concatenate([noise, ecg], axis=1))
    cut_off = np.concatenate([ecg, np.full((12, 2000), np.nan)], axis=1)
    assert names(cut_off) == names(ecg)
    alone = predict(ecg, model, sampling_rate=100)
    assert predict(cut_off, model, sampling_rate=100).warnings() == alone.warnings()


def test_of_a_longer_recording_the_good_word_is_for_its_first_ten_seconds(make_beats, model):
    ecg = make_beats(0)
    longer = without_findings(predict(np.tile(ecg, 3), model, sampling_rate=100))
    for text in (longer.text(), longer.html()):
        assert "Nothing in its first 10 s would spoil scores." in text
        assert "30.0 s, of which the first 10 s are scored" in text


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "each holds one value"), (np.nan, "missing or infinite"), (np.inf, "missing or infinite")],
)
def test_a_first_part_without_signal_is_refused_as_such(make_beats, model, value, said):
    empty = np.full((12, 1000), value)
    with pytest.raises(DBetaError, match=rf"^a: no lead has a signal, .*{said}"):
        predict(empty, model, sampling_rate=100, name="a")
    longer = np.concatenate([empty, make_beats(0), make_beats(1)], axis=1)
    with pytest.raises(DBetaError, match=rf"^array, in its first 10 s: .*{said}") as caught:
        predict(longer, model, sampling_rate=100)
    assert "nothing was recorded" not in str(caught.value)
    assert "cut the recording to begin where its signal does" in str(caught.value)


def test_leads_with_too_many_gaps_are_not_called_still(make_beats, model):
    ecg = make_beats(0)
    ecg[:, ::10] = np.inf
    with pytest.raises(DBetaError, match="no lead is whole enough, of each more than 5% of its"):
        predict(ecg, model, sampling_rate=100)
    ecg[3] = 0
    with pytest.raises(DBetaError, match="each holds one value throughout, or more than 5%"):
        predict(ecg, model, sampling_rate=100)


# ---- leads that are missing, and less than ten seconds ----


def test_missing_leads_are_said_where_nothing_else_was_found(make_beats, model):
    six = predict(make_beats(0)[:6], model, sampling_rate=100, leads=LEADS[:6])
    six = without_findings(six)
    for text in (six.text(), six.html()):
        assert "Nothing in it would spoil scores." not in text
        assert "but 6 of 12 leads are missing, which changes scores." in text
    assert "! No fault was found" in six.text()
    assert '<p class="good">' not in six.html()


def test_a_short_recording_has_a_warning_of_its_own(make_beats, model):
    ecg = make_beats(0)
    short = without_findings(predict(ecg[:, :500], model, sampling_rate=100))
    (told,) = short.warnings()
    assert told.startswith("Only 5.0 s of 10 were recorded; the zeros that fill the rest move")
    assert told in short.text() and told in short.html()
    assert not without_findings(predict(ecg, model, sampling_rate=100)).warnings()


def test_a_rank_of_a_part_says_what_it_is_compared_with(make_beats, model):
    ecg = make_beats(0)
    whole = with_reference(without_findings(predict(ecg, model, sampling_rate=100)))
    assert not whole.warnings()
    shape = "100 ECGs made here, with 12 leads of 10 s each"
    assert f"Higher than: how many of {shape}, score lower." in whole.text()
    for part in (
        predict(ecg[:, :500], model, sampling_rate=100),
        predict(ecg[:6], model, sampling_rate=100, leads=LEADS[:6]),
    ):
        warned = with_reference(part).warnings()
        assert warned[-1] == f"'Higher than' compares it with {shape}; read it with care."
    own = with_reference(part, is_whole=False)
    assert "with leads and lengths of their own" in own.warnings()[-1]


# ---- a folder of them ----


def one_csv(path, ecg, leads=LEADS):
    frame = pd.DataFrame(ecg.T, columns=list(leads))
    frame.insert(0, "time", np.arange(len(frame)) / 100)
    frame.to_csv(path, index=False)


def test_a_folders_lines_and_tables_name_what_is_missing(tmp_path, make_beats, model):
    ecg = make_beats(0)
    one_csv(tmp_path / "a.csv", ecg)
    one_csv(tmp_path / "b.csv", ecg[:6, :500], LEADS[:6])
    found = [each.without_signal() for each in predict_folder(tmp_path, model)]
    lines = [summary(each, 2) for each in found]
    assert "a.csv: " in lines[0]
    assert "b.csv, 6 of 12 leads, 5.0 s: " in lines[1]
    table = summary_table(found)
    assert table["leads"].tolist() == ["12", "6"]
    assert table["seconds"].tolist() == ["10.0", "5.0"]
    rows = found[1].rows()
    assert set(rows["leads"]) == {6} and set(rows["seconds"]) == {5.0}
    assert any("Only 5.0 s" in told for told in found[1].warnings())  # also without the samples


def test_the_percentage_in_brackets_is_explained_once(make_beats, model):
    found = predict(make_beats(0), model, sampling_rate=100)
    assert "brackets" not in summary_key(found.about)
    ranked = with_reference(found)
    assert "(50%)" in summary(ranked, 1)
    assert "in brackets how many of these ECGs score lower" in summary_key(ranked.about)


def test_one_recording_is_counted_in_the_singular(tmp_path, make_beats, folder, capsys):
    one_csv(tmp_path / "a.csv", make_beats(0))
    assert main(["predict", str(tmp_path), "--model", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "\n1 recording, 0 not read. " in printed
    assert printed.count("A line a recording: ") == 1


# ---- a recording that the model was trained on ----


def test_a_recording_of_the_training_is_known_by_its_samples(folder, make_beats):
    old, new = make_beats(0), make_beats(1)
    path = folder.parent / "seen.parquet"
    pd.DataFrame({"signal_hash": [to_signal(old).hash]}).to_parquet(path)
    try:
        found = predict(old, folder, sampling_rate=100)
        assert "The model was trained on this very recording" in found.text()
        assert "array, trained on: " in summary(found, 1)
        assert "trained on this" not in predict(new, folder, sampling_rate=100).text()
    finally:
        path.unlink()
