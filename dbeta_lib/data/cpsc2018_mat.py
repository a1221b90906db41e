"""A MATLAB struct of CPSC2018, read with distrust: `ECG` with sex, age and data (12 x n, mV).

The file names no leads and no rate. The rows of `data` are taken as I II III aVR aVL aVF V1-V6, the
order of the Challenge's WFDB edition; real limb leads obey their laws in it. The rate is 500 Hz.

`scipy.io.loadmat` believes the sizes that a file claims: one changed byte makes it ask for 50 GB.
Here nothing is larger than the bytes that are there. The format is MATLAB's level 5 ("MAT-File
Format", MathWorks): elements of a type, a length and that many bytes, one in another.
"""

import math
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.snomed import parse_age, parse_sex
from dbeta_lib.data.wfdb_read import Recording
from dbeta_lib.leads import LEADS

RATE = 500  # Hz
MAX_FILE_BYTES = 32 * 1024 * 1024  # 144 s, the longest, are 7 MB
MAX_BYTES = 64 * 1024 * 1024  # unpacked
_HEAD = 128  # bytes of the file before its first variable
_FRONT = 4096  # bytes of that variable within which sex and age stand
_COMPRESSED, _MATRIX = 15, 14  # types of elements
_STRUCT, _CHAR, _NUMERIC = 2, 4, range(6, 16)  # classes of arrays
_COMPLEX = 8  # flag of an array
_NUMBERS = {  # type of an element -> its numbers
    1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8",
    13: "<u8", 16: "<u1", 17: "<u2",
}  # fmt: skip


def read_mat(folder: Path | str, name: str) -> Recording:
    """Read `<folder>/<name>.mat`. name: path below folder. Raises Rejected naming the file."""
    raw, file = _read(Path(folder), name), f"{name}.mat"
    try:
        data = _ecg_fields(raw, MAX_BYTES).get("data")
        if data is None:
            raise Rejected("unreadable", "has no struct ECG with a field data")
        ecg = _numbers(data)
    except Rejected as reason:
        raise Rejected(reason.reason, f"{file} {reason.detail}") from None
    except (struct.error, zlib.error, ValueError) as error:
        raise Rejected("unreadable", f"{file} is damaged ({error})") from error
    return Recording(ecg, np.ones(len(LEADS), dtype=bool), RATE)


def read_person(folder: Path | str, name: str) -> tuple[float, str]:
    """Years (NaN = not said) and sex of `<folder>/<name>.mat`, without reading its signals.

    The two stand in the first bytes of the struct; the whole of 6,877 files would take minutes.
    """
    fields: dict[str, bytes] = {}
    said = {"age": "", "sex": ""}
    try:
        fields = _ecg_fields(_read(Path(folder), name, _HEAD + _FRONT), _FRONT, is_whole=False)
        said |= {key: _text(fields[key]) for key in said.keys() & fields.keys()}
    except (Rejected, struct.error, zlib.error, ValueError):
        said = {"age": "", "sex": ""}  # what is wrong with the file, `read_mat` says
    return parse_age(said["age"]), parse_sex(said["sex"])


def _read(folder: Path, name: str, first: int = -1) -> bytes:
    """The file's bytes, or its first ones; no link, and no path that leaves the folder."""
    shown = f"{name}.mat"
    if ".." in Path(name).parts or Path(name).is_absolute() or "\x00" in name:
        raise Rejected("path refused", f"'{name}' is no path below the data folder")
    path = folder / shown
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            raise Rejected("path refused", f"{shown} is a link; links are not followed")
        if not stat.S_ISREG(status.st_mode) or not _HEAD < status.st_size <= MAX_FILE_BYTES:
            raise Rejected("unreadable", f"{shown} has {status.st_size} bytes; it is no recording")
        with open(path, "rb") as file:
            return file.read(first)
    except (FileNotFoundError, NotADirectoryError):
        raise Rejected("file missing", shown) from None
    except OSError as error:
        raise Rejected("unreadable", f"{shown}: {error.strerror}") from None


