"""One recording of one file in each format: values, units, rates and leads, and every refusal."""

import os
import resource

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wfdb.io.convert.edf import read_edf as wfdb_read_edf

from dbeta_lib.data import formats
from dbeta_lib.data.formats import read_recording
from dbeta_lib.data.signals import Rejected
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS

LABELS = [f"ECG {name}" for name in LEADS]


def write_edf(
    path, ecg, rate=100, labels=LABELS, unit="mV", limits=(-32.768, 32.767), kind="",
    annotations=False, seconds=1, records=None,
):  # fmt: skip
    """An EDF file by the published layout; `ecg` `[leads, T]`, 16 bits from -32768 to 32767."""
    labels = [*labels, *["EDF Annotations"] * annotations]
    counts = [rate * seconds] * len(ecg) + [30] * annotations
    blocks = ecg.shape[1] // (rate * seconds)
    n = len(labels)
    low, high = limits
    fields = [
        (labels, 16), ([""] * n, 80), ([unit] * len(ecg) + [""] * annotations, 8),
        ([f"{low:.8g}"[:8]] * n, 8), ([f"{high:.8g}"[:8]] * n, 8), (["-32768"] * n, 8),
        (["32767"] * n, 8), ([""] * n, 80), ([str(c) for c in counts], 8), ([""] * n, 32),
    ]  # fmt: skip
    head = f"{'0':<8}{'X':<80}{'':<80}01.01.2401.02.03{256 * (1 + n):<8}{kind:<44}"
    head += f"{blocks if records is None else records:<8}{seconds:<8}{n:<4}"
    head += "".join(f"{value:<{width}}" for values, width in fields for value in values)
    digital = np.rint((ecg - low) / (high - low) * 65535 - 32768).clip(-32768, 32767).astype("<i2")
    step = rate * seconds
    body = b"".join(
        digital[:, i * step : (i + 1) * step].tobytes() + b"+0\x14\x14\x00".ljust(60, b"\0")
        if annotations
        else digital[:, i * step : (i + 1) * step].tobytes()
        for i in range(blocks)
    )
    path.write_bytes(head.encode("ascii") + body)
    return path


def write_csv(path, ecg, rate=None, names=LEADS, **options):
    frame = pd.DataFrame(ecg.T, columns=list(names))
    if rate:
        frame.insert(0, "time", np.round(np.arange(len(frame)) / rate, 3))
    frame.to_csv(path, index=False, **options)
    return path


def write_npy(path, ecg):
    np.save(path, ecg)
    return path


def refused(path, **options):
    with pytest.raises(Rejected) as caught:
        read_recording(path, **options)
    assert path.stem in caught.value.detail
    return caught.value.reason


# ---- each format gives the same recording ----


def test_wfdb_is_read_by_header_or_samples(tmp_path, write_wfdb, make_beats):
    write_wfdb(tmp_path / "a", make_beats(0))
    for name in ("a.hea", "a.dat", "a"):
        found = read_recording(tmp_path / name)
        assert np.abs(found.ecg - make_beats(0)).max() < 1e-9
        assert found.sampling_rate == 100


@pytest.mark.parametrize("annotations", [False, True])
def test_edf_values_are_those_written(tmp_path, make_beats, annotations):
    ecg = make_beats(1)
    kind = "EDF+C" if annotations else ""
    found = read_recording(write_edf(tmp_path / "a.edf", ecg, annotations=annotations, kind=kind))
    assert found.sampling_rate == 100
    assert found.lead_mask.all()
    assert np.abs(found.ecg - ecg).max() < 0.0006  # half a step of 1 uV


def test_edf_agrees_with_wfdb_within_its_rounding_of_the_baseline(tmp_path, make_beats):
    path = write_edf(tmp_path / "a.edf", make_beats(2), limits=(-5, 5))
    step = 10 / 65535
    theirs = wfdb_read_edf(str(path)).p_signal.T
    assert np.abs(read_recording(path).ecg - theirs).max() <= 1.01 * step


