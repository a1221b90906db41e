"""Run by test_processes.py in a process of its own: it forks the runs that are killed or paired.

The parent imports everything once and never computes, so that a fork is cheap and safe.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np

from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import Stopped
from dbeta_lib.n3s import ensure_table
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.start import build_model

sys.path.insert(0, str(Path(__file__).parent))
from conftest import tiny_config, write_store


def forked(work, *args):
    """Pid of a child that runs `work(*args)` and ends with its exit code."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work(*args)
        code = 0
    except Stopped as error:
        code = error.exit_code
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait(pid):
    """The exit code; minus the signal's number when one ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def mine_and_pretrain(store_path, folder):
    """Mining, then pre-training with resume: what a rerun of the same command does."""
    folder.mkdir(exist_ok=True)
    store = SignalStore.open(store_path)
    negatives = ensure_table(store, folder / "negatives.npz", k=5, block=1)
    model = build_model(tiny_config(), store, 1)
    pretrain(
        model, store, folder / "run", negatives=negatives, steps=24, batch_size=8, lr=1e-3,
        log_every=5, eval_every=8, eval_records=8, checkpoint_every=3, resume=True, progress=False,
    )  # fmt: skip


def killed(folder, seed):
    """An undisturbed run in `a`; one in `b` that is killed again and again at random moments."""
    begun = time.monotonic()
    assert wait(forked(mine_and_pretrain, folder / "store", folder / "a")) == 0
    duration, draw = time.monotonic() - begun, np.random.default_rng(seed)
    kills = 0
    for longest in (0.2, 0.2, 0.5, 0.8):
        pid = forked(mine_and_pretrain, folder / "store", folder / "b")
        time.sleep(draw.uniform(0, longest) * duration)
        os.kill(pid, signal.SIGKILL)
        kills += wait(pid) == -signal.SIGKILL
    assert wait(forked(mine_and_pretrain, folder / "store", folder / "b")) == 0
    print(f"killed {kills} times")


def one_rank(store_path, folder, rank, world, port):
    """Two steps of ETM alone, without dropout.

    It proves that ranks share a batch, its draws and the gradient, for a loss whose mean over
    ranks is the mean over the batch. It proves nothing of ETS, MLM and MEM: `pretrain` refuses
    these over several processes.
    With eps = 1 Adam's step is about lr times the gradient: it does not blow up rounding errors.
    """
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true",
    } if world > 1 else {}  # fmt: skip
    store = SignalStore.open(store_path)
    model = build_model(tiny_config(**NO_DROPOUT), store, 1)
    pretrain(
        model, store, folder, steps=2, batch_size=8, lr=1.0, eps=1.0, stages=(0, 1, 0),
        eval_every=1, eval_records=8, log_every=1, tensorboard=False, progress=False,
    )  # fmt: skip


NO_DROPOUT = {
    "mlm_weight": 0.0, "ets_weight": 0.0, "mem_weight": 0.0,
    "input_dropout": 0.0, "ecg_dropout": 0.0,
    "attention_dropout": 0.0, "fusion_dropout": 0.0,
    "text_architecture": {**tiny_config().text.text_architecture, "dropout_rate": 0.0},
}  # fmt: skip


def paired(folder):
    """The same run (ETM alone) in `one` by one process and in `two` by two."""
    assert wait(forked(one_rank, folder / "store", folder / "one", 0, 1, 0)) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [forked(one_rank, folder / "store", folder / "two", r, 2, port) for r in (0, 1)]
    assert [wait(pid) for pid in ranks] == [0, 0]


if __name__ == "__main__":
    where = Path(sys.argv[1])
    assert wait(forked(write_store, where / "store")) == 0
    paired(where)
    killed(where, int(sys.argv[2]))
