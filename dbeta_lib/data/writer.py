"""Building a store: the one writer that every dataset's `prepare` uses.

A store is built in `<dest>.partial` and renamed when its `store.json` is written (see `placing`); a
rerun after a kill empties the partial folder and gives the same bytes.
"""

import csv
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.data.parquet import write_table
from dbeta_lib.data.placing import (
    finish_interrupted,
    lock_folder,
    partial_of,
    put_in_place,
    sentence_of,
)
from dbeta_lib.data.rows import Rows
from dbeta_lib.data.signals import Record, Rejected, Signal
from dbeta_lib.data.splits import check_disjoint
from dbeta_lib.data.store import (
    FORMAT_VERSION,
    SPLITS,
    UNUSED,
    SignalStore,
    fingerprint,
)
from dbeta_lib.errors import DBetaError
from dbeta_lib.files import write_json
from dbeta_lib.leads import LEADS

_BLOCK = 256  # rows of signals copied at a time


class StoreWriter:
    """Writes one store, row by row, in the order of `add`.

    >>> with StoreWriter(dest, "mine", 100, 1000, "1.0", checksum) as writer:  # doctest: +SKIP
    ...     writer.add(Record("a", to_signal(ecg), patient_id="p", split="train"))
    ...     writer.labels("rhythm", frame, "any likelihood")
    ...     store = writer.close()

    sampling_rate in Hz; samples: T; source_version and source_checksum say what was read; options
    and code_version say how (`ensure_store` prepares again when one of these changes).
    reports_from_labels: the texts say no more than the labels do. patients_known: False where the
    dataset does not say whose a recording is; patient_id is then the record's own. shard: (i, n) of
    a part of a store; it may be empty.
    Left by an exception, the unfinished folder is removed. Raises DBetaError when `dest` is there
    and is no store, when another process is preparing it, or when the disk is full.
    """

    def __init__(
        self, dest: Path | str, name: str, sampling_rate: int, samples: int,
        source_version: str, source_checksum: str, *, options: dict[str, Any] | None = None,
        code_version: int = 1, reports_from_labels: bool = False, patients_known: bool = True,
        shard: tuple[int, int] | None = None, records: pd.DataFrame | None = None,
    ):  # fmt: skip
        self.dest = Path(dest)
        self.partial = partial_of(self.dest)
        self._is_placed = False  # True: `partial` has become `dest`; one there now is another's
        self.shape = (len(LEADS), samples)
        self._meta = {
            "format_version": FORMAT_VERSION,
            "name": name,
            "source": {"version": source_version, "checksum": source_checksum},
            "preparation": {"code_version": code_version, "options": options or {}},
            "sampling_rate": int(sampling_rate),
            "samples": int(samples),
            "leads": list(LEADS),
            "reports_from_labels": reports_from_labels,
            "patients_known": patients_known,
        }
        if shard:
            self._meta["shard"] = list(shard)
        self._rows = Rows(records)
        self._aside: list[tuple[str, str, str]] = []
        self._labels: dict[str, tuple[pd.DataFrame, str]] = {}
        self._lock = self._start()
        self._signals = open(self.partial / "signals.npy", "wb")  # noqa: SIM115 - closed in _stop
        self._write(_header(0, self.shape))

    def _start(self) -> int:
        """Lock the partial folder and empty it; the lock's file descriptor."""
        empty = self.dest.is_dir() and not any(self.dest.iterdir())
        if self.dest.exists() and not empty and not (self.dest / "store.json").is_file():
            raise DBetaError(
                f"{self.dest} is there and is no signal store; name another folder or remove it"
            )
        try:
            finish_interrupted(self.dest)  # what is emptied below is then no whole store
            self.partial.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(self.partial)
            for left in self.partial.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            (self.partial / "labels").mkdir()
            return lock
        except OSError as error:
            raise sentence_of(error, self.partial) from error

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            self._signals.close()
        except OSError as error:
            raise sentence_of(error, self.dest) from error
        finally:
            self._leave()

    def _leave(self) -> None:
        """Remove what is unfinished, then give up the lock: not before, or it may be another's."""
        if self._lock is None:
            return
        if not self._is_placed:
            shutil.rmtree(self.partial, ignore_errors=True)
        os.close(self._lock)
        self._lock = None

    def _write(self, data: bytes | memoryview) -> None:
        try:
            self._signals.write(data)
        except OSError as error:
            raise sentence_of(error, self.dest) from error

    def add(self, record: Record) -> None:
        """Append one row. `set_aside` is for what has no row."""
        samples = self._checked(record.signal.uv, record.record_id)
        self._rows.add(record)
        self._write(samples)

    def add_of(self, number: int, window: int, signal: Signal) -> None:
        """Append a row of the record that is row `number` of `records`."""
        samples = self._checked(signal.uv, number)
        self._rows.add_of(number, window, signal)
        self._write(samples)

    def _checked(self, uv: np.ndarray, record: str | int) -> memoryview:
        if uv.shape != self.shape or uv.dtype != np.int16:
            raise DBetaError(
                f"record {record}: the signal is {uv.dtype} {uv.shape} where int16 {self.shape} is "
                "expected; this is a fault of the loader"
            )
        return np.ascontiguousarray(uv).data

    def append(self, store: SignalStore) -> None:
        """Append all rows of a finished store, and what it set aside, in their order."""
        for start in range(0, len(store), _BLOCK):
            data = np.ascontiguousarray(store.signals[start : start + _BLOCK]).data
            self._write(data)
        self._rows.append(store.records)
        self._aside += list(store.set_aside.itertuples(index=False, name=None))

    def set_aside(self, record_id: str, reason: str | Rejected, detail: str = "") -> None:
        """Note a record that is not kept, with one of few reasons and what else there is to say."""
        if isinstance(reason, Rejected):
            reason, detail = reason.reason, reason.detail
        self._aside.append((record_id, reason, " ".join(detail.split())))

    def labels(self, task: str, frame: pd.DataFrame, convention: str) -> None:
        """Labels of one task: 0/1, index record_id (also of what was set aside).

        A record whose row is empty throughout (NaN, <NA>) is not labelled.
        """
        if not frame.index.is_unique:
            raise DBetaError(f"task {task}: a record_id occurs twice among the labels")
        self._labels[task] = (frame, convention)

    def close(self) -> SignalStore:
        """Finish: tables, counts, store.json, rename. The store, opened.

        Raises DBetaError when no record was kept, with the most frequent reason.
        """
        if not len(self._rows) and "shard" not in self._meta:
            raise DBetaError(self._nothing_kept())
        try:
            self._finish()
        except OSError as error:
            raise sentence_of(error, self.dest) from error
        return SignalStore.open(self.dest)  # the tables written are out of memory by now

    def _finish(self) -> None:
        records = self._rows.table()
        self._rows = Rows()  # given up: for 800,000 records both would be a gigabyte
        used = records["split"] != UNUSED
        check_disjoint(records["patient_id"][used], records["split"][used])
        self._signals.seek(0)
        self._signals.write(_header(len(records), self.shape))
        self._signals.flush()
        os.fsync(self._signals.fileno())
        write_table(self.partial / "records.parquet", records)
        tasks = {}
        for task, (frame, convention) in sorted(self._labels.items()):
            tasks[task] = self._rows_of(task, frame, records)
            table = pd.concat([records[["record_id", "window"]], tasks[task]], axis=1)
            write_table(
                self.partial / "labels" / f"{task}.parquet", table, {"convention": convention}
            )
        aside = pd.DataFrame(self._aside, columns=["record", "reason", "detail"], dtype=str)
        _write_csv(self.partial / "set_aside.csv", aside)
        self._meta["tasks"] = {
            task: {"classes": list(frame.columns), "convention": self._labels[task][1]}
            for task, frame in tasks.items()
        }
        self._meta["counts"] = _counts(records, aside)
        self._meta["fingerprint"] = fingerprint(records, tasks, aside, self._meta)
        write_json(self.partial / "store.json", self._meta)
        self._signals.close()
        put_in_place(self.partial, self.dest)
        self._is_placed = True
        self._leave()

    def _rows_of(self, task: str, frame: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
        absent = ~records["record_id"].isin(frame.index)
        if absent.any():
            raise DBetaError(
                f"task {task} has no row for record {records['record_id'][absent].iloc[0]}"
            )
        found = frame.loc[records["record_id"]].reset_index(drop=True)
        empty = found.isna()
        partly = empty.any(axis=1) & ~empty.all(axis=1)
        if partly.any() or not (found.isin([0, 1]) | empty).all(axis=None):
            raise DBetaError(f"task {task}: a label is neither 0 nor 1")
        return found.astype("Int8")

    def _nothing_kept(self) -> str:
        name = self._meta["name"]
        if not self._aside:
            return f"no record of {name} was found; check the data folder"
        reason, count = Counter(reason for _, reason, _ in self._aside).most_common(1)[0]
        example = next(row for row in self._aside if row[1] == reason)
        return (
            f"no record of {name} could be kept: {count} of {len(self._aside)} were set aside as "
            f"'{reason}', the first {example[0]} ({example[2] or 'no more is known'}); "
            "check the data folder"
        )


def _header(rows: int, shape: tuple[int, int]) -> bytes:
    """The .npy header, 128 bytes for any number of rows, so that it can be written last."""
    text = (
        f"{{'descr': '<i2', 'fortran_order': False, 'shape': ({rows}, {shape[0]}, {shape[1]}), }}"
    )
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def _counts(records: pd.DataFrame, aside: pd.DataFrame) -> dict:
    everything = (1 << len(LEADS)) - 1
    split = records["split"].value_counts()
    reports = records["report_id"].to_numpy()
    return {
        "rows": len(records),
        "records": int(records["record_id"].nunique()),
        "patients": int(records["patient_id"].nunique()),
        "reports": int(np.unique(reports[reports >= 0]).size),
        "split": {
            name: int(split.get(name, 0))
            for name in (*SPLITS, UNUSED)
            if name in SPLITS or name in split.index
        },
        "missing_leads": int((records["leads_present"] != everything).sum()),
        "nan_filled": int((records["nan_filled"] > 0).sum()),
        "flat_leads": int((records["flat_leads"] > 0).sum()),
        "padded": int((records["padded"] > 0).sum()),
        "duplicates": int(records["signal_hash"].duplicated().sum()),
        "findings": _tally(",".join(filter(None, records["findings"])).split(",")),
        "set_aside": _tally(aside["reason"]),
    }


def _tally(values: Iterable[str]) -> dict[str, int]:
    return {value: int(n) for value, n in sorted(Counter(values).items()) if value}


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        frame.to_csv(file, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
        file.flush()
        os.fsync(file.fileno())
