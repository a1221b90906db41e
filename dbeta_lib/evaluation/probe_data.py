"""The three splits of a label task, checked, with the features as every probe scales them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dbeta_lib.data.splits import check_disjoint
from dbeta_lib.data.store import SPLITS
from dbeta_lib.errors import UsageError


@dataclass(frozen=True)
class ProbeData:
    """The three splits of a task, features scaled by all training rows."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    patients_test: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        labels: pd.DataFrame,
        splits: Sequence[str],
        patients: Sequence,
        valid: np.ndarray | None,
        standardise: bool = False,
        record_ids: Sequence | None = None,
    ) -> "ProbeData":
        """Arguments as `linear_probe` has them. Raises UsageError for rows that are not aligned."""
        if isinstance(labels, pd.DataFrame):
            for name, other in (("splits", splits), ("patients", patients)):
                _check_order(labels.index, getattr(other, "index", None), name)
            _check_ids(labels.index, record_ids)
        features, splits, patients = np.asarray(features), np.asarray(splits), np.asarray(patients)
        if features.ndim != 2 or not isinstance(labels, pd.DataFrame):
            raise UsageError(
                f"features must be [N, D], not {list(features.shape)}, and labels a table whose "
                f"columns are classes, not {type(labels).__name__}"
            )
        valid = np.ones(len(splits), dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
        lengths = {len(features), len(labels), len(splits), len(patients), len(valid)}
        if len(lengths) != 1:
            raise UsageError(
                f"{len(features)} features, {len(labels)} labels, {len(splits)} splits, "
                f"{len(patients)} patients and {len(valid)} marks of valid rows must be of one "
                "store, row by row"
            )
        if not np.isfinite(features).all():
            raise UsageError("features hold NaN or infinity; extract them again")
        known = np.isin(splits, SPLITS)
        check_disjoint(patients[known], splits[known])
        part = {name: valid & (splits == name) for name in SPLITS}
        for name, rows in part.items():
            if not rows.any():
                raise UsageError(f"no labelled row is in the split '{name}', which a probe needs")
        centre, scale = _scaling(features[splits == "train"].astype(np.float64), standardise)
        x = {name: (features[rows] - centre) / scale for name, rows in part.items()}
        values = labels.to_numpy()
        y = {n: values[rows].astype(np.int8) for n, rows in part.items()}
        return cls(
            x["train"], y["train"], x["val"], y["val"], x["test"], y["test"],
            patients[part["test"]], tuple(map(str, labels.columns)),
        )  # fmt: skip


def _check_order(labels: pd.Index, other: object, name: str) -> None:
    """Raise UsageError where both tables name their rows and have them in another order.

    Labels that are merely numbered 0, 1, 2, ... name no rows.
    """
    if isinstance(labels, pd.RangeIndex) or not isinstance(other, pd.Index):
        return
    if len(labels) == len(other) and not labels.equals(other) and set(labels) == set(other):
        raise UsageError(
            f"labels and {name} have the same rows in another order; sort one by the other's "
            "index, labels.loc[...], and the features likewise"
        )


def _check_ids(labels: pd.Index, record_ids: Sequence | None) -> None:
    """Raise UsageError naming the first row whose label is another record's."""
    if record_ids is None or isinstance(labels, pd.RangeIndex):
        return
    record_ids = np.asarray(record_ids, dtype=object)
    if len(labels) != len(record_ids):
        raise UsageError(
            f"{len(labels)} labels and {len(record_ids)} record ids must be row by row"
        )
    differ = np.flatnonzero(np.asarray(labels, dtype=object) != record_ids)
    if len(differ):
        row = differ[0]
        raise UsageError(
            f"row {row} of the labels is of record '{labels[row]}', and that of the store of "
            f"'{record_ids[row]}' ({len(differ)} of {len(labels)} rows differ); take them as "
            "store.labels(task) gives them, in the order of store.records"
        )


def _scaling(every: np.ndarray, standardise: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[D]` and standard deviation `[D]` (or one for all) of the training rows."""
    spread = every.std(axis=0)
    if not standardise:
        spread = np.full_like(spread, np.sqrt(np.mean(spread**2)))
    spread[spread < 1e-8] = 1.0  # a feature that never changes stays near zero
    return every.mean(axis=0), spread