def test_edf_in_microvolts_and_longer_data_records(tmp_path, make_beats):
    ecg = make_beats(3, 1000)
    path = write_edf(tmp_path / "a.edf", ecg * 1000, unit="uV", limits=(-32768, 32767), seconds=2)
    found = read_recording(path)
    assert found.sampling_rate == 100
    assert np.abs(found.ecg - ecg).max() < 0.0006


def test_edf_signals_that_are_no_leads_are_left_out(tmp_path, make_beats):
    ecg = make_beats(4)[:3]
    found = read_recording(write_edf(tmp_path / "a.edf", ecg, labels=["Resp", "ECG II", "V1"]))
    assert [LEADS[i] for i in np.flatnonzero(found.lead_mask)] == ["II", "V1"]
    assert np.abs(found.ecg[1] - ecg[1]).max() < 0.0006


def test_edf_still_being_recorded_has_the_records_that_are_there(tmp_path, make_beats):
    path = write_edf(tmp_path / "a.edf", make_beats(5), records=-1)
    assert read_recording(path).ecg.shape == (12, 1000)


@pytest.mark.parametrize("rate", [100, 360, 500])
def test_csv_takes_its_rate_from_rounded_times(tmp_path, make_beats, rate):
    ecg = make_beats(6, 4 * rate, rate)
    found = read_recording(write_csv(tmp_path / "a.csv", ecg, rate))
    assert found.sampling_rate == rate
    assert np.array_equal(found.ecg, ecg)


@pytest.mark.parametrize(("sep", "decimal"), [(",", "."), (";", ","), (";", "."), ("\t", ".")])
def test_csv_of_any_country(tmp_path, make_beats, sep, decimal):
    ecg = make_beats(7)
    path = write_csv(tmp_path / "a.csv", ecg, sep=sep, decimal=decimal, encoding="utf-8-sig")
    assert np.array_equal(read_recording(path, sampling_rate=100).ecg, ecg)


