"""CinC 2021: 26 classes with merged pairs, eight sources, on small folders and on real records."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from dbeta_lib.data import cinc2021
from dbeta_lib.data.prepare import write_store
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.leads import LEADS

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
RECORDS = {  # path -> rate (Hz), seconds, codes
    "training/georgia/g1/E00001": (500, 10, "733534002,426783006"),
    "training/ptb/g1/S0001": (1000, 12, "164909002"),
    "training/st_petersburg_incart/g1/I0001": (257, 31, "63593006,10370003,284470004"),
    "training/ptb-xl/g2/HR01001": (500, 10, "164865005"),  # not scored
}
WEIGHTS = ",164909002|733534002,426783006\n164909002|733534002,1,0.5\n426783006,0.5,1\n"
MAPPING = "Dx,SNOMEDCTCode,Abbreviation\na,164909002,L\nb,733534002,CL\nc,426783006,N\n"


def store_of(source, dest, **options):
    given = {"sampling_rate": 500, "window": "first", "keep_seconds": 10, "sources": ""} | options
    plan = cinc2021.plan(source, sampling_rate=given["sampling_rate"], sources=given["sources"])
    return write_store(plan, dest, "cinc2021", given, cinc2021.CODE_VERSION, progress=False)


def positives(frame) -> dict[str, str]:
    return {name: " ".join(c for c in frame if row[c]) for name, row in frame.iterrows()}


def test_the_copy_kept_here_has_26_classes_and_30_codes(tmp_path):
    class_of = cinc2021.read_classes(tmp_path)
    assert len(class_of) == 30 and len(set(class_of.values())) == 26
    pairs = {name for name in class_of.values() if "|" in name}
    assert pairs == {"CLBBB|LBBB", "CRBBB|RBBB", "PAC|SVPB", "PVC|VPB"}
    assert class_of["63593006"] == class_of["284470004"] == "PAC|SVPB"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four sources as they differ; written once, tests that change it take a copy."""
    source = tmp_path_factory.mktemp("cinc") / "cinc2021"
    for name, (rate, seconds, codes) in RECORDS.items():
        path = source / name
        path.parent.mkdir(parents=True)
        time = np.arange(rate * seconds) / rate
        waves = (
            np.sin(2 * np.pi * np.outer(np.arange(1, 13), time)) * np.linspace(0.2, 1, 12)[:, None]
        )
        wfdb.wrsamp(
            path.name, fs=rate, units=["mV"] * 12, p_signal=waves.T, fmt=["16"] * 12,
            sig_name=list(LEADS),
            adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(path.parent),
        )  # fmt: skip
        with open(f"{path}.hea", "a") as header:
            header.write(f"# Age: NaN\n# Sex: Unknown\n# Dx: {codes}\n")
    return source


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_merged_pairs_are_one_class_and_unscored_codes_leave_an_empty_row(folder, tmp_path):
    store = store_of(folder, tmp_path / "s")
    assert positives(store.labels("cinc2021")) == {
        "training/georgia/g1/E00001": "CLBBB|LBBB NSR",
        "training/ptb-xl/g2/HR01001": "",
        "training/ptb/g1/S0001": "CLBBB|LBBB",
        "training/st_petersburg_incart/g1/I0001": "PAC|SVPB PR",
    }
    assert store.labels("cinc2021").shape == (4, 26)
    assert store.records["source_set"].tolist() == [
        "georgia", "ptb-xl", "ptb", "st_petersburg_incart",
    ]  # fmt: skip
    assert store.records["dx"][3] == "63593006,10370003,284470004"
    assert store.records["age"].isna().all() and set(store.records["sex"]) == {"unknown"}
    assert not store.meta["patients_known"]


