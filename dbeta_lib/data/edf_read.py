"""The signals of an EDF or EDF+ file, read with distrust (edfplus.info/specs/edf.html).

The header is fixed fields of ASCII, the samples are 16-bit integers: little is gained by a library,
and `wfdb`'s reader takes files with an annotation signal (most of EDF+) at a wrong rate. Files with
gaps (EDF+D) and those of 24 bits (BDF) are refused.
"""

import math
import re
from pathlib import Path

import numpy as np

from dbeta_lib.data.named_signal import NamedSignal
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_read import MAX_SECONDS

MAX_SIGNALS = 256
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # bytes of each field of a signal, in their order


def read_edf(path: Path, size: int) -> list[NamedSignal]:
    """All signals but annotations. `size` of the file in bytes, as the caller found it.

    Raises Rejected; its detail names the file.
    """
    name = path.name
    try:
        with open(path, "rb") as file:
            fixed = file.read(256)
            _check_kind(fixed, name)
            count = int(_number(fixed[252:256], "number of signals", name, 1, MAX_SIGNALS))
            table = file.read(256 * count)
    except OSError as error:
        raise Rejected("unreadable", f"{name}: {error.strerror}") from None
    if len(table) < 256 * count:
        raise Rejected("truncated", f"{name} ends within its header")
    fields = _fields(table, count)
    per_record = [int(_number(f, "samples in a data record", name, 1, 1e7)) for f in fields[8]]
    seconds = _number(fixed[244:252], "duration of a data record", name, 0, MAX_SECONDS)
    records = _records(fixed, size, count, sum(per_record), name)
    is_signal = [_text(label) != "EDF Annotations" for label in fields[0]]
    if not any(is_signal):
        raise Rejected("unreadable", f"{name} holds annotations alone")
    if seconds == 0 or not records * seconds <= MAX_SECONDS:
        found = f"{name}: {records} data records of {seconds:g} s; at most an hour is read"
        raise Rejected("wrong shape", found)
    raw = _samples(path, 256 * (1 + count), records, sum(per_record))
    ends = np.cumsum(per_record)
    return [
        NamedSignal(
            _text(fields[0][i]), _text(fields[2][i]), per_record[i] / seconds,
            _scaled(raw[:, ends[i] - per_record[i] : ends[i]], [f[i] for f in fields[3:7]], name),
        )
        for i in range(count) if is_signal[i]
    ]  # fmt: skip


def _check_kind(fixed: bytes, name: str) -> None:
    if fixed[:8] == b"\xffBIOSEMI":
        raise Rejected("unreadable", f"{name} is BDF, of 24 bits; write it as EDF")
    if len(fixed) < 256 or fixed[:8].strip() != b"0":
        raise Rejected("unreadable", f"{name} does not begin as EDF does")
    if fixed[192:197] == b"EDF+D":
        raise Rejected("unreadable", f"{name} is EDF+D, with gaps; write it as EDF+C")


def _fields(table: bytes, count: int) -> list[list[bytes]]:
    """For each field its value of each signal: the header holds them field by field."""
    out, start = [], 0
    for width in _WIDTHS:
        out.append([table[start + i * width : start + (i + 1) * width] for i in range(count)])
        start += width * count
    return out


def _text(field: bytes) -> str:
    return field.decode("latin-1").strip(" \x00")


def _number(field: bytes, what: str, name: str, least: float, most: float) -> float:
    text = _text(field)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not least <= value <= most:
        raise Rejected("unreadable", f"{name}: '{text[:20]}' is no {what}")
    return value


def _records(fixed: bytes, size: int, count: int, samples: int, name: str) -> int:
    """Data records; where the header says -1 (still being recorded), as many as there are."""
    stated = int(_number(fixed[236:244], "number of data records", name, -1, 1e7))
    there = (size - 256 * (1 + count)) // (2 * samples)
    if stated > there or (stated < 0 and there < 1):
        found = f"{name} has {max(there, 0)} of {max(stated, 1)} data records"
        raise Rejected("truncated", found)
    if stated == 0:
        raise Rejected("truncated", f"{name} says that it has no data")
    return there if stated < 0 else stated


def _samples(path: Path, offset: int, records: int, width: int) -> np.ndarray:
    """int16 `[records, width]`."""
    try:
        raw = np.fromfile(path, "<i2", records * width, offset=offset)
    except OSError as error:
        raise Rejected("unreadable", f"{path.name}: {error.strerror}") from None
    if raw.size != records * width:
        raise Rejected("truncated", f"{path.name} became shorter while it was read")
    return raw.reshape(records, width)


def _scaled(raw: np.ndarray, limits: list[bytes], name: str) -> np.ndarray:
    """float64 `[T]`: from the digital to the physical range. limits: least and largest of both."""
    low, high, least, most = (_number(f, "limit of a signal", name, -1e9, 1e9) for f in limits)
    if not least < most or low == high:
        raise Rejected("unknown unit", f"{name}: limits that give no unit to samples")
    return (raw.reshape(-1) - least) * ((high - low) / (most - least)) + low
