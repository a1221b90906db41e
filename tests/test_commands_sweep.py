"""`dbeta sweep`: runs what is left, lists it as single commands, ends with the right code."""

import json
import os
import shlex
import signal

import pytest

from dbeta_lib import commands_sweep
from dbeta_lib.cli import main
from dbeta_lib.training import loop
from dbeta_lib.workspace import Workspace

TINY = {
    "conv_layers": [[16, 8, 4], [16, 4, 4], [16, 2, 2]], "ecg_width": 16, "ecg_ffn": 32,
    "ecg_heads": 2, "ecg_layers": 1, "position_kernel": 4, "position_groups": 2,
    "text_vocabulary": 200, "max_text_tokens": 24,
}  # fmt: skip
SIZES = {
    "patients": 20, "steps": 2, "batch_size": 4, "draws": 1, "resamples": 10, "eval_records": 8,
    "overrides": TINY,
}  # fmt: skip
RUNS = """\
runs:
  - {name: + ETS, seeds: [0, 2]}
  - {name: drawn, model: random}
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder of sweeps whose store is made already."""
    home = tmp_path_factory.mktemp("home")
    _ = Workspace(home, patients=SIZES["patients"]).store
    return home / "sweeps"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "few.yaml"
    path.write_text(
        f"profiles: {json.dumps({'demo': SIZES, 'ptbxl': {'dataset': 'ptb-xl'}})}\n{RUNS}"
    )
    return path


def test_what_is_not_finished_is_run_listed_and_then_left_alone(file, out, tmp_path, capsys):
    asked = ["sweep", str(file), "--out", str(out), "--set", "steps=1"]
    assert main([*asked, "--list"]) == 0
    told = capsys.readouterr()
    commands = told.out.splitlines()
    assert len(commands) == 3 and "--prepare" in told.err
    assert not (out / "few").exists()
    words = shlex.split(commands[1])
    assert words[0] == "dbeta" and words[-4:] == ["--only", "+ ETS", "--seed", "2"]
    assert main(words[1:]) == 0
    assert [p.name for p in (out / "few").iterdir()] == ["plus-ets"]
    facts = json.loads((out / "few" / "plus-ets" / "seed2" / "run.json").read_text())
    assert (facts["seed"], facts["steps"], facts["data"]) == (2, 1, "synthetic")
    capsys.readouterr()
    assert main([*asked, "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main([*asked, "--keep", str(tmp_path / "kept")]) == 0
    told = capsys.readouterr()
    assert "+ ETS, seed 2: finished before" in told.out and "2 of 2" in told.out
    assert f"3 finished runs copied to {tmp_path / 'kept' / 'few'}" in told.err
    assert len(list((tmp_path / "kept").glob("few/*/seed*/run.json"))) == 3
    assert main([*asked, "--list"]) == 0 and capsys.readouterr().out == ""
    # With other settings all are to be run, and none is kept as if it were of these.
    changed = [*asked[:-1], "steps=2"]
    assert main([*changed, "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    again = [*changed, "--only", "drawn", "--keep", str(tmp_path / "other")]
    assert main(again) == 0
    told = capsys.readouterr().err
    assert "1 finished runs copied" in told
    assert told.count("not copied: + ETS, seed") == 2 and "steps was 1 and is 2" in told


def test_prepare_makes_the_store_and_trains_nothing(file, out, capsys):
    assert main(["sweep", str(file), "--out", str(out), "--prepare"]) == 0
    assert "synthetic is prepared and unchanged" in capsys.readouterr().out


def test_a_failing_run_ends_with_1_and_is_named(file, out, tmp_path, capsys):
    file.write_text(file.read_text() + "  - {name: bad, settings: {lr: 1.0e+9, explode: 0.0001}}\n")
    assert main(["sweep", str(file), "--out", str(out), "--only", "bad", "--only", "drawn"]) == 1
    told = capsys.readouterr()
    assert "1 of 2 runs failed, first bad, seed 0: failed: step 1" in told.err
    assert "0 (failed)" in told.out and "drawn" in told.out


def test_sigterm_ends_with_75_and_the_same_command_goes_on(file, out, capsys, monkeypatch):
    asked = ["sweep", str(file), "--out", str(out), "--seed", "2", "--set", "steps=3"]
    original = loop.Loop._one_step

    def one_step(self, batch):
        os.kill(os.getpid(), signal.SIGTERM)
        original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_one_step", one_step)
        assert main(asked) == 75
    assert "resume" in capsys.readouterr().err
    assert main(asked) == 0
    assert "resumed after step 1 of 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--only", "+ EST"], "did you mean '+ ETS'"),
        (["--seed", "9"], "the choice of rows has no seed [9]; there are [0, 2]"),
        (["--only", "drawn", "--seed", "2"], "row 'drawn' has no seed [2]; there are [0]"),
        (["--profile", "dmeo"], "no profile 'dmeo'; did you mean 'demo'"),
        (["--set", "stesp=1"], "there is no setting 'stesp'; did you mean 'steps'"),
        (["--set", "steps=many"], "--set steps"),
        (["--set", "draws=0"], "draws=0 must be 1 or more"),
        (["--profile", "ptbxl"], "give --data ptb-xl=DIR"),
        (["--data", "ptbxl=."], "no data set; did you mean 'ptb-xl'"),
    ],
)
def test_wrong_use_ends_with_2_before_anything_is_made(file, tmp_path, capsys, options, sentence):
    assert main(["sweep", str(file), "--out", str(tmp_path / "none"), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_profile_and_folder_by_default(file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", str(file), "--list"]) == 0
    assert "--profile demo --out runs/demo/sweeps" in capsys.readouterr().out
    assert main(["sweep", str(file), "--list", "--data", f"ptb-xl={tmp_path}"]) == 0
    told = capsys.readouterr().out
    assert f"--profile ptbxl --out runs/ptbxl/sweeps --data ptb-xl={tmp_path}" in told
    assert commands_sweep.SWEEP_COMMANDS.keys() == {"sweep"}
