"""Grace under stress, with real parts: a disk that is full, SIGTERM to the whole command."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def may_mount(folder):
    try:
        probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(folder)]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_really_full_disk_at_a_checkpoint_keeps_the_one_before_and_the_run_goes_on(tmp_path):
    if not may_mount(tmp_path):
        pytest.skip("no file system of our own can be mounted here")
    script = Path(__file__).with_name("full_disk.py")
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, str(script), str(tmp_path)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "full: 1\n" in done.stdout and "after: 0\n" in done.stdout
    left = done.stdout.split("left: ")[1].splitlines()[0].split()
    assert "checkpoints/step-00000003/run.json" in left
    assert not [name for name in left if "step-00000006" in name or name == "summary.json"]
    assert "DBetaError: the disk is full: " in done.stderr
    assert "step-00000006 was not written; " in done.stderr
    assert "step-00000003 stays and the run can be resumed from it; free some" in done.stderr
    for name in ("curves.csv", "model/model.safetensors"):
        whole = (tmp_path / "roomy" / name).read_bytes()
        assert (tmp_path / "full" / name).read_bytes() == whole, name


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
def test_sigterm_to_the_command_and_its_worker_is_exit_code_75_and_resume_goes_on(
    make_store, tmp_path
):
    """As a cluster does before the time limit: every process of the job gets the signal."""
    store, out = make_store(rows=26), tmp_path / "run"
    command = [
        sys.executable, "-m", "dbeta_lib.cli", "pretrain", str(store.path), str(out),
        "--steps", "40", "--batch-size", "4", "--workers", "1", "--set", "log_every=1",
        "--set", "eval_every=0", "--set", "checkpoint_every=0", "--set", "tensorboard=False",
    ]  # fmt: skip
    started = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    curves = out / "curves.csv"
    while started.poll() is None and rows(curves) < 3:
        time.sleep(0.01)
    os.killpg(started.pid, signal.SIGTERM)
    said = started.communicate(timeout=600)[1]
    assert started.returncode == 75, said
    last = sorted((out / "checkpoints").iterdir())[-1]
    step = int(last.name.removeprefix("step-"))
    assert f"stopped by SIGTERM after step {step}" in said and str(last) in said
    assert 3 <= step < 40 and not (out / "summary.json").exists()
    again = subprocess.run(
        [*command, "--resume"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert f"resumed after step {step} of 40" in again.stdout and (out / "summary.json").exists()
    assert curves.read_text().splitlines()[-1].startswith("40,")


def rows(curves):
    """Written so far, the header apart."""
    return len(curves.read_text().splitlines()) - 1 if curves.exists() else 0
