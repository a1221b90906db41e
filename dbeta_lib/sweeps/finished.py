"""The folder of a finished run, written and read: what notebooks compare.

    <out>/<sweep>/<row>/seed<k>/run.json       facts and costs, matching accuracies; written last
                                results/*.json  result records of `evaluation.results`
                                scores.npz      scores of the test rows, without pickle
                                curves.csv      of the pre-training, where there was one
                                text_pairs.csv  cosines of the pairs of `evaluation.text_pairs`

`scores.npz`: `record_id` and `patient_id` `[n]`, `classes` `[K]`, `labels` uint8 `[n, K]`, and
float32 `probe_1`, `probe_10`, `probe_100` `[draws, n, K]`, and where there is text `zero_shot`
`[n, K]`.
"""

import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.errors import DBetaError, nearest
from dbeta_lib.evaluation.results import Result, load
from dbeta_lib.evaluation.text_pairs import COLUMNS
from dbeta_lib.files import atomic_write, read_json
from dbeta_lib.sweeps.spec import DBETA, UNTRAINED
from dbeta_lib.sweeps.texts import READINGS
from dbeta_lib.training.monitor import MATCHING

FORMAT = 1
RUN, RESULTS, SCORES, PAIRS = "run.json", "results", "scores.npz", "text_pairs.csv"
_FRAME = ("record_id", "patient_id", "classes", "labels")
_PROBES = ("probe_1", "probe_10", "probe_100")
_NEEDED = ("sweep", "name", "group", "order", "seed", "profile", "data", "identity", *MATCHING)


def save_scores(path: Path, scores: dict[str, np.ndarray]) -> None:
    """Whole or not at all."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **scores)


def read_scores(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a `scores.npz`, checked. Raises DBetaError naming the file and the remedy."""
    remedy = f"delete {path.parent} and run the sweep again"
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DBetaError(f"{path} is not there; {remedy}") from None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DBetaError(f"{path} is damaged ({error}); {remedy}") from error
    absent = [name for name in (*_FRAME, *_PROBES) if name not in found]
    if absent:
        raise DBetaError(f"{path} has no '{absent[0]}'; {remedy}")
    n, classes = len(found["record_id"]), len(found["classes"])
    shapes = {"patient_id": (n,), "labels": (n, classes), "zero_shot": (n, classes)}
    wrong = [name for name, shape in shapes.items() if name in found and found[name].shape != shape]
    wrong += [n_ for n_ in _PROBES if found[n_].ndim != 3 or found[n_].shape[1:] != (n, classes)]
    if wrong:
        raise DBetaError(f"{path}: {wrong[0]} is {found[wrong[0]].shape}; {remedy}")
    return found


@dataclass(frozen=True)
class FinishedRun:
    """One finished run; scores and results are read when they are asked for."""

    folder: Path
    facts: dict[str, Any]  # all of `run.json`

    @property
    def name(self) -> str:
        """Of its row."""
        return self.facts["name"]

    @property
    def group(self) -> str:
        """What its row is compared within."""
        return self.facts["group"]

    @property
    def seed(self) -> int:
        """Of its training."""
        return self.facts["seed"]

    @property
    def has_contrast(self) -> bool:
        """Whether a loss has trained its likeness of ECG and text; without text it has none."""
        if self.facts.get("model") != DBETA:
            return self.facts.get("model") not in UNTRAINED
        config = self.facts["identity"].get("config", {})
        return config.get("objective", {}).get("ets_weight", 1.0) > 0

    @cached_property
    def scores(self) -> dict[str, np.ndarray]:
        """Arrays of `scores.npz`. Raises DBetaError where it is absent or damaged."""
        return read_scores(self.folder / SCORES)

    def check(self) -> None:
        """Read all of it. Raises DBetaError where scores or records are absent or damaged."""
        _ = self.scores, self.results

    @cached_property
    def text_pairs(self) -> pd.DataFrame | None:
        """The pairs of texts with their cosines (`sweeps.texts`); None of a run without texts."""
        path = self.folder / PAIRS
        if not path.is_file():
            return None
        try:
            found = pd.read_csv(path, keep_default_na=False)
            found[[*COLUMNS, *READINGS]]  # all there
        except (ValueError, KeyError) as error:
            raise DBetaError(
                f"{path} is damaged ({error}); delete {self.folder} and run the sweep again"
            ) from error
        return found

    @cached_property
    def results(self) -> list[Result]:
        """Its result records, in the order of file names. Raises DBetaError for a damaged one."""
        return [load(path) for path in sorted((self.folder / RESULTS).glob("*.json"))]

    def result(self, protocol: str, label_fraction: float | None = None) -> Result | None:
        """The record of a protocol ("linear probe", "zero-shot", ...); None where there is none.

        The share of labels goes by the share that was asked for: 0.01, 0.1 or 1.
        """
        found = [r for r in self.results if r.protocol == protocol and r.metric == "macro_auc"]
        if label_fraction is not None:
            found = [r for r in found if r.label_fraction is not None]
            found = sorted(found, key=lambda r: abs(r.label_fraction - label_fraction))
        return found[0] if found else None


