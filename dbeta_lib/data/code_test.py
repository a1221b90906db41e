"""CODE-test: 827 recordings of as many patients at 400 Hz, six diagnoses by seven annotators.

`ecg_tracings.hdf5` (dataset "tracings", [827, 4096, 12]; recordings of 7 or 10 seconds with zeros
on both sides, which are taken off here), `attributes.csv` and `annotations/*.csv`, in the folder or
its `data/`. The file names no leads and no unit, and the publications contradict each other: both
are decided from the tracings (see `Layout`), and the store's version says how. All is test data.

Ribeiro et al., Nature Communications 11, 1760 (2020); doi:10.5281/zenodo.3625006 (CC BY 4.0).
"""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.data.checks import MAX_RELATIVE, einthoven_residual
from dbeta_lib.data.csv_text import read_text_table
from dbeta_lib.data.plan import Plan
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_read import Recording
from dbeta_lib.errors import DBetaError, UsageError
from dbeta_lib.files import sha256_bytes, sha256_file
from dbeta_lib.leads import LEADS, MIMIC_LEADS, lead_index

CODE_VERSION = 2  # raised whenever the same input would give another store
RATE = 400  # Hz
SAMPLES = 4096  # of a tracing, zeros included
CLASSES = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
REMEDY = (
    "download CODE-test again (https://doi.org/10.5281/zenodo.3625006) and name the folder that "
    "holds data/"
)
_TRACINGS = "ecg_tracings.hdf5"
_WHOSE = {  # task -> who annotated; the file is annotations/<task>.csv, of gold gold_standard.csv
    "gold": "two cardiologists, or a third where they differ (6 labels are not what both said)",
    "cardiologist1": "the first cardiologist",
    "cardiologist2": "the second cardiologist",
    "cardiology_residents": "two cardiology residents in their 4th year, a half each",
    "emergency_residents": "two emergency residents in their 3rd year, a half each",
    "medical_students": "two medical students in their 5th year, a half each",
    "dnn": "the network of Ribeiro et al. 2020 at the thresholds of its largest F1; no human",
}
TASKS = tuple(_WHOSE)
ORDERS = {  # candidates; "authors" is what the set's README says
    "standard": LEADS,
    "MIMIC": MIMIC_LEADS,
    "authors": ("I", "II", "III", "aVL", "aVF", "aVR", *LEADS[6:]),
}
UNITS = {"mV": 1.0, "0.1 mV": 0.1, "V": 1000.0}  # candidates, mV
_PLAUSIBLE_MV = (0.3, 5.0)  # median of lead II's largest excursions; PTB-XL's is 0.94
_SEX = {"M": "male", "F": "female"}
_BLOCK = 64  # tracings read at a time
_HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # of h5py on damaged files


@dataclass(frozen=True)
class Layout:
    """What the tracings themselves say. residuals: by order, see `find_layout`.

    leads: the twelve in the file's order. unit: mV of one step. peak_mv: lead II's median
    excursion in that unit.
    """

    order: str
    leads: tuple[str, ...]
    unit: str
    residuals: dict[str, float]
    peak_mv: float

    def words(self) -> str:
        """For the store's version: order and unit with the numbers they were decided by."""
        return (
            f"leads in the order {' '.join(self.leads[:6])} (residual "
            f"{self.residuals[self.order]:.2g}), unit {self.unit} (lead II {self.peak_mv:.2g} mV)"
        )


def plan(source: Path | str, *, sampling_rate: int = 500) -> Plan:
    """What CODE-test's folder `source` holds.

    sampling_rate: Hz; recorded at 400, others by polyphase resampling. Raises DBetaError naming the
    file and remedy, also when no order of leads or no unit fits; UsageError for a wrong rate.
    """
    source = Path(source)
    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int) or sampling_rate < 50:
        raise UsageError(f"sampling_rate={sampling_rate} Hz: give a whole number, 50 or more")
    path = _find(source, _TRACINGS)
    with _open(path) as tracings:
        n = len(tracings)
        attributes = _read(_find(source, "attributes.csv"), ("age", "sex"), n)
        layout = find_layout(tracings, path)
    ids = [f"{number:04d}" for number in range(n)]
    age = pd.to_numeric(attributes["age"], errors="coerce")
    place = path.relative_to(source).with_suffix("").as_posix()
    records = pd.DataFrame(
        {
            "record_id": ids,
            "source": [f"{place}/{name}" for name in ids],
            "patient_id": ids,  # the README: "827 ECG tracings from different patients"
            "split": "test",
            "age": age.where(age.between(0, 150)),
            "sex": attributes["sex"].map(_SEX).fillna("unknown"),
        }
    )
    return Plan(
        records,
        functools.partial(_read_tracing, str(path), layout.leads, UNITS[layout.unit]),
        f"doi:10.5281/zenodo.3625006, {n} tracings; {layout.words()}",
        source_checksum(source),
        {task: (read_annotations(source, task, ids), _convention(task)) for task in TASKS},
    )


