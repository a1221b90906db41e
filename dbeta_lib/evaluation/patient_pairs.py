"""Two records of each person who came back: the gallery, and the probes that search in it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dbeta_lib.data.store import SPLITS
from dbeta_lib.errors import UsageError, nearest


@dataclass(frozen=True)
class Pairs:
    """Two records of each patient, as rows of the store; patients in the order of first records."""

    patients: np.ndarray  # str [P]
    gallery: np.ndarray  # int64 [P], row of the first record
    probe: np.ndarray  # int64 [P], row of the second

    def __len__(self) -> int:
        return len(self.patients)


def gallery_and_probe(records: pd.DataFrame, split: str = "test") -> Pairs:
    """The first and the second record of every patient of the split who has two or more.

    records: a store's table. Their order is that of record_id, shorter ids first ("9" before
    "10"); PTB-XL's numbers rise with the day of recording. Further records are left out. A record
    of several windows counts once, with its first; one with the very samples of an earlier one
    of the same patient does not count, since a copy is no second recording.
    Raises UsageError where fewer than two patients are left.
    """
    if split not in SPLITS:
        raise UsageError(f"'{split}' is no split{nearest(split, SPLITS)}")
    part = pd.DataFrame(
        {
            "row": np.arange(len(records)),
            "patient": records["patient_id"].astype(str).to_numpy(),
            "record": records["record_id"].astype(str).to_numpy(),
            "window": records["window"].to_numpy() if "window" in records else 0,
            "samples": _hashes(records),
        }
    )[records["split"].to_numpy() == split]
    part = part.assign(length=part["record"].str.len()).sort_values(["length", "record", "window"])
    part = part.drop_duplicates("record").drop_duplicates(["patient", "samples"])
    visit = part.groupby("patient").cumcount()
    second = part[visit == 1].set_index("patient")["row"]
    first = part[(visit == 0) & part["patient"].isin(second.index)]
    if len(first) < 2:
        raise UsageError(
            f"{len(first)} patients of the split '{split}' have two records or more (it has "
            f"{len(part)} records of {part['patient'].nunique()} patients); identification needs "
            "data in which patients come back, such as all of PTB-XL or the synthetic cohort"
        )
    probe = second.loc[first["patient"]].to_numpy()
    return Pairs(first["patient"].to_numpy(), first["row"].to_numpy(), probe)


def returning(records: pd.DataFrame) -> np.ndarray:
    """int64 rows, ascending, of patients with two records or more: all that is asked here.

    Features of these alone save time where most patients came once (16,758 of PTB-XL's 21,837
    records): `identify(extract(encoder, store, rows), store.records.iloc[rows])`.
    """
    visits = records.groupby("patient_id")["record_id"].transform("nunique")
    return np.flatnonzero(visits.to_numpy() > 1)


def _hashes(records: pd.DataFrame) -> np.ndarray:
    """What tells the samples of a row; the row's number where a store does not say."""
    if "signal_hash" in records:
        return records["signal_hash"].to_numpy()
    return np.arange(len(records)).astype(str)
