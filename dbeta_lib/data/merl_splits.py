"""MERL's published splits and labels, which most papers on these datasets are measured on.

The lists of `finetune/data_split` in github.com/cheliu-computation/MERL-ICML2024 (MIT), Liu et al.,
"Zero-Shot ECG Classification with Multimodal Learning and Test-time Clinical Knowledge
Enhancement", ICML 2024: train, val and test of PTB-XL (four tasks), of Chapman-Shaoxing-Ningbo
("chapman", 23,026 of its 45,152 records) and of CPSC2018 ("icbeb"), each as .csv or .csv.gz.

Classes are read by name. The published files of PTB-XL's task sub name three classes in another
order in train than in val and test, and MERL reads them by position: `columns_as_read_by_position`
tells which class is then scored against which head. CSN and CPSC2018 were split by recording, not
by patient, and the labels of CSN were made by substring ("AF" also where "AFIB" stands).
"""

import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.data.splits import crossing_patients
from dbeta_lib.data.store import SPLITS, UNUSED
from dbeta_lib.errors import DBetaError, UsageError, nearest

REMEDY = (
    "take finetune/data_split of https://github.com/cheliu-computation/MERL-ICML2024 as it is "
    "there and name that folder"
)
_LARGEST = 64_000_000  # bytes of one list unpacked; the largest published one has 2 MB
_PLACES = ("", "data_split", "finetune/data_split")  # of the lists below the folder named
_FOLDS = dict.fromkeys(range(1, 9), "train") | {9: "val", 10: "test"}  # of PTB-XL


@dataclass(frozen=True)
class _Lists:
    """How the lists of one dataset are laid out, and how a record is named in them."""

    stems: dict[str, str]  # the kit's task -> path of its three lists without "_train.csv"
    head: tuple[str, ...]  # columns before the classes; "{task}" = the last part of the folder
    key: str  # the column that names the record
    pattern: str  # of that name; the group is what `read` gives, after `prefix`
    prefix: str
    column: str  # of a store's records, which `pattern` is looked for in


_PTB_XL = {"super": "super_class", "sub": "sub_class", "form": "form", "rhythm": "rhythm"}
DATASETS = {
    "ptb-xl": _Lists(
        {task: f"ptbxl/{name}/ptbxl_{name}" for task, name in _PTB_XL.items()},
        ("ecg_id", "patient_id", "strat_fold", "filename_lr", "filename_hr", "{task}"),
        "ecg_id", r"^0*(\d+)$", "", "record_id",
    ),
    "csn": _Lists(
        {"csn-merl": "chapman/chapman"}, ("ecg_path", "age", "diagnose"),
        "ecg_path", r"(?:^|/)(\d\d/\d{3}/JS\d{5})(?:\.\w+)?$", "WFDBRecords/", "source",
    ),
    "cpsc2018": _Lists(
        {"cpsc2018": "icbeb/icbeb"},
        ("patient_id", "ecg_id", "filename", "validation", "age", "sex", "scp_codes"),
        "filename", r"(?:^|/)(A\d{4})(?:\.\w+)?$", "", "source",
    ),
}  # fmt: skip
KeysOf = Callable[[pd.DataFrame], Sequence[str]]


def tasks(dataset: str) -> list[str]:
    """The tasks that MERL's lists have for a dataset, by the kit's names."""
    return list(_known(dataset).stems)


