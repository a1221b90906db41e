"""What finished runs say when they are set beside each other: levels, differences, verdicts, costs.

Tables of plain numbers, one row per row of a sweep; `evaluation.verdict` has the formula.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.evaluation.verdict import (
    RESAMPLES,
    Resampled,
    average,
    difference,
    resample,
    stacked,
    verdicts,
)
from dbeta_lib.sweeps.finished import FinishedRun, read_runs

# What the scores of a run answer, as a reader knows it.
QUESTIONS = {
    "probe_1": "linear probe, 1 % of labels",
    "probe_10": "linear probe, 10 % of labels",
    "probe_100": "linear probe, all labels",
    "zero_shot": "zero-shot",
}
WRONG_TEXTS = ("random", "far", "leak")  # of the matching set, in this order


def found_runs(
    out: Path | str, sweep: str, say: Callable[[str], None] = print
) -> list[FinishedRun]:
    """As `read_runs`, but without any run `say` gets the sentence and the list is empty."""
    try:
        return read_runs(out, sweep)
    except DBetaError as error:
        say(f"{sweep}: {error}")
        return []


class Comparison:
    """The runs of one sweep and their scores; each run's are resampled once.

    runs: of one sweep, as `read_runs` gives them. resamples: of the test patients.

    >>> compared = Comparison(read_runs(out, "components"))  # doctest: +SKIP
    >>> compared.verdicts({"ETS": ("+ ETS", "baseline")}, "probe_10")  # doctest: +SKIP
    """

    def __init__(self, runs: Sequence[FinishedRun], resamples: int = RESAMPLES):
        self.runs, self.resamples = list(runs), resamples
        self._resampled: dict[str, dict[str, dict[int, Resampled]]] = {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Rows of the sweep that are finished for at least one seed, in order."""
        return tuple(dict.fromkeys(run.name for run in self.runs))

    @cached_property
    def untaught(self) -> set[str]:
        """Rows whose likeness of ECG and text no loss has trained."""
        return {run.name for run in self.runs if not run.has_contrast}

    def resampled(self, question: str) -> dict[str, dict[int, Resampled]]:
        """Of each row with these scores: seed -> macro AUC on resampled patients."""
        if question not in QUESTIONS:
            near = nearest(question, QUESTIONS)
            raise UsageError(f"runs have no scores '{question}'{near}")
        if question not in self._resampled:
            found: dict[str, dict[int, Resampled]] = {}
            for run in self.runs:
                scores = self._scores(run)
                if question in scores:
                    drawn = scores[question]
                    drawn = drawn[None] if drawn.ndim == 2 else drawn
                    found.setdefault(run.name, {})[run.seed] = resample(
                        scores["labels"], drawn[None], scores["patient_id"], self.resamples
                    )
            self._resampled[question] = found
        return self._resampled[question]

    def _scores(self, run: FinishedRun) -> dict[str, np.ndarray]:
        """A run's scores. DBetaError unless they are of the rows and classes of the first run."""
        for name in ("record_id", "classes", "labels"):
            if not np.array_equal(run.scores[name], self.runs[0].scores[name]):
                raise DBetaError(
                    f"{run.folder} was scored on other rows or classes than "
                    f"{self.runs[0].folder}; delete the one that is out of date and run it again"
                )
        return run.scores

    def levels(self, questions: Sequence[str] = tuple(QUESTIONS)) -> pd.DataFrame:
        """Macro AUC of each row and question: columns name, group, question, value, low, high,
        seeds, per_seed. Rows without these scores are left out."""
        groups, rows = {run.name: run.group for run in self.runs}, []
        for question in questions:
            for name, seeds in self.resampled(question).items():
                mean = average(stacked(list(seeds.values())))
                rows.append({"name": name, "group": groups[name], "question": question,
                             "value": mean.value, "low": mean.low, "high": mean.high,
                             "seeds": mean.seeds, "per_seed": mean.per_seed})  # fmt: skip
        columns = ["name", "group", "question", "value", "low", "high", "seeds", "per_seed"]
        return pd.DataFrame(rows, columns=columns)

    def verdicts(
        self, pairs: Mapping[str, tuple[str, str]], question: str, alpha: float = 0.05
    ) -> pd.DataFrame:
        """`evaluation.verdict.verdicts` of the pairs, with columns `with`, `without`, `question`.

        pairs: what is compared -> (row with it, row without it); the seeds that both have count.
        Pairs of which one row has no such scores are left out (`missing` names them). So is, for
        zero-shot and with one seed, a pair of which a row was taught no likeness of ECG and text:
        its scores are one draw of chance, which is not 0.5 on these patients, and an interval over
        patients knows nothing of other draws.
        """
        found, named = {}, {}
        resampled = self.resampled(question)
        for title, (one, other) in pairs.items():
            a, b = resampled.get(one, {}), resampled.get(other, {})
            seeds = sorted(a.keys() & b.keys())
            drawn = {one, other} & self.untaught if question == "zero_shot" else set()
            if len(seeds) > 1 or (seeds and not drawn):
                sides = (stacked([side[seed] for seed in seeds]) for side in (a, b))
                found[title] = difference(*sides)
                named[title] = {"with": one, "without": other, "question": question}
        table = verdicts(found, alpha)
        for column in ("question", "without", "with"):
            table.insert(0, column, [named[title][column] for title in table.index])
        return table

    def missing(self, pairs: Mapping[str, tuple[str, str]]) -> list[str]:
        """Rows that the pairs name and of which no run is finished, each once."""
        asked = dict.fromkeys(name for pair in pairs.values() for name in pair)
        return [name for name in asked if name not in self.names]

    def matching(self) -> pd.DataFrame:
        """Shares of right matching decisions, means over seeds: columns name, texts, accuracy,
        shuffled (the same with other patients' ECGs), per_seed, seeds.

        texts: what wrong texts are, one of `WRONG_TEXTS`. Rows without a matching head are left
        out.
        """
        rows = []
        for name in self.names:
            facts = [run.facts for run in self.runs if run.name == name]
            for texts in WRONG_TEXTS:
                both = [(f.get(f"etm_{texts}"), f.get(f"etm_{texts}_shuffled")) for f in facts]
                both = [pair for pair in both if None not in pair]
                if both:
                    accuracy, shuffled = np.mean(both, axis=0)
                    rows.append({"name": name, "texts": texts, "accuracy": accuracy,
                                 "shuffled": shuffled, "seeds": len(both),
                                 "per_seed": tuple(a for a, _ in both)})  # fmt: skip
        columns = ["name", "texts", "accuracy", "shuffled", "seeds", "per_seed"]
        return pd.DataFrame(rows, columns=columns)

    def costs(self) -> pd.DataFrame:
        """Means over seeds: columns name, steps, train_seconds, records_per_s, parameters,
        peak_memory_mb. Rows that were not trained are left out."""
        names = ("steps", "train_seconds", "records_per_s", "parameters", "peak_memory_mb")
        rows = [
            {"name": run.name, **{name: run.facts.get(name) for name in names}}
            for run in self.runs
            if run.facts.get("steps")
        ]
        table = pd.DataFrame(rows, columns=["name", *names])
        return table.groupby("name", sort=False).mean(numeric_only=True).reset_index()
