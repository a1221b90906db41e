"""Whole processes: killed by SIGKILL at random moments and rerun; two that train as one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from dbeta_lib.data import ensure_store

SCRIPT = Path(__file__).with_name("processes.py")
ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder of all runs, and what the script said."""
    folder = tmp_path_factory.mktemp("processes")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    seed = int.from_bytes(os.urandom(3), "little")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), str(seed)],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}{done.stderr}"
    return folder, done.stdout


def test_killed_in_mining_and_pretraining_the_rerun_gives_the_same_bytes(ran):
    folder, said = ran
    assert int(said.split("killed ")[1].split()[0]) >= 2, said
    a, b, final = folder / "a", folder / "b", "run/checkpoints/step-00000024"
    for name in (
        "negatives.npz", "run/curves.csv", "run/model/model.safetensors",
        f"{final}/model.safetensors",
    ):  # fmt: skip
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    states = [torch.load(x / final / "training.pt", weights_only=True)["optimizer"] for x in (a, b)]
    for number, state in states[0]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, states[1]["state"][number][name])
    left = sorted(p.name for p in (b / "run" / "checkpoints").iterdir())
    assert left == ["step-00000021", "step-00000024"]  # no partial folder stays behind


def close(a, b):
    """Largest difference of two dicts of tensors, over 1 or the larger value."""
    assert a.keys() == b.keys()
    return max(float(((a[k] - b[k]).abs() / a[k].abs().clamp(min=1)).max()) for k in a)


@pytest.mark.parametrize(
    "case", ["paper", "recommended", "released", "paper in 2 parts", "clip", "simclr"]
)
def test_two_processes_have_losses_and_gradient_of_one_with_the_whole_batch(ran, case):
    one, two = (torch.load(ran[0] / f"gradients-{n}.pt")[case] for n in (1, 2))
    assert close(one, two) < 1e-6
    assert sum(float(value.abs().sum()) for value in one.values()) > 1


def test_parts_of_a_batch_have_its_losses_apart_from_ets(ran):
    """numbers: mlm, mem, etm, ets, total, accuracy."""
    found = torch.load(ran[0] / "gradients-1.pt")
    whole, parts = (found[name]["numbers"] for name in ("paper", "paper in 2 parts"))
    assert torch.allclose(whole[[0, 1, 2, 5]], parts[[0, 1, 2, 5]], atol=1e-6)
    assert parts[3] < 0.8 * whole[3]  # half the wrong pairs


@pytest.mark.parametrize("other", ["two", "fewer"])
def test_a_run_of_two_processes_ends_in_the_weights_of_one(ran, other):
    """And so does one of two that were killed and that one process went on with."""
    weights = [load_file(ran[0] / n / "model" / "model.safetensors") for n in ("one", other)]
    assert close(*[{k: torch.from_numpy(v) for k, v in w.items()} for w in weights]) < 1e-6
    before = load_file(ran[0] / "one" / "checkpoints" / "step-00000040" / "model.safetensors")
    assert max(np.abs(before[k] - v).max() for k, v in weights[0].items()) > 1e-4
    curves = [pd.read_csv(ran[0] / n / "curves.csv") for n in ("one", other)]
    assert len(curves[0]) == 51 and curves[0]["step"].equals(curves[1]["step"])
    assert np.allclose(*curves, rtol=2e-6, atol=1e-6, equal_nan=True)


def test_two_processes_train_a_text_encoder_of_berts_kind(ran):
    folders = [ran[0] / f"bert-{n}" / "model" / "model.safetensors" for n in (1, 2)]
    one, two = ({k: torch.from_numpy(v) for k, v in load_file(f).items()} for f in folders)
    assert any("pooler" in name for name in one)
    assert close(one, two) < 1e-6


def test_a_word_to_one_of_two_processes_stops_both_with_a_checkpoint(ran):
    folder = ran[0] / "stopped"
    last = sorted((folder / "checkpoints").iterdir())[-1]
    steps = pd.read_csv(folder / "curves.csv")["step"]
    assert int(last.name.split("-")[1]) == steps.iloc[-1] and 10 <= steps.iloc[-1] < 50


@pytest.mark.slow
def test_the_command_is_one_run_when_a_launcher_starts_it_twice(ran, tmp_path):
    launcher = Path(sys.executable).with_name("torchrun")
    out = tmp_path / "run"
    command = [
        str(launcher), "--standalone", "--nproc_per_node", "2", "-m", "dbeta_lib.cli",
        "pretrain", str(ran[0] / "cohort"), str(out), "--steps", "4", "--batch-size", "8",
        "--set", "log_every=1", "--set", "eval_every=0",
    ]  # fmt: skip
    ensure_store("synthetic", None, ran[0] / "cohort", sampling_rate=100, patients=12, seed=0)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    )
    assert (
        done.stdout.count("4 steps") == 1 and pd.read_csv(out / "curves.csv")["step"].iloc[-1] == 4
    )
