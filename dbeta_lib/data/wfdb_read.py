"""One WFDB record read with distrust: named leads in mV out, or `Rejected` with what is wrong.

`wfdb` reads headers and signals. Checked here before it may open a file: that the record lies below
the data folder and is no link, that its header names only files beside it, long enough for what it
promises, and that rate, length, leads and units are what the dataset has.
"""

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from dbeta_lib.data.signals import Rejected
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS, lead_index

MAX_HEADER_BYTES = 64 * 1024
# Bits per sample of the formats in which 12-lead ECGs are published.
_FORMAT_BITS = {"8": 8, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12}
_TO_MV = {"mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3, "v": 1e3}


@dataclass(frozen=True)
class Recording:
    """float64 mV `[12, T]` (NaN = no valid sample), bool `[12]` leads recorded, Hz."""

    ecg: np.ndarray
    lead_mask: np.ndarray
    sampling_rate: int


def read_wfdb(
    folder: Path | str, name: str, sampling_rate: int | None = None, samples: int | None = None
) -> Recording:
    """Read `<folder>/<name>.hea` and its signals.

    name: path below folder, without suffix. sampling_rate (Hz) and samples: what is expected, None
    = whatever the header says. Raises Rejected; its detail names the file.
    """
    path = _inside(Path(folder), name)
    header = _header(path, name)
    _check_shape(header, f"{name}.hea", sampling_rate, samples)
    _check_files(header, path.parent, name)
    rows = _lead_rows(header.sig_name, f"{name}.hea")
    scale = _scales(header.units, header.sig_name, f"{name}.hea")
    try:
        record = wfdb.rdrecord(str(path), return_res=64)
    except Exception as error:  # wfdb raises whatever its parsing meets; none of it may end a run
        raise Rejected("unreadable", f"{name}.dat: {type(error).__name__}: {error}") from error
    ecg = np.full((len(LEADS), record.p_signal.shape[0]), np.nan)
    ecg[rows] = record.p_signal.T * scale[:, None]
    mask = np.zeros(len(LEADS), dtype=bool)
    mask[rows] = True
    return Recording(ecg, mask, int(header.fs))


def _inside(folder: Path, name: str) -> Path:
    """The record's path, refused when it leaves the folder or passes through a link."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\x00" in name:
        raise Rejected("path refused", f"'{name}' is no path below the data folder")
    path = folder
    for part in parts[:-1]:
        path = path / part
        if path.is_symlink():
            raise Rejected(
                "path refused", f"{path.relative_to(folder)} is a link; links are not followed"
            )
    return path / parts[-1]


def _size(path: Path, shown: str) -> int:
    """Size in bytes of a plain file; a link is refused. Raises Rejected naming it as `shown`."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise Rejected("file missing", shown) from None
    except OSError as error:
        raise Rejected("unreadable", f"{shown}: {error.strerror}") from None
    if stat.S_ISLNK(status.st_mode):
        raise Rejected("path refused", f"{shown} is a link; links are not followed")
    if not stat.S_ISREG(status.st_mode):
        raise Rejected("unreadable", f"{shown} is no file")
    return status.st_size


def _header(path: Path, name: str) -> wfdb.Record:
    size = _size(path.with_name(path.name + ".hea"), f"{name}.hea")
    if not 0 < size <= MAX_HEADER_BYTES:
        raise Rejected("unreadable", f"{name}.hea has {size} bytes; it is no header")
    try:
        header = wfdb.rdheader(str(path))
    except Exception as error:  # a damaged header may raise anything
        raise Rejected("unreadable", f"{name}.hea: {type(error).__name__}: {error}") from error
    if not isinstance(header, wfdb.Record) or not header.sig_name:
        raise Rejected("unreadable", f"{name}.hea describes no signals in one segment")
    return header


def _check_shape(
    header: wfdb.Record, file: str, sampling_rate: int | None, samples: int | None
) -> None:
    rate, length = header.fs, header.sig_len
    if not rate or not math.isfinite(rate) or rate != int(rate) or rate <= 0:
        raise Rejected("wrong sampling rate", f"{file} says {rate} Hz")
    if sampling_rate is not None and rate != sampling_rate:
        raise Rejected(
            "wrong sampling rate", f"{file} says {rate:g} Hz, expected {sampling_rate} Hz"
        )
    if not length or length < 0 or (samples is not None and length != samples):
        expected = "some" if samples is None else samples
        raise Rejected("wrong shape", f"{file} says {length} samples, expected {expected}")
    if len(header.sig_name) > len(LEADS):
        raise Rejected(
            "wrong shape", f"{file} says {len(header.sig_name)} signals, at most 12 expected"
        )


def _check_files(header: wfdb.Record, folder: Path, name: str) -> None:
    """Every signal file lies beside the header and is as long as the header needs."""
    needed: dict[str, float] = {}
    lines = zip(
        header.file_name, header.fmt, header.samps_per_frame, header.byte_offset, strict=True
    )
    for file, kind, per_frame, offset in lines:
        if not file or file != Path(file).name or file in (".", "..", "~"):
            raise Rejected("path refused", f"{name}.hea names '{file}', which is not beside it")
        if kind not in _FORMAT_BITS:
            raise Rejected("unreadable", f"{name}.hea: storage format {kind} is not read here")
        needed.setdefault(file, offset or 0)
        needed[file] += header.sig_len * (per_frame or 1) * _FORMAT_BITS[kind] / 8
    for file, size in needed.items():
        shown = (Path(name).parent / file).as_posix()
        found = _size(folder / file, shown)
        if found < math.floor(size):
            raise Rejected(
                "truncated", f"{shown} has {found} bytes where {math.ceil(size)} are needed"
            )


def _lead_rows(names: list[str], file: str) -> list[int]:
    """Row in LEADS of each signal."""
    try:
        rows = [lead_index(name or "") for name in names]
    except UsageError as error:
        raise Rejected("unknown lead name", f"{file}: {error}") from None
    if len(set(rows)) != len(rows):
        raise Rejected("unknown lead name", f"{file} names a lead twice: {' '.join(names)}")
    return rows


def _scales(units: list[str], names: list[str], file: str) -> np.ndarray:
    """Factor to mV of each signal, from the header's unit."""
    for unit, name in zip(units, names, strict=True):
        if (unit or "").strip().lower() not in _TO_MV:
            raise Rejected("unknown unit", f"{file}: '{unit}' of lead {name} is none of V, mV, uV")
    return np.array([_TO_MV[unit.strip().lower()] for unit in units])