def source_checksum(source: Path | str, *, sampling_rate: int = 500, **_) -> str:
    """What `prepare` would read: hash of the tables, name and size of the tracings."""
    source = Path(source)
    tables = [_find(source, name) for name in ("attributes.csv", *map(_file, TASKS))]
    size = _find(source, _TRACINGS).stat().st_size
    parts = [sha256_file(table) for table in tables] + [f"{_TRACINGS} {size}"]
    return sha256_bytes("\n".join(parts).encode())


def read_annotations(source: Path | str, task: str, ids: list[str]) -> pd.DataFrame:
    """int8 0/1, index `ids`, columns CLASSES, of one annotator (one of TASKS).

    Columns are taken by name. Raises DBetaError for a file with other rows, columns or values.
    """
    path = _find(Path(source), _file(task))
    frame = _read(path, CLASSES, len(ids))
    if unknown := set(frame) - {*CLASSES, "Unnamed: 0"}:
        raise DBetaError(f"{path} has an unknown column '{min(unknown)}'; {REMEDY}")
    if "Unnamed: 0" in frame:  # dnn.csv numbers its rows
        numbers = pd.to_numeric(frame["Unnamed: 0"], errors="coerce")
        if (numbers != range(len(ids))).any():
            raise DBetaError(f"{path}: its rows are not numbered 0, 1, 2, ...; {REMEDY}")
    values = frame[list(CLASSES)].apply(pd.to_numeric, errors="coerce")
    wrong = ~values.isin([0, 1])
    if wrong.any(axis=None):
        row, column = np.argwhere(wrong.to_numpy())[0]
        found = frame[CLASSES[column]].iloc[row]
        raise DBetaError(
            f"{path}, row {row}: '{found}' in column {CLASSES[column]} is neither 0 nor 1; {REMEDY}"
        )
    return values.astype(np.int8).set_index(pd.Index(ids))


def find_layout(tracings: Any, path: Path) -> Layout:
    """Order of leads and unit that make the tracings an ECG.

    tracings: `[n, 4096, 12]`, sliced a block at a time. Order: the one in which III, aVR, aVL and
    aVF are what I and II imply (median over the recordings of the residual, relative to the limb
    leads' RMS). Unit: the one in which lead II's excursion (median over the recordings of its
    largest distance from its median) is plausible, nearest to 1 mV where two are.
    Raises DBetaError naming the file and what was found where none fits.
    """
    residuals, peaks = {order: [] for order in ORDERS}, []
    for start in range(0, len(tracings), _BLOCK):
        block = _slice(tracings, slice(start, start + _BLOCK), path)
        block = block[np.isfinite(block).all(axis=(1, 2)) & (block[:, 1] != 0).any(axis=1)]
        rms = np.sqrt(np.mean(block[:, :6] ** 2, axis=(1, 2)))
        for order, leads in ORDERS.items():
            residuals[order] += list(einthoven_residual(_reordered(block, leads)) / rms)
        peaks += [_peak(lead[lead != 0]) for lead in block[:, 1]]
    if not peaks:
        raise DBetaError(f"{path} has no tracing with a signal in lead II; {REMEDY}")
    return _decide({k: float(np.median(v)) for k, v in residuals.items()}, np.median(peaks), path)


def _decide(residuals: dict[str, float], peak: float, path: Path) -> Layout:
    order = min(residuals, key=residuals.__getitem__)
    low, high = _PLAUSIBLE_MV
    units = [unit for unit, factor in UNITS.items() if low <= peak * factor <= high]
    if residuals[order] > MAX_RELATIVE or not units:
        found = ", ".join(f"{value:.2g} in the order {name}" for name, value in residuals.items())
        raise DBetaError(
            f"{path}: no known order of leads or unit fits (limb leads' residual {found}; lead II "
            f"{peak:.3g} units); {REMEDY}"
        )
    unit = min(units, key=lambda unit: abs(np.log(peak * UNITS[unit])))
    return Layout(order, ORDERS[order], unit, residuals, float(peak * UNITS[unit]))


