"""The table that may lie beside a user's own recordings: reports, patients, splits and labels.

One line a record, the column `record` names it: its path below the folder, with or without suffix.
Known columns are report, patient_id, split, age, sex and language, all optional. Of the others,
those of 0 and 1 alone are labels; those without any 0 or 1 go to the store as they are. A record
with an empty cell among its labels, or without a line, is not labelled (`unlabelled`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from dbeta_lib.data.formats import MAX_BYTES, SUFFIXES, read_csv
from dbeta_lib.data.reports import detect_language, normalise_report
from dbeta_lib.data.store import SPLITS, UNUSED
from dbeta_lib.errors import DBetaError, nearest

_KNOWN = ("report", "patient_id", "split", "age", "sex", "language")
# Columns that a store fills itself.
_TAKEN = (
    "record_id", "source", "window", "fold", "text", "report_id", "leads_present", "nan_filled",
    "flat_leads", "padded", "findings", "signal_hash",
)  # fmt: skip
_SEX = {"": "unknown", "unknown": "unknown", "f": "female", "m": "male"}
_SEX |= {"female": "female", "male": "male"}
_SPLITS = (*SPLITS, UNUSED, "")
_LABEL = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
MAX_AGE = 130


@dataclass(frozen=True)
class Table:
    """records: index = record_id, columns as `Plan.records` has them; labels: int8, same index.

    unlabelled: record_ids with an empty cell among their labels; all their labels are 0.
    """

    records: pd.DataFrame
    labels: pd.DataFrame
    unlabelled: frozenset[str] = frozenset()


def read_table(path: Path) -> Table:
    """Read and check a table. Raises DBetaError naming the file, the line and what is wrong."""
    frame = _read(path)
    if "record" not in frame:
        found = nearest("record", frame.columns)
        raise DBetaError(f"{path} has no column 'record', the name of each recording{found}")
    taken = [column for column in frame if column in _TAKEN]
    if taken:
        raise DBetaError(f"{path}: a store fills the column '{taken[0]}' itself; rename it")
    ids = frame.pop("record").map(_record_id)
    _require(path, ids != "", ids, "names no record")
    _require(path, ~ids.duplicated(), ids, "is a record that stands there twice")
    known = pd.DataFrame({c: frame.pop(c) for c in _KNOWN if c in frame}, index=frame.index)
    labels = [c for c in frame if frame[c].isin(_LABEL).any()]
    for column in labels:
        said = f"is no 0 or 1 of the label '{column}'"
        _require(path, frame[column].isin([*_LABEL, ""]), frame[column], said)
    gaps = (frame[labels] == "").any(axis=1)
    numbers = {c: frame.pop(c).map(_LABEL).where(~gaps, 0).astype(np.int8) for c in labels}
    records = pd.concat([_checked(path, known), frame], axis=1)
    index = pd.Index(ids, name="record_id")
    return Table(
        records.set_axis(index),
        pd.DataFrame(numbers, index=frame.index).set_axis(index),
        frozenset(ids[gaps]),
    )


def unlabelled(table: Table, ids: Iterable[str]) -> set[str]:
    """Those of the records `ids` without labels: no line in the table, or an empty cell there.

    Empty where the table has no labels at all.
    """
    if table.labels.empty:
        return set()
    return {name for name in ids if name not in table.labels.index or name in table.unlabelled}


def _checked(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The known columns with their values checked and brought to the store's."""
    if "split" in frame:
        said = f"is none of the splits {', '.join(_SPLITS[:-1])}"
        _require(path, frame["split"].isin(_SPLITS), frame["split"], said)
    if "age" in frame:
        ages = pd.to_numeric(frame["age"].replace("", "nan"), errors="coerce")
        good = (frame["age"] == "") | ((ages >= 0) & (ages <= MAX_AGE))
        _require(path, good, frame["age"], f"is no age in years, 0 to {MAX_AGE}")
        frame["age"] = ages.astype(float)
    if "sex" in frame:
        sex = frame["sex"].str.lower()
        _require(path, sex.isin(_SEX), frame["sex"], "is none of female, male, unknown")
        frame["sex"] = sex.map(_SEX)
    if "language" in frame:
        known = frame["language"].str.fullmatch("[a-z]{2}|unknown|")
        _require(path, known, frame["language"], "is no language, as in en")
    if "report" in frame:
        found = frame["report"].map(normalise_report).map(detect_language)
        said = frame["language"] if "language" in frame else pd.Series("", frame.index)
        frame["language"] = said.where(said != "", found)
    if {"split", "patient_id"} <= set(frame):
        _require_one_split(path, frame)
        frame["split"] = _by_patient(frame)
    return frame


def _require_one_split(path: Path, frame: pd.DataFrame) -> None:
    """A patient on both sides of a split would make every result too good."""
    said = frame[~frame["split"].isin(["", UNUSED]) & (frame["patient_id"] != "")]
    first = said.drop_duplicates("patient_id").set_index("patient_id")["split"]
    other = said["patient_id"].map(first)
    crosses = other != said["split"]
    if crosses.any():
        splits = f"{other[crosses].iloc[0]} and {said['split'][crosses].iloc[0]}"
        _require(path, ~crosses, said["patient_id"], f"is a patient of two splits, {splits}")


def _by_patient(frame: pd.DataFrame) -> pd.Series:
    """A record without a split goes where its patient's others are."""
    said = frame[(frame["split"] != "") & (frame["patient_id"] != "")]
    of_patient = said.drop_duplicates("patient_id").set_index("patient_id")["split"]
    return frame["split"].where(
        frame["split"] != "", frame["patient_id"].map(of_patient).fillna("")
    )


def _read(path: Path) -> pd.DataFrame:
    """All text, index = line of the file; empty lines are left out."""
    if path.is_symlink() or not path.is_file():
        raise DBetaError(f"{path} is no file; name the table of the recordings")
    if path.stat().st_size > MAX_BYTES:
        raise DBetaError(f"{path} is larger than {MAX_BYTES >> 20} MiB; is it the table")
    try:
        frame = read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        said = str(error).partition("\n")[0][:200]
        raise DBetaError(f"{path} is no table in UTF-8 ({said}); save it as CSV again") from error
    frame = _named(path, frame.rename(columns=str.strip))
    within = sum(frame[column].str.count("\n") for column in frame)  # a report may have lines
    frame.index = 2 + np.arange(len(frame)) + np.cumsum(within) - within
    frame = frame.apply(lambda column: column.str.strip())
    return frame[(frame != "").any(axis=1)]


def _named(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns, each with a name of its own; empty ones without a name are left out."""
    is_empty = (frame == "").all(axis=0).to_numpy()
    frame = frame.loc[:, (frame.columns != "") | ~is_empty]  # commas at the lines' ends
    if "" in frame:
        place = list(frame.columns).index("") + 1
        raise DBetaError(f"{path}: column {place} has no name in the first line; name or remove it")
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DBetaError(f"{path} names the column {twice[0][:40]!r} twice; rename or remove one")
    return frame


def _record_id(name: str) -> str:
    """The path without suffix, "/" between its parts."""
    path = PurePosixPath(name.replace("\\", "/"))
    return (
        path.with_suffix("").as_posix() if path.suffix.lower() in SUFFIXES else name and str(path)
    )


def _require(path: Path, good: pd.Series, values: pd.Series, what: str) -> None:
    if not good.all():
        row = int(np.argmin(good.to_numpy()))
        value = str(values.iloc[row])[:40]
        raise DBetaError(f"{path}, line {good.index[row]}: '{value}' {what}; correct the line")
