"""Splits by patient, and the check that no patient stands on both sides."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.seeds import rng


def split_by_patient(
    patient_ids: Sequence[str],
    seed: int,
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    names: Sequence[str] = ("train", "val", "test"),
) -> np.ndarray:
    """str `[n]`: the split of each row; all rows of a patient get the same one.

    shares: part of the *patients* in each split, summing to 1. The answer depends on the set of
    patients and the seed, not on the rows' order. Raises UsageError for impossible shares.
    """
    shares = np.asarray(shares, dtype=float)
    if len(shares) != len(names) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-9:
        raise UsageError(
            f"shares {shares.tolist()}: give {len(names)} parts, none negative, that sum to 1"
        )
    patients, row_patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    order = rng(seed, "split-by-patient").permutation(len(patients))
    ends = np.rint(np.cumsum(shares) * len(patients)).astype(int)
    of_patient = np.empty(len(patients), dtype=object)
    for name, start, end in zip(names, [0, *ends[:-1]], ends):
        of_patient[order[start:end]] = name
    return of_patient[row_patient]


def crossing_patients(patient_ids: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Patients with rows in more than one split, sorted; [] is what must be."""
    frame = pd.DataFrame({"patient": np.asarray(patient_ids), "split": np.asarray(splits)})
    seen = frame.drop_duplicates()
    return sorted(seen["patient"][seen["patient"].duplicated()].astype(str).unique())


def check_disjoint(patient_ids: Sequence[str], splits: Sequence[str]) -> None:
    """Raises DBetaError naming up to five patients that stand in more than one split."""
    crossing = crossing_patients(patient_ids, splits)
    if crossing:
        shown = ", ".join(crossing[:5]) + (", ..." if len(crossing) > 5 else "")
        raise DBetaError(
            f"{len(crossing)} patients have records in more than one split ({shown}); "
            "split by patient, for example with split_by_patient"
        )
