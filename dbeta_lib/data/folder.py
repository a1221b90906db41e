"""A folder of the user's own recordings, in any format of `formats`, at any depth.

A recording is each file with one of its suffixes but the table. Hidden files are left out, and so
are the kit's own stores: folders with a `store.json`, or named `*.partial` or `*.shards`.
Links, and names that no table can hold, are set aside. The record_id is the path below the folder
without suffix; where two files share it, they are taken for one recording in two formats: the first
in the order of `formats.SUFFIXES` is read, the other set aside. A table `records.csv` may add
reports, patients, splits and labels (`folder_table`).
"""

import functools
import os
from pathlib import Path

import pandas as pd

from dbeta_lib.data.folder_table import Table, read_table, unlabelled
from dbeta_lib.data.formats import HELPED, SUFFIXES, read_recording, to_mv
from dbeta_lib.data.plan import Plan, labelled
from dbeta_lib.data.wfdb_read import Recording, read_wfdb
from dbeta_lib.errors import UsageError
from dbeta_lib.files import sha256_bytes, sha256_file
from dbeta_lib.leads import canonical

CODE_VERSION = 4  # raised whenever the same input would give another store
TABLE = "records.csv"
_SAMPLES = (".dat", ".mat")  # of WFDB records; they count for the checksum
_STORE = (".partial", ".shards")  # ends of the names of folders in which the kit builds a store
_CONVENTION = (
    "as given in the 0/1 columns of {name}; records with no line or an empty cell there "
    "(here {count}) are not labelled and have 0 everywhere"
)
Aside = list[tuple[str, str, str]]  # (record, reason, detail)


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
    Raises UsageError for a wrong option, or a folder that is none or holds no recording, DBetaError
    naming the file, line and remedy for a table that cannot be used.
    """
    source = Path(source)
    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int) or sampling_rate < 50:
        raise UsageError(f"sampling_rate={sampling_rate} Hz: give a whole number, 50 or more")
    options = file_options(file_rate, file_leads, file_units)
    path = table_path(source, table)
    files, refused = find_recordings(source, path)
    chosen, aside = _one_per_id(files)
    aside = refused + aside
    given = read_table(path) if path else None
    if given is not None:
        known = [*chosen, *(name for name, _, _ in refused)]
        absent = given.records.index.difference(known, sort=True)
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
        return read_wfdb(folder, source.removesuffix(".hea"), leave_out=True)
    if not source.lower().endswith(HELPED):
        return read_recording(Path(folder) / source)
    if source.lower().endswith(".csv"):
        options = options | {"leads": None}  # its first line says them
    return read_recording(Path(folder) / source, **options)


def find_recordings(folder: Path, table: Path | None = None) -> tuple[list[str], Aside]:
    """Paths below the folder of all recordings, sorted, and the links and names that are refused.

    Raises UsageError when it is no folder, or holds no recording.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name the one that holds the recordings")
    if (folder / "store.json").is_file():
        raise UsageError(f"{folder} is a store, prepared already; name the recordings' own folder")
    found, aside = _listing(folder, SUFFIXES)
    files = [name for name, _ in found if folder / name != table]
    if not files:
        refused = f" (and {aside[0][2]})" if aside else ""
        suffixes = ", ".join(SUFFIXES)
        raise UsageError(f"{folder} holds no recording ({suffixes}){refused}; name another folder")
    return files, aside


def _listing(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[tuple[str, int]], Aside]:
    """Path below the folder, and size, of each file with one of the suffixes; what is refused."""
    found, aside = [], []
    for place, folders, files in os.walk(folder):
        if "store.json" in files:
            folders.clear()
            continue
        folders[:] = sorted(f for f in folders if f.isprintable() and not _is_left_out(f))
        with os.scandir(place) as entries:
            for entry in entries:
                path = (Path(place).relative_to(folder) / entry.name).as_posix()
                is_folder = os.path.isdir(entry.path)
                wanted = is_folder or path.lower().endswith(suffixes)
                if not wanted or _is_left_out(entry.name):
                    continue
                if why := _why_refused(entry, path, is_folder):
                    aside.append(why)
                elif not is_folder and entry.is_file(follow_symlinks=False):
                    found.append((path, entry.stat(follow_symlinks=False).st_size))
    return sorted(found), sorted(aside)


def _is_left_out(name: str) -> bool:
    """Hidden, or where the kit builds a store."""
    return name.startswith(".") or name.endswith(_STORE)


def _why_refused(entry: os.DirEntry, path: str, is_folder: bool) -> tuple[str, str, str] | None:
    """An entry of `aside` for a link, or a name that is not UTF-8 or would steer a terminal."""
    name = path if is_folder else Path(path).with_suffix("").as_posix()
    if not path.isprintable():
        return ascii(name), "path refused", f"{path!a} is no plain name; rename it"
    if entry.is_symlink():
        return name, "path refused", f"{path} is a link; links are not followed"
    return None


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


def _one_per_id(files: list[str]) -> tuple[dict[str, str], Aside]:
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
    without = unlabelled(given, ids)
    marks = labelled(labels, ~labels.index.isin(without))
    return {"labels": (marks, _CONVENTION.format(name=path.name, count=len(without)))}


def _checksum(source: Path, table: Path | None) -> str:
    found, aside = _listing(source, (*SUFFIXES, *_SAMPLES))
    files = [f"{name} {size}" for name, size in found] + [f"refused: {why}" for _, _, why in aside]
    return sha256_bytes("\n".join([sha256_file(table) if table else "", *files]).encode())
