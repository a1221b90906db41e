"""Whole processes: killed by SIGKILL at random moments and rerun; two that train ETM as one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

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


def test_two_processes_take_the_steps_of_one_where_etm_is_the_only_loss(ran):
    one, two = (load_file(ran[0] / n / "model" / "model.safetensors") for n in ("one", "two"))
    assert one.keys() == two.keys()
    for name in one:
        assert np.allclose(one[name], two[name], atol=1e-6), name
    names = ["total", "etm", "etm_accuracy", "grad_norm", "val_etm", "val_etm_far"]
    one, two = (pd.read_csv(ran[0] / n / "curves.csv")[names] for n in ("one", "two"))
    assert np.allclose(one, two, rtol=1e-5, equal_nan=True)
