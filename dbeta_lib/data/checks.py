"""Einthoven's and Goldberger's laws as a test on real numbers: are the limb leads what they say?

Six limb leads come from three electrodes, so four of them follow from I and II:
III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. A recording whose numbers
contradict this has leads exchanged, inverted or of another recording. (Electrodes exchanged on the
body obey the laws all the same; these equations cannot see that.)
"""

from itertools import combinations

import numpy as np
import pandas as pd

from dbeta_lib.data.splits import crossing_patients
from dbeta_lib.data.store import SPLITS, UNUSED, SignalStore
from dbeta_lib.leads import LEADS, derive_limb_leads

LIMB = 6  # I II III aVR aVL aVF
# Residual over RMS of the limb leads. Real recordings: below 0.03 but for rounding in flat ones;
# two exchanged leads: 0.3 and more, unless the two look alike.
MAX_RELATIVE = 0.1
_BLOCK = 1024  # records at a time


def einthoven_residual(ecg: np.ndarray) -> np.ndarray:
    """float64 `[n]`, mV: RMS difference of III, aVR, aVL, aVF from what I and II imply.

    ecg: float mV `[n, 12, T]`, rows in the order of LEADS, all six limb leads recorded.
    """
    limb = np.asarray(ecg, dtype=np.float64)[:, :LIMB]
    return np.sqrt(np.mean((limb - derive_limb_leads(limb))[:, 2:] ** 2, axis=(1, 2)))


def find_swapped_leads(ecg: np.ndarray) -> list[str]:
    """For each record what is wrong with its limb leads: "" where they agree.

    Tried are all exchanges of two limb leads and all inversions of one; the one that makes the
    equations hold is named, for example "aVL and aVF exchanged". Where none does, the answer is
    "limb leads contradict each other". ecg as for `einthoven_residual`.
    """
    limb = np.asarray(ecg, dtype=np.float64)[:, :LIMB]
    products = limb @ limb.transpose(0, 2, 1)  # all that the equations need to be tried
    findings = [""] * len(limb)
    for i in np.flatnonzero(_relative(products) > MAX_RELATIVE):
        findings[i] = _explain(products[i])
    return findings


def _explain(products: np.ndarray) -> str:
    """The exchange or inversion that makes one record agree with itself; its products `[6, 6]`."""
    tried = {}
    for a, b in combinations(range(LIMB), 2):
        order = np.arange(LIMB)
        order[[a, b]] = b, a
        tried[f"{LEADS[a]} and {LEADS[b]} exchanged"] = products[np.ix_(order, order)]
    for a in range(LIMB):
        signs = np.ones(LIMB)
        signs[a] = -1
        tried[f"{LEADS[a]} inverted"] = products * np.outer(signs, signs)
    residuals = _relative(np.stack(list(tried.values())))
    best = int(np.argmin(residuals))
    return list(tried)[best] if residuals[best] <= MAX_RELATIVE else (
        "limb leads contradict each other"
    )  # fmt: skip


def _relative(products: np.ndarray) -> np.ndarray:
    """Residual over the RMS of the limb leads, `[n]`; 0 where all are flat.

    products: `[n, 6, 6]`, of each limb lead with each, summed over time.
    """
    errors = (np.eye(LIMB) - derive_limb_leads(np.eye(LIMB)))[2:]  # what each equation adds up
    squares = (products * (errors.T @ errors / len(errors))).sum(axis=(1, 2))
    power = np.trace(products, axis1=1, axis2=2) / LIMB
    ratio = np.divide(squares, power, out=np.zeros(len(power)), where=power > 0)
    return np.sqrt(np.maximum(ratio, 0))


def verify(store: SignalStore) -> dict:
    """Read a whole store and say what is in it; raises DBetaError if it is not what was prepared.

    Returns `rows`, `split` (rows by split), `labels` (rows with a label, by task), `residual_mv`
    (median, 99th percentile and largest Einthoven residual of records with all limb leads),
    `crossing` (patients on both sides of a split: must be empty), `swapped` (DataFrame record_id,
    finding) and `flat` (record_ids with a flat lead).
    """
    store.verify()
    records = store.records
    whole = np.flatnonzero(store.lead_mask()[:, :LIMB].all(axis=1))
    residuals, found = [], []
    for start in range(0, len(whole), _BLOCK):
        rows = whole[start : start + _BLOCK]
        ecg = store.ecg(rows)
        residuals.append(einthoven_residual(ecg))
        found += [(row, text) for row, text in zip(rows, find_swapped_leads(ecg)) if text]
    residual = np.concatenate(residuals) if residuals else np.zeros(1)
    used = records["split"] != UNUSED
    return {
        "rows": len(store),
        "split": {split: len(store.rows(split)) for split in SPLITS},
        "labels": {task: int(store.labels_valid(task).sum()) for task in store.tasks()},
        "residual_mv": {
            "median": float(np.median(residual)),
            "p99": float(np.quantile(residual, 0.99)),
            "largest": float(residual.max()),
        },
        "crossing": crossing_patients(records["patient_id"][used], records["split"][used]),
        "swapped": pd.DataFrame(
            {
                "record_id": [records["record_id"].iloc[row] for row, _ in found],
                "finding": [text for _, text in found],
            }
        ),
        "flat": records["record_id"][records["flat_leads"] > 0].tolist(),
    }
