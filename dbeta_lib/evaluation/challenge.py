"""The score of the PhysioNet/CinC Challenge 2021: partial credit by a matrix of weights.

A wrong diagnosis that would be treated alike earns part of the credit of the right one; too many
answers for a record share one record's credit. Perez Alday et al., Physiological Measurement 41,
124003 (2020); Reyna et al., Computing in Cardiology 48 (2021); the matrix `weights.csv` is that of
github.com/physionetchallenges/evaluation-2021.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.evaluation.precision import as_marks

SINUS = "426783006"  # SNOMED CT: sinus rhythm
MAX_BYTES = 1_000_000  # the official matrix has 5 kB
_REMEDY = "take weights.csv of github.com/physionetchallenges/evaluation-2021"


def challenge_score(
    labels: np.ndarray,
    outputs: np.ndarray,
    weights: np.ndarray,
    classes: Sequence[str],
    sinus: str = SINUS,
) -> float:
    """The Challenge's score of yes/no answers: 1 = all right, 0 = "sinus rhythm" for everybody.

    For a record n with labels L_n and answers O_n (sets of classes), the modified confusion is
    A[j, k] = sum over n of 1 / max(1, |L_n u O_n|) for j in L_n and k in O_n, and the raw score
    s(O) = sum over j, k of W[j, k] A[j, k]. The score is
    (s(O) - s(sinus only)) / (s(L) - s(sinus only)), and 0 where the denominator is 0 (every
    record is sinus rhythm only, or without labels). It has no lower end: answers worse than
    sinus rhythm for everybody are negative. All sums run over the whole set, so scores of batches
    must not be averaged.

    labels, outputs: 0/1 or bool `[N, K]` (K = 26 in the Challenge); columns in the order of
    `classes`. weights: `[K, K]`, rows = labels, columns = answers, both in the order of `classes`
    (`read_weights` gives the two together). classes: K names, e.g. SNOMED codes; codes scored as
    one class are joined by "|" in any order, its column being 1 if any of them is. sinus: the name
    or code of sinus rhythm, as it stands in `classes`.
    Raises UsageError for other shapes or values, a class named twice, a code that stands in two
    classes, or no class of sinus rhythm.
    """
    marks, answers = as_marks(labels, "labels"), as_marks(outputs, "outputs")
    weights = np.asarray(weights, dtype=np.float64)
    codes = [codes_of(name) for name in classes]
    shapes = (np.shape(labels), np.shape(outputs), weights.shape)
    if shapes != ((len(marks), len(codes)),) * 2 + ((len(codes), len(codes)),):
        raise UsageError(
            f"labels {shapes[0]}, outputs {shapes[1]} and weights {shapes[2]} do not fit "
            f"{len(codes)} classes; give [N, K], [N, K] and [K, K]"
        )
    if not np.isfinite(weights).all():
        raise UsageError("the weights hold NaN or infinity; read them with read_weights")
    inactive = np.zeros_like(marks)
    inactive[:, _sinus_column(codes, sinus)] = True
    low = _raw_score(marks, inactive, weights)
    span = _raw_score(marks, marks, weights) - low
    # what rounding alone leaves of a sum over all records counts as 0
    if abs(span) <= 1e-12 * (abs(low) + np.abs(weights).max()):
        return 0.0
    return float((_raw_score(marks, answers, weights) - low) / span)


def read_weights(path: Path | str) -> tuple[list[str], np.ndarray]:
    """Classes and weights of a file like the Challenge's `weights.csv`: K names, float64 `[K, K]`.

    The first line and the first column name the classes, merged ones joined by "|". Rows are
    brought into the order of the columns by name, so weights are in the order of the classes
    returned. Raises DBetaError naming the file: not there, damaged, not square, a name twice, rows
    and columns of different classes, or a weight that is no finite number.
    """
    path = Path(path)
    lines = _read_lines(path)
    classes = [_spaceless(name) for name in lines[0][1:]] if lines else []
    columns = [codes_of(name) for name in classes]
    rows = {codes_of(line[0]): line[1:] for line in lines[1:]}
    if not classes or len(set(columns)) != len(columns) or len(lines) != len(classes) + 1:
        raise DBetaError(f"{path} is no square table with one row and column per class; {_REMEDY}")
    if set(rows) != set(columns):
        raise DBetaError(f"{path} names other classes in its rows than in its columns; {_REMEDY}")
    if any(len(cells) != len(classes) for cells in rows.values()):
        raise DBetaError(f"{path} has rows of different length; {_REMEDY}")
    try:
        weights = np.array([[float(cell) for cell in rows[name]] for name in columns])
    except ValueError as error:
        raise DBetaError(f"{path} holds a weight that is no number ({error}); {_REMEDY}") from error
    if not np.isfinite(weights).all():
        raise DBetaError(f"{path} holds a weight that is not finite; {_REMEDY}")
    return classes, weights


def codes_of(name: object) -> frozenset[str]:
    """The codes that are scored as one class: `"733534002 | 164909002"` -> two of them."""
    return frozenset(_spaceless(name).split("|"))


def _spaceless(name: object) -> str:
    return "|".join(code.strip() for code in str(name).split("|"))


def _raw_score(marks: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> float:
    """Sum of W[j, k] A[j, k] with the modified confusion A of bool `[N, K]` against `[N, K]`."""
    size = np.maximum(1, (marks | answers).sum(axis=1))
    confusion = (marks / size[:, None]).T @ answers.astype(np.float64)
    return float((weights * confusion).sum())


def _sinus_column(codes: list[frozenset[str]], sinus: str) -> int:
    wanted = codes_of(sinus)
    found = [k for k, names in enumerate(codes) if wanted <= names]
    if len(set(codes)) != len(codes):
        raise UsageError("a class is named twice; give every class one column")
    counts = Counter(code for names in codes for code in names)
    if twice := sorted(code for code, times in counts.items() if times > 1):
        raise UsageError(
            f"the code {twice[0]} stands in {counts[twice[0]]} classes; a label of it would count "
            "in each, so leave it in one"
        )
    if not found:
        raise UsageError(f"no class is sinus rhythm ('{sinus}'); name it as it stands in classes")
    return found[0]


def _read_lines(path: Path) -> list[list[str]]:
    """Rows of cells, empty lines left out."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DBetaError(f"{path} is too large to be that table; {_REMEDY}")
        text = path.read_text(encoding="utf-8-sig")
        return [line for line in csv.reader(text.splitlines()) if any(map(str.strip, line))]
    except (OSError, ValueError, csv.Error) as error:
        raise DBetaError(f"{path} cannot be read ({error}); {_REMEDY}") from error
