"""What of a sweep is finished and what is left, as tables; nothing is opened or trained."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from dbeta_lib.sweeps.finished import RUN
from dbeta_lib.sweeps.identity import identity_of
from dbeta_lib.sweeps.run import FAILED, SKIPPED, TRAINING, unfinished
from dbeta_lib.sweeps.spec import Run

STATES = ("finished", "changed", "failed", "skipped", "begun", "to do")


def status(runs: Iterable[Run], out: Path | str, store: Any = None) -> pd.DataFrame:
    """A row per run: name, group, seed, its state (one of `STATES`) and why.

    store: the data, or a function of the sampling rate that gives it. "changed": finished with
    other settings or code than now, or, where there is a store to compare with, other data.
    """
    rows = []
    for run in runs:
        state, why = state_of(run, out, store)
        rows.append({"name": run.name, "group": run.group, "seed": run.seed, "state": state,
                     "why": why})  # fmt: skip
    return pd.DataFrame(rows, columns=["name", "group", "seed", "state", "why"])


def state_of(run: Run, out: Path | str, store: Any = None) -> tuple[str, str]:
    """The state of one run, and why."""
    folder = run.folder(out)
    if (folder / RUN).exists():
        at_rate = store(run.sampling_rate) if callable(store) else store
        why = unfinished(folder, identity_of(run, at_rate))
        return ("changed", why) if why else ("finished", "")
    if (folder / FAILED).exists():
        lines = (folder / FAILED).read_text(encoding="utf-8").strip().splitlines()
        return "failed", lines[-1] if lines else ""
    if (folder / SKIPPED).exists():
        return "skipped", (folder / SKIPPED).read_text(encoding="utf-8").strip()
    return ("begun", "") if (folder / TRAINING).exists() else ("to do", "")


def left(table: pd.DataFrame) -> pd.DataFrame:
    """`status` as a row per row of the sweep: how many seeds are finished, which are left."""
    rows = []
    for name, part in table.groupby("name", sort=False):
        open_seeds = part.loc[part["state"] != "finished", ["seed", "state"]]
        told = ", ".join(
            str(seed) if state == "to do" else f"{seed} ({state})"
            for seed, state in open_seeds.itertuples(index=False)
        )
        done = len(part) - len(open_seeds)
        rows.append({"row": name, "group": part["group"].iloc[0],
                     "finished": f"{done} of {len(part)}", "seeds left": told})  # fmt: skip
    return pd.DataFrame(rows, columns=["row", "group", "finished", "seeds left"])