def test_csv_leads_are_matched_by_name_and_unit(tmp_path, make_beats):
    ecg = make_beats(8)
    frame = pd.DataFrame(
        {"sample": range(1000), "Lead V6 (uV)": ecg[11] * 1000, "AVR": ecg[3], "ecg_i": ecg[0]}
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = read_recording(tmp_path / "a.csv", sampling_rate=100)
    assert [LEADS[i] for i in np.flatnonzero(found.lead_mask)] == ["I", "aVR", "V6"]
    assert np.allclose(found.ecg[[0, 3, 11]], ecg[[0, 3, 11]])


def test_csv_columns_that_are_no_leads_are_left_out(tmp_path, make_beats):
    ecg = make_beats(12)
    frame = pd.DataFrame(ecg.T, columns=list(LEADS))
    frame.insert(3, "RESP", 0.5)
    frame["HR"], frame["note"], frame["note "] = 71, "sleeps", ""
    frame.to_csv(tmp_path / "a.csv")  # with pandas' index, which has no name
    found = read_recording(tmp_path / "a.csv", sampling_rate=100)
    assert found.lead_mask.all()
    assert np.array_equal(found.ecg, ecg)


@pytest.mark.parametrize("column", ["time", "t", "Time (s)", "seconds"])
@pytest.mark.parametrize("first", [0, 1])
def test_sample_numbers_are_not_taken_for_seconds(tmp_path, make_beats, column, first):
    ecg = make_beats(13)
    frame = pd.DataFrame(ecg.T, columns=list(LEADS))
    frame.insert(0, column, np.arange(first, 1000 + first))
    frame.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(
        Rejected, match=r"are these sample numbers\? give its rate \(file_rate\)"
    ) as caught:
        read_recording(tmp_path / "a.csv")
    assert caught.value.reason == "wrong sampling rate"
    given = read_recording(tmp_path / "a.csv", sampling_rate=250)  # the remedy works
    assert given.sampling_rate == 250
    assert np.array_equal(given.ecg, ecg)


@pytest.mark.parametrize(("column", "step"), [("time", 2), ("t", 0.04), ("time_ms", 21)])
def test_times_that_mean_less_than_50_hz_are_refused(tmp_path, make_beats, column, step):
    frame = pd.DataFrame({column: step * np.arange(200), "I": make_beats(0, 200)[0]})
    frame.to_csv(tmp_path / "rec.csv", index=False)
    assert refused(tmp_path / "rec.csv") == "wrong sampling rate"
    frame[column] = np.arange(200) * (1 if column == "time_ms" else 0.001)
    frame.to_csv(tmp_path / "rec.csv", index=False)
    assert read_recording(tmp_path / "rec.csv").sampling_rate == 1000


def test_empty_fields_are_gaps(tmp_path, make_beats):
    ecg = make_beats(9)
    ecg[4, 10:13] = np.nan
    found = read_recording(write_csv(tmp_path / "a.csv", ecg), sampling_rate=100)
    assert np.flatnonzero(np.isnan(found.ecg[4])).tolist() == [10, 11, 12]
    assert np.isfinite(np.delete(found.ecg, 4, axis=0)).all()


@pytest.mark.parametrize("kind", ["float32", "float64", "int16"])
@pytest.mark.parametrize("transposed", [False, True])
def test_numpy_either_way_round_and_in_counts(tmp_path, make_beats, kind, transposed):
    ecg = make_beats(10)
    counts = (ecg * 1000).round().astype(kind)
    path = write_npy(tmp_path / "a.npy", counts.T if transposed else counts)
    for units in ("uV", "1000/mV"):
        found = read_recording(path, sampling_rate=100, units=units)
        assert np.abs(found.ecg - ecg).max() < 1e-6


def test_numpy_rows_are_the_leads_named(tmp_path, make_beats):
    ecg = make_beats(11)
    path = write_npy(tmp_path / "a.npy", ecg[[6, 0]])
    found = read_recording(path, sampling_rate=100, leads=["v1", "I"])
    assert np.array_equal(found.ecg[[6, 0]], ecg[[6, 0]])
    assert np.isnan(found.ecg[~found.lead_mask]).all()


# ---- what is refused ----


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"labels": ["Resp"] * 12}, "unknown lead name"),
        ({"labels": ["ECG I"] * 12}, "unknown lead name"),
        ({"unit": "furlong"}, "unknown unit"),
        ({"limits": (1, 1.0000001)}, "unknown unit"),
        ({"kind": "EDF+D"}, "unreadable"),
        ({"records": 11}, "truncated"),
        ({"records": 0}, "truncated"),
    ],
)
def test_an_edf_file_that_cannot_be_used_is_refused(tmp_path, make_beats, options, reason):
    assert refused(write_edf(tmp_path / "rec.edf", make_beats(0), **options)) == reason


def test_an_edf_file_of_annotations_alone_is_refused(tmp_path, make_beats):
    path = write_edf(tmp_path / "rec.edf", make_beats(0), labels=["EDF Annotations"] * 12)
    with pytest.raises(Rejected, match="holds annotations alone"):
        read_recording(path)