def read(folder: Path | str, dataset: str, task: str = "") -> pd.DataFrame:
    """One task's lists: columns record, split, then one int8 0/1 column per class, by name.

    dataset: "ptb-xl", "csn" or "cpsc2018". task: one of `tasks(dataset)`, may be left out where
    there is one. record: ecg_id (PTB-XL), "WFDBRecords/12/120/JS11438" (CSN), "A0001" (CPSC2018).
    Rows in the order of the files, train before val before test: what `label_subsets.merl` counts.
    Classes in the order of train's file; SCP codes stand there without their underscore (NST for
    NST_). Raises UsageError for an unknown dataset or task,
    DBetaError for a missing file, other columns, or a record that stands there twice.
    """
    lists, stem = _find(dataset, task)
    parts = {split: _read_list(_path(folder, stem, split), lists, stem) for split in SPLITS}
    classes = list(parts["train"].columns[1:])
    for split, part in parts.items():
        if set(part.columns[1:]) != set(classes):
            other = sorted(set(part.columns[1:]) ^ set(classes))
            raise DBetaError(
                f"{_path(folder, stem, split)} has other classes than train ({', '.join(other)}); "
                f"{REMEDY}"
            )
        part.insert(1, "split", split)
    whole = pd.concat([part[["record", "split", *classes]] for part in parts.values()])
    whole = whole.reset_index(drop=True)
    twice = whole["record"].duplicated()
    if twice.any():
        record = whole["record"][twice].iloc[0]
        where = " and ".join(whole["split"][whole["record"] == record])
        raise DBetaError(
            f"record {record} stands twice in the lists of {Path(folder) / stem} ({where}); "
            f"{REMEDY}"
        )
    return whole


def splits_of(folder: Path | str, dataset: str) -> pd.Series:
    """'train', 'val' or 'test' of every record in the lists of any task; index record.

    Raises DBetaError as `read`, and where two tasks have one record in different splits.
    """
    every = [read(folder, dataset, task)[["record", "split"]] for task in tasks(dataset)]
    pairs = pd.concat(every).drop_duplicates()
    twice = pairs["record"].duplicated()
    if twice.any():
        record = pairs["record"][twice].iloc[0]
        raise DBetaError(
            f"record {record} is in different splits in two tasks of {folder}; {REMEDY}"
        )
    return pairs.set_index("record")["split"]


def columns_as_read_by_position(folder: Path | str, dataset: str, task: str = "") -> pd.DataFrame:
    """The classes of a task as each of its files has them: columns train, val and test, in order.

    A reader that goes by position trains head i on `train[i]` and scores it against the labels of
    `test[i]`; in the published lists the two differ for three of the 23 classes of PTB-XL's sub:

        by_position = columns_as_read_by_position(folder, "ptb-xl", "sub")
        y_test = labels_test[by_position["test"]].to_numpy()  # columns as MERL scores them

    Raises as `read`.
    """
    lists, stem = _find(dataset, task)
    read(folder, dataset, task)  # the same classes in all three, or a sentence
    return pd.DataFrame(
        {
            split: list(_read_list(_path(folder, stem, split), lists, stem).columns[1:])
            for split in SPLITS
        }
    )


def apply(
    records: pd.DataFrame, folder: Path | str, dataset: str, source_of: KeysOf | None = None
) -> pd.Series:
    """The published split of each record, "unused" where it stands in no list; index as `records`.

    records: of a plan or a store (record_id, source). source_of: gives what the lists call each
    record (str `[n]`); by default what the dataset's loader writes. Raises DBetaError as `read`,
    and where no record at all is in the lists.
    """
    listed = splits_of(folder, dataset)
    keys = _keys(records, dataset, source_of)
    split = keys.map(listed)
    if len(records) and split.isna().all():
        raise DBetaError(
            f"none of the {len(records)} records stands in the lists of {dataset} in {folder} "
            f"(looked for {keys.iloc[0] or records['record_id'].iloc[0]!r}); name the dataset that "
            "these records are of"
        )
    return split.fillna(UNUSED).rename("split")


@dataclass(frozen=True)
class Agreement:
    """How records and published lists agree; empty lists are what one hopes for."""

    absent: tuple[str, ...]  # in a list, not among the records
    unlisted: tuple[str, ...]  # record_ids that are in no list
    crossing: tuple[str, ...]  # patients in more than one of train, val and test
    contradicting: tuple[str, ...]  # record_ids of PTB-XL in another split than their fold says

    def __str__(self) -> str:
        lines = []
        for name, words in (
            ("absent", "in the lists, not among the records"),
            ("unlisted", "among the records, in no list"),
            ("crossing", "patients in more than one split"),
            ("contradicting", "in another split than folds 1-8, 9 and 10 say"),
        ):
            found = getattr(self, name)
            shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
            lines.append(f"{words}: {len(found)}" + (f" ({shown})" if found else ""))
        return "\n".join(lines)


