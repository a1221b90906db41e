"""CPSC2018's MATLAB structs: what scipy reads in sound ones; anything else ends in a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from dbeta_lib.data import cpsc2018_mat
from dbeta_lib.data.cpsc2018_mat import read_mat, read_person
from dbeta_lib.data.signals import Rejected

ECG = np.arange(24.0).reshape(12, 2) / 7


def saved(compressed=True, **fields) -> bytes:
    file = io.BytesIO()
    ecg = {"sex": "Male", "age": 52, "data": ECG} | fields
    scipy.io.savemat(file, {"ECG": ecg}, do_compression=compressed)
    return file.getvalue()


def resized(*size) -> bytes:
    """A file whose data claim another size than they have."""
    content = saved(compressed=False)
    assert content.count(struct.pack("<2i", *ECG.shape)) == 1
    return content.replace(struct.pack("<2i", *ECG.shape), struct.pack("<2i", *size))


@settings(max_examples=60, deadline=None)
@given(
    age=st.integers(0, 130) | st.floats(0, 120).map(lambda age: round(age, 2)),
    sex=st.sampled_from(["Male", "Female", "male", "F"]),
    order=st.permutations(["sex", "age", "data"]),
    samples=st.integers(1, 30),
    compressed=st.booleans(),
)
def test_a_sound_struct_says_what_scipy_reads_in_it(
    tmp_path_factory, age, sex, order, samples, compressed
):
    folder = tmp_path_factory.getbasetemp()
    data = np.random.default_rng(samples).normal(size=(12, samples))
    ecg = {"sex": sex, "age": age, "data": data}
    ecg = {name: ecg[name] for name in order}
    scipy.io.savemat(folder / "A0001.mat", {"ECG": ecg}, do_compression=compressed)
    recording = read_mat(folder, "A0001")
    assert np.array_equal(recording.ecg, data)
    assert recording.sampling_rate == 500 and recording.lead_mask.all()
    assert read_person(folder, "A0001") == (
        pytest.approx(age), "male" if sex[0] in "Mm" else "female",
    )  # fmt: skip


def test_another_variable_in_front_does_no_harm(tmp_path):
    scipy.io.savemat(tmp_path / "A0001.mat", {"a": np.ones(3), "ECG": {"data": ECG}})
    assert np.array_equal(read_mat(tmp_path, "A0001").ecg, ECG)
    age, sex = read_person(tmp_path, "A0001")
    assert np.isnan(age) and sex == "unknown"


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", "unreadable", "0 bytes"),
        (b"x" * 500, "unreadable", "no MATLAB 5 file"),
        (b"MATLAB 7.3 MAT-file" + b" " * 500, "unreadable", "no MATLAB 5 file"),
        (saved()[:-30], "truncated", "cut short"),
        (saved(compressed=False)[:-30], "truncated", "cut short"),
        (saved(data="text"), "unreadable", "no numbers in ECG.data"),
        (resized(12, 3), "unreadable", "is damaged (cannot reshape"),
        (resized(12, -1), "wrong shape", "(12, -1)"),
        (saved(data=ECG[:11]), "wrong shape", "(11, 2)"),
        (saved(data=ECG.T), "wrong shape", "(2, 12)"),
        (saved(data=np.zeros((12, 0))), "wrong shape", "(12, 0)"),
        (saved(data=ECG * 1j), "unreadable", "no numbers in ECG.data"),
    ],
)
def test_what_is_no_recording_ends_in_a_reason(tmp_path, content, reason, words):
    (tmp_path / "A0001.mat").write_bytes(content)
    with pytest.raises(Rejected) as error:
        read_mat(tmp_path, "A0001")
    assert error.value.reason == reason
    assert words in error.value.detail and "A0001.mat" in error.value.detail


@pytest.mark.parametrize("content", [{"ecg": 1.0}, {"ECG": np.ones((12, 9))}, {"ECG": {"sex": 1}}])
def test_a_file_without_the_struct_is_named(tmp_path, content):
    scipy.io.savemat(tmp_path / "A0001.mat", content)
    with pytest.raises(Rejected, match=r"A0001.mat has no struct ECG with a field data"):
        read_mat(tmp_path, "A0001")


def test_a_bomb_is_not_unpacked(tmp_path):
    head = saved()[:128]
    bomb = zlib.compress(bytes(cpsc2018_mat.MAX_BYTES + 10**7))
    (tmp_path / "A0001.mat").write_bytes(head + struct.pack("<II", 15, len(bomb)) + bomb)
    assert len(bomb) < 10**5
    with pytest.raises(Rejected, match="more than 64 MB unpacked"):
        read_mat(tmp_path, "A0001")
    age, sex = read_person(tmp_path, "A0001")
    assert np.isnan(age) and sex == "unknown"


def test_paths_and_links_that_leave_the_folder_are_refused(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "A0001.mat").write_bytes(saved())
    (folder / "A0002.mat").symlink_to(tmp_path / "A0001.mat")
    for name in ("../A0001", "A0002", str(tmp_path / "A0001")):
        with pytest.raises(Rejected) as error:
            read_mat(folder, name)
        assert error.value.reason == "path refused"
    with pytest.raises(Rejected, match="file missing"):
        read_mat(folder, "A0003")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_struct_with_bytes_changed_is_read_or_ends_in_a_reason(tmp_path_factory, data):
    content = bytearray(saved(compressed=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.getbasetemp()
    (folder / "A0001.mat").write_bytes(content)
    try:
        assert read_mat(folder, "A0001").ecg.shape[0] == 12
    except Rejected as reason:
        assert reason.reason in ("unreadable", "wrong shape", "truncated")
        assert "A0001.mat" in reason.detail
    age, sex = read_person(folder, "A0001")
    assert np.isnan(age) or 0 <= age <= 130
    assert sex in ("male", "female", "unknown")
