"""PTB-XL's two tables, checked: the records with their SCP codes, and what each code means."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.data.csv_text import read_text_table
from dbeta_lib.errors import DBetaError, UsageError

REMEDY = (
    "download PTB-XL again (https://physionet.org/content/ptb-xl/, one of records100/ and "
    "records500/ is enough) and name the folder that holds ptbxl_database.csv"
)
TASKS = {  # task -> column of scp_statements.csv that makes a code count, column of the class
    "super": ("diagnostic", "diagnostic_class"),
    "sub": ("diagnostic", "diagnostic_subclass"),
    "form": ("form", None),
    "rhythm": ("rhythm", None),
}
_ANY = (
    "any SCP code of the record counts, whatever its likelihood (also 0), as in Strodthoff et al. "
    "2021 and MERL"
)
_LIKELY = "an SCP code of the record counts from a likelihood of {least:g} % on"
_CLASS = "; class = {what} of scp_statements.csv; records without such a code are left out"
_COLUMNS = (
    "ecg_id", "patient_id", "age", "sex", "report", "scp_codes", "strat_fold",
    "filename_lr", "filename_hr",
)  # fmt: skip


def read_records(path: Path) -> pd.DataFrame:
    """`ptbxl_database.csv` with `scp_codes` parsed to dicts, in the file's order, index 0..n-1.

    Raises DBetaError naming the file and what is wrong with which record.
    """
    frame = _read_csv(path)
    absent = [column for column in _COLUMNS if column not in frame.columns]
    if absent:
        raise DBetaError(f"{path} has no column {', '.join(absent)}; {REMEDY}")
    if frame.empty:
        raise DBetaError(f"{path} lists no record; {REMEDY}")
    _require(path, frame, frame["ecg_id"].str.fullmatch(r"\d+"), "ecg_id is no number")
    _require(path, frame, ~frame["ecg_id"].duplicated(), "stands there twice")
    _require(path, frame, frame["filename_hr"] != "", "its row is cut off")
    folds = pd.to_numeric(frame["strat_fold"], errors="coerce")
    _require(path, frame, folds.isin(range(1, 11)), "strat_fold is none of 1 to 10")
    patients = pd.to_numeric(frame["patient_id"], errors="coerce")
    _require(path, frame, patients.notna() & (patients % 1 == 0), "patient_id is no whole number")
    codes = [_parse_codes(text) for text in frame["scp_codes"]]
    _require(
        path, frame, pd.Series([code is not None for code in codes]),
        "scp_codes is no dictionary of codes and likelihoods",
    )  # fmt: skip
    frame["ecg_id"] = frame["ecg_id"].astype(np.int64).astype(str)  # "00001" and "1" are one record
    frame["patient_id"] = patients.astype(np.int64).astype(str)
    frame["strat_fold"] = folds.astype(np.int64)
    frame["scp_codes"] = codes
    return frame


def read_statements(path: Path) -> pd.DataFrame:
    """`scp_statements.csv`, index = code, all columns text. Raises DBetaError."""
    frame = _read_csv(path)
    frame = frame.set_index(frame.columns[0])
    wanted = {"description", "diagnostic", "form", "rhythm", "diagnostic_class"}
    wanted |= {"diagnostic_subclass", "SCP-ECG Statement Description"}
    if absent := sorted(wanted - set(frame.columns)):
        raise DBetaError(f"{path} has no column {', '.join(absent)}; {REMEDY}")
    if not frame.index.is_unique or frame.empty:
        raise DBetaError(f"{path} lists a code twice, or none; {REMEDY}")
    return frame


def read_translations(path: Path | str, records: pd.DataFrame) -> dict[str, str]:
    """ecg_id -> English report, from a CSV with these columns; empty texts are left out.

    Raises UsageError when the file is not there, DBetaError when it is not such a table.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no file of translations {path}")
    remedy = "write a CSV with the columns ecg_id and report"
    try:
        frame = read_text_table(path)
    except (ValueError, OSError) as error:
        raise DBetaError(f"{path} is no CSV ({str(error).splitlines()[0]}); {remedy}") from error
    if absent := [name for name in ("ecg_id", "report") if name not in frame.columns]:
        raise DBetaError(f"{path} has no column {', '.join(absent)}; {remedy}")
    unknown = ~frame["ecg_id"].isin(records["ecg_id"])
    if frame["ecg_id"].duplicated().any() or unknown.all():
        raise DBetaError(f"{path} names a record twice, or none of PTB-XL's; {remedy}")
    told = frame[~unknown & (frame["report"].str.strip() != "")]
    return dict(zip(told["ecg_id"], told["report"], strict=True))


def labels(
    records: pd.DataFrame, statements: pd.DataFrame, task: str, min_likelihood: float = 0
) -> pd.DataFrame:
    """0/1 int8, index ecg_id (str), one column per class in alphabetical order.

    min_likelihood: percent that a diagnostic code must have; those of form and rhythm have none.
    """
    flag, column = TASKS[task]
    least = min_likelihood if column else 0
    counts = statements[statements[flag].isin(("1", "1.0"))]
    classes = counts[column] if column else pd.Series(counts.index, counts.index)
    of_code = classes.to_dict()
    names = sorted(set(of_code.values()))
    position = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(records), len(names)), np.int8)
    for row, codes in enumerate(records["scp_codes"]):
        table[row, [
            position[of_code[code]] for code, likelihood in codes.items()
            if code in of_code and likelihood >= least
        ]] = 1  # fmt: skip
    return pd.DataFrame(table, index=pd.Index(records["ecg_id"]), columns=names)


def convention(task: str, min_likelihood: float = 0) -> str:
    """The label convention of a task, in words."""
    column = TASKS[task][1]
    rule = _LIKELY.format(least=min_likelihood) if column and min_likelihood else _ANY
    return rule + _CLASS.format(what=column or "the code itself, a row")


def check_codes(records: pd.DataFrame, statements: pd.DataFrame, path: Path) -> None:
    """Every code of a record is explained. Raises DBetaError naming the first that is not."""
    known = set(statements.index)
    for ecg_id, codes in zip(records["ecg_id"], records["scp_codes"], strict=True):
        for code in codes:
            if code not in known:
                raise DBetaError(
                    f"{path} does not explain the code '{code}' of record {ecg_id}; {REMEDY}"
                )


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DBetaError(f"{path} is missing; {REMEDY}")
    try:
        return read_text_table(path)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        first = str(error).splitlines()[0]
        raise DBetaError(f"{path} is damaged or half-downloaded ({first}); {REMEDY}") from error


def _require(path: Path, frame: pd.DataFrame, good: pd.Series, what: str) -> None:
    if not good.all():
        ecg_id = frame["ecg_id"][~good.to_numpy()].iloc[0]
        raise DBetaError(f"{path}, record '{ecg_id}': {what} (half-downloaded?); {REMEDY}")


def _parse_codes(text: str) -> dict[str, float] | None:
    """A Python dict literal `{'NORM': 100.0}`; None for anything else. Nothing is evaluated."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    if not isinstance(value, dict):
        return None
    good = all(
        isinstance(code, str) and type(number) in (int, float) and 0 <= number <= 100
        for code, number in value.items()
    )
    return {code: float(number) for code, number in value.items()} if good else None
