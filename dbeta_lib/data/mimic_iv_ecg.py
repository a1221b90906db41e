"""MIMIC-IV-ECG on its published layout: `record_list.csv`, `machine_measurements.csv`, `files/`.

The two tables are joined on study_id; nothing promises that their rows are in one order. A report
is the machine's statements report_0 to report_17, joined. What a cart could not measure it writes
as 29999 or another impossible number: a time outside 0 to 10,000 ms (the recording's length), an RR
interval of 0 and an axis beyond 360 degrees become NaN. The set has no splits: patients are drawn,
96 % train, 2 % validation, 2 % test, from all that record_list.csv names, so that no option moves a
patient to another side. Age and sex are in MIMIC-IV itself, not here.

Gow et al., PhysioNet 2023, version 1.0, doi:10.13026/4nqg-sb35 (ODbL 1.0).
"""

import functools
import os
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.data.plan import Plan
from dbeta_lib.data.reports import join_statements, normalise_report
from dbeta_lib.data.signals import SECONDS
from dbeta_lib.data.splits import split_by_patient
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.files import sha256_bytes, sha256_file

CODE_VERSION = 2  # raised whenever the same input would give another store
RATE = 500  # Hz of every record
RECORDS = 800_035  # in version 1.0
SHARES = (0.96, 0.02, 0.02)  # of the patients in train, val and test
REMEDY = (
    "download MIMIC-IV-ECG again (https://physionet.org/content/mimic-iv-ecg/) and name the folder "
    "that holds record_list.csv"
)
_LIST, _MEASURED = "record_list.csv", "machine_measurements.csv"
_IDS = {"subject_id": np.int64, "study_id": np.int64}
_STATEMENTS = tuple(f"report_{i}" for i in range(18))
_LONGEST = 1000 * SECONDS  # ms
_RANGES = {  # smallest and largest value that can be a measurement; ms, then degrees
    "rr_interval": (1, _LONGEST), "p_onset": (0, _LONGEST), "p_end": (0, _LONGEST),
    "qrs_onset": (0, _LONGEST), "qrs_end": (0, _LONGEST), "t_end": (0, _LONGEST),
    "p_axis": (-360, 360), "qrs_axis": (-360, 360), "t_axis": (-360, 360),
}  # fmt: skip


def plan(source: Path | str, *, sampling_rate: int = RATE, min_report_words: int = 0) -> Plan:
    """What MIMIC-IV-ECG's folder `source` holds; a part of `files/` is enough.

    sampling_rate: Hz; recorded at 500, others by polyphase resampling. min_report_words: a record
    whose report has fewer words between white space is set aside; 4 is MERL's filter. A study
    without a row of measurements keeps its recording, its report is empty.
    Raises DBetaError naming the file and remedy, UsageError for a wrong option.
    """
    source = Path(source)
    _check(source, sampling_rate, min_report_words)
    listed, twice = _first_rows(_read(source / _LIST, _IDS | {"path": str, "ecg_time": str}), _LIST)
    columns = {column: "category" for column in (*_STATEMENTS, *_RANGES)}
    measured, later = _first_rows(_read(source / _MEASURED, _IDS | columns), _MEASURED)
    records, unfit = _without_unfit(_join(listed, measured), min_report_words)
    return Plan(
        records,
        functools.partial(read_wfdb, str(source), sampling_rate=RATE, samples=SECONDS * RATE),
        _version(len(listed)),
        source_checksum(source),
        aside=twice + later + unfit,
    )


def source_checksum(source: Path | str, *, sampling_rate: int = RATE, **_) -> str:
    """What `prepare` would read: hash of both tables and of the names of the patients' folders.

    The 1.6 million record files are not listed: on a shared disk that would take too long.
    """
    source = Path(source)
    for name in (_LIST, _MEASURED):
        if not (source / name).is_file():
            raise DBetaError(f"{source / name} is missing; {REMEDY}")
    parts = [sha256_file(source / name) for name in (_LIST, _MEASURED)]
    for group in _folders(source / "files"):
        parts += [f"{group.name}/{patient.name}" for patient in _folders(group)]
    return sha256_bytes("\n".join(parts).encode())


def _folders(path: Path) -> list[Path]:
    """The folders in a folder by name, links left out; [] where there is none."""
    if not path.is_dir() or path.is_symlink():
        return []
    with os.scandir(path) as entries:
        return sorted(Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False))


def _check(source: Path, sampling_rate: int, min_report_words: int) -> None:
    """Raises UsageError for what the call alone decides."""
    if not source.is_dir():
        raise UsageError(f"{source} is no folder; {REMEDY}")
    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int) or sampling_rate < 50:
        raise UsageError(f"sampling_rate={sampling_rate} Hz: give a whole number, 50 or more")
    if isinstance(min_report_words, bool) or not isinstance(min_report_words, int):
        raise UsageError(f"min_report_words={min_report_words}: give a whole number, 0 for all")
    if min_report_words < 0:
        raise UsageError(f"min_report_words={min_report_words}: give 0 or more")


def _version(records: int) -> str:
    if records == RECORDS:
        return "1.0 (all 800,035 records are listed)"
    return f"a part of 1.0, or none of the versions known ({records} records are listed)"


