"""The signal store: one folder per dataset and sampling rate, the same for every dataset.

    signals.npy            int16 [N, 12, T], C order, 1 LSB = 1 uV, leads in the order of LEADS
    records.parquet        one row per row of signals: ids, report, split, quality flags
    labels/<task>.parquet  record_id, window and one 0/1 column per class, empty where a record is
                           not labelled; the convention is named
    set_aside.csv          record, reason, detail of what was not kept
    store.json             written last: version, source, counts, options, fingerprint

A folder without `store.json` is no store: the writer builds in `<folder>.partial` and renames it.
Nothing in the files depends on the clock, on the folder's place or on the number of workers, so
the same input gives the same bytes.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.data.parquet import read_table
from dbeta_lib.data.signals import REMEDIES, signal_hash, unpack_bits
from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.files import read_json, sha256_bytes
from dbeta_lib.leads import LEADS

FORMAT_VERSION = 3
SPLITS = ("train", "val", "test")
UNUSED = "unused"  # of a record that stands in no split, as where published splits leave it out
_META_KEYS = {
    "name": str, "source": dict, "preparation": dict, "sampling_rate": int, "samples": int,
    "leads": list, "reports_from_labels": bool, "patients_known": bool, "tasks": dict,
    "counts": dict, "fingerprint": str,
}  # fmt: skip
_BLOCK = 4096  # rows hashed at a time


class SignalStore:
    """A finished store, opened for reading; signals stay on disk and are read by memory map.

    >>> store = SignalStore.open("runs/demo/stores/synthetic")     # doctest: +SKIP
    >>> store.ecg(store.rows("val")[:8]).shape                     # doctest: +SKIP
    (8, 12, 1000)

    path: the folder; meta: dict of store.json; sampling_rate: Hz; samples: T; fingerprint: hash of
    the content; signals: int16 memory map `[N, 12, T]` in uV; records: DataFrame, rows as in
    signals; set_aside: DataFrame (record, reason, detail).
    """

    def __init__(self, path: Path, meta: dict, signals: np.ndarray, records: pd.DataFrame):
        self.path, self.meta, self.signals, self.records = path, meta, signals, records
        self.sampling_rate: int = meta["sampling_rate"]
        self.samples: int = meta["samples"]
        self.fingerprint: str = meta["fingerprint"]
        self.leads = LEADS

    @classmethod
    def open(cls, path: Path | str) -> "SignalStore":
        """Open a store. Raises DBetaError naming the file that is absent, damaged or another."""
        path = Path(path)
        meta = _read_meta(path)
        signals = _open_signals(path / "signals.npy", meta)
        records = read_table(path / "records.parquet")[0]
        if len(records) != len(signals):
            raise DBetaError(
                f"{path / 'records.parquet'} has {len(records)} rows where signals.npy has "
                f"{len(signals)}; prepare the store again"
            )
        return cls(path, meta, signals, records)

    def __len__(self) -> int:
        return len(self.signals)

    def __repr__(self) -> str:
        return f"<SignalStore {self.meta['name']} {self.sampling_rate} Hz, {len(self)} rows>"

    def __reduce__(self):  # a worker process opens the store itself; the memory map is not copied
        return SignalStore.open, (self.path,)

    @property
    def set_aside(self) -> pd.DataFrame:
        """What was not kept: DataFrame of str (record, reason, detail)."""
        path = self.path / "set_aside.csv"
        try:
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise DBetaError(f"{path} is unreadable ({error}); prepare the store again") from error

    def ecg(self, rows: int | Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """float32 mV `[n, 12, T]` of the rows asked for, in that order; missing leads are zeros.

        One row by its number: `[12, T]`.
        """
        ecg = np.asarray(self.signals[rows]).astype(np.float32)
        ecg /= 1000  # in place: a division that converts as it goes takes half as long again
        return ecg

    def rows(self, split: str) -> np.ndarray:
        """int64 indices of the rows of 'train', 'val' or 'test', ascending."""
        if split not in SPLITS:
            raise UsageError(f"'{split}' is no split{nearest(split, SPLITS)}")
        return np.flatnonzero(self.records["split"].to_numpy() == split)

    def lead_mask(self) -> np.ndarray:
        """bool `[N, 12]`, True where the lead was recorded."""
        return unpack_bits(self.records["leads_present"].to_numpy())

    @property
    def reports_from_labels(self) -> bool:
        """Whether the texts were made from labels: a zero-shot result on them must say so."""
        return bool(self.meta["reports_from_labels"])

    def tasks(self) -> list[str]:
        """Names of the label tasks."""
        return sorted(self.meta["tasks"])

    def labels(self, task: str, classes: Sequence[str] | None = None) -> pd.DataFrame:
        """int8 0/1, one row per row of `records`, index record_id, one column per class.

        classes: those wanted, in this order; all by default. A row that is not labelled is all 0
        here; `labels_valid` tells which those are. Raises UsageError for an unknown task or class.
        """
        found = self.raw_labels(task).fillna(0).astype(np.int8)
        for name in classes or ():
            if name not in found:
                raise UsageError(f"'{name}' is no class of task {task}{nearest(name, found)}")
        return found if classes is None else found[list(classes)]

    def labels_valid(self, task: str) -> np.ndarray:
        """bool `[N]`: the row is labelled for the task, be it that none of the classes is there."""
        return self.raw_labels(task).notna().to_numpy().all(axis=1)

    def raw_labels(self, task: str) -> pd.DataFrame:
        """As `labels`, Int8, with <NA> in the rows that are not labelled."""
        self._known(task)
        frame = read_table(self.path / "labels" / f"{task}.parquet")[0]
        if len(frame) != len(self):
            raise DBetaError(
                f"{self.path / 'labels' / task}.parquet has {len(frame)} rows where the store has "
                f"{len(self)}; prepare the store again"
            )
        return frame.set_index("record_id").drop(columns="window").astype("Int8")

    def convention(self, task: str) -> str:
        """How the labels of the task were made, in words."""
        self._known(task)
        return self.meta["tasks"][task]["convention"]

    def _known(self, task: str) -> None:
        if task not in self.meta["tasks"]:
            raise UsageError(
                f"'{task}' is no label task of {self.path}{nearest(task, self.meta['tasks'])}"
            )

    def verify(self) -> None:
        """Read everything and compare with what was prepared. Raises DBetaError on a difference."""
        names = self.records["record_id"].to_numpy()
        for row, wanted in enumerate(self.records["signal_hash"]):
            if signal_hash(self.signals[row]) != wanted:
                raise DBetaError(
                    f"{self.path / 'signals.npy'}: record {names[row]} (row {row}) is not what was "
                    "prepared: the file was damaged or changed; prepare the store again"
                )
        tasks = {task: self.raw_labels(task) for task in self.tasks()}
        found = fingerprint(self.records, tasks, self.set_aside, self.meta)
        if found != self.fingerprint:
            raise DBetaError(
                f"{self.path} is not what was prepared (fingerprint {found[:12]}, recorded "
                f"{self.fingerprint[:12]}): a file was damaged or changed; prepare it again"
            )

    def summary(self) -> str:
        """Counts by split and what was set aside by reason, a line each, for the end of a run."""
        counts = self.meta["counts"]
        named = [split for split in (*SPLITS, UNUSED) if split in counts["split"]]
        splits = ", ".join(f"{split} {counts['split'][split]}" for split in named)
        lines = [
            f"{self.path}: {counts['rows']} rows of {counts['patients']} patients at "
            f"{self.sampling_rate} Hz ({splits}), {counts['reports']} distinct reports"
        ]
        for name, words in (
            ("missing_leads", "with a missing lead (zeros, masked)"),
            ("nan_filled", "with short gaps interpolated"),
            ("padded", "shorter than the window (zeros after their end)"),
            ("flat_leads", "warning: with a flat lead (kept as recorded)"),
            ("duplicates", "with the very samples of an earlier row (kept)"),
        ):
            if counts[name]:
                lines.append(f"  {words}: {counts[name]}")
        aside = sum(counts["set_aside"].values())
        lines.append(
            f"  set aside: {aside}" + (f" (see {self.path}/set_aside.csv)" if aside else "")
        )
        first = self.set_aside.groupby("reason").first() if aside else None
        for reason, n in counts["set_aside"].items():
            record, detail = first.loc[reason, ["record", "detail"]]
            line = f"    {reason}: {n}, the first {record} ({detail or 'no more is known'})"
            lines.append(line + (f"; {REMEDIES[reason]}" if reason in REMEDIES else ""))
        return "\n".join(lines)


def fingerprint(
    records: pd.DataFrame,
    tasks: dict[str, pd.DataFrame],
    set_aside: pd.DataFrame,
    meta: dict,
) -> str:
    """Hash of a store's content: the same for the same rows, whatever library wrote the files.

    Of the samples the records hold a hash for each row.
    """
    fixed = {key: meta[key] for key in ("format_version", "name", "sampling_rate", "leads")}
    parts = [json.dumps(fixed, sort_keys=True), _content(records)]
    parts += [f"{task}:{_content(tasks[task])}" for task in sorted(tasks)]
    parts.append(_content(set_aside))
    return sha256_bytes("\n".join(parts).encode())


def _content(frame: pd.DataFrame) -> str:
    """Hash of the table as CSV, written in blocks: the whole text may not fit memory."""
    digest = hashlib.sha256()
    for start in range(0, max(len(frame), 1), _BLOCK):
        part = frame.iloc[start : start + _BLOCK]
        digest.update(part.to_csv(index=False, header=start == 0, lineterminator="\n").encode())
    return digest.hexdigest()


def _read_meta(path: Path) -> dict:
    """`store.json` of a finished store of this format version."""
    if not (path / "store.json").is_file():
        partial = path.with_name(path.name + ".partial")
        why = "its preparation did not finish" if partial.is_dir() else "it has no store.json"
        raise DBetaError(f"{path} is no signal store: {why}; run the preparation (again)")
    meta = read_json(path / "store.json")
    if not isinstance(meta, dict) or meta.get("format_version") != FORMAT_VERSION:
        found = meta.get("format_version") if isinstance(meta, dict) else "none"
        raise DBetaError(
            f"{path / 'store.json'} is of format version {found}, this kit reads "
            f"{FORMAT_VERSION}; prepare the store again"
        )
    if absent := sorted(set(_META_KEYS) - set(meta)):
        raise DBetaError(
            f"{path / 'store.json'} lacks {', '.join(absent)}; prepare the store again"
        )
    wrong = sorted(key for key, kind in _META_KEYS.items() if type(meta[key]) is not kind)
    if wrong:
        raise DBetaError(
            f"{path / 'store.json'} is damaged at {', '.join(wrong)}; prepare the store again"
        )
    if tuple(meta["leads"]) != LEADS:
        raise DBetaError(
            f"{path / 'store.json'} names another lead order ({' '.join(meta['leads'])}); "
            "prepare the store again"
        )
    return meta


def _open_signals(path: Path, meta: dict) -> np.ndarray:
    """The memory map, after its header and length were compared with `store.json`."""
    try:
        signals = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DBetaError(
            f"{path} is missing, damaged or cut short ({error}); prepare the store again"
        ) from error
    wanted = (meta["counts"]["rows"], len(LEADS), meta["samples"])
    if signals.dtype != np.int16 or signals.shape != wanted or not signals.flags.c_contiguous:
        raise DBetaError(
            f"{path} holds {signals.dtype} {signals.shape} where int16 {wanted} is expected; "
            "prepare the store again"
        )
    return signals
