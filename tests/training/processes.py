"""Run by test_processes.py in a process of its own: it forks the runs that are killed or paired.

The parent imports everything once and never computes, so that a fork is cheap and safe.
"""

import dataclasses
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from dbeta_lib.comparisons import COMPARISONS
from dbeta_lib.data.store import SignalStore
from dbeta_lib.errors import Stopped
from dbeta_lib.model import DBeta
from dbeta_lib.n3s import RandomNegatives, ensure_table
from dbeta_lib.processes import Processes
from dbeta_lib.training.batches import BatchMaker
from dbeta_lib.training.pretrain import pretrain
from dbeta_lib.training.recorder import Objective
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
    except Exception:
        traceback.print_exc()
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


def joined(rank, world, port):
    """Make this process one of `world`."""
    if world > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true",
        }  # fmt: skip


NO_DROPOUT = {
    "input_dropout": 0.0, "ecg_dropout": 0.0, "attention_dropout": 0.0, "fusion_dropout": 0.0,
    "text_architecture": {**tiny_config().text.text_architecture, "dropout_rate": 0.0},
}  # fmt: skip
STILL = {"wander": 0, "hum": 0, "muscle": 0, "scale_low": 1, "scale_high": 1, "shift": 0,
         "lead_dropout": 0}  # fmt: skip
CASES = {  # what is built, switches, parts of a batch
    "paper": (DBeta, "paper", 1),
    "recommended": (DBeta, "recommended", 1),
    "released": (DBeta, "released", 1),
    "paper in 2 parts": (DBeta, "paper", 2),
    "clip": (COMPARISONS["clip"], "paper", 1),
    "simclr": (lambda c, t: COMPARISONS["simclr"](c, t, **STILL), "paper", 1),
}


def gradients(store_path, file, rank, world, port):
    """Of each case the losses' numbers and the gradient of a step, as DDP leaves it on rank 0."""
    joined(rank, world, port)
    store, found = SignalStore.open(store_path), {}
    negatives = RandomNegatives(store.records["report_id"].to_numpy().clip(0))
    accelerator = Accelerator()
    for name, (build, switches, parts) in CASES.items():
        model = build_model(tiny_config(switches=switches, **NO_DROPOUT), store, 1, build=build)
        model.double()
        maker = BatchMaker(
            store, store.rows("train"), model.tokenizer, model.config, negatives, batch_size=8,
            seed=0, rank=rank, world=world,
        )  # fmt: skip
        objective = accelerator.prepare_model(Objective(model, Processes(rank, world)))
        numbers = []
        batch = dataclasses.replace(maker[3], ecg=maker[3].ecg.double())
        for part in (split := batch.split(parts)):
            with nullcontext() if part is split[-1] else accelerator.no_sync(objective):
                loss, values = objective(part)
                (loss / parts).backward()
            numbers.append(values)
        numbers = accelerator.reduce(torch.stack(numbers).mean(0).double(), "mean")
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        found[name] = {"numbers": numbers, **grads}
    if rank == 0:
        torch.save(found, file)
    accelerator.end_training()


RUN = {
    "steps": 50, "batch_size": 8, "lr": 1e-3, "eval_every": 25, "eval_records": 8, "log_every": 1,
    "checkpoint_every": 10, "tensorboard": False, "progress": False,
}  # fmt: skip


def train(store_path, folder, rank, world, port):
    """Fifty steps of the paper's four losses, in double precision and without dropout."""
    joined(rank, world, port)
    store = SignalStore.open(store_path)
    model = build_model(tiny_config(**NO_DROPOUT), store, 1).double()
    pretrain(model, store, folder, resume=True, **RUN)


BERT = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 32, "pad_token_id": 0,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # fmt: skip


def train_bert(store_path, folder, rank, world, port):
    """A text encoder with a pooler, which no loss reads: a second step would wait for it."""
    joined(rank, world, port)
    store = SignalStore.open(store_path)
    model = build_model(tiny_config(**{**NO_DROPOUT, "text_architecture": BERT}), store, 1).double()
    pretrain(model, store, folder, **{**RUN, "steps": 3, "eval_every": 0})


def together(work, store, where):
    """Pids of two processes that do `work` together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [forked(work, store, where, rank, 2, port) for rank in (0, 1)]


def paired(folder):
    """Gradients and a run of one process and of two; and of two that are killed, then of one."""
    store = folder / "store"
    assert wait(forked(gradients, store, folder / "gradients-1.pt", 0, 1, 0)) == 0
    ranks = together(gradients, store, folder / "gradients-2.pt")
    assert [wait(pid) for pid in ranks] == [0, 0]
    assert wait(forked(train, store, folder / "one", 0, 1, 0)) == 0
    assert [wait(pid) for pid in together(train, store, folder / "two")] == [0, 0]
    assert wait(forked(train_bert, store, folder / "bert-1", 0, 1, 0)) == 0
    assert [wait(pid) for pid in together(train_bert, store, folder / "bert-2")] == [0, 0]
    ranks = together(train, store, folder / "fewer")
    while not (folder / "fewer" / "checkpoints" / "step-00000020" / "run.json").exists():
        time.sleep(0.01)
    for pid in ranks:
        os.kill(pid, signal.SIGKILL)
    assert [wait(pid) for pid in ranks] == [-signal.SIGKILL] * 2
    assert wait(forked(train, store, folder / "fewer", 0, 1, 0)) == 0


def stopped(folder):
    """SIGTERM to one of two processes: both leave with the code that says resumable."""
    ranks = together(train, folder / "store", folder / "stopped")
    while not (folder / "stopped" / "checkpoints" / "step-00000010" / "run.json").exists():
        time.sleep(0.01)
    os.kill(ranks[1], signal.SIGTERM)
    assert [wait(pid) for pid in ranks] == [75, 75]


if __name__ == "__main__":
    where = Path(sys.argv[1])
    assert wait(forked(write_store, where / "store")) == 0
    paired(where)
    stopped(where)
    killed(where, int(sys.argv[2]))
