"""CODE-test's loader: order and unit found in the tracings, zeros taken off, seven annotators."""

import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from dbeta_lib.data import code_test
from dbeta_lib.data.prepare import write_store
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.leads import order_to

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
N, ZEROS, BROKEN = 14, 5, 6  # tracings; one of zeros alone; one with a lead of NaN


def write_code_test(folder, ecgs, order="standard", unit="mV", below="data"):
    """A folder as published of mV `[12, T]` recordings in LEADS; zeros on both sides."""
    folder = folder / below
    (folder / "annotations").mkdir(parents=True)
    tracings = np.zeros((len(ecgs), 4096, 12), np.float32)
    for tracing, ecg in zip(tracings, ecgs):
        start = (4096 - ecg.shape[1]) // 2
        stored = ecg[order_to(code_test.ORDERS[order])] / code_test.UNITS[unit]
        tracing[start : start + ecg.shape[1]] = stored.T
    with h5py.File(folder / "ecg_tracings.hdf5", "w") as file:
        file["tracings"] = tracings
    rng = np.random.default_rng(5)
    for number, task in enumerate(code_test.TASKS):
        frame = pd.DataFrame(rng.integers(0, 2, (len(ecgs), 6)), columns=code_test.CLASSES)
        if number % 2:
            frame = frame[frame.columns[::-1]]  # columns are matched by name
        name = "gold_standard" if task == "gold" else task
        frame.to_csv(folder / "annotations" / f"{name}.csv", index=task == "dnn")
    sexes = ["M", "F", ""] * len(ecgs)
    pd.DataFrame({"age": range(20, 20 + len(ecgs)), "sex": sexes[: len(ecgs)]}).to_csv(
        folder / "attributes.csv", index=False
    )
    return folder


@pytest.fixture
def ecgs(make_beats):
    """Recordings in mV of 7 and 10 seconds in turn."""
    made = [make_beats(i, 2800 if i % 2 else 4000, 400) for i in range(N)]
    made[ZEROS] = made[ZEROS] * 0
    made[BROKEN][7] = np.nan
    return made


@pytest.fixture
def folder(tmp_path, ecgs):
    write_code_test(tmp_path / "code-test", ecgs)
    return tmp_path / "code-test"


def prepare(folder, dest, hz=400, workers=1):
    plan = code_test.plan(folder, sampling_rate=hz)
    options = {"sampling_rate": hz, "window": "first", "keep_seconds": 10}
    return write_store(plan, dest, "code-test", options, code_test.CODE_VERSION, workers=workers,
                       progress=False)  # fmt: skip


# ---- tracings ----


@pytest.mark.parametrize("order", code_test.ORDERS)
@pytest.mark.parametrize("unit", code_test.UNITS)
def test_order_and_unit_are_found_in_the_tracings(tmp_path, ecgs, order, unit):
    write_code_test(tmp_path / "set", ecgs, order, unit)
    store = prepare(tmp_path / "set", tmp_path / "store")
    assert len(store) == N - 1
    for row, number in enumerate(store.records["record_id"].astype(int)):
        ecg = np.nan_to_num(ecgs[number])
        assert np.abs(store.ecg(row)[:, : ecg.shape[1]] - ecg).max() < 6e-4
        assert not store.signals[row, :, ecg.shape[1] :].any()
    version = store.meta["source"]["version"]
    assert f"order {' '.join(code_test.ORDERS[order][:6])} " in version
    assert f"unit {unit} " in version


def test_zeros_on_both_sides_are_taken_off_and_what_is_bad_is_said(folder, tmp_path):
    store = prepare(folder, tmp_path / "store")
    seven = store.records["record_id"].astype(int) % 2 == 1
    assert (store.records["padded"] == np.where(seven, 1200, 0)).all()
    with h5py.File(folder / "data/ecg_tracings.hdf5") as file:
        for row, number in ((0, 0), (1, 1)):
            start = 648 if number else 48
            stored = file["tracings"][number, start : start + 2800].T
            assert np.abs(store.ecg(row)[:, :2800] - stored).max() < 6e-4
    assert store.set_aside[["record", "reason"]].values.tolist() == [["0005", "all leads bad"]]
    assert "data/ecg_tracings/0005" in store.set_aside["detail"][0]
    row = store.records["record_id"].tolist().index("0006")
    assert np.flatnonzero(~store.lead_mask()[row]).tolist() == [7]


