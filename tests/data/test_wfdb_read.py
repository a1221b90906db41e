"""One WFDB record read with distrust: every refusal has a reason and names the file."""

import os
import tracemalloc

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
        (" AVL", " lead_avf", "unknown lead name", "names a lead twice: I II III aVR aVF aVF"),
        ("rec.dat 16", "rec.dat 16:200000000", "wrong shape", "a skew of 200000000 samples"),
        ("rec.dat 16", "rec.dat 16:101", "wrong shape", "more than a second"),
        ("rec.dat 16", "rec.dat 16x100000", "wrong sampling rate", "100000 samples in a frame"),
        ("rec.dat 16", "rec.dat 16x0", "wrong sampling rate", "0 samples in a frame"),
        ("rec.dat 16", "rec.dat 16+999999999", "truncated", "1000023999 are needed"),
        ("1000.0(0)", "1e300(0)", "unknown unit", "'1e300(0)/mV' is no gain"),
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


@pytest.mark.parametrize(
    "label", ["ECG {}", "Lead {}", "lead_{}", "EKG-{}", "ECG lead {}", "{} (uV)"]
)
def test_leads_are_known_by_the_labels_of_recorders(tmp_path, write_wfdb, make_beats, label):
    write_wfdb(tmp_path / NAME, make_beats(1), names=[label.format(lead) for lead in LEADS])
    found = read_wfdb(tmp_path, NAME)
    assert found.lead_mask.all() and np.abs(found.ecg - make_beats(1)).max() < 1e-9


OTHERS = ["vx", "vy", "vz", "RESP", "MLII", "Lead -aVR", "I/II", "V1 (filtered)", "X"]


@pytest.mark.parametrize("format", ["16", "212"])
def test_signals_that_are_no_leads_are_left_out(tmp_path, make_beats, format):
    ecg = make_beats(1)
    both = np.vstack([ecg[:2], -ecg[: len(OTHERS)], ecg[2:]])
    n = len(both)
    wfdb.wrsamp(
        "rec", fs=100, units=["mV"] * n, sig_name=[*LEADS[:2], *OTHERS, *LEADS[2:]],
        p_signal=both.T, fmt=[format] * n, adc_gain=[1000.0] * n, baseline=[0] * n,
        write_dir=str(tmp_path),
    )  # fmt: skip
    with pytest.raises(Rejected, match=f"'{OTHERS[0]}' is no lead name"):
        read_wfdb(tmp_path, "rec", 100, 1000)  # of a published set
    found = read_wfdb(tmp_path, "rec", 100, 1000, leave_out=True)
    assert found.lead_mask.all() and np.abs(found.ecg - ecg).max() < 1e-9


def test_units_and_gains_are_only_asked_of_leads(folder, make_beats):
    edit(folder, "1000.0(0)/mV", "0/mmHg", 1)
    assert refused(folder)[0] == "unknown unit"
    edit(folder, " I\n", " ABP\n", 1)
    found = read_wfdb(folder, NAME, 100, 1000, leave_out=True)
    assert found.lead_mask.tolist() == [False] + 11 * [True]
    assert np.abs(found.ecg - make_beats(0))[1:].max() < 1e-9


def test_the_file_of_what_is_no_lead_need_not_be_there(folder):
    edit(folder, "rec.dat 16", "other.dat 16", 1)
    assert refused(folder) == ("file missing", "a/b/other.dat")
    edit(folder, " I\n", " PLETH\n", 1)
    raw = np.fromfile(folder / f"{NAME}.dat", "<i2").reshape(1000, 12)[:, 1:]
    raw.tofile(folder / f"{NAME}.dat")
    found = read_wfdb(folder, NAME, 100, 1000, leave_out=True)
    assert not found.lead_mask[0] and np.allclose(found.ecg[1:], raw.T / 1000)
    edit(folder, "other.dat", "../other.dat", 1)
    with pytest.raises(Rejected, match="path refused"):
        read_wfdb(folder, NAME, leave_out=True)


def test_a_record_without_any_lead_and_one_of_65_signals_are_refused(
    tmp_path, write_wfdb, make_beats
):
    names = [f"vec{i}" for i in range(64)]
    write_wfdb(tmp_path / NAME, np.vstack([make_beats(0)] * 6)[:64], names=names)
    assert refused(tmp_path)[0] == "unknown lead name"
    write_wfdb(tmp_path / NAME, np.vstack([make_beats(0)] * 6)[:64], names=["V1", *names[1:]])
    assert read_wfdb(tmp_path, NAME, leave_out=True).lead_mask.sum() == 1
    write_wfdb(tmp_path / NAME, np.vstack([make_beats(0)] * 6)[:65], names=["V1", *names])
    assert refused(tmp_path)[0] == "wrong shape"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rec.dat 16 1000.0(0)/mV", "rec.dat 80 1000.0(0)/mV", "several formats or offsets"),
        ("rec.dat 16", "rec.dat 16+2", "several formats or offsets"),
    ],
)
def test_a_file_of_several_formats_or_offsets_is_refused(folder, old, new, words):
    edit(folder, old, new, 1)
    reason, detail = refused(folder)
    assert reason == "unreadable" and words in detail


