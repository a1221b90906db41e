"""A store is made once, and again when its source, options or code have changed."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from dbeta_lib import data
from dbeta_lib.data import DATASETS, ensure_store, ptb_xl
from dbeta_lib.errors import UsageError


@pytest.fixture
def ensure(small, tmp_path, capsys):
    """`ensure(**options)` -> what it printed."""

    def run(**options):
        ensure_store("ptb-xl", small, tmp_path / "s", progress=False, **options)
        return capsys.readouterr().out

    return run


def test_an_unchanged_store_is_used_as_it_is_and_one_line_says_so(ensure, tmp_path, folder_bytes):
    assert "preparing ptb-xl (there is no store yet)" in ensure()
    before = (tmp_path / "s" / "store.json").stat().st_mtime_ns
    again = ensure()
    assert again.count("\n") == 1
    assert "is prepared and unchanged (12 rows), used as it is" in again
    assert (tmp_path / "s" / "store.json").stat().st_mtime_ns == before


def test_workers_and_progress_are_no_part_of_what_is_made(ensure):
    ensure()
    assert "used as it is" in ensure(workers=2)


def _grow(folder):
    path = folder / "records100/00000/00003_lr.hea"
    path.write_text(path.read_text() + "# a comment\n")


def _new_csv(folder):
    path = folder / "ptbxl_database.csv"
    path.write_text(path.read_text().replace("sinusrhythmus", "sinus rhythmus"))


@pytest.mark.parametrize(
    "change",
    [_grow, _new_csv, lambda folder: (folder / "records100/00000/00003_lr.dat").unlink()],
)
def test_a_changed_source_is_prepared_again(ensure, small, change):
    ensure()
    change(small)
    assert "(the data folder has changed)" in ensure()
    assert "used as it is" in ensure()


def test_changed_options_and_code_are_prepared_again(ensure, monkeypatch):
    ensure()
    assert "(the options have changed)" in ensure(report="scp")
    assert "used as it is" in ensure(report="scp")
    monkeypatch.setattr(ptb_xl, "CODE_VERSION", 99)
    assert "(the preparation's code has changed)" in ensure(report="scp")


def test_a_damaged_store_is_prepared_again(ensure, tmp_path):
    ensure()
    path = tmp_path / "s" / "signals.npy"
    path.write_bytes(path.read_bytes()[:5000])
    assert "cut short" in ensure()
    assert "used as it is" in ensure()


def test_unknown_names_are_wrong_use(small, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'ptb-xl'"):
        ensure_store("ptbxl", small, tmp_path / "s")
    with pytest.raises(UsageError, match="no option 'reports'; did you mean 'report'"):
        ensure_store("ptb-xl", small, tmp_path / "s", reports="scp")
    with pytest.raises(UsageError, match="is no folder"):
        ensure_store("ptb-xl", tmp_path / "nowhere", tmp_path / "s")
    with pytest.raises(UsageError, match="is read from a folder"):
        ensure_store("ptb-xl", None, tmp_path / "s")


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_of_the_table_has_what_is_asked_of_it(name):
    module = data.loader(name)
    assert isinstance(module.CODE_VERSION, int)
    made = getattr(module, "plan", None) or module.prepare
    assert "sampling_rate" in made.__kwdefaults__ and made.__doc__
    if hasattr(module, "plan"):
        assert callable(module.source_checksum) and not hasattr(module, "prepare")
    else:
        assert {"workers", "progress"} <= set(module.prepare.__kwdefaults__)


# ---- kill -9 at random moments ----

PREPARE = """
import sys
from dbeta_lib.data import prepare
if __name__ == "__main__":
    prepare("ptb-xl", *sys.argv[1:3], 100, workers=int(sys.argv[3]), progress=False)
"""


def prepare(source, dest):
    data.prepare("ptb-xl", source, dest, 100, workers=1, progress=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments_the_rerun_gives_the_same_bytes(published, tmp_path, folder_bytes):
    start = time.monotonic()
    prepare(published, tmp_path / "undisturbed")
    takes = time.monotonic() - start
    wanted = folder_bytes(tmp_path / "undisturbed")
    moments = random.Random(8)
    killed = 0
    while killed < 10:  # one that had finished before does not count
        pid = os.fork()
        if not pid:
            try:
                prepare(published, tmp_path / "s")
            finally:
                os._exit(0)
        time.sleep(moments.uniform(0.02, 0.9) * takes)
        os.kill(pid, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    prepare(published, tmp_path / "s")
    assert folder_bytes(tmp_path / "s") == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "undisturbed"]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
def test_workers_end_with_a_killed_preparation(published, tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(published), str(tmp_path / "s"), "2"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    )
    deadline = time.monotonic() + 240
    workers = []
    while len(workers) < 2 and time.monotonic() < deadline:
        workers = [pid for pid in _children(child.pid) if "spawn_main" in _command(pid)]
        time.sleep(0.02)
    child.kill()
    child.wait()
    assert len(workers) == 2
    while any(map(_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, workers))


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_preparation_killed_at_its_last_rename_is_put_in_place_and_used(ensure, tmp_path):
    ensure()
    (tmp_path / "s").rename(tmp_path / "s.partial")  # what kill -9 between the renames leaves
    assert "used as it is" in ensure()
    assert (tmp_path / "s" / "store.json").is_file() and not (tmp_path / "s.partial").exists()