def test_workers_change_no_byte_and_other_rates_are_made(folder, tmp_path, folder_bytes):
    one, two = prepare(folder, tmp_path / "1", 100), prepare(folder, tmp_path / "2", 100, workers=2)
    assert folder_bytes(one.path) == folder_bytes(two.path)
    assert one.signals.shape == (N - 1, 12, 1000)


def test_all_are_test_data_of_patients_of_their_own(folder, tmp_path):
    records = prepare(folder, tmp_path / "store").records
    assert set(records["split"]) == {"test"}
    assert records["patient_id"].is_unique
    assert records["source"][0] == "data/ecg_tracings/0000"
    assert records["age"][:3].tolist() == [20, 21, 22]
    assert records["sex"][:3].tolist() == ["male", "female", "unknown"]
    assert not records["report"].any()


def test_what_is_no_ecg_in_any_order_or_unit_is_refused(tmp_path, ecgs):
    noise = [np.random.default_rng(i).normal(0, 1, (12, 2800)) for i in range(4)]
    write_code_test(tmp_path / "noise", noise)
    with pytest.raises(DBetaError, match=r"no known order .* authors; lead II 3\.\d+ u"):
        code_test.plan(tmp_path / "noise")
    write_code_test(tmp_path / "huge", [1e4 * np.nan_to_num(ecg) for ecg in ecgs])
    with pytest.raises(DBetaError, match=r"unit fits .*lead II [\d.e+]+ units"):
        code_test.plan(tmp_path / "huge")
    write_code_test(tmp_path / "flat", [ecg * 0 for ecg in ecgs])
    with pytest.raises(DBetaError, match="no tracing with a signal"):
        code_test.plan(tmp_path / "flat")


@pytest.mark.skipif(not (SHARED / "ptb-xl").is_dir(), reason="../shared/data/ptb-xl is not there")
@pytest.mark.parametrize("order", code_test.ORDERS)
def test_the_order_of_real_recordings_is_found(tmp_path, order):
    real = []
    for path in sorted((SHARED / "ptb-xl/records500").rglob("*.dat"))[:20]:
        ecg = np.fromfile(path, "<i2").reshape(5000, 12).T / 1000
        real.append(resample_poly(ecg, 4, 5, axis=1))
    write_code_test(tmp_path / "set", real, order, "0.1 mV")
    path = tmp_path / "set/data/ecg_tracings.hdf5"
    with h5py.File(path) as file:
        layout = code_test.find_layout(file["tracings"], path)
    assert (layout.order, layout.unit) == (order, "0.1 mV")
    assert layout.residuals[order] < 0.02
    assert min(value for name, value in layout.residuals.items() if name != order) > 0.5
    assert 0.6 < layout.peak_mv < 1.6


@pytest.mark.parametrize(
    ("peak", "unit"),
    [(0.3, "mV"), (3.1, "mV"), (3.4, "0.1 mV"), (50, "0.1 mV"), (3e-4, "V"), (5e-3, "V")],
)
def test_of_two_units_that_fit_the_nearer_to_1_mv_is_taken(peak, unit):
    assert code_test._decide({"standard": 0.01}, peak, Path("x")).unit == unit


@pytest.mark.parametrize("peak", [0.1, 51, 2e-4, 6e-3])
def test_an_excursion_that_fits_no_unit_is_refused(peak):
    with pytest.raises(DBetaError, match=rf"x: no known .* lead II {peak:g} units"):
        code_test._decide({"standard": 0.01}, peak, Path("x"))


# ---- damaged or foreign HDF5 ----


def outside(file):
    place = Path(file.filename).parent
    with h5py.File(place / "other.hdf5", "w") as other:
        other["tracings"] = np.zeros((N, 4096, 12), np.float32)
    return place / "other.hdf5"


def virtual(file):
    layout = h5py.VirtualLayout((N, 4096, 12), np.float32)
    layout[:] = h5py.VirtualSource(outside(file), "tracings", (N, 4096, 12))
    file.create_virtual_dataset("tracings", layout)


