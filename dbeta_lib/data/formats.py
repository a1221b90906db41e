"""One recording of one file, in any format that the kit reads; named leads in mV, or `Rejected`.

Leads are matched by name ("I", "ECG I", "Lead_aVR", "V1 (uV)"), whatever their case and order. A
file says its own unit and rate where its format can; CSV and NumPy are helped by the caller.
"""

import os
import re
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dbeta_lib.data.cart_read import read_scp
from dbeta_lib.data.csv_text import with_one_kind_of_line_ends
from dbeta_lib.data.dicom_read import is_dicom, read_dicom
from dbeta_lib.data.edf_read import read_edf
from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.data.named_signal import NO_RECORDING, NamedSignal
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_read import MAX_SECONDS, Recording, read_wfdb
from dbeta_lib.data.xml_read import read_xml
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.leads import LEADS, canonical, lead_index

SUFFIXES = (".hea", ".edf", ".csv", ".npy", ".dcm", ".scp", ".xml")
HELPED = (".csv", ".npy")  # what does not say everything about itself
MAX_BYTES = 512 * 1024 * 1024  # an hour of twelve leads at 1000 Hz as text
NO_RATE = "does not say its rate; give it in Hz"
MIN_TIMED_HZ = 50  # a column of times that means less holds something else, or another unit
_TO_MV = {"mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3, "v": 1e3}
_COUNTS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)/mV", re.ASCII)
_TIME = re.compile(r"(?:time|t|seconds?)\s*_?\s*[\[(]?(s|sec|seconds?|ms)?[\])]?")


def read_recording(
    path: Path | str, *, sampling_rate: float | None = None,
    leads: Sequence[str] | None = None, units: str = "mV",
) -> Recording:  # fmt: skip
    """Read one file; its suffix says the format (of a WFDB record, name the header or the samples).

    .hea: by `wfdb_read`. .edf: EDF, EDF+C. .csv: the first line names the leads, a column "time"
    (s) or "time_ms" gives the rate; empty fields are gaps. .npy: numbers `[leads, T]` or
    `[T, leads]`, of `leads` or of the twelve in the order of LEADS. .dcm (or a DICOM file without
    suffix), .scp, .xml: `dicom_read`, `cart_read`, `xml_read`. What is no lead is left out.
    sampling_rate: Hz, for CSV without time and NumPy; a file that says another one is refused.
    units: of CSV and NumPy: "mV", "uV", "V", or counts as "200/mV".
    Raises UsageError for a wrong option, Rejected for a file that cannot be used.
    """
    path = Path(path)
    scale, names = to_mv(units), None if leads is None else [canonical(lead) for lead in leads]
    if sampling_rate is not None and not 1 <= sampling_rate <= 100_000:
        raise UsageError(f"sampling_rate={sampling_rate:g} Hz: give 1 to 100000")
    if names is not None and len(set(names)) != len(names):
        raise UsageError(f"leads={','.join(names)}: a lead is named twice")
    suffix = path.suffix.lower()
    if suffix == ".hea" and path.suffix != suffix:
        found = f"{path.name}: WFDB writes the suffix small; rename it to {path.stem}.hea"
        raise Rejected("unreadable", found)
    if not suffix and is_dicom(path):
        suffix = ".dcm"
    if suffix in (".hea", ".dat", ".mat", ""):
        return _same_rate(
            read_wfdb(path.parent, path.stem, leave_out=True), sampling_rate, path.name
        )
    if suffix not in SUFFIXES:
        raise Rejected("unreadable", f"{path.name} is none of {', '.join(SUFFIXES)}")
    size = file_size(path)
    if suffix not in HELPED:
        found = _from_signals(_signals(path, suffix, size), path.name)
        return _same_rate(found, sampling_rate, path.name)
    if suffix == ".csv":
        return _from_csv(path, sampling_rate, scale)
    return _from_numpy(path, sampling_rate, names or list(LEADS), scale)


def to_mv(units: str) -> float:
    """Factor to mV of a unit or of counts ("200/mV"). Raises UsageError for an unknown one."""
    if units.lower() in _TO_MV:
        return _TO_MV[units.lower()]
    counts = _COUNTS.fullmatch(units)
    if counts is None or float(counts[1]) == 0:
        known = ("mV", "uV", "V")
        raise UsageError(
            f"units='{units}' is no unit, nor counts as in 200/mV{nearest(units, known)}"
        )
    return 1 / float(counts[1])