@pytest.mark.parametrize("hz", [100, 500])
def test_every_rate_becomes_the_store_s(folder, tmp_path, hz):
    store = store_of(folder, tmp_path / "s", sampling_rate=hz)
    time = np.arange(hz * 10) / hz
    wanted = np.sin(2 * np.pi * np.outer(np.arange(1, 13), time)) * np.linspace(0.2, 1, 12)[:, None]
    inner = slice(hz, -hz)  # the filter's ends apart
    for row in range(4):
        assert np.abs(store.ecg([row])[0] - wanted)[:, inner].max() < 0.01


def test_all_windows_of_a_long_record_stay_on_one_side(folder, tmp_path):
    store = store_of(folder, tmp_path / "s", window="all")
    windows = store.records.groupby("source_set")["window"].count()
    assert windows.to_dict() == {"georgia": 1, "ptb": 1, "ptb-xl": 1, "st_petersburg_incart": 3}
    assert store.records.groupby("patient_id")["split"].nunique().max() == 1


def test_only_the_sources_asked_for_are_kept(folder, tmp_path):
    store = store_of(folder, tmp_path / "s", sources="ptb, georgia")
    assert store.records["source_set"].tolist() == ["georgia", "ptb"]
    everything = cinc2021.source_checksum(folder)
    assert cinc2021.source_checksum(folder, sources="ptb") != everything
    with pytest.raises(
        UsageError, match="no records of the source 'gorgia'; did you mean 'georgia"
    ):
        cinc2021.plan(folder, sources="gorgia")


def test_the_folder_of_one_source_and_of_training_are_read_too(folder, tmp_path):
    store = store_of(folder / "training/georgia", tmp_path / "s")
    assert store.records["record_id"].tolist() == ["g1/E00001"]
    assert store.records["source_set"].tolist() == [""]
    plan = cinc2021.plan(folder / "training")
    assert plan.records["source_set"].tolist() == [
        "georgia", "ptb-xl", "ptb", "st_petersburg_incart",
    ]  # fmt: skip


def test_a_header_that_names_itself_with_its_suffix_is_read(copy):
    path = copy / "training/georgia/g1/E00001.hea"
    path.write_text(path.read_text().replace("E00001 12", "E00001.mat 12", 1))
    with pytest.raises(ValueError):
        wfdb.rdheader(str(path)[:-4])
    recording = cinc2021.plan(copy).read("training/georgia/g1/E00001")
    assert recording.ecg.shape == (12, 5000)


def test_missing_twins_are_set_aside_either_way(copy, tmp_path):
    (copy / "training/georgia/g1/E00001.dat").unlink()
    (copy / "training/ptb/g1/S0001.hea").unlink()
    store = store_of(copy, tmp_path / "s")
    aside = {row.record: (row.reason, row.detail) for row in store.set_aside.itertuples()}
    assert {name: reason for name, (reason, _) in aside.items()} == {
        "training/georgia/g1/E00001": "file missing", "training/ptb/g1/S0001": "file missing",
    }  # fmt: skip
    assert "E00001.dat" in aside["training/georgia/g1/E00001"][1]
    assert "S0001.hea" in aside["training/ptb/g1/S0001"][1]
    assert len(store) == 2


def test_the_folder_s_own_tables_come_first(copy):
    before = cinc2021.source_checksum(copy)
    (copy / "weights.csv").write_text(WEIGHTS)
    (copy / "dx_mapping_scored.csv").write_text(MAPPING)
    plan = cinc2021.plan(copy)
    frame = plan.tasks["cinc2021"][0]
    assert list(frame) == ["L|CL", "N"]
    assert frame.loc["training/georgia/g1/E00001"].tolist() == [1, 1]
    assert before != cinc2021.source_checksum(copy) == plan.checksum


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("weights.csv", "", "does not begin with the scored codes"),
        ("weights.csv", ",AF,AFL\n", "does not begin with the scored codes"),
        ("weights.csv", ",164889003,164889003\n", "twice"),
        ("weights.csv", ",12345\n", "does not name the scored code 12345"),
        ("dx_mapping_scored.csv", "", "has no column"),
        ("dx_mapping_scored.csv", "Dx,Code\na,1\n", "has no column"),
        ("dx_mapping_scored.csv", MAPPING + "d,x y,Z\n", "'x y' and 'Z' are no code and name"),
        ("dx_mapping_scored.csv", MAPPING + "d,12345\n", "are no code and name"),
        ("dx_mapping_scored.csv", MAPPING, "does not name the scored code 164889003"),
    ],
)
def test_a_damaged_table_is_named_with_the_remedy(copy, name, text, words):
    (copy / name).write_text(text)
    with pytest.raises(DBetaError, match=re.escape(words)) as error:
        cinc2021.plan(copy)
    assert str(copy) in str(error.value) and "download it again" in str(error.value)