def _peak(lead: np.ndarray) -> float:
    return float(np.abs(lead - np.median(lead)).max())


def _reordered(block: np.ndarray, leads: tuple[str, ...]) -> np.ndarray:
    """`[..., 12, T]` with rows named by `leads` in the order of LEADS."""
    return block[..., np.argsort([lead_index(lead) for lead in leads]), :]


def _read_tracing(path: str, leads: tuple[str, ...], unit: float, source: str) -> Recording:
    """One recording without the zeros around it. Raises Rejected."""
    try:
        with _open(Path(path)) as tracings:
            number = int(source.rpartition("/")[2])
            values = _slice(tracings, slice(number, number + 1), Path(path))[0]
    except DBetaError as error:
        raise Rejected("unreadable", str(error)) from error
    recorded = np.flatnonzero((values != 0).any(axis=0))
    if not recorded.size:
        raise Rejected("all leads bad", "the tracing is zeros alone")
    ecg = _reordered(values, leads)[:, recorded[0] : recorded[-1] + 1] * unit
    return Recording(ecg, np.ones(len(LEADS), dtype=bool), RATE)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The file's dataset "tracings", checked. Raises DBetaError naming the file and remedy."""
    try:
        import h5py
    except ImportError:
        raise DBetaError(
            f'{path} is read with h5py, which is not installed; pip install "dbeta_lib[formats]"'
        ) from None
    try:
        file = h5py.File(path, "r")
    except _HDF5_ERRORS as error:
        raise DBetaError(f"{path} is damaged or half-downloaded ({error}); {REMEDY}") from error
    with file:
        try:
            # A link or an external file would take samples from elsewhere on this machine.
            own = isinstance(file.get("tracings", getlink=True), h5py.HardLink)
            tracings = file["tracings"] if own else None
            if isinstance(tracings, h5py.Dataset) and (tracings.is_virtual or tracings.external):
                tracings = None
        except _HDF5_ERRORS as error:
            raise DBetaError(f"{path} is damaged ({error}); {REMEDY}") from error
        if not isinstance(tracings, h5py.Dataset):
            raise DBetaError(f"{path} holds no dataset 'tracings' of its own; {REMEDY}")
        if tracings.shape[1:] != (SAMPLES, len(LEADS)) or tracings.dtype.kind != "f":
            raise DBetaError(
                f"{path} holds {tracings.dtype} {tracings.shape} where float (827, {SAMPLES}, 12) "
                f"is expected; {REMEDY}"
            )
        yield tracings


def _slice(tracings: Any, rows: slice, path: Path) -> np.ndarray:
    """float64 `[n, 12, 4096]` of some tracings, in the file's order of leads and unit."""
    try:
        return tracings[rows].astype(np.float64).transpose(0, 2, 1)
    except _HDF5_ERRORS as error:
        raise DBetaError(f"{path} is damaged or half-downloaded ({error}); {REMEDY}") from error


def _file(task: str) -> str:
    return f"annotations/{'gold_standard' if task == 'gold' else task}.csv"


def _convention(task: str) -> str:
    return f"1 = the diagnosis was made by {_WHOSE[task]}; without any diagnosis all are 0"


def _find(source: Path, name: str) -> Path:
    """A file of the set, in `data/` as published or in the folder itself."""
    if not source.is_dir():
        raise UsageError(f"{source} is no folder; {REMEDY}")
    for path in (source / "data" / name, source / name):
        if path.is_file():
            return path
    raise DBetaError(f"{source / 'data' / name} is missing; {REMEDY}")


def _read(path: Path, columns: tuple[str, ...], rows: int) -> pd.DataFrame:
    """A table as text with these columns, a row per tracing. Raises DBetaError."""
    try:
        frame = read_text_table(path)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        first = str(error).splitlines()[0]
        raise DBetaError(f"{path} is damaged or half-downloaded ({first}); {REMEDY}") from error
    if absent := [column for column in columns if column not in frame]:
        raise DBetaError(f"{path} has no column {', '.join(absent)}; {REMEDY}")
    if len(frame) != rows:
        raise DBetaError(f"{path} has {len(frame)} rows where {rows} tracings are; {REMEDY}")
    return frame
