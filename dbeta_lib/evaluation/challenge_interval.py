"""The Challenge's score of yes/no answers with its interval over patients.

The score is a quotient of sums over records (see `challenge.challenge_score`), so a resample of
patients needs only each record's share in the three sums, weighted by how often it is drawn.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dbeta_lib.data import cinc2021
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.challenge import SINUS, challenge_score, codes_of, read_weights
from dbeta_lib.evaluation.metrics import Interval, interval, patient_weights
from dbeta_lib.evaluation.precision import as_marks


def weights_for(path: Path | str, classes: Sequence[str]) -> tuple[np.ndarray, str]:
    """The Challenge's matrix in the order of a store's classes, float64 `[K, K]`, and its sinus.

    path: `weights.csv` (classes by SNOMED codes) or `weights_abbreviations.csv`. classes: those of
    the task "cinc2021", abbreviations, merged ones joined by "|". Raises UsageError where the two
    do not name the same classes, DBetaError for a damaged file.
    """
    names, weights = read_weights(path)
    class_of = cinc2021.read_classes(Path(path).parent)
    place = {
        codes_of(class_of.get(name.split("|")[0], name)): row for row, name in enumerate(names)
    }
    wanted = [codes_of(name) for name in classes]
    if set(wanted) != set(place) or len(wanted) != len(place):
        raise UsageError(
            f"{path} scores {len(place)} classes and the task has {len(wanted)} others; the "
            "Challenge's score is for the task cinc2021"
        )
    order = [place[name] for name in wanted]
    return weights[np.ix_(order, order)], class_of.get(SINUS, SINUS)


def challenge_bootstrap(
    labels: np.ndarray,
    outputs: np.ndarray,
    weights: np.ndarray,
    classes: Sequence[str],
    patients: Sequence,
    n: int = 1000,
    seed: int = 0,
    *,
    sinus: str = SINUS,
    level: float = 0.95,
) -> Interval:
    """`challenge_score` with its percentile interval; arguments as there, patients `[N]`.

    A resample in which the denominator is 0 scores 0, as the Challenge has it.
    """
    value = challenge_score(labels, outputs, weights, classes, sinus)
    marks, answers = as_marks(labels, "labels"), as_marks(outputs, "outputs")
    inactive = np.zeros_like(marks)
    inactive[:, [codes_of(sinus) <= codes_of(name) for name in classes]] = True
    low, right, ours = (_shares(marks, one, weights) for one in (inactive, marks, answers))
    drawn = patient_weights(patients, n, seed)
    span = drawn @ (right - low)
    # what rounding alone leaves counts as 0
    some = np.abs(span) > 1e-9 * (1 + np.abs(drawn @ low))
    resampled = np.divide(drawn @ (ours - low), span, out=np.zeros(n), where=some)
    count = len(np.unique(np.asarray(patients)))
    return interval(value, resampled, level=level, rows=len(marks), patients=count)


def _shares(marks: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What each record adds to the sum of W[j, k] A[j, k]: bool `[N, K]` twice -> `[N]`."""
    size = np.maximum(1, (marks | answers).sum(axis=1))
    return ((marks @ np.asarray(weights)) * answers).sum(axis=1) / size