@pytest.mark.parametrize("keep", [1, 100, 300, 4000])
def test_a_cut_off_edf_file_is_refused(tmp_path, make_beats, keep):
    path = write_edf(tmp_path / "rec.edf", make_beats(0))
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(path) in ("truncated", "unreadable")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I,II\n1,x\n", "unreadable"),
        ("AVX,V9\n1,2\n", "no recording"),
        ("time,I,I\n0,1,2\n0.01,1,2\n", "unknown lead name"),
        ("time,I,RESP,Lead I\n0,1,5,2\n0.01,1,5,2\n", "unknown lead name"),
        ("I (furlong)\n1\n", "unknown unit"),
        ("name,age\nx,4\n", "no recording"),
        ("I,II\n", "truncated"),
        ("I,II\n1,2,3\n4,5,6\n", "unreadable"),
        ("I,II\n1,2\n4,5,6\n", "unreadable"),
        ("time,I\n0,1\n0.01,2\n0.5,3\n", "wrong sampling rate"),
        ("time,I\n0,1\n10,2\n20,3\n", "wrong sampling rate"),
        ("time,I\n3,1\n2,2\n1,3\n", "wrong sampling rate"),
        ("time,I\nnoon,1\nlater,2\n", "unreadable"),
        ('I,II\n"1,2\n', "unreadable"),
        ("\x00\x00", "no recording"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_refused(tmp_path, text, reason):
    path = tmp_path / "rec.csv"
    path.write_text(text)
    assert refused(path) == reason


def test_the_line_of_a_word_among_numbers_is_named(tmp_path):
    path = tmp_path / "rec.csv"
    path.write_text("I,II\n1,2\n3,4\n5,oops\n")
    with pytest.raises(Rejected, match="line 4: 'II' is no number"):
        read_recording(path, sampling_rate=100)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((11, 1000)), "wrong shape"),
        (np.zeros((1, 12, 1000)), "wrong shape"),
        (np.zeros((12, 1000), complex), "wrong shape"),
        (np.array([["x"] * 12]), "wrong shape"),
        (np.zeros((12, 0)), "wrong shape"),
        (np.array([{}], dtype=object), "unreadable"),
        (np.zeros((12, 400_000), np.int8), "wrong shape"),
    ],
)
def test_an_array_that_is_no_recording_is_refused(tmp_path, array, reason):
    np.save(tmp_path / "rec.npy", array, allow_pickle=True)
    assert refused(tmp_path / "rec.npy", sampling_rate=100) == reason


def test_a_header_in_capitals_is_to_be_renamed(tmp_path, make_beats, write_wfdb):
    write_wfdb(tmp_path / "rec", make_beats(0))
    (tmp_path / "rec.hea").rename(tmp_path / "rec.HEA")
    with pytest.raises(Rejected, match=r"rename it to rec\.hea"):
        read_recording(tmp_path / "rec.HEA")


def test_without_a_rate_csv_and_numpy_are_refused(tmp_path, make_beats):
    assert refused(write_csv(tmp_path / "rec.csv", make_beats(0))) == "wrong sampling rate"
    assert refused(write_npy(tmp_path / "rec.npy", make_beats(0))) == "wrong sampling rate"


def test_another_rate_than_the_file_says_is_refused(tmp_path, make_beats, write_wfdb):
    write_wfdb(tmp_path / "rec1", make_beats(0))
    for path in (
        write_csv(tmp_path / "rec.csv", make_beats(0), 100),
        write_edf(tmp_path / "rec.edf", make_beats(0)),
        tmp_path / "rec1.hea",
    ):
        assert read_recording(path, sampling_rate=100).sampling_rate == 100
        assert refused(path, sampling_rate=250) == "wrong sampling rate"


@pytest.mark.parametrize("suffix", formats.SUFFIXES)
def test_links_absent_files_and_folders_are_refused(tmp_path, make_beats, suffix):
    assert refused(tmp_path / f"rec{suffix}") == "file missing"
    (tmp_path / "real").write_text("I\n1\n")
    os.symlink(tmp_path / "real", tmp_path / f"rec{suffix}")
    assert refused(tmp_path / f"rec{suffix}") == "path refused"
    (tmp_path / f"rec2{suffix}").mkdir()
    assert refused(tmp_path / f"rec2{suffix}") == "unreadable"
    (tmp_path / f"rec3{suffix}").touch()
    assert refused(tmp_path / f"rec3{suffix}") in ("truncated", "unreadable")


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "rec.csv").touch()
    with pytest.raises(Rejected, match=r"^truncated: rec\.csv is empty$"):
        read_recording(tmp_path / "rec.csv")


def test_an_array_of_objects_is_said_to_hold_objects(tmp_path):
    np.save(tmp_path / "rec.npy", np.array([[{}] * 12], dtype=object), allow_pickle=True)
    with pytest.raises(Rejected, match=r"rec\.npy holds Python objects; save it as") as caught:
        read_recording(tmp_path / "rec.npy", sampling_rate=100)
    assert "memory" not in caught.value.detail


def test_a_file_that_is_too_large_is_not_opened(tmp_path, monkeypatch):
    path = tmp_path / "rec.csv"
    path.write_text("I\n1\n2\n")
    monkeypatch.setattr(formats, "MAX_BYTES", 4)
    assert refused(path, sampling_rate=100) == "wrong shape"


