"""One WFDB record read with distrust: named leads in mV out, or `Rejected` with what is wrong.

Checked before any signal file is opened: that the record lies below the data folder and is no link,
that its header names only files beside it, long enough for what it promises, and that rate, length,
leads and units are what the dataset has. Samples of format 16 in one file, as all published sets of
12-lead ECGs have them, are read here in one go; other formats by `wfdb`.
"""

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_header import Header, parse_header
from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS, lead_index

MAX_HEADER_BYTES = 64 * 1024
MAX_SECONDS = 3600  # longer ones are Holter recordings; the longest published 12-lead set has 1800
# Bits per sample of the formats in which 12-lead ECGs are published.
_FORMAT_BITS = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12}
_INVALID = -32768  # WFDB's marker of format 16 for "no valid sample"
_TO_MV = {"mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3, "v": 1e3}


@dataclass(frozen=True)
class Recording:
    """float64 mV `[12, T]` (NaN = no valid sample), bool `[12]` leads recorded, Hz."""

    ecg: np.ndarray
    lead_mask: np.ndarray
    sampling_rate: float


def read_wfdb(
    folder: Path | str, name: str, sampling_rate: int | None = None, samples: int | None = None
) -> Recording:
    """Read `<folder>/<name>.hea` and its signals.

    name: path below folder, without suffix. sampling_rate (Hz) and samples: what is expected, None
    = whatever the header says. Raises Rejected; its detail names the file.
    """
    path = _inside(Path(folder), name)
    header = _open_header(path, name)
    _check_shape(header, f"{name}.hea", sampling_rate, samples)
    length = _check_files(header, path.parent, name)
    rows = _lead_rows([signal.lead for signal in header.signals], f"{name}.hea")
    scale = _scales(header, f"{name}.hea")
    first = header.signals[0]
    is_plain = all(
        (s.file, s.offset) == (first.file, first.offset)
        and (s.format, s.per_frame, s.skew) == (16, 1, 0)
        for s in header.signals
    )
    values = _plain(path, header, length, name) if is_plain else _by_wfdb(path, name)
    ecg = np.full((len(LEADS), values.shape[1]), np.nan)
    ecg[rows] = values * scale[:, None]
    mask = np.zeros(len(LEADS), dtype=bool)
    mask[rows] = True
    return Recording(ecg, mask, header.sampling_rate)


def read_header(folder: Path | str, name: str) -> Header:
    """The header of `<folder>/<name>.hea` alone. Raises Rejected; its detail names the file."""
    return _open_header(_inside(Path(folder), name), name)


def _plain(path: Path, header: Header, length: int, name: str) -> np.ndarray:
    """float64 `[signals, T]` in the header's units, of format 16 in one file; NaN where invalid."""
    first, count = header.signals[0], len(header.signals)
    try:
        raw = np.fromfile(path.with_name(first.file), "<i2", length * count, offset=first.offset)
    except OSError as error:
        raise Rejected("unreadable", f"{name}: {error.strerror}") from None
    if raw.size != length * count:
        raise Rejected("truncated", f"{name}: its signal file became shorter while it was read")
    samples = raw.reshape(length, count).T
    values = samples.astype(np.float64)
    if (raw == _INVALID).any():
        values[samples == _INVALID] = np.nan
    values -= np.array([[s.baseline] for s in header.signals])
    values /= np.array([[s.gain] for s in header.signals])
    return values


def _by_wfdb(path: Path, name: str) -> np.ndarray:
    """The same for other formats, several files or several samples per frame."""
    try:
        return wfdb.rdrecord(str(path), return_res=64).p_signal.T
    except Exception as error:  # wfdb raises whatever its parsing meets; none of it may end a run
        raise Rejected("unreadable", f"{name}.dat: {type(error).__name__}: {error}") from error


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


def _open_header(path: Path, name: str) -> Header:
    file = path.with_name(path.name + ".hea")
    size = _size(file, f"{name}.hea")
    if not 0 < size <= MAX_HEADER_BYTES:
        raise Rejected("unreadable", f"{name}.hea has {size} bytes; it is no header")
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Rejected("unreadable", f"{name}.hea: {error.strerror}") from None
    header = parse_header(text, f"{name}.hea")
    if not header.signals:
        raise Rejected("unreadable", f"{name}.hea describes no signals in one segment")
    return header


def _check_shape(header: Header, file: str, sampling_rate: int | None, samples: int | None) -> None:
    rate, length = header.sampling_rate, header.samples
    if not math.isfinite(rate) or not 1 <= rate <= 100_000:
        raise Rejected("wrong sampling rate", f"{file} says {rate} Hz")
    if sampling_rate is not None and rate != sampling_rate:
        raise Rejected(
            "wrong sampling rate", f"{file} says {rate:g} Hz, expected {sampling_rate} Hz"
        )
    if samples is not None and length != samples:
        raise Rejected("wrong shape", f"{file} says {length} samples, expected {samples}")
    if length > MAX_SECONDS * rate:
        raise Rejected(
            "wrong shape", f"{file} says {length} samples, {length / rate / 3600:.1f} hours; "
            "cut the recording first",
        )  # fmt: skip
    if len(header.signals) > len(LEADS):
        raise Rejected(
            "wrong shape", f"{file} says {len(header.signals)} signals, at most 12 expected"
        )


def _check_files(header: Header, folder: Path, name: str) -> int:
    """Every signal file lies beside the header and is as long as the header needs.

    Returns the samples of a signal: a header that does not say how many has those of its one file.
    """
    bits: dict[str, int] = {}
    offset: dict[str, int] = {}
    for signal in header.signals:
        file = signal.file
        if file != Path(file).name or file in (".", "..", "~", "-") or not file.isprintable():
            raise Rejected("path refused", f"{name}.hea names '{file}', which is not beside it")
        if signal.format not in _FORMAT_BITS:
            raise Rejected(
                "unreadable", f"{name}.hea: storage format {signal.format} is not read here"
            )
        bits[file] = bits.get(file, 0) + signal.per_frame * _FORMAT_BITS[signal.format]
        offset.setdefault(file, signal.offset)
    sizes = {}
    for file in bits:
        shown = (Path(name).parent / file).as_posix()
        sizes[file] = _size(folder / file, shown)
        needed = math.ceil(header.samples * bits[file] / 8) + offset[file]
        if sizes[file] < needed:
            found = f"{shown} has {sizes[file]} bytes where {needed} are needed"
            raise Rejected("truncated", found)
    if header.samples:
        return header.samples
    (file, *others) = bits
    length = 0 if others else (sizes[file] - offset[file]) * 8 // bits[file]
    if not 0 < length <= MAX_SECONDS * header.sampling_rate:
        raise Rejected("wrong shape", f"{name}.hea does not say how many samples there are")
    return length


def _lead_rows(names: list[str], file: str) -> list[int]:
    """Row in LEADS of each signal."""
    try:
        rows = [lead_index(name) for name in names]
    except UsageError as error:
        raise Rejected("unknown lead name", f"{file}: {error}") from None
    if len(set(rows)) != len(rows):
        raise Rejected("unknown lead name", f"{file} names a lead twice: {' '.join(names)}")
    return rows


def _scales(header: Header, file: str) -> np.ndarray:
    """Factor to mV of each signal, from the header's unit."""
    for signal in header.signals:
        if signal.unit.lower() not in _TO_MV:
            found = f"{file}: '{signal.unit}' of lead {signal.lead} is none of V, mV, uV"
            raise Rejected("unknown unit", found)
    return np.array([_TO_MV[signal.unit.lower()] for signal in header.signals])
