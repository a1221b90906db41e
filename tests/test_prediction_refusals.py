"""What cannot be asked about is refused in one whole sentence, which fits shells and notebooks."""

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.data.signals import Rejected
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.leads import LEADS
from dbeta_lib.prediction.inputs import from_file, from_folder
from dbeta_lib.prediction.refusals import refusal


def said_of(path, **options):
    with pytest.raises(DBetaError) as caught:
        from_file(path, **options)
    return str(caught.value)


def test_an_empty_file_is_to_be_exported_again(tmp_path):
    (tmp_path / "a.csv").touch()
    assert said_of(tmp_path / "a.csv") == "a.csv is empty; export it again"


def test_a_header_without_its_samples_names_both(tmp_path, make_beats, write_wfdb):
    write_wfdb(tmp_path / "rec", make_beats(0))
    (tmp_path / "rec.dat").unlink()
    wanted = "rec.hea names rec.dat, which is not there; copy it beside rec.hea"
    assert said_of(tmp_path / "rec.hea") == wanted
    (found,) = from_folder(tmp_path, None, None, "mV", 9)
    assert found.says == wanted


def test_samples_without_their_header_name_both(tmp_path):
    (tmp_path / "rec.dat").write_bytes(b"1234")
    wanted = "rec.dat needs rec.hea, which is not there; copy it beside rec.dat"
    assert said_of(tmp_path / "rec.dat") == wanted


def test_a_file_without_suffix_is_not_taken_for_wfdb(tmp_path):
    (tmp_path / "noext").write_text("1,2,3")
    said = said_of(tmp_path / "noext")
    assert said.startswith("noext has no suffix and is no DICOM file; give it the suffix of its")
    assert "noext.hea" not in said


def test_columns_without_lead_names_are_to_be_headed(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    wanted = "a.csv names no lead in its first line; head the columns that are leads I, II, V1"
    assert said_of(tmp_path / "a.csv").startswith(wanted)


def test_a_missing_rate_is_asked_for_once(tmp_path, make_beats):
    np.save(tmp_path / "a.npy", make_beats(0))
    said = said_of(tmp_path / "a.npy")
    assert said.count("Hz") == 1 and said.count("give") == 1, said


def test_every_option_is_named_for_python_and_for_a_shell(tmp_path, make_beats):
    np.save(tmp_path / "a.npy", make_beats(0))
    np.save(tmp_path / "b.npy", make_beats(0)[:5])
    (tmp_path / "c.csv").write_text("I (furlong)\n1\n")
    for name, options, python, shell in (
        ("a.npy", {}, "sampling_rate=500 in Python", "--rate 500 in a shell"),
        ("b.npy", {"sampling_rate": 100}, 'leads=["I", "II", "V2"] in Python', "--leads I,II,V2"),
        ("c.csv", {"sampling_rate": 100}, 'units="uV" in Python', "--units uV in a shell"),
    ):
        said = said_of(tmp_path / name, **options)
        assert python in said and shell in said, said


def test_a_folder_where_a_file_is_asked_for_needs_no_other_function(tmp_path):
    with pytest.raises(UsageError) as caught:
        from_file(tmp_path)
    assert str(caught.value) == f"{tmp_path} is a folder; name a recording in it"


def test_a_refusal_names_the_folder_and_no_remedy_twice(tmp_path):
    links = refusal("x/a.csv", Rejected("path refused", "a.csv is a link; links are not followed"))
    assert links.says.startswith("x/a.csv is a link;") and links.says.count("followed") == 1
    large = refusal("x/a.csv", Rejected("wrong shape", "a.csv has 9 bytes; cut it first"))
    assert large.says == "x/a.csv has 9 bytes; cut it first"
    short = refusal("x/a.csv", Rejected("too short", "x/a.csv has 0.50 s"))
    assert short.says == "x/a.csv has 0.50 s; record at least 1 s, better 10"


def test_long_recordings_are_not_told_of_arrays(tmp_path, make_beats):
    frame = pd.DataFrame(np.zeros((400_000, 1)), columns=["I"])
    frame.to_csv(tmp_path / "a.csv", index=False)
    said = said_of(tmp_path / "a.csv", sampling_rate=100)
    assert "an hour" in said and "--leads" not in said and "array" not in said


# ---- signals that are no leads ----


def facts(path, **options):
    return dict(from_file(path, **options).facts())


def test_signals_of_a_wfdb_record_that_are_not_used_are_named(tmp_path, make_beats, write_wfdb):
    write_wfdb(tmp_path / "rec", make_beats(0))
    header = (tmp_path / "rec.hea").read_text().splitlines()
    header[1] = header[1].rpartition(" ")[0] + " MLII"
    (tmp_path / "rec.hea").write_text("\n".join(header) + "\n")
    told = facts(tmp_path / "rec.hea")
    assert told["leads"] == " ".join(LEADS[1:]) and told["not used"] == "MLII"
    (found,) = from_folder(tmp_path, None, None, "mV", 9)
    assert found.left_out == ("MLII",)


def test_columns_of_a_csv_that_are_not_used_are_named(tmp_path, make_beats):
    frame = pd.DataFrame(make_beats(0).T, columns=[*LEADS[:11], "V7"])
    frame.insert(0, "time", np.arange(len(frame)) / 100)
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert facts(tmp_path / "a.csv")["not used"] == "V7"


def test_many_signals_that_are_not_used_are_counted(tmp_path, make_beats):
    names = ["I", *(f"EEG{i}" for i in range(11))]
    pd.DataFrame(make_beats(0).T, columns=names).to_csv(tmp_path / "a.csv", index=False)
    told = facts(tmp_path / "a.csv", sampling_rate=100)["not used"]
    assert told == "EEG0 EEG1 EEG2 EEG3 EEG4 EEG5 EEG6 EEG7 and 3 more"


def test_where_all_signals_are_leads_nothing_is_said_of_others(tmp_path, make_beats, write_wfdb):
    write_wfdb(tmp_path / "rec", make_beats(0))
    np.save(tmp_path / "a.npy", make_beats(0))
    assert "not used" not in facts(tmp_path / "rec.hea")
    assert "not used" not in facts(tmp_path / "a.npy", sampling_rate=100)
