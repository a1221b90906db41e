"""Writing a store: whole or not at all, the same bytes each time, one writer at a time."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from dbeta_lib.data import writer as writer_module
from dbeta_lib.data.placing import finish_interrupted
from dbeta_lib.data.signals import Record, Rejected, Signal, to_signal
from dbeta_lib.data.store import SignalStore
from dbeta_lib.data.writer import StoreWriter
from dbeta_lib.errors import DBetaError


def open_writer(path, samples=1000):
    return StoreWriter(path, "made", 100, samples, "1", "abc", options={"seed": 3})


def test_the_same_input_gives_the_same_bytes(make_store, folder_bytes):
    assert folder_bytes(make_store("one").path) == folder_bytes(make_store("two").path)


def test_the_header_is_numpy_s_own_form(make_store, tmp_path):
    store = make_store()
    np.save(tmp_path / "numpy.npy", np.asarray(store.signals))
    assert np.array_equal(np.load(tmp_path / "numpy.npy"), np.load(store.path / "signals.npy"))
    assert (store.path / "signals.npy").stat().st_size == 128 + 6 * 12 * 1000 * 2


def test_nothing_is_left_beside_a_finished_store(make_store, tmp_path):
    make_store()
    make_store()  # replaces the first
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_an_exception_leaves_neither_store_nor_partial_folder(tmp_path, fill_writer):
    with pytest.raises(ZeroDivisionError):  # noqa: SIM117
        with open_writer(tmp_path / "s") as writer:
            fill_writer(writer)
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rerun_leaves_the_old_store_as_it_was(make_store, tmp_path, folder_bytes):
    before = folder_bytes(make_store().path)
    with (
        pytest.raises(DBetaError, match="no record of made was found"),
        open_writer(tmp_path / "store") as writer,
    ):
        writer.close()
    assert folder_bytes(tmp_path / "store") == before


def test_a_folder_that_is_no_store_is_not_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DBetaError, match="is there and is no signal store"):
        open_writer(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("")
    with pytest.raises(DBetaError, match="is no signal store"):
        open_writer(tmp_path / "file")


def test_an_empty_folder_may_become_a_store(tmp_path, fill_writer):
    (tmp_path / "empty").mkdir()
    with open_writer(tmp_path / "empty") as writer:
        assert len(fill_writer(writer).close()) == 6


def test_two_preparations_of_one_store_are_kept_apart(tmp_path, fill_writer):
    with open_writer(tmp_path / "s") as first:
        with pytest.raises(DBetaError, match="another process is preparing"):
            open_writer(tmp_path / "s")
        assert len(fill_writer(first).close()) == 6


def test_the_lock_is_held_until_the_store_is_in_its_place(tmp_path, fill_writer, monkeypatch):
    rename, refused = writer_module.put_in_place, []

    def rename_watched(partial, dest):
        with pytest.raises(DBetaError, match="another process is preparing"):
            open_writer(dest)
        refused.append(dest)
        rename(partial, dest)

    monkeypatch.setattr(writer_module, "put_in_place", rename_watched)
    with open_writer(tmp_path / "s") as writer:
        assert len(fill_writer(writer).close()) == 6
    assert refused == [tmp_path / "s"]


def test_the_next_preparation_s_folder_is_not_removed_by_a_finished_one(tmp_path, fill_writer):
    with open_writer(tmp_path / "s") as first:
        fill_writer(first).close()
        with open_writer(tmp_path / "s") as second:
            first.__exit__(None, None, None)
            assert len(fill_writer(second, 4).close()) == 4
    assert len(SignalStore.open(tmp_path / "s")) == 4


def test_a_failing_preparation_removes_its_folder_before_it_gives_up_the_lock(
    tmp_path, monkeypatch
):
    writer, rmtree, refused = open_writer(tmp_path / "s"), writer_module.shutil.rmtree, []

    def rmtree_watched(path, **options):
        with pytest.raises(DBetaError, match="another process is preparing"):
            open_writer(tmp_path / "s")
        refused.append(path)
        rmtree(path, **options)

    monkeypatch.setattr(writer_module.shutil, "rmtree", rmtree_watched)
    writer.__exit__(None, None, None)
    assert refused == [tmp_path / "s.partial"] and list(tmp_path.iterdir()) == []


def test_when_nothing_was_kept_the_most_frequent_reason_is_the_error(tmp_path):
    with open_writer(tmp_path / "s") as writer:
        writer.set_aside("a", Rejected("wrong shape", "a.hea says 7 samples"))
        writer.set_aside("b", "file missing", "b.hea")
        writer.set_aside("c", "file missing", "c.hea")
        with pytest.raises(DBetaError) as caught:
            writer.close()
    assert "2 of 3 were set aside as 'file missing', the first b (b.hea)" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_patient_on_both_sides_of_a_split_is_refused(tmp_path, make_beats):
    with open_writer(tmp_path / "s") as writer:
        for i, split in enumerate(("train", "test")):
            writer.add(Record(f"r{i}", to_signal(make_beats(i)), "p7", split))
        with pytest.raises(DBetaError, match=r"more than one split \(p7\)"):
            writer.close()


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"signal": Signal(np.zeros((12, 999), np.int16), 4095)}, r"\(12, 1000\) is expected"),
        ({"signal": Signal(np.zeros((12, 1000), np.int32), 4095)}, "int32"),
        ({"split": "validation"}, "must be named"),
        ({"patient_id": ""}, "must be named"),
        ({"extra": {"heart_rate": 1.0, "more": 2}}, "extra columns"),
    ],
)
def test_a_loader_s_fault_is_named_with_its_record(tmp_path, fill_writer, record, sentence):
    sound = {
        "record_id": "x", "signal": Signal(np.ones((12, 1000), np.int16), 4095),
        "patient_id": "p", "split": "train", "extra": {"heart_rate": 1.0},
    }  # fmt: skip
    with open_writer(tmp_path / "s") as writer:
        fill_writer(writer)
        with pytest.raises(DBetaError, match=f"record x.*{sentence}"):
            writer.add(Record(**(sound | record)))


def test_labels_are_checked(tmp_path, make_beats):
    def close_with(frame, record_id="a"):
        with open_writer(tmp_path / "s") as writer:
            writer.add(Record(record_id, to_signal(make_beats(0)), "p", "train"))
            writer.labels("t", frame, "c")
            writer.close()

    with pytest.raises(DBetaError, match="neither 0 nor 1"):
        close_with(pd.DataFrame({"A": [2]}, index=["a"]))
    with pytest.raises(DBetaError, match="no row for record b"):
        close_with(pd.DataFrame({"A": [1]}, index=["a"]), "b")
    with pytest.raises(DBetaError, match="occurs twice"):
        close_with(pd.DataFrame({"A": [1, 1]}, index=["a", "a"]))


def test_a_record_without_labels_is_told_from_one_that_has_none_of_the_classes(
    tmp_path, make_beats
):
    frame = pd.DataFrame({"A": [1, 0, None], "B": [0, 0, None]}, index=["a", "b", "c"])
    with StoreWriter(tmp_path / "s", "made", 100, 1000, "1", "abc") as writer:
        for name in "abc":
            writer.add(Record(name, to_signal(make_beats(ord(name))), name, "train"))
        writer.labels("t", frame, "c")
        store = writer.close()
    assert store.labels_valid("t").tolist() == [True, True, False]
    assert store.labels("t").to_numpy().tolist() == [[1, 0], [0, 0], [0, 0]]
    store.verify()


def test_one_record_twice_is_refused_but_its_windows_are_not(tmp_path, make_beats):
    with open_writer(tmp_path / "s") as writer:
        for window in (0, 1):
            writer.add(Record("a", to_signal(make_beats(0)), "p", "train", window=window))
        writer.labels("t", pd.DataFrame({"A": [1]}, index=["a"]), "c")
        store = writer.close()
    assert store.labels("t")["A"].tolist() == [1, 1]
    assert store.meta["counts"]["records"] == 1
    with open_writer(tmp_path / "s2") as writer:
        for _ in range(2):
            writer.add(Record("a", to_signal(make_beats(0)), "p", "train"))
        with pytest.raises(DBetaError, match="occurs twice"):
            writer.close()


# ---- killed, and full disks: with the system's own signals and errors ----


def child(work) -> int:
    """Run `work` in a forked process; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os._exit(3)


