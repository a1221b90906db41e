"""What is known of a model from the files beside it: its results, and what its scores usually are.

A run leaves its model in `pretraining/model` and its records in `results`; the box has both beside
each other. A record counts only for the very weights and the very texts that it was made with.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbeta_lib.data.signals import SECONDS
from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.results import Result, load
from dbeta_lib.files import read_json
from dbeta_lib.leads import LEADS
from dbeta_lib.prediction.questions import Questions

REFERENCE = "reference.json"
_VARIANT = re.compile(r"(name|description|ensemble) ([a-z]+(?:[+,][a-z]+)*),? \(?([0-9a-f]{8})\)?")
_BEST_FIRST = {"ensemble": 0, "description": 1, "name": 2}


@dataclass(frozen=True)
class Reference:
    """Where a class's score stands among ECGs: of each class the quantiles 0, 1/100, ... 1.

    is_whole: whether each of these ECGs has twelve leads of ten seconds; files of results have.
    """

    who: str  # "2,198 ECGs of PTB-XL's fold 10"
    quantiles: dict[str, np.ndarray]
    is_whole: bool = True

    @property
    def shape(self) -> str:
        """Leads and length of these ECGs."""
        whole = f"with {len(LEADS)} leads of {SECONDS} s each"
        return whole if self.is_whole else "with leads and lengths of their own"

    def rank(self, name: str, score: float) -> float:
        """Share of the ECGs that score lower, 0..1; NaN for a class without quantiles."""
        if name not in self.quantiles:
            return float("nan")
        levels = self.quantiles[name]
        shares = np.linspace(0, 1, len(levels))
        return float(np.interp(score, levels, shares, left=0.0, right=1.0))

    @classmethod
    def of(
        cls, who: str, classes: Sequence[str], scores: np.ndarray, is_whole: bool = True
    ) -> "Reference":
        """From the scores `[n, K]` of n ECGs."""
        quantiles = np.quantile(scores, np.linspace(0, 1, 101), axis=0)
        return cls(who, {name: quantiles[:, k] for k, name in enumerate(classes)}, is_whole)


@dataclass(frozen=True)
class Known:
    """The questions as they were measured, the record of it, and the usual scores."""

    questions: Questions
    result: Result | None = None
    reference: Reference | None = None


def known(folder: Path | None, weights: str, questions: Questions) -> Known:
    """What the files around a model's folder say of its answers to these questions.

    weights: the model's hash. A task is worded as its record has it, if there is one.
    """
    if folder is None or not questions.task:
        return Known(questions)
    for results in (folder.parent / "results", folder.parent.parent / "results"):
        found = _measured(results, weights, questions)
        if found:
            return Known(*found, _reference(folder.parent / REFERENCE, found[0]))
    return Known(questions)


def _measured(folder: Path, weights: str, questions: Questions) -> tuple[Questions, Result] | None:
    """The zero-shot record of these weights on the task with all leads; best wording first."""
    ranked = []
    for path in sorted(folder.glob("*zero-shot*.json")):
        try:
            result = load(path)
        except DBetaError:  # another file, or of another version: no number is taken from it
            continue
        about = (result.weights_hash, result.protocol, result.metric, result.lead_subset)
        variant = _VARIANT.fullmatch(result.variant)
        if about == (weights, "zero-shot", "macro_auc", "12") and variant and (
            result.data, result.task) == (questions.dataset, questions.task):  # fmt: skip
            languages = re.split("[+,]", variant[2])
            rank = (_BEST_FIRST[variant[1]], -len(languages), path.name)
            ranked.append((rank, variant, languages, result))
    for _, variant, languages, result in sorted(ranked, key=lambda entry: entry[0]):
        worded = questions.worded(variant[1], languages)
        if worded.digest == variant[3]:
            return worded, result
    return None


def _reference(path: Path, questions: Questions) -> Reference | None:
    if not path.is_file():
        return None
    found: dict[str, Any] = read_json(path).get(questions.task, {})
    if found.get("digest") != questions.digest:
        return None
    return Reference(found["who"], {k: np.array(v) for k, v in found["quantiles"].items()})