def open_run(folder: Path) -> FinishedRun:
    """The run of a folder. Raises DBetaError where `run.json` is absent, damaged or another's."""
    path = folder / RUN
    facts = read_json(path)
    absent = [name for name in _NEEDED if not isinstance(facts, dict) or name not in facts]
    if absent or facts.get("format") != FORMAT:
        told = f"has no '{absent[0]}'" if absent else f"is of format {facts.get('format')}"
        raise DBetaError(f"{path} {told}; delete {folder} and run the sweep again")
    return FinishedRun(folder, facts)


def read_runs(out: Path | str, sweep: str) -> list[FinishedRun]:
    """All finished runs of a sweep, in the order of its rows and seeds.

    Raises DBetaError where there is none, where a `run.json` is damaged, or where two runs differ
    in what all rows of a sweep share (`_shared`), so that they must not be compared.
    """
    folder = Path(out) / sweep
    if not folder.is_dir():
        there = (
            sorted(p.name for p in Path(out).iterdir() if p.is_dir()) if Path(out).is_dir() else []
        )
        near = nearest(sweep, there) if there else ""
        raise DBetaError(f"{folder} is not there{near}; run it: dbeta sweep {sweep}.yaml")
    runs = [open_run(path.parent) for path in sorted(folder.glob(f"*/seed*/{RUN}"))]
    if not runs:
        raise DBetaError(f"{folder} holds no finished run yet; run it: dbeta sweep {sweep}.yaml")
    first: dict[str, tuple[Any, FinishedRun]] = {}
    for run in runs:
        for name, value in _shared(run).items():
            before, other = first.setdefault(name, (value, run))
            if value != before:
                raise DBetaError(
                    f"{other.folder} is of {name} '{before}', {run.folder} of '{value}'; keep "
                    "them in two folders (--out), or delete those of one"
                )
    return sorted(runs, key=lambda run: (run.facts["order"], run.name, run.seed))


def _shared(run: FinishedRun) -> dict[str, Any]:
    """What the runs of one sweep must have in common; a row that has none of it is not asked."""
    facts, identity = run.facts, run.facts["identity"]
    rate = identity.get("config", {}).get("ecg", {}).get("sampling_rate")
    asked = dict(identity.get("evaluation", {}))
    prompts = asked.pop("prompts", None)
    found = {
        "data": facts["data"], "profile": facts["profile"],
        "steps": identity.get("settings", {}).get("steps"), "batch size": facts.get("batch_size"),
        f"store at {rate} Hz": identity.get("store"), "evaluation": asked or None,
        "prompts": prompts or None,  # "" where no text is asked
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def table_of_runs(runs: list[FinishedRun]) -> pd.DataFrame:
    """A row per run: name, group, seed, macro AUCs (0..1), matching accuracies, costs."""
    rows = []
    for run in runs:
        found = {
            "probe_1": run.result(_protocol(run), 0.01),
            "probe_10": run.result(_protocol(run), 0.1),
            "probe_100": run.result(_protocol(run), 1.0),
            "zero_shot": run.result("zero-shot"),
        }
        costs = ("steps", "wall_seconds", "records_per_s", "parameters", "peak_memory_mb")
        rows.append({
            "name": run.name, "group": run.group, "seed": run.seed,
            **{key: float("nan") if r is None else r.value for key, r in found.items()},
            **{key: run.facts[key] for key in MATCHING},
            **{key: run.facts.get(key) for key in costs},
        })  # fmt: skip
    return pd.DataFrame(rows)


def _protocol(run: FinishedRun) -> str:
    """Of its scores at 1, 10 and 100 %: the probe's, or fine-tuning where labels taught it all."""
    return "full fine-tuning" if run.facts["model"] == "supervised" else "linear probe"