def test_wrong_options_are_wrong_use(tmp_path, make_beats):
    path = write_npy(tmp_path / "a.npy", make_beats(0))
    for options in (
        {"units": "mm"}, {"units": "0/mV"}, {"leads": ["V9"]}, {"leads": ["I", "i"]},
        {"sampling_rate": 0}, {"sampling_rate": float("nan")},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            read_recording(path, **({"sampling_rate": 100} | options))


FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(st.data())
def test_any_damage_to_an_edf_file_is_refused_or_harmless(tmp_path, make_beats, data):
    path = tmp_path / "rec.edf"
    if not path.exists():
        write_edf(path, make_beats(0, 200)[:2], labels=["I", "II"])
    original = path.read_bytes()
    broken = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 256 * 3))
        piece = data.draw(
            st.sampled_from([b"-1", b"99999999", b"1e9", b"nan", b" ", b"\xff", b"0"])
        )
        broken[place : place + len(piece)] = piece
    (tmp_path / "broken.edf").write_bytes(bytes(broken))
    try:
        found = read_recording(tmp_path / "broken.edf")
    except Rejected as reason:
        assert "broken.edf" in reason.detail
    else:
        assert found.ecg.shape[0] == 12


@FUZZ
@given(st.text(alphabet="I,V1\n\r\t;\"'.-+e0 time\x00é", max_size=80) | st.binary(max_size=80))
def test_any_text_as_csv_is_refused_or_a_recording(tmp_path, text):
    path = tmp_path / "rec.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        found = read_recording(path, sampling_rate=100)
    except Rejected as reason:
        assert "rec.csv" in reason.detail
    else:
        assert found.lead_mask.any()


@pytest.mark.parametrize("text", [",i\r\r ;t", ",I\r\r 1", "time,I\r\r \r1,2"])
def test_lone_carriage_returns_do_not_fill_the_memory(tmp_path, text):
    path = tmp_path / "rec.csv"
    path.write_bytes(text.encode())
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + 500_000  # kB
    try:
        assert read_recording(path, sampling_rate=100).ecg.shape[1] <= 3
    except Rejected as reason:
        assert "rec.csv" in reason.detail
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < limit


@FUZZ
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_as_array_are_refused_or_a_recording(tmp_path, data, is_headed):
    path = tmp_path / "rec.npy"
    path.write_bytes((b"\x93NUMPY\x01\x00" if is_headed else b"") + data)
    try:
        found = read_recording(path, sampling_rate=100)
    except Rejected as reason:
        assert "rec.npy" in reason.detail
    else:
        assert found.lead_mask.any()


def test_an_array_that_promises_more_than_the_file_holds_is_refused(tmp_path):
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (12, 999999999999)}"
    path = tmp_path / "rec.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
    assert refused(path, sampling_rate=100) == "unreadable"


def test_edf_of_another_writer_is_read_alike(tmp_path, make_beats):
    pyedflib = pytest.importorskip("pyedflib", reason="pip install pyedflib, a writer of EDF")
    ecg = make_beats(3, 5000, 500)
    for name, kind in (("a.edf", pyedflib.FILETYPE_EDF), ("plus.edf", pyedflib.FILETYPE_EDFPLUS)):
        file = pyedflib.EdfWriter(str(tmp_path / name), 12, file_type=kind)
        limits = {"physical_max": 32767, "physical_min": -32768}
        limits |= {"digital_max": 32767, "digital_min": -32768}
        for i, label in enumerate(LABELS):
            header = {"label": label, "dimension": "uV", "sample_frequency": 500, **limits}
            file.setSignalHeader(i, header | {"prefilter": "", "transducer": ""})
        file.writeSamples([np.ascontiguousarray(1000 * row) for row in ecg])
        file.close()
        found = read_recording(tmp_path / name)
        assert found.sampling_rate == 500
        # The writer truncates to whole uV, hence up to one beside.
        assert np.abs(found.ecg - ecg).max() <= 0.001 + 1e-9