def killed_at(monkeypatch, name, call):
    """Let the `call`-th call of the writer module's `name` end its process with SIGKILL."""
    where, attribute = (os, name[3:]) if name.startswith("os.") else (writer_module, name)
    original, calls = getattr(where, attribute), []

    def deadly(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    monkeypatch.setattr(where, attribute, deadly)


STEPS = [
    ("write_table", 1), ("write_table", 2), ("_write_csv", 1), ("write_json", 1),
    ("put_in_place", 1),
    ("os.replace", 1), ("os.replace", 2), ("os.replace", 3), ("check_disjoint", 1),
]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("replaces", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(("step", "call"), STEPS)
def test_killed_at_any_step_the_rerun_gives_the_same_bytes(
    monkeypatch, tmp_path, fill_writer, folder_bytes, step, call, replaces
):
    def prepare(path):
        with open_writer(path) as writer:
            fill_writer(writer).close()

    prepare(tmp_path / "undisturbed")
    if replaces:
        with open_writer(tmp_path / "s") as writer:
            fill_writer(writer, 4).close()
    with monkeypatch.context() as patched:
        killed_at(patched, step, call)
        _, status = os.waitpid(child(lambda: prepare(tmp_path / "s")), 0)
    died = os.WIFSIGNALED(status)
    if step in ("write_table", "_write_csv", "write_json"):  # store.json is the last file written
        assert not (tmp_path / "s.partial" / "store.json").exists()
        assert (tmp_path / "s.partial" / "signals.npy").exists()
    assert died or (step, call) == ("os.replace", 3)  # of store.json, the old store, the new one
    if (tmp_path / "s" / "store.json").is_file():
        SignalStore.open(tmp_path / "s").verify()  # the old one or the new one, whole
    prepare(tmp_path / "s")
    assert folder_bytes(tmp_path / "s") == folder_bytes(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "undisturbed"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_store_killed_before_its_last_rename_is_finished_and_never_lost(
    monkeypatch, tmp_path, fill_writer, folder_bytes
):
    def prepare(rows):
        with open_writer(tmp_path / "s") as writer:
            fill_writer(writer, rows).close()

    prepare(4)
    with monkeypatch.context() as patched:
        killed_at(patched, "os.replace", 3)  # the old store is moved away, the new one not in
        os.waitpid(child(lambda: prepare(6)), 0)
    assert not (tmp_path / "s").exists()
    whole = folder_bytes(tmp_path / "s.partial")
    with pytest.raises(ZeroDivisionError), open_writer(tmp_path / "s"):
        raise ZeroDivisionError  # the rerun fails too
    assert folder_bytes(tmp_path / "s") == whole
    assert [path.name for path in tmp_path.iterdir()] == ["s"]

    os.replace(tmp_path / "s", tmp_path / "s.partial")
    assert finish_interrupted(tmp_path / "s") and not finish_interrupted(tmp_path / "s")
    assert folder_bytes(tmp_path / "s") == whole


def test_only_a_whole_store_that_nobody_writes_is_finished(make_store, tmp_path):
    make_store("s.partial")
    lock = writer_module.lock_folder(tmp_path / "s.partial")
    with pytest.raises(DBetaError, match="another process is preparing"):
        finish_interrupted(tmp_path / "s")
    os.close(lock)
    os.replace(make_store("t", 4).path, tmp_path / "s")
    assert not finish_interrupted(tmp_path / "s")  # what stands there is a store already
    os.replace(tmp_path / "s", tmp_path / "t")
    (tmp_path / "s.partial" / "records.parquet").write_bytes(b"broken")
    assert not finish_interrupted(tmp_path / "s") and not (tmp_path / "s").exists()


def test_a_last_rename_that_fails_leaves_the_old_store(
    make_store, tmp_path, fill_writer, folder_bytes, monkeypatch
):
    before, replace = folder_bytes(make_store("s", 4).path), os.replace

    def refuse(source, dest):
        if str(source).endswith("s.partial"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        replace(source, dest)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError), open_writer(tmp_path / "s") as writer:
        fill_writer(writer).close()
    assert folder_bytes(tmp_path / "s") == before
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence(tmp_path, fill_writer):
    sentence = r"the disk is full: .*/s was not written; free some space"
    with pytest.raises(DBetaError, match=sentence), open_writer(tmp_path / "s") as writer:
        writer._signals.close()
        writer._signals = open("/dev/full", "wb")  # noqa: SIM115 - each write ends with ENOSPC
        fill_writer(writer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["write_table", "_write_csv"])
def test_a_disk_that_fills_at_the_end_is_one_sentence(tmp_path, fill_writer, monkeypatch, name):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer_module, name, full)
    with pytest.raises(DBetaError, match="the disk is full"), open_writer(tmp_path / "s") as writer:
        fill_writer(writer).close()
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_file_size_is_one_sentence(tmp_path, fill_writer):
    resource = pytest.importorskip("resource")
    told = tmp_path / "told"

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        try:
            with open_writer(tmp_path / "s") as writer:
                fill_writer(writer).close()
        except DBetaError as error:
            told.write_text(str(error))

    os.waitpid(child(work), 0)
    assert "the largest file allowed here is too small" in told.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["told"]


FULL_DISK = """
import sys
from dbeta_lib.data.signals import Record, Signal
from dbeta_lib.data.writer import StoreWriter
import numpy as np
uv = np.arange(12000, dtype=np.int16).reshape(12, 1000)
with StoreWriter(sys.argv[1] + "/s", "made", 100, 1000, "1", "x") as writer:
    for i in range(int(sys.argv[2])):
        writer.add(Record(f"r{i}", Signal(uv, 4095), f"p{i}", "train", report="word " * 100))
    writer.close()
"""


def test_a_really_full_file_system(tmp_path):
    """On a tmpfs of our own one store fits and a second beside it does not; the first stays."""
    mount = ["unshare", "-rm", "sh", "-c"]
    probe = f"mount -t tmpfs -o size=1200k none {tmp_path}"
    try:
        usable = subprocess.run([*mount, probe], capture_output=True).returncode == 0
    except FileNotFoundError:
        usable = False
    if not usable:
        pytest.skip("no file system of our own can be mounted here")
    script = tmp_path.parent / f"{tmp_path.name}.py"
    script.write_text(FULL_DISK)
    run = f"{sys.executable} {script} {tmp_path} 40"
    check = "import sys, dbeta_lib.data.store as s; s.SignalStore.open(sys.argv[1]).verify()"
    verify = f"{sys.executable} -c '{check}' {tmp_path}/s"
    steps = f"{probe} && ({run}; echo $?; {run}; echo $?; ls -A {tmp_path}; {verify}; echo $?)"
    done = subprocess.run(
        [*mount, steps], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([".", *sys.path])},
    )  # fmt: skip
    assert "the disk is full" in done.stderr
    assert done.stdout.split() == ["0", "1", "s", "0"]
