"""Finished runs copied to where they stay: without models, for notebooks to read anywhere.

The copy is laid out as `finished.py` says, so that `found_runs` and notebooks 08 and 09 read it as
they read the folder that trained the runs (`sweeps=` of their parameters).
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from dbeta_lib.errors import UsageError
from dbeta_lib.files import raise_disk_error
from dbeta_lib.sweeps.finished import PAIRS, RESULTS, RUN, SCORES, open_run
from dbeta_lib.sweeps.spec import Run

_FILES = (SCORES, PAIRS, "curves.csv")


def keep(runs: Iterable[Run], out: Path | str, destination: Path | str) -> int:
    """Copy those of `runs` that are finished below `out` to `destination`; returns their number.

    A run kept before makes way for the same row and seed; one that is not finished here stays.
    Each is copied beside and renamed. Raises UsageError where both folders are one, DBetaError
    where a run is damaged or the disk is full.
    """
    if Path(out).resolve() == Path(destination).resolve():
        raise UsageError(f"--keep {destination} is the folder of the runs itself; name another")
    finished = [run for run in runs if (run.folder(out) / RUN).is_file()]
    for run in finished:
        open_run(run.folder(out)).check()  # before any copying
    for run in finished:
        _copy(run.folder(out), run.folder(destination))
    return len(finished)


def _copy(source: Path, target: Path) -> None:
    beside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        shutil.copytree(source / RESULTS, beside / RESULTS)
        for name in (*_FILES, RUN):
            if (source / name).is_file():
                shutil.copyfile(source / name, beside / name)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(beside, target)
    except OSError as error:
        raise_disk_error(error, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
