"""Sweeps: many models trained and evaluated alike, from one YAML file.

    sweep = read_sweep("notebooks/sweeps/components.yaml", profile="demo")
    run_all(sweep.runs, store, "runs/demo/sweeps")      # what is not finished yet
    runs = read_runs("runs/demo/sweeps", "components")  # what a notebook compares
    Comparison(runs).verdicts({"ETS": ("+ ETS", "baseline")}, "probe_10")

A run is one row of the file with one seed; its folder is whole or not there (`finished.py`).
"""

from dbeta_lib.sweeps.compare import QUESTIONS, Comparison, found_runs
from dbeta_lib.sweeps.finished import FinishedRun, read_runs, table_of_runs
from dbeta_lib.sweeps.keeping import keep
from dbeta_lib.sweeps.leak import leak_table
from dbeta_lib.sweeps.run import run_all, run_one
from dbeta_lib.sweeps.spec import Profile, Run, Sweep
from dbeta_lib.sweeps.status import status
from dbeta_lib.sweeps.verdict_files import load_verdicts, save_verdicts
from dbeta_lib.sweeps.yaml_file import read_sweep

__all__ = [
    "QUESTIONS", "Comparison", "FinishedRun", "Profile", "Run", "Sweep", "found_runs", "keep",
    "leak_table", "load_verdicts", "read_runs", "read_sweep", "run_all", "run_one",
    "save_verdicts", "status", "table_of_runs",
]  # fmt: skip
