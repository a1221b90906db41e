"""Run by test_grace.py where a file system can be mounted: checkpoints fill a disk of their own.

`roomy` is an undisturbed run; `full` begins on a disk that holds one checkpoint and not two, and
goes on when there is space. Prints what stands in `full` when the disk has filled.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from dbeta_lib.data.store import SignalStore
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.start import build_model

sys.path.insert(0, str(Path(__file__).parent))
from conftest import tiny_config, write_store
from processes import forked, wait

RUN = {
    "steps": 9, "batch_size": 8, "lr": 1e-3, "log_every": 1, "eval_every": 0, "resume": True,
    "checkpoint_every": 3, "tensorboard": False, "progress": False,
}  # fmt: skip


def train(store_path, out):
    """What a rerun of the same command does, too."""
    store = SignalStore.open(store_path)
    pretrain(build_model(tiny_config(), store, 1), store, out, **RUN)


def mount(folder, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    store, disk = where / "store", where / "disk"
    assert wait(forked(write_store, store)) == 0
    assert wait(forked(train, store, where / "roomy")) == 0
    files = (where / "roomy" / "checkpoints" / "step-00000006").rglob("*")
    checkpoint = sum(file.stat().st_blocks * 512 for file in files)
    disk.mkdir()
    mount(disk, f"size={checkpoint * 8 // 5}")
    print("full:", wait(forked(train, store, disk / "full")), flush=True)
    left = (disk / "full").rglob("*")
    names = (p.relative_to(disk / "full").as_posix() for p in left)
    print("left:", *sorted(names), flush=True)
    mount(disk, f"remount,size={checkpoint * 5}")
    print("after:", wait(forked(train, store, disk / "full")), flush=True)
    shutil.copytree(disk / "full", where / "full")
