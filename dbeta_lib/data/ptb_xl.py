"""PTB-XL on its published layout: `ptbxl_database.csv`, `scp_statements.csv`, `records100|500/`.

Labels follow the literature (the benchmark of Strodthoff et al. 2021, which MERL and its followers
use): any SCP code of a record counts, whatever its likelihood, also 0. Split: folds 1-8 train,
9 validation, 10 test. Report text is taken as published, or made from the SCP codes, which the
store then says: such texts are labels in words, and a zero-shot result on them is not zero-shot.

Wagner et al., Scientific Data 7, 154 (2020); PhysioNet, doi:10.13026/x4td-x982 (CC BY 4.0).
"""

import functools
import json
import os
from math import isfinite
from pathlib import Path

import pandas as pd

from dbeta_lib.data import ptb_xl_tables as tables
from dbeta_lib.data.plan import Plan, labelled
from dbeta_lib.data.reports import detect_language, join_statements, normalise_report, repair_ptb_xl
from dbeta_lib.data.signals import SECONDS
from dbeta_lib.data.wfdb_read import read_wfdb
from dbeta_lib.errors import DBetaError, UsageError, nearest
from dbeta_lib.files import sha256_bytes, sha256_file

CODE_VERSION = 3  # raised whenever the same input would give another store
REPORTS = ("published", "scp")
_FOLDERS = {100: ("records100", "filename_lr"), 500: ("records500", "filename_hr")}
_VERSIONS = {  # sha256 of ptbxl_database.csv
    "cd9bf4e6445c5e022605857c4d6f90c90ff0e62df847da52efaebe94de786156": "1.0.1",
    "7600de9c1b27d181d850b3c6038a35d7c3ddb6bb33b702e3a20252a6859d216b": "1.0.3",
}
_SEX = {"0": "male", "0.0": "male", "1": "female", "1.0": "female"}


def plan(
    source: Path | str,
    *,
    sampling_rate: int = 100,
    report: str = "published",
    translations: str = "",
    min_likelihood: float = 0.0,
) -> Plan:
    """What PTB-XL's folder `source` holds.

    sampling_rate: Hz; 100 and 500 as published, others by polyphase resampling from 500 Hz where
    records500/ is there. report: "published", or "scp" for the SCP statements' English text.
    translations: a CSV (ecg_id, report) of English texts, read by the model in place of the
    published ones, which stay beside; a record that is not in it keeps its own text and language.
    min_likelihood: percent; 0 = any, 50 = the stricter convention of the literature, which counts
    in the tasks super and sub alone: statements of form and rhythm are published with 0.
    Raises DBetaError naming the file and remedy, UsageError for a wrong option.
    """
    source = Path(source)
    if report not in REPORTS:
        raise UsageError(f"report='{report}' is no choice{nearest(report, REPORTS)}")
    if translations and report == "scp":
        raise UsageError("report='scp' is English already; leave the translations away")
    if not isinstance(min_likelihood, int | float) or not 0 <= min_likelihood <= 100:
        raise UsageError(f"min_likelihood={min_likelihood!r}: give percent, 0 to 100")
    rate, names = _choose_folder(source, sampling_rate)
    records = tables.read_records(source / "ptbxl_database.csv")
    statements = tables.read_statements(source / "scp_statements.csv")
    tables.check_codes(records, statements, source / "scp_statements.csv")
    english = tables.read_translations(translations, records) if translations else {}
    rows = [_row(r, rate, report, statements, english) for r in records.itertuples(index=False)]
    return Plan(
        pd.DataFrame(rows),
        functools.partial(read_wfdb, str(source), sampling_rate=rate, samples=SECONDS * rate),
        _version(source),
        _checksum(source, names, translations),
        {
            task: (
                labelled(tables.labels(records, statements, task, min_likelihood)),
                tables.convention(task, min_likelihood),
            )
            for task in tables.TASKS
        },
        aside=_unlisted(names, {row["source"] for row in rows}),
        reports_from_labels=report == "scp",
    )


def _unlisted(names: list[str], listed: set[str]) -> list[tuple[str, str, str]]:
    """Headers in the folder that the table does not name, as when it was cut off."""
    headers = (name.partition(" ")[0].removesuffix(".hea") for name in names if ".hea " in name)
    return [
        (name, "not in the table", f"{name}.hea; ptbxl_database.csv does not name it")
        for name in headers
        if name not in listed
    ]


