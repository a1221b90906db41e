"""One WFDB record read with distrust: every refusal has a reason and names the file."""

import os

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.leads import LEADS

NAME = "a/b/rec"


@pytest.fixture
def folder(tmp_path, write_wfdb, make_beats):
    write_wfdb(tmp_path / NAME, make_beats(0))
    return tmp_path


def edit(folder, old, new, count=-1):
    path = folder / f"{NAME}.hea"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def refused(folder, name=NAME, rate=100, samples=1000):
    with pytest.raises(Rejected) as caught:
        read_wfdb(folder, name, rate, samples)
    return caught.value.reason, caught.value.detail


def test_values_are_those_of_wfdb(folder, make_beats):
    found = read_wfdb(folder, NAME, 100, 1000)
    assert np.abs(found.ecg - make_beats(0)).max() < 1e-9
    assert np.array_equal(found.ecg, wfdb.rdsamp(str(folder / NAME))[0].T)
    assert found.lead_mask.all()
    assert found.sampling_rate == 100


def test_leads_are_placed_by_name_never_by_position(tmp_path, write_wfdb, make_beats):
    ecg = make_beats(1)
    mimic = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "v6"]
    order = [LEADS.index(name.replace("v6", "V6")) for name in mimic]
    write_wfdb(tmp_path / NAME, ecg[order], names=mimic)
    assert np.allclose(read_wfdb(tmp_path, NAME).ecg, ecg)


def test_a_lead_that_is_not_there_is_masked(tmp_path, write_wfdb, make_beats):
    names = ["II", "I", "V2"]
    write_wfdb(tmp_path / NAME, make_beats(2)[[1, 0, 7]], names=names)
    found = read_wfdb(tmp_path, NAME)
    assert [LEADS[i] for i in np.flatnonzero(found.lead_mask)] == ["I", "II", "V2"]
    assert np.isnan(found.ecg[~found.lead_mask]).all()


def test_the_invalid_marker_of_format_16_is_nan(tmp_path, write_wfdb, make_beats):
    ecg = make_beats(3)
    ecg[4, 20:25] = np.nan
    write_wfdb(tmp_path / NAME, ecg)
    raw = np.fromfile(tmp_path / f"{NAME}.dat", "<i2").reshape(1000, 12)
    assert (raw[20:25, 4] == -32768).all()
    assert np.flatnonzero(np.isnan(read_wfdb(tmp_path, NAME).ecg[4])).tolist() == [*range(20, 25)]


@pytest.mark.parametrize(("unit", "factor"), [("V", 1e-3), ("uV", 1e3), ("mV", 1.0), ("MV", 1.0)])
def test_the_header_s_unit_is_converted_to_millivolts(
    tmp_path, write_wfdb, make_beats, unit, factor
):
    ecg = make_beats(4)
    write_wfdb(tmp_path / NAME, ecg * factor, units=unit, gain=1000.0 / factor)
    assert np.abs(read_wfdb(tmp_path, NAME).ecg - ecg).max() < 1e-3


