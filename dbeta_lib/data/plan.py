"""What a dataset's folder holds, told before any signal is read: all that a loader has to make."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dbeta_lib.data.splits import split_by_patient
from dbeta_lib.data.wfdb_read import Recording
from dbeta_lib.errors import DBetaError

# Columns of `Plan.records` that a loader may leave out, and what then stands there.
_OPTIONAL = {
    "patient_id": "", "split": "", "fold": 0, "report": "", "text": None, "language": "unknown",
    "age": float("nan"), "sex": "unknown",
}  # fmt: skip


@dataclass
class Plan:
    """The records of a dataset, in the order of the store, and how one of them is read.

    records: DataFrame with str columns record_id (unique) and source (what `read` is given: mostly
    the path below the folder, without suffix), and, where the dataset has them, patient_id (str, ""
    = not known), split, fold, report, text (copy for the model; None = the normalised report),
    language, age, sex; every other column goes to the store as it is. read: a module's function (or
    a partial of one; it is pickled) that takes a `source` and gives a `Recording` or raises
    Rejected. version, checksum: of what is read. tasks: name -> (0/1 labels with index record_id,
    empty rows for records that are not labelled (see `labelled`), the convention in words). aside:
    (record, reason, detail) of what needs no reading to be left out. shares: of the patients in
    train, val and test where `split` is empty.
    """

    records: pd.DataFrame
    read: Callable[[str], Recording]
    version: str
    checksum: str
    tasks: dict[str, tuple[pd.DataFrame, str]] = field(default_factory=dict)
    aside: list[tuple[str, str, str]] = field(default_factory=list)
    reports_from_labels: bool = False
    shares: Sequence[float] = (0.7, 0.1, 0.2)

    def __post_init__(self):
        records = self.records = self.records.reset_index(drop=True)
        for column, value in _OPTIONAL.items():
            if column not in records:
                records[column] = value
        twice = records["record_id"].duplicated()
        if twice.any():
            raise DBetaError(f"record {records['record_id'][twice].iloc[0]} is listed twice")
        self.patients_known = bool((records["patient_id"] != "").all())
        own = records["patient_id"].where(records["patient_id"] != "", records["record_id"])
        records["patient_id"] = own
        empty = (records["split"] == "").to_numpy()
        if empty.any():  # a patient who has a split already keeps it; the others are drawn
            drawn = split_by_patient(own, 0, self.shares)
            records["split"] = records["split"].where(~empty, drawn)

    def __len__(self) -> int:
        return len(self.records)

    def block(self, number: int, of: int) -> "Plan":
        """Part `number` (0, 1, ...) of `of` about equal parts, in order; the first has `aside`."""
        ends = [len(self) * i // of for i in range(of + 1)]
        part = self.records.iloc[ends[number] : ends[number + 1]]
        tasks = {
            task: (frame.loc[frame.index.isin(part["record_id"])], convention)
            for task, (frame, convention) in self.tasks.items()
        }
        block = Plan(
            part, self.read, self.version, self.checksum, tasks,
            self.aside if number == 0 else [], self.reports_from_labels,
        )  # fmt: skip
        block.patients_known = self.patients_known
        return block


def labelled(frame: pd.DataFrame, which: Sequence[bool] | None = None) -> pd.DataFrame:
    """The 0/1 labels with <NA> in the rows of records that are not labelled.

    which: bool per row, True = labelled; by default the rows with at least one positive, for
    datasets that name findings and say nothing of the rest.
    """
    known = frame.any(axis=1).to_numpy() if which is None else np.asarray(which, dtype=bool)
    return frame.astype("Int8").where(pd.Series(known, frame.index), axis=0)