def _read(path: Path, columns: dict) -> pd.DataFrame:
    """The named columns of a table, in the file's order. Raises DBetaError for a damaged one."""
    if not path.is_file():
        raise DBetaError(f"{path} is missing; {REMEDY}")
    _check_end(path)
    try:
        header = pd.read_csv(path, nrows=0, encoding="utf-8")
        if absent := [column for column in columns if column not in header]:
            raise DBetaError(f"{path} has no column {', '.join(absent)}; {REMEDY}")
        frame = pd.read_csv(
            path, usecols=list(columns), dtype=columns, keep_default_na=False, encoding="utf-8"
        )
    except (ValueError, OverflowError, OSError) as error:  # pandas' parser errors are ValueErrors
        first = str(error).splitlines()[0]
        raise DBetaError(f"{path} is damaged or half-downloaded ({first}); {REMEDY}") from error
    if frame.empty:
        raise DBetaError(f"{path} lists no record; {REMEDY}")
    return frame


def _check_end(path: Path) -> None:
    """A table cut off anywhere but between two rows would lose the rest without a word."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) != b"\n":
            raise DBetaError(f"{path} ends within a row (half-downloaded?); {REMEDY}")


def _first_rows(table: pd.DataFrame, file: str) -> tuple[pd.DataFrame, list[tuple[str, str, str]]]:
    """The first row of each study, and what is to be said of the later ones."""
    later = table["study_id"].duplicated()
    first = table[~later].reset_index(drop=True)
    if not later.any():
        return first, []
    owner = first.set_index("study_id")["subject_id"]
    aside = []
    for study, subject in table.loc[later, ["study_id", "subject_id"]].itertuples(index=False):
        same = subject == owner[study]
        reason, whose = ("listed twice", "") if same else ("two patients", f", subject {subject}")
        aside.append((str(study), reason, f"a later row of {file}{whose}; its first is taken"))
    return first, aside


def _join(listed: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """The listed records with the store's columns and three more for `_without_unfit`.

    subject: whose it is. owner: the same by the measurements, where it has any. words: how many
    its report has.
    """
    # A study without a row of measurements has row -1: what is appended to each array below.
    rows = pd.Index(measured["study_id"]).get_indexer(listed["study_id"])
    texts, which = _reports(measured)
    texts.append("")
    text = np.append(which, len(texts) - 1)[rows]
    subject, patients = pd.factorize(listed["subject_id"])
    patients = patients.astype(str).to_numpy(object)[subject]  # one string per patient
    records = pd.DataFrame(
        {
            "record_id": listed["study_id"].astype(str),
            "source": listed["path"].fillna(""),
            "patient_id": patients,
            "split": split_by_patient(patients, 0, SHARES),
            "report": np.array(texts, object)[text],
            "text": np.array([normalise_report(text) for text in texts], object)[text],
            "language": np.array(["en" if text else "unknown" for text in texts], object)[text],
            "ecg_time": listed["ecg_time"].fillna(""),
        }
    )
    for column, (smallest, largest) in _RANGES.items():
        records[column] = np.append(_numbers(measured[column], smallest, largest), np.nan)[rows]
    owner = np.append(measured["subject_id"], 0)[rows]
    records["owner"] = np.where(rows >= 0, owner, listed["subject_id"])
    records["subject"] = listed["subject_id"]
    records["words"] = np.array([len(text.split()) for text in texts])[text]
    return records


def _without_unfit(
    records: pd.DataFrame, min_report_words: int
) -> tuple[pd.DataFrame, list[tuple[str, str, str]]]:
    """The records to be read, and the others with the reason: of two patients, or too few words."""
    foreign = records["owner"] != records["subject"]
    short = ~foreign & (records["words"] < min_report_words)
    aside = [
        (row.record_id, "two patients", f"{row.subject} in {_LIST}, {row.owner} in {_MEASURED}")
        for row in records[foreign].itertuples()
    ]
    aside += [
        (row.record_id, "report too short", f"{row.words} words, at least {min_report_words} asked")
        for row in records[short].itertuples()
    ]
    return records[~foreign & ~short].drop(columns=["owner", "subject", "words"]), aside


def _reports(measured: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The distinct reports, and int64 `[n]`: which of them each row has.

    The rows are numbered by their distinct combinations of statements, a column at a time, so that
    only one row of each combination is joined: a fraction of the 800,035.
    """
    which = np.zeros(len(measured), np.int64)
    for column in _STATEMENTS:
        statement = measured[column].cat
        codes = statement.codes.to_numpy(np.int64) + 1  # -1 = the row has no such field
        which = pd.factorize(which * (len(statement.categories) + 1) + codes)[0]
    first = np.unique(which, return_index=True)[1]
    rows = measured.iloc[first][list(_STATEMENTS)].itertuples(index=False, name=None)
    return [join_statements(row) for row in rows], which


def _numbers(column: pd.Series, smallest: float, largest: float) -> np.ndarray:
    """float64 `[n]` of a column read as categories; NaN for what is no number or outside."""
    values = pd.to_numeric(pd.Series(column.cat.categories, dtype=object), errors="coerce")
    values = values.where(values.between(smallest, largest)).to_numpy(np.float64)
    return np.append(values, np.nan)[column.cat.codes.to_numpy()]