@pytest.mark.parametrize(
    ("old", "new", "reason", "words"),
    [
        (" 12 100 1000", " 12 250 1000", "wrong sampling rate", "says 250 Hz, expected 100 Hz"),
        (" 12 100 1000", " 12 100 900", "wrong shape", "says 900 samples, expected 1000"),
        (" 12 100 1000", " 12 100 999999999", "wrong shape", "says 999999999 samples"),
        (" 12 100 1000", "", "unreadable", "rec.hea"),
        (" AVL", " AVM", "unknown lead name", "did you mean 'aV"),
        (" AVL", " AVF", "unknown lead name", "names a lead twice"),
        ("/mV", "/furlong", "unknown unit", "'furlong' of lead I is none of V, mV, uV"),
        ("rec.dat 16", "rec.dat 999", "unreadable", "rec.hea"),
        ("rec.dat 16", "rec.dat 311", "unreadable", "storage format 311"),
        ("rec.dat", "../../../secret.dat", "path refused", "not beside it"),
        ("rec.dat", "/etc/passwd", "path refused", "not beside it"),
        ("rec.dat", "sub/rec.dat", "path refused", "not beside it"),
        ("rec.dat 16", ".. 16", "path refused", "not beside it"),
        ("rec.dat 16", "~ 16", "path refused", "not beside it"),
        ("rec.dat", "other.dat", "file missing", "a/b/other.dat"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(folder, old, new, reason, words):
    edit(folder, old, new)
    found, detail = refused(folder)
    assert found == reason
    assert words in detail
    assert "rec" in detail or "other" in detail


def test_thirteen_signals_are_refused(tmp_path, write_wfdb, make_beats):
    write_wfdb(tmp_path / NAME, np.vstack([make_beats(0), make_beats(0)[:1]]), names=[*LEADS, "X"])
    assert refused(tmp_path)[0] == "wrong shape"


@pytest.mark.parametrize("keep", [0, 1, 12_000, 23_999])
def test_a_truncated_signal_file_is_refused_before_it_is_read(folder, keep):
    path = folder / f"{NAME}.dat"
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(folder) == ("truncated", f"{NAME}.dat has {keep} bytes where 24000 are needed")


def test_an_absent_file_is_missing_by_its_name(folder):
    (folder / f"{NAME}.dat").unlink()
    assert refused(folder) == ("file missing", f"{NAME}.dat")
    (folder / f"{NAME}.hea").unlink()
    assert refused(folder) == ("file missing", f"{NAME}.hea")
    assert refused(folder, "no/where") == ("file missing", "no/where.hea")


def test_empty_and_huge_headers_are_refused(folder):
    (folder / f"{NAME}.hea").write_text("")
    assert refused(folder) == ("unreadable", f"{NAME}.hea has 0 bytes; it is no header")
    (folder / f"{NAME}.hea").write_bytes(os.urandom(100_000))
    assert refused(folder)[0] == "unreadable"


@pytest.mark.parametrize("name", ["../rec", "/etc/passwd", "a/../../rec", "", "a\x00b"])
def test_a_path_out_of_the_folder_is_refused(folder, name):
    assert refused(folder, name)[0] == "path refused"


def test_one_signal_among_twelve_that_lies_elsewhere_is_enough(folder):
    lines = (folder / f"{NAME}.hea").read_text().splitlines()
    lines[8] = lines[8].replace("rec.dat", "../rec.dat")
    (folder / f"{NAME}.hea").write_text("\n".join(lines) + "\n")
    assert refused(folder)[0] == "path refused"


def test_links_are_not_followed(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder / "a")
    assert refused(folder, "link/b/rec") == (
        "path refused",
        "link is a link; links are not followed",
    )
    for suffix in ("hea", "dat"):
        path = folder / f"{NAME}.{suffix}"
        path.rename(folder / f"real.{suffix}")
        path.symlink_to(folder / f"real.{suffix}")
        assert refused(folder) == (
            "path refused", f"{NAME}.{suffix} is a link; links are not followed",
        )  # fmt: skip
        path.unlink()
        (folder / f"real.{suffix}").rename(path)


def test_a_folder_or_pipe_in_a_file_s_place_is_refused(folder):
    (folder / f"{NAME}.dat").unlink()
    os.mkfifo(folder / f"{NAME}.dat")  # opening it would wait for ever
    assert refused(folder) == ("unreadable", f"{NAME}.dat is no file")


DAMAGE = {
    "place": st.integers(0, 600),
    "put": st.one_of(
        st.binary(max_size=12), st.sampled_from([b"1e308", b"-1", b"\n", b"nan", b"/", b"x"])
    ),
    "cut": st.integers(0, 40),
}


@pytest.mark.slow
@settings(
    max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(**DAMAGE)
def test_five_thousand_damaged_headers_each_end_in_a_reason_or_a_recording(folder, place, put, cut):
    check_damage(folder, place, put, cut)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(**DAMAGE)
def test_a_damaged_header_ends_in_a_reason_or_in_a_sound_recording(folder, place, put, cut):
    check_damage(folder, place, put, cut)


def check_damage(folder, place, put, cut):
    path = folder / f"{NAME}.hea"
    sound = path.read_bytes()
    path.write_bytes(sound[:place] + put + sound[place + cut :])
    try:
        found = read_wfdb(folder, NAME, 100, 1000)
    except Rejected as reason:
        assert reason.detail
    else:
        assert found.ecg.shape == (12, 1000)
    finally:
        path.write_bytes(sound)