def test_signals_that_alternate_between_files_are_refused(folder):
    lines = (folder / f"{NAME}.hea").read_text().splitlines()
    lines[2] = lines[2].replace("rec.dat", "b.dat")
    (folder / f"{NAME}.hea").write_text("\n".join(lines) + "\n")
    assert "mixes the signals of its files" in refused(folder)[1]


def test_a_header_that_wfdb_understands_otherwise_is_refused(folder):
    edit(folder, "rec.dat 16 1000.0(0)", "rec.dat 16:1 1000.0(+5)")  # wfdb knows no plus there
    assert refused(folder) == (
        "unreadable", f"{NAME}.hea is understood otherwise by wfdb; write it plainly"
    )  # fmt: skip


def test_a_skew_that_is_not_absurd_is_applied(folder, make_beats):
    edit(folder, "rec.dat 16", "rec.dat 16:3", 1)
    found = read_wfdb(folder, NAME, 100, 1000)
    assert np.abs(found.ecg[0, :997] - make_beats(0)[0, 3:]).max() < 1e-9
    assert np.abs(found.ecg[1] - make_beats(0)[1]).max() < 1e-9


def test_more_samples_than_fit_in_memory_are_not_read(folder):
    edit(folder, " 12 100 1000", " 12 100000 300000000")
    with open(folder / f"{NAME}.dat", "r+b") as file:
        file.truncate(12 * 2 * 300_000_000)  # a hole: no space is used
    assert refused(folder, rate=None, samples=None)[0] == "wrong shape"


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


# Lines that are well-formed and say hostile numbers. Sound values are among them, and are frequent,
# so that one hostile number is not always hidden behind another.
def often(sound, *hostile):
    return st.sampled_from([sound] * 3 * len(hostile) + [*hostile])


HUGE = ("0", "1", "999", "200000000", "999999999")
HOSTILE_SIGNAL = st.fixed_dictionaries(
    {
        "format": often("16", "8", "24", "32", "61", "80", "160", "212", "310"),
        "per_frame": often("", *(f"x{n}" for n in ("0", "1", "2", "1000", "999999"))),
        "skew": often("", *(f":{n}" for n in HUGE)),
        "offset": often("", *(f"+{n}" for n in HUGE)),
        "gain": often("1000", "1e300", "-1e300", "1e-300", "0", "1e15", "1e-9", "-1", "5e999"),
        "baseline": often("(0)", "", "(999999999999)", "(-999999999999)", "(32768)"),
        "unit": often("/mV", "", "/V", "/uV", "/mmHg"),
        "zero": often("0", "999999999999", "-999999999999"),
    }
)
HOSTILE = {
    "same": st.booleans(),  # all lines alike, else each its own
    "lines": st.lists(HOSTILE_SIGNAL, min_size=12, max_size=12),
    "rate": often("100", "1", "100000", "1e5", "1e308", "0.001", "99999.9", "100/1e9(9)"),
    "samples": often("1000", "0", "1", "12", "360000", "999999999999", ""),
}


@pytest.mark.slow
@settings(
    max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(**HOSTILE)
def test_thousands_of_well_formed_hostile_headers_take_little_memory(
    folder, same, lines, rate, samples
):
    check_hostile(folder, same, lines, rate, samples)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(**HOSTILE)
def test_a_well_formed_hostile_header_takes_little_memory(folder, same, lines, rate, samples):
    check_hostile(folder, same, lines, rate, samples)


def check_hostile(folder, same, lines, rate, samples):
    path = folder / f"{NAME}.hea"
    sound = path.read_text()
    text = [f"rec 12 {rate} {samples}"]
    for lead, s in zip(LEADS, lines[:1] * 12 if same else lines, strict=True):
        kind = f"{s['format']}{s['per_frame']}{s['skew']}{s['offset']}"
        gain = f"{s['gain']}{s['baseline']}{s['unit']}"
        text.append(f"rec.dat {kind} {gain} 16 {s['zero']} 0 0 0 {lead}")
    path.write_text("\n".join(text) + "\n")
    tracemalloc.start()
    try:
        found = read_wfdb(folder, NAME)
    except Rejected as reason:
        assert reason.detail
    else:
        assert found.ecg.shape[0] == 12 and 0 < found.ecg.shape[1] <= 24_000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        path.write_text(sound)
    assert peak < 50e6, text  # the file has 24 kB
