"""curves.csv: rows after the checkpoint go on resume, also a row cut short by a kill."""

from pathlib import Path

import pytest

from dbeta_lib.errors import DBetaError
from dbeta_lib.training.curves import Curves


def write(folder, start, rows):
    curves = Curves(folder, ("a", "b"), start, tensorboard=False)
    for step, values in rows:
        curves.add(step, values)
    curves.close()
    return (folder / "curves.csv").read_text()


def test_rows_are_appended_and_a_missing_value_is_an_empty_cell(tmp_path):
    text = write(tmp_path, 0, [(0, {"b": 0.1}), (5, {"a": 1 / 3, "b": 2e-9})])
    assert text == "step,a,b\n0,,0.1\n5,0.3333333,2e-09\n"


@pytest.mark.parametrize("tail", ["", "12", "125,0.5", "125,0.5,0.25"])
def test_a_resumed_run_keeps_what_is_before_its_checkpoint(tmp_path, tail):
    whole = write(tmp_path, 0, [(n, {"a": n, "b": -n}) for n in (0, 50, 100)])
    path = tmp_path / "curves.csv"
    path.write_text(whole + "120,1,1\n" + tail)  # a kill may cut the last row anywhere
    assert write(tmp_path, 100, [(120, {"a": 7})]) == whole + "120,7,\n"


def test_a_new_run_starts_the_file_anew(tmp_path):
    write(tmp_path, 0, [(5, {"a": 1})])
    assert write(tmp_path, 0, []) == "step,a,b\n"


def test_a_missing_or_foreign_file_is_named(tmp_path):
    with pytest.raises(DBetaError, match=r"curves.csv is gone"):
        Curves(tmp_path, ("a", "b"), 10, tensorboard=False)
    (tmp_path / "curves.csv").write_text("step,c\n1,2\n")
    with pytest.raises(DBetaError, match=r"curves.csv is not this run's"):
        Curves(tmp_path, ("a", "b"), 10, tensorboard=False)


def test_tensorboard_gets_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = Curves(tmp_path, ("a", "b"))
    curves.add(3, {"a": 0.5})
    curves.extra(3, {"records_per_s": 12.0})
    curves.sync()
    curves.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("a")] == [(3, 0.5)]
    assert [e.value for e in events.Scalars("records_per_s")] == [12.0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_named_whatever_is_written(tmp_path):
    """/dev/full takes no byte, as a full disk does."""
    curves = Curves(tmp_path, ("a",))
    events, rows = next((tmp_path / "tensorboard").iterdir()), curves.path.rename(tmp_path / "kept")
    for path in (curves.path, events):
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/full")
    with pytest.raises(DBetaError, match=r"the disk is full: .*curves.csv was not written"):
        curves.add(1, {"a": 1.0})
    rows.replace(curves.path)
    curves.extra(1, {"a": 1.0})  # written later, by a thread
    with pytest.raises(DBetaError, match=r"the disk is full: .*tensorboard was not written"):
        curves.sync()