def external(file):
    file.create_dataset("tracings", (N, 4096, 12), np.float32,
                        external=[("/etc/hostname", 0, N * 4096 * 48)])  # fmt: skip


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: file.update({"x": np.zeros(3)}), "no dataset 'tracings'"),
        (lambda file: file.create_group("tracings"), "no dataset 'tracings'"),
        (lambda file: file.update({"tracings": h5py.ExternalLink(outside(file), "tracings")}),
         "of its own"),
        (lambda file: file.update({"tracings": h5py.SoftLink("/elsewhere")}), "of its own"),
        (virtual, "of its own"),
        (external, "of its own"),
        (lambda file: file.update({"tracings": np.zeros((N, 12, 4096), "f4")}), "is expected"),
        (lambda file: file.update({"tracings": np.zeros((N, 4096, 12), "i2")}), "is expected"),
        (lambda file: file.update({"tracings": 1.0}), "is expected"),
    ],
)  # fmt: skip
def test_another_file_or_one_that_points_elsewhere_is_refused(folder, make, said):
    path = folder / "data/ecg_tracings.hdf5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(DBetaError, match=said) as caught:
        code_test.plan(folder)
    assert str(path) in str(caught.value)
    assert "zenodo" in str(caught.value)


@given(share=st.floats(0, 0.99))
@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
def test_a_half_downloaded_file_is_one_sentence(folder, share):
    path = folder / "data/ecg_tracings.hdf5"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DBetaError, match="half-downloaded") as caught:
        code_test.plan(folder)
    assert "\n" not in str(caught.value)
    path.write_bytes(whole)


def test_a_file_damaged_after_planning_sets_its_records_aside(folder, tmp_path):
    plan = code_test.plan(folder)
    (folder / "data/ecg_tracings.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(DBetaError, match="unreadable"):
        plan.read("data/ecg_tracings/0000")


def test_without_h5py_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DBetaError, match=r'pip install "dbeta_lib\[formats\]"'):
        code_test.plan(folder)


# ---- annotations and attributes ----


def test_labels_are_matched_by_name(folder, tmp_path):
    store = prepare(folder, tmp_path / "store")
    assert store.tasks() == sorted(code_test.TASKS)
    kept = store.records["record_id"].astype(int)
    for task in code_test.TASKS:
        name = "gold_standard" if task == "gold" else task
        wanted = pd.read_csv(folder / f"data/annotations/{name}.csv").iloc[kept]
        found = store.labels(task)
        assert list(found) == list(code_test.CLASSES)
        for column in code_test.CLASSES:
            assert found[column].tolist() == wanted[column].tolist(), (task, column)
    assert "a third where" in store.convention("gold")
    assert "no human" in store.convention("dnn")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: text.rindex("\n", 0, -1) + 1], "13 rows where 14 tracings"),
        (lambda text: text.replace("AF", "AFIB"), "has no column AF"),
        (lambda text: "\n".join(f"{line},{(i and 1) or 'WPW'}" for i, line in
                                enumerate(text.splitlines())), "unknown column 'WPW'"),
        (lambda text: text[:-2] + "2\n", "row 13: '2' in column"),
        (lambda text: text[:-2] + "\n", "row 13: '' in column"),
        (lambda text: text[:-2] + "nan\n", "row 13: 'nan' in column"),
        (lambda text: text.replace("\n3,", "\n4,"), "are not numbered"),
        (lambda text: text + '"', "is damaged"),
        (lambda text: "", "is damaged"),
        (lambda text: None, "is missing"),
    ],
)  # fmt: skip
def test_a_damaged_annotation_is_one_sentence(folder, damage, said):
    path = folder / "data/annotations/dnn.csv"
    text = damage(path.read_text())
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(DBetaError, match=said) as caught:
        code_test.plan(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_may_be_the_folder_itself_and_changes_are_noticed(folder, tmp_path):
    first = code_test.source_checksum(folder)
    assert code_test.plan(folder).checksum == first
    shutil.move(folder / "data", tmp_path / "bare")
    assert code_test.source_checksum(tmp_path / "bare") == first
    assert len(code_test.plan(tmp_path / "bare")) == N
    assert code_test.plan(tmp_path / "bare").records["source"][0] == "ecg_tracings/0000"
    (tmp_path / "bare/attributes.csv").write_text("age,sex\n")
    assert code_test.source_checksum(tmp_path / "bare") != first
    with pytest.raises(DBetaError, match="0 rows where 14"):
        code_test.plan(tmp_path / "bare")


@pytest.mark.parametrize(("place", "hz"), [(".", 0), (".", 99.5), ("absent", 100)])
def test_wrong_options_are_refused(folder, place, hz):
    with pytest.raises(UsageError, match=r"sampling_rate|is no folder"):
        code_test.plan(folder / place, sampling_rate=hz)