def test_a_folder_without_records_is_named(tmp_path):
    with pytest.raises(DBetaError, match="has no record"):
        cinc2021.plan(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        cinc2021.source_checksum(tmp_path / "absent")


# ---- real records ----

real = pytest.mark.skipif(
    not (SHARED / "cinc2021").is_dir(), reason="../shared/data/cinc2021 is not there"
)
BY_HAND = {  # read in the headers and looked up in dx_mapping_scored.csv, one by one
    "chapman_shaoxing/g6/JS05282": "SB",
    "cpsc_2018/g1/A0689": "AF",
    "cpsc_2018/g2/A1041": "AF CLBBB|LBBB",
    "cpsc_2018/g6/A5215": "CRBBB|RBBB PAC|SVPB",
    "cpsc_2018_extra/g1/Q0012": "Brady",  # and chronic ischaemia, old infarction: not scored
    "cpsc_2018_extra/g1/Q0033": "CLBBB|LBBB",  # and LVH, unspecific ST-T
    "georgia/g8/E07500": "SB",  # and left atrial enlargement
    "georgia/g8/E07501": "STach",  # and left atrial abnormality
    "georgia/g8/E07502": "STach",
    "georgia/g8/E07503": "STach",  # and left atrial abnormality
    "ningbo/g10/JS20004": "PAC|SVPB PVC|VPB STach",  # and high voltage
    "ningbo/g10/JS20005": "PAC|SVPB PVC|VPB STach",  # and RVH
    "ptb-xl/g18/HR17691": "NSR",
    "ptb-xl/g4/HR03961": "NSR",
    "ptb-xl/g7/HR06000": "NSR TAb",
    "ptb-xl/g7/HR06001": "NSR",  # and ST changes
}


@real
def test_the_labels_of_the_real_records_are_those_read_by_hand():
    frame = cinc2021.plan(SHARED / "cinc2021").tasks["cinc2021"][0]
    assert positives(frame) == {f"training/{name}": found for name, found in BY_HAND.items()}


@real
def test_the_copy_kept_here_is_the_published_table(tmp_path):
    own, published = cinc2021.read_classes(tmp_path), cinc2021.read_classes(SHARED / "cinc2021")
    assert list(own.items()) == list(published.items())
    official = pd.read_csv(SHARED / "cinc2021/weights_abbreviations.csv", index_col=0)
    assert list(dict.fromkeys(own.values())) == list(official.columns)


@real
def test_every_real_record_is_kept_with_wfdb_s_values(tmp_path):
    source = SHARED / "cinc2021"
    store = store_of(source, tmp_path / "s")
    found = sorted(path.relative_to(source).as_posix()[:-4] for path in source.rglob("*.hea"))
    assert store.records["record_id"].tolist() == found and len(found) == 16
    assert store.set_aside.empty
    for row, name in enumerate(found):
        signal = wfdb.rdrecord(str(source / name), sampto=5000)
        order = [signal.sig_name.index(lead) for lead in store.leads]
        assert np.abs(store.ecg([row])[0] - signal.p_signal.T[order]).max() <= 0.0005
    assert set(store.records["source_set"]) == {name.split("/")[1] for name in found}
    flat = store.records.set_index("record_id")["flat_leads"]
    assert bin(flat["training/ningbo/g10/JS20004"]).count("1") == 3
