"""One training serves every sweep that asks for it: the full model is a row of several files.

Two runs of one identity have the same outcome, so a finished one is copied under the other's name,
with `copied_from` in its facts. Its times and memory are those of the run that was trained.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbeta_lib.errors import DBetaError
from dbeta_lib.files import write_json
from dbeta_lib.sweeps.finished import PAIRS, RESULTS, RUN, SCORES, FinishedRun, open_run
from dbeta_lib.sweeps.spec import Run

_OWN = ("sweep", "name", "group", "order", "overrides", "settings", "note", "paper")


def twin_of(run: Run, identity: dict[str, Any], out: Path | str) -> FinishedRun | None:
    """A finished run of another row or sweep below `out` with this identity; None without one."""
    for path in sorted(Path(out).glob(f"*/*/seed{run.seed}/{RUN}")):
        if path.parent == run.folder(out):
            continue
        try:
            found = open_run(path.parent)
            found.check()  # whole, or it is no twin
        except DBetaError:
            continue
        same = (found.facts["identity"], found.facts["profile"]) == (identity, run.profile_name)
        if same and found.results:
            return found
    return None


def adopt(run: Run, twin: FinishedRun, description: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The twin's folder under this run's name; returns the facts, whose file is written last.

    description: of this run, as its own `run.json` would have it.
    """
    shutil.rmtree(folder / RESULTS, ignore_errors=True)
    for result in twin.results:
        replace(result, encoder=run.name).save(folder / RESULTS)
    for name in (SCORES, PAIRS, "curves.csv"):
        if (twin.folder / name).is_file():
            shutil.copyfile(twin.folder / name, folder / name)
    own = {name: description[name] for name in _OWN}
    copied = twin.facts.get("copied_from") or f"{twin.facts['sweep']}: {twin.name}"
    facts = {**twin.facts, **own, "copied_from": copied}
    write_json(folder / RUN, facts)
    return facts