def file_size(path: Path) -> int:
    """Bytes of a plain file that is not too large; a link is refused. Raises Rejected."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise Rejected("file missing", path.name) from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise Rejected("unreadable", f"{path.name}: {error}") from None
    if stat.S_ISLNK(status.st_mode):
        raise Rejected("path refused", f"{path.name} is a link; links are not followed")
    if not stat.S_ISREG(status.st_mode):
        raise Rejected("unreadable", f"{path.name} is no file")
    if not status.st_size:
        raise Rejected("truncated", f"{path.name} is empty")
    if status.st_size > MAX_BYTES:
        raise Rejected("wrong shape", f"{path.name} has {status.st_size} bytes; cut it first")
    return status.st_size


def _same_rate(recording: Recording, sampling_rate: float | None, name: str) -> Recording:
    """The recording, refused when the caller expects another rate."""
    rate = recording.sampling_rate
    if sampling_rate is not None and abs(rate - sampling_rate) > 0.01 * sampling_rate:
        found = f"{name} says {rate:g} Hz, expected {sampling_rate:g} Hz"
        raise Rejected("wrong sampling rate", found)
    return recording


def _placed(
    rows: Sequence[np.ndarray],
    leads: Sequence[str],
    rate: float,
    name: str,
    others: Sequence[str] = (),
) -> Recording:
    """Named leads in mV as rows of a `Recording`; others: names of what is no lead."""
    if len(set(leads)) != len(leads):
        raise Rejected("unknown lead name", f"{name} names a lead twice: {' '.join(leads)}")
    length = len(rows[0])
    if not 0 < length <= MAX_SECONDS * rate:
        raise Rejected("wrong shape", f"{name} has {length} samples; at most an hour is read")
    ecg = np.full((len(LEADS), length), np.nan)
    mask = np.zeros(len(LEADS), dtype=bool)
    for lead, row in zip(leads, rows, strict=True):
        ecg[lead_index(lead)] = row
        mask[lead_index(lead)] = True
    ecg[~np.isfinite(ecg)] = np.nan
    return Recording(ecg, mask, float(rate), tuple(filter(str.strip, others)))


def _signals(path: Path, suffix: str, size: int) -> list[NamedSignal]:
    """What a file of a format that says names, units and rate itself holds."""
    if suffix == ".edf":
        return read_edf(path, size)
    if suffix == ".xml":
        return read_xml(path, size)
    return read_dicom(path) if suffix == ".dcm" else read_scp(path)


def _from_signals(signals: Sequence[NamedSignal], name: str) -> Recording:
    labels = [parse_label(s.label) for s in signals]
    found = [(label[0], s) for label, s in zip(labels, signals, strict=True) if label]
    others = [s.label for label, s in zip(labels, signals, strict=True) if not label]
    if not found:
        raise Rejected("unknown lead name", f"{name} has no signal with a lead's name")
    rates = {s.sampling_rate for _, s in found}
    if len(rates) > 1:
        raise Rejected("wrong shape", f"{name} has leads of different rates")
    rate = rates.pop()
    if not 1 <= rate <= 100_000:
        raise Rejected("wrong sampling rate", f"{name} says {rate:g} Hz")
    for lead, signal in found:
        if signal.unit.lower() not in _TO_MV:
            detail = f"{name}: '{signal.unit[:20]}' of lead {lead} is none of V, mV, uV"
            raise Rejected("unknown unit", detail)
    rows = [signal.values * _TO_MV[signal.unit.lower()] for _, signal in found]
    return _placed(rows, [lead for lead, _ in found], rate, name, others)


def _from_csv(path: Path, sampling_rate: float | None, scale: float) -> Recording:
    frame = _read_numbers(path)
    rows, leads, others, rate = [], [], [], sampling_rate
    for place, column in enumerate(frame.columns):
        values = frame.iloc[:, place].to_numpy()  # by place: a name may stand there twice
        label, time = parse_label(column), _time(column)
        if label:
            unit = label[1].lower()
            if unit and unit not in _TO_MV:
                found = f"{path.name}: '{label[1]}' of lead {label[0]} is none of V, mV, uV"
                raise Rejected("unknown unit", found)
            leads.append(label[0])
            rows.append(values * (_TO_MV[unit] if unit else scale))
        elif time:
            rate = _rate_of(values, time[1] == "ms", sampling_rate, path.name)
        else:
            others.append(column)
    return _placed(rows, leads, _known(rate, path.name), path.name, others)


def _time(column: str) -> re.Match | None:
    return _TIME.fullmatch(column.strip().lower())


def _known(rate: float | None, name: str) -> float:
    if rate is None:
        raise Rejected("wrong sampling rate", f"{name} {NO_RATE}")
    return rate


def read_csv(path: Path, **options) -> pd.DataFrame:
    """pandas' `read_csv` of a UTF-8 file with ",", ";" or tabs, as its first line has most of.

    Columns have the names of the first line, also where one stands there twice; "" = no name.
    Raises ValueError or OSError, also for a line that is too long, of which pandas only warns.
    """
    text = with_one_kind_of_line_ends(path, options.pop("encoding_errors", "strict"))
    first, second = text.readline(65536), text.readline(65536)
    separator = max(",;\t", key=first.count)
    if separator != "," and "," in second:
        options = {"decimal": ","} | options
    options |= {"sep": separator, "index_col": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            text.seek(0)
            frame = pd.read_csv(text, low_memory=False, **options)
            # Read apart, as text: pandas would give a second "I" the name "I.1".
            options |= {"dtype": str, "keep_default_na": False, "header": None, "nrows": 1}
            text.seek(0)
            names = pd.read_csv(text, **options).iloc[0]
    except (pd.errors.ParserWarning, OverflowError) as error:
        raise ValueError(str(error)) from error
    if len(names) != frame.shape[1]:
        raise ValueError(f"{len(names)} names in its first line, {frame.shape[1]} columns")
    return frame.set_axis(names.to_list(), axis=1)


def _read_numbers(path: Path) -> pd.DataFrame:
    """The table: float64 or int64 in leads and times, anything in other columns."""
    try:
        frame = read_csv(path, encoding_errors="replace", skipinitialspace=True)
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise Rejected("unreadable", f"{path.name}: {_first_line(error)}") from None
    if not any(map(parse_label, frame.columns)):
        raise Rejected(NO_RECORDING, f"{path.name} names no lead in its first line")
    if not len(frame):
        raise Rejected("truncated", f"{path.name} has no line of numbers")
    for place, (column, kind) in enumerate(frame.dtypes.items()):
        if kind.kind not in "iuf" and (parse_label(column) or _time(column)):
            line = _first_text(frame.iloc[:, place])
            raise Rejected("unreadable", f"{path.name}, line {line}: '{column[:30]}' is no number")
    return frame


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _first_text(column: pd.Series) -> int:
    """Line of the file with the first field of the column that is no number."""
    bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    return int(np.argmax(bad.to_numpy())) + 2


def _rate_of(time: np.ndarray, is_ms: bool, stated: float | None, name: str) -> float:
    """Hz of a column of times with equal steps; rounded times are allowed.

    Whole numbers one apart are no seconds but samples counted: the rate is then the stated one.
    """
    time = time / 1000 if is_ms else np.asarray(time, dtype=np.float64)
    steps = np.diff(time)
    if not len(steps) or not np.isfinite(steps).all() or not steps.sum() > 0:
        raise Rejected("wrong sampling rate", f"{name}: its times do not go on")
    if stated is not None and not is_ms and (steps == 1).all():
        return stated
    step = steps.sum() / len(steps)
    if np.abs(steps - step).max() > 0.6 * step:
        raise Rejected("wrong sampling rate", f"{name}: its times do not go on in equal steps")
    rate = 1 / step
    rate = float(round(rate)) if abs(rate - round(rate)) < 0.002 * rate else float(rate)
    if stated is None and rate < MIN_TIMED_HZ:
        found = f"{name}: its times mean {rate:g} Hz; are these sample numbers? give its rate"
        raise Rejected("wrong sampling rate", f"{found} (file_rate), or call times in ms time_ms")
    if not 1 <= rate <= 100_000:
        raise Rejected("wrong sampling rate", f"{name}: its times mean {rate:g} Hz; s or ms?")
    if stated is not None and abs(rate - stated) > 0.01 * stated:
        found = f"{name}: its times mean {rate:g} Hz, expected {stated:g} Hz"
        raise Rejected("wrong sampling rate", found)
    return rate


def _from_numpy(path: Path, rate: float | None, leads: list[str], scale: float) -> Recording:
    try:
        values = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, OverflowError, TypeError, MemoryError, EOFError) as error:
        found = f"{path.name} is no whole array of numbers ({_first_line(error)})"
        if "Python objects" in str(error):  # NumPy speaks of memory maps there
            found = f"{path.name} holds Python objects; save it as an array of float32"
        raise Rejected("unreadable", found) from None
    if values.dtype.kind not in "iuf" or values.ndim != 2 or len(leads) not in values.shape:
        found = f"{path.name}: {values.dtype} {values.shape} where numbers ({len(leads)}, T)"
        raise Rejected("wrong shape", f"{found} are expected")
    rows = values if values.shape[0] == len(leads) else values.T
    if not rows.shape[1]:
        raise Rejected("wrong shape", f"{path.name} has no samples")
    rate = _known(rate, path.name)
    if rows.shape[1] > MAX_SECONDS * rate:
        raise Rejected("wrong shape", f"{path.name} has {rows.shape[1]} samples; cut it first")
    return _placed(np.asarray(rows, dtype=np.float64) * scale, leads, rate, path.name)
