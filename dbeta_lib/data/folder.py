"""A folder of the user's own recordings: WFDB, EDF, CSV or NumPy files, at any depth.

A recording is each `.hea`, `.edf`, `.csv` or `.npy` file but the table; hidden files and links are
left out. Its record_id is its path below the folder without suffix; where two files share that,
they are taken for one recording in two formats: the first of the order above is read, the other
set aside. A table `records.csv` may add reports, patients, splits and labels (`folder_table`).
"""

import functools
import os
from pathlib import Path

import pandas as pd

from dbeta_lib.data.folder_table import Table, read_table
from dbeta_lib.data.formats import SUFFIXES, read_recording, to_mv
from dbeta_lib.data.plan import Plan
from dbeta_lib.data.wfdb_read import Recording, read_wfdb
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.files import sha256_bytes, sha256_file
from dbeta_lib.leads import canonical

CODE_VERSION = 1  # raised whenever the same input would give another store
TABLE = "records.csv"
_SAMPLES = (".dat", ".mat")  # of WFDB records; they count for the checksum
_CONVENTION = (
    "as given in the 0/1 columns of {name}; a record without a line there has 0 everywhere"
)


def plan(
    source: Path | str,
    *,
    sampling_rate: int = 500,
    table: str = "",
    file_rate: float = 0,
    file_leads: str = "",
    file_units: str = "mV",
) -> Plan:
    """What the folder `source` holds.

    sampling_rate: Hz of the store; any rate of a file is resampled to it. table: path below the
    folder, "" = records.csv if it is there. Of CSV and NumPy files: file_rate in Hz (0 = each CSV
    has a column of times), file_leads ("I,II,V1", rows of a .npy; "" = the twelve), file_units
    ("mV", "uV", "V", or counts as "200/mV").
    Raises UsageError for a wrong option or a folder that is none, DBetaError naming the file, line
    and remedy for a table that cannot be used, or when the folder holds no recording.
    """
    source = Path(source)
    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int) or sampling_rate < 50:
        raise UsageError(f"sampling_rate={sampling_rate} Hz: give a whole number, 50 or more")
    options = file_options(file_rate, file_leads, file_units)
    path = table_path(source, table)
    files = find_recordings(source, path)
    if not files:
        raise DBetaError(
            f"{source} holds no recording ({', '.join(SUFFIXES)}); name another folder"
        )
    chosen, aside = _one_per_id(files)
    given = read_table(path) if path else None
    if given is not None:
        absent = given.records.index.difference(list(chosen), sort=True)
        aside += [(name, "file missing", f"{path.name} names it") for name in absent]
    return Plan(
        _records(chosen, given),
        functools.partial(read, str(source), options),
        "own recordings",
        _checksum(source, path),
        _tasks(given, path, list(chosen)),
        aside,
    )


def source_checksum(source: Path | str, *, sampling_rate: int = 500, table: str = "", **_) -> str:
    """What `prepare` would read: hash of the table, and of the record files' names and sizes."""
    return _checksum(Path(source), table_path(Path(source), table))


def read(folder: str, options: dict, source: str) -> Recording:
    """One recording, `source` its path below the folder. Raises Rejected."""
    if source.endswith(".hea"):
        return read_wfdb(folder, source.removesuffix(".hea"))
    if source.lower().endswith(".edf"):
        return read_recording(Path(folder) / source)
    if source.lower().endswith(".csv"):
        options = options | {"leads": None}  # its first line says them
    return read_recording(Path(folder) / source, **options)


def find_recordings(folder: Path, table: Path | None = None) -> list[str]:
    """Paths below the folder of all recordings, sorted. Raises UsageError when it is no folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name the one that holds the recordings")
    return [name for name, _ in _listing(folder, SUFFIXES) if folder / name != table]


def _listing(folder: Path, suffixes: tuple[str, ...]) -> list[tuple[str, int]]:
    """Path below the folder, and size, of each file with one of the suffixes; links left out."""
    found = []
    for place, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(place).relative_to(folder)
        with os.scandir(place) as entries:
            found += [
                ((below / entry.name).as_posix(), entry.stat(follow_symlinks=False).st_size)
                for entry in entries
                if entry.name.lower().endswith(suffixes)
                and not entry.name.startswith(".")
                and entry.is_file(follow_symlinks=False)
            ]
    return sorted(found)


def file_options(rate: float, leads: str, units: str) -> dict:
    """Options of `read_recording` from those of `plan`. Raises UsageError."""
    if rate and not 1 <= rate <= 100_000:
        raise UsageError(f"file_rate={rate} Hz: give 1 to 100000, or 0 where each file says it")
    names = [canonical(name) for name in leads.split(",") if name.strip()]
    if len(set(names)) != len(names):
        raise UsageError(f"file_leads='{leads}' names a lead twice")
    to_mv(units)
    return {"sampling_rate": rate or None, "leads": names or None, "units": units}


def table_path(source: Path, table: str = "") -> Path | None:
    """The table's path, None where there is none. Raises UsageError if the one named is absent."""
    path = source / (table or TABLE)
    if path.is_file():
        return path
    if table:
        raise UsageError(f"{path} is no file; name the table by its path below {source}")
    return None


def _one_per_id(files: list[str]) -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """record_id -> file, and the files set aside because another one has their record_id."""
    chosen: dict[str, str] = {}
    aside = []
    for file in sorted(files, key=_rank):
        name = str(Path(file).with_suffix("").as_posix())
        if name in chosen:
            aside.append((name, "second file", f"{file}: {chosen[name]} is read for this record"))
        else:
            chosen[name] = file
    return dict(sorted(chosen.items())), sorted(aside)


def _rank(file: str) -> tuple[int, str]:
    return SUFFIXES.index(Path(file).suffix.lower()), file


def _records(chosen: dict[str, str], given: Table | None) -> pd.DataFrame:
    records = pd.DataFrame({"record_id": list(chosen), "source": list(chosen.values())})
    if given is None:
        return records
    lines = given.records.reindex(records["record_id"])
    for column in lines:
        fill = {"language": "unknown", "sex": "unknown", "age": float("nan")}.get(column, "")
        records[column] = (
            lines[column].where(lines.index.isin(given.records.index), fill).to_numpy()
        )
    if "age" in records:
        records["age"] = records["age"].astype(float)
    return records


def _tasks(
    given: Table | None, path: Path | None, ids: list[str]
) -> dict[str, tuple[pd.DataFrame, str]]:
    if given is None or path is None or given.labels.empty:
        return {}
    labels = given.labels.reindex(given.labels.index.union(ids), fill_value=0)
    return {"labels": (labels, _CONVENTION.format(name=path.name))}


def _checksum(source: Path, table: Path | None) -> str:
    files = [f"{name} {size}" for name, size in _listing(source, (*SUFFIXES, *_SAMPLES))]
    return sha256_bytes("\n".join([sha256_file(table) if table else "", *files]).encode())