def _ecg_fields(raw: bytes, most: int, is_whole: bool = True) -> dict[str, bytes]:
    """Field -> array of the struct ECG, as far as they are there; {} without such a struct."""
    if not raw.startswith(b"MATLAB 5.0") or raw[_HEAD - 2 : _HEAD] != b"IM":
        raise Rejected("unreadable", "is no MATLAB 5 file")
    for variable in _variables(raw, most, is_whole):
        flags, size, name, at = _array(variable, 8)  # after the variable's own type and length
        if name == b"ECG" and flags[0] == _STRUCT and math.prod(size) == 1:
            return _fields(variable, at)
    return {}


def _variables(raw: bytes, most: int, is_whole: bool) -> Iterator[bytes]:
    """Each variable, unpacked; `is_whole` or only as much of it as is there.

    A few kilobytes can be packed from gigabytes: no more than `most` bytes are unpacked in all.
    """
    at = _HEAD
    while at + 8 <= len(raw):
        kind, size = struct.unpack_from("<II", raw, at)
        is_cut = at + 8 + size > len(raw)
        if is_whole and is_cut:
            raise Rejected("truncated", "is cut short")
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            variable = stream.decompress(raw[at + 8 : at + 8 + size], max(most, 1))
            if is_whole and not stream.eof:
                found = f"is damaged or more than {MAX_BYTES >> 20} MB unpacked"
                raise Rejected("unreadable", found)
            most -= len(variable)
            yield variable
        else:
            yield raw[at : at + 8 + size]
        at += 8 + size


def _fields(body: bytes, at: int) -> dict[str, bytes]:
    """The fields of a struct whose content begins at `at`: a width, the names, the arrays."""
    _, width, at = _element(body, at)
    _, names, at = _element(body, at)
    step = int.from_bytes(width, "little") or 1
    found = {}
    for start in range(0, len(names), step):
        if at >= len(body):
            break
        kind, value, at = _element(body, at)
        if kind != _MATRIX or at > len(body):
            break
        found[names[start : start + step].split(b"\x00")[0].decode("latin-1")] = value
    return found


def _numbers(matrix: bytes) -> np.ndarray:
    """float64 `[12, T]` of an array of numbers. Raises Rejected for anything else."""
    flags, size, _, at = _array(matrix, 0)
    if flags[0] not in _NUMERIC or flags[1] & _COMPLEX:
        raise Rejected("unreadable", "has no numbers in ECG.data")
    if len(size) != 2 or size[0] != len(LEADS) or size[1] < 1:
        raise Rejected("wrong shape", f"has ECG.data of {size} where (12, samples) is expected")
    return _values(matrix, at).reshape(size, order="F").astype(np.float64)


def _text(matrix: bytes) -> str:
    """A char array as text; of numbers the first, as text; "" for an empty one."""
    flags, _, _, at = _array(matrix, 0)
    values = _values(matrix, at)
    if flags[0] == _CHAR:
        return "".join(chr(value) for value in values if 0 < value < 0x110000)
    return f"{values[0]:g}" if values.size else ""


def _array(body: bytes, at: int) -> tuple[bytes, tuple[int, ...], bytes, int]:
    """Flags (class, then bits), size and name of the array at `at`, and where its content is."""
    _, flags, at = _element(body, at)
    _, size, at = _element(body, at)
    _, name, at = _element(body, at)
    if len(flags) < 2 or not size:
        raise ValueError("an array without class or size")
    return flags, tuple(np.frombuffer(size, "<i4").tolist()), name, at


def _values(body: bytes, at: int) -> np.ndarray:
    kind, value, _ = _element(body, at)
    if kind not in _NUMBERS:
        raise ValueError(f"numbers of the unknown type {kind}")
    return np.frombuffer(value, _NUMBERS[kind])


def _element(body: bytes, at: int) -> tuple[int, bytes, int]:
    """Type, value and end of the element at `at`; small ones have all in eight bytes."""
    kind, size = struct.unpack_from("<II", body, at)
    if kind >> 16:
        return kind & 0xFFFF, body[at + 4 : at + 4 + (kind >> 16)], at + 8
    return kind, body[at + 8 : at + 8 + size], at + 8 + size + -size % 8
