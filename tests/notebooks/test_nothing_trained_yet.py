"""Notebooks 08 and 09 before any sweep, as in a first run on real data: they say what to run."""

import json
import subprocess
import sys

import pytest

from dbeta_lib.command_line import ROOT


@pytest.mark.parametrize("name", ["08_components_and_negatives", "09_text_encoders"])
def test_without_a_finished_training_the_notebook_runs_through_and_says_so(tmp_path, name):
    command = [sys.executable, "-m", "dbeta_lib.workflow", "--profile", "smoke", "--only", name[:2]]
    command += ["--out", str(tmp_path / "out"), "--set", "sweep_size="]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    executed = (tmp_path / "out" / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    outputs = [o for cell in json.loads(executed)["cells"] for o in cell.get("outputs", [])]
    said = "".join("".join(o.get("text", [])) for o in outputs)
    assert "run dbeta sweep" in said