def check(
    records: pd.DataFrame, folder: Path | str, dataset: str, source_of: KeysOf | None = None
) -> Agreement:
    """Compare the records (record_id, source, patient_id, fold) with the lists; errors as `apply`.

    Where a dataset does not know its patients (CSN, CPSC2018), `crossing` cannot find any.
    """
    listed = splits_of(folder, dataset)
    split = apply(records, folder, dataset, source_of)
    used = split != UNUSED
    of_fold = records["fold"].map(_FOLDS) if dataset == "ptb-xl" else pd.Series(np.nan, split.index)
    wrong = used & of_fold.notna() & (of_fold != split)
    present = set(_keys(records, dataset, source_of))
    return Agreement(
        tuple(record for record in listed.index if record not in present),
        tuple(records["record_id"][~used].unique()),
        tuple(crossing_patients(records["patient_id"][used], split[used])),
        tuple(records["record_id"][wrong].unique()),
    )


def _known(dataset: str) -> _Lists:
    if dataset not in DATASETS:
        raise UsageError(f"MERL has no lists of '{dataset}'{nearest(dataset, DATASETS)}")
    return DATASETS[dataset]


def _find(dataset: str, task: str) -> tuple[_Lists, str]:
    lists = _known(dataset)
    if not task and len(lists.stems) == 1:
        task = next(iter(lists.stems))
    if task not in lists.stems:
        raise UsageError(f"MERL's {dataset} has no task '{task}'{nearest(task, lists.stems)}")
    return lists, lists.stems[task]


def _keys(records: pd.DataFrame, dataset: str, source_of: KeysOf | None) -> pd.Series:
    """What the lists call each record, "" where its name is none of a list."""
    if source_of is not None:
        return pd.Series(list(source_of(records)), records.index, dtype=object).astype(str)
    lists = _known(dataset)
    return _normalise(records[lists.column], lists).fillna("")


def _normalise(names: pd.Series, lists: _Lists) -> pd.Series:
    return lists.prefix + names.astype(str).str.extract(lists.pattern, expand=False)


def _path(folder: Path | str, stem: str, split: str) -> Path:
    """The list's file, plain or packed. Raises DBetaError when it is not there."""
    for place in _PLACES:
        for suffix in (".csv", ".csv.gz"):
            path = Path(folder) / place / f"{stem}_{split}{suffix}"
            if path.is_file():
                return path
    raise DBetaError(f"{Path(folder) / stem}_{split}.csv is missing; {REMEDY}")


def _read_list(path: Path, lists: _Lists, stem: str) -> pd.DataFrame:
    """One file: column record, then the classes as int8, in the file's order."""
    frame = _read_csv(path)
    head = [name.format(task=Path(stem).parent.name) for name in lists.head]
    found = list(frame.columns)
    if found[: len(head)] != head or len(found) == len(head) or len(set(found)) != len(found):
        raise DBetaError(
            f"{path} does not begin with the columns {', '.join(head)} before its classes; {REMEDY}"
        )
    record = _normalise(frame[lists.key], lists)
    if record.isna().any():
        name = frame[lists.key][record.isna()].iloc[0]
        raise DBetaError(f"{path}: '{str(name)[:60]}' names no record; {REMEDY}")
    labels = frame.iloc[:, len(head) :]
    bad = ~labels.isin(("0", "1")).all(axis=1)
    if bad.any():
        raise DBetaError(
            f"{path}, record {record[bad].iloc[0]}: a label is neither 0 nor 1; {REMEDY}"
        )
    return pd.concat([record.rename("record"), labels == "1"], axis=1).astype(
        dict.fromkeys(labels, np.int8)
    )


def _read_csv(path: Path) -> pd.DataFrame:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise DBetaError(f"{path} has more than {_LARGEST:,} bytes unpacked; {REMEDY}")
        # Names are compared as they stand: a class that is there twice must not become "AF.1".
        rows = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, header=None)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        first = (str(error).splitlines() or ["empty"])[0]
        raise DBetaError(f"{path} is damaged or half-downloaded ({first}); {REMEDY}") from error
    return rows.iloc[1:].set_axis(rows.iloc[0].tolist(), axis=1).reset_index(drop=True)