def source_checksum(
    source: Path | str, *, sampling_rate: int = 100, translations: str = "", **_
) -> str:
    """What `prepare` would read: hash of the tables and of the record files' names and sizes."""
    names = _choose_folder(Path(source), sampling_rate)[1]
    return _checksum(Path(source), names, translations)


def _version(source: Path) -> str:
    known = _VERSIONS.get(sha256_file(source / "ptbxl_database.csv"))
    return known or "a part of a version, or none of those known"


def _checksum(source: Path, names: list[str], translations: str) -> str:
    parts = [sha256_file(source / name) for name in ("ptbxl_database.csv", "scp_statements.csv")]
    if translations:
        parts.append(sha256_file(translations) if Path(translations).is_file() else "missing")
    return sha256_bytes("\n".join(parts + names).encode())


def _choose_folder(source: Path, sampling_rate: int) -> tuple[int, list[str]]:
    """The rate (100 or 500) of the records to read, and a sorted listing "path size" of its files.

    The folder of the rate itself is taken where it has records, else the one of 500 Hz, else that
    of 100 Hz when the rate is below. Raises DBetaError when a table or the records are not there.
    """
    if not source.is_dir():
        raise UsageError(f"{source} is no folder; {tables.REMEDY}")
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        if not (source / name).is_file():
            raise DBetaError(f"{source / name} is missing; {tables.REMEDY}")
    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int) or sampling_rate < 50:
        raise UsageError(f"sampling_rate={sampling_rate} Hz: give a whole number, 50 or more")
    for rate in sorted(_FOLDERS, key=lambda rate: (rate != sampling_rate, -rate)):
        names = _listing(source / _FOLDERS[rate][0]) if rate >= sampling_rate else []
        if names:
            return rate, names
    if sampling_rate > 100 and _listing(source / "records100"):
        raise DBetaError(
            f"{source / 'records500'} has no records, and {sampling_rate} Hz cannot be made from "
            "records100/; download records500/ or ask for 100 Hz (--hz 100)"
        )
    raise DBetaError(
        f"{source} has no record files (*.hea, *.dat) in records100/ or records500/; "
        f"{tables.REMEDY}"
    )


def _listing(folder: Path) -> list[str]:
    """ "path size" of each header and signal file below, sorted; links are left out."""
    found = []
    for place, folders, _ in os.walk(folder):
        folders.sort()
        below = Path(place).relative_to(folder.parent).as_posix()
        with os.scandir(place) as entries:
            sizes = {
                entry.name: entry.stat(follow_symlinks=False).st_size
                for entry in entries
                if entry.name.endswith((".hea", ".dat")) and entry.is_file(follow_symlinks=False)
            }
        found += [f"{below}/{name} {sizes[name]}" for name in sorted(sizes)]
    return found


def _row(row, rate: int, report: str, statements: pd.DataFrame, english: dict[str, str]) -> dict:
    if row.ecg_id in english:
        text, copy, language = row.report, normalise_report(english[row.ecg_id]), "en"
    elif report == "scp":
        text = join_statements(statements["SCP-ECG Statement Description"][list(row.scp_codes)])
        copy, language = normalise_report(text), "en"
    else:
        text, copy = row.report, repair_ptb_xl(row.report)
        language = detect_language(copy)
    fold = row.strat_fold
    return {
        "record_id": row.ecg_id,
        "source": row.filename_lr if rate == 100 else row.filename_hr,
        "patient_id": row.patient_id,
        "split": "train" if fold <= 8 else "val" if fold == 9 else "test",
        "fold": fold,
        "report": text,
        "text": copy,
        "language": language,
        "age": _age(row.age),
        "sex": _SEX.get(row.sex, "unknown"),
        "scp_codes": json.dumps(row.scp_codes, sort_keys=True),
    }


def _age(text: str) -> float:
    """Years; version 1.0.3 writes 300 for "over 89", which becomes 90; NaN where it is empty."""
    try:
        age = float(text)
    except ValueError:
        return float("nan")
    if not isfinite(age) or age < 0:
        return float("nan")
    return 90.0 if age == 300 else age
