"""The rows of `records.parquet` while a store is written: gathered one by one, a table at the end.

What a row says of its samples is gathered as they come. What it says of the record is either told
with it, or stands in a table of all records already: then only the record's place is noted, and the
columns are taken at the end, each in one go.
"""

from array import array
from collections.abc import Iterable

import numpy as np
import pandas as pd

from dbeta_lib.data.reports import normalise_report, report_ids
from dbeta_lib.data.signals import Record, Signal
from dbeta_lib.data.store import SPLITS, UNUSED
from dbeta_lib.errors import DBetaError

COLUMNS = {  # of records.parquet, in this order; extra ones of the dataset follow
    "record_id": "str", "window": "int32", "patient_id": "str", "split": "str", "fold": "int32",
    "source": "str", "report": "str", "text": "str", "report_id": "int64", "language": "str",
    "age": "float32", "sex": "str", "leads_present": "int32", "nan_filled": "int32",
    "flat_leads": "int32", "padded": "int32", "findings": "str", "signal_hash": "str",
}  # fmt: skip
_OF_SIGNAL = ("leads_present", "nan_filled", "flat_leads", "padded", "findings")
_SEEN = ("window", "signal_hash", *_OF_SIGNAL)
_TOLD = [column for column in COLUMNS if column not in (*_SEEN, "report_id")]


class Rows:
    """Rows in the order in which they were added.

    records: DataFrame with a row for each record, the columns of COLUMNS that say nothing of
    samples, and the dataset's own; its rows are named by `add_of`. None where `add` or `append`
    tell of the records. A text of None is the normalised report.
    """

    def __init__(self, records: pd.DataFrame | None = None):
        if records is not None:
            _check(records["record_id"], records["patient_id"], records["split"])
        self._records = records
        self._told: dict[str, list] = {}
        self._stores: list[pd.DataFrame] = []
        self._numbers = array("q")
        self._seen = {c: [] if COLUMNS[c] == "str" else array("i") for c in _SEEN}

    def __len__(self) -> int:
        return len(self._numbers) + sum(map(len, self._stores))

    def add(self, record: Record) -> None:
        """A row that tells all of its record. Raises DBetaError for what no loader should tell."""
        _check([record.record_id], [record.patient_id], [record.split])
        told = {column: getattr(record, column) for column in _TOLD} | record.extra
        if self._told and told.keys() != self._told.keys():
            raise DBetaError(
                f"record {record.record_id}: its extra columns differ from the others'"
            )
        for column, value in told.items():
            self._told.setdefault(column, []).append(value)
        self.add_of(len(self), record.window, record.signal)

    def add_of(self, number: int, window: int, signal: Signal) -> None:
        """A row of the record that is row `number` of the table given at the start."""
        self._numbers.append(number)
        self._seen["window"].append(window)
        self._seen["signal_hash"].append(signal.hash)
        for column in _OF_SIGNAL:
            self._seen[column].append(getattr(signal, column))

    def append(self, store: pd.DataFrame) -> None:
        """The rows of a finished store: its `records`."""
        self._stores.append(store)

    def table(self) -> pd.DataFrame:
        """All rows, with the columns of COLUMNS and the dataset's own.

        Raises DBetaError when a record stands there twice.
        """
        self._stores = [store for store in self._stores if len(store)] or self._stores[:1]
        told = self._told if self._records is None else self._records
        named = self._stores[0] if self._stores else told
        extra = [column for column in named if column not in COLUMNS]
        # Column by column, so that no two copies of all of them are in memory at once.
        columns = {column: self._column(column) for column in COLUMNS if column != "report_id"}
        columns["report_id"] = report_ids(columns["text"])
        columns = {column: columns[column] for column in COLUMNS}
        columns |= {column: pd.Series(self._values(column)) for column in extra}
        table = pd.DataFrame(columns, copy=False)
        if table.duplicated(["record_id", "window"]).any():
            raise DBetaError("a record_id occurs twice in one store; this is a fault of the loader")
        return table

    def _column(self, column: str) -> np.ndarray:
        values = self._values(column)
        if column == "text":
            reports = self._values("report")
            known = zip(values, reports, strict=True)
            values = [normalise_report(r) if text is None else text for text, r in known]
        kind = COLUMNS[column]
        return np.asarray(values, object if kind == "str" else kind)

    def _values(self, column: str) -> list | array:
        """Plain values of all rows: what the table is made of does not depend on the way here."""
        if self._stores:
            return [value for store in self._stores for value in store[column].tolist()]
        if column in self._seen:
            return self._seen[column]
        if self._records is None:
            return self._told.get(column, [])
        return self._records[column].iloc[np.asarray(self._numbers)].tolist()


def _check(ids: Iterable[str], patients: Iterable[str], splits: Iterable[str]) -> None:
    """Raises DBetaError for a record without a patient, or of no split."""
    for record_id, patient, split in zip(ids, patients, splits, strict=True):
        if split not in (*SPLITS, UNUSED) or not patient:
            raise DBetaError(
                f"record {record_id}: patient '{patient}' and split '{split}' must be named; "
                "this is a fault of the loader"
            )
