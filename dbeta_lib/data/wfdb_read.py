"""One WFDB record read with distrust: named leads in mV out, or `Rejected` with what is wrong.

Checked before any signal file is opened: that the record lies below the data folder and is no link,
that its header names only files beside it, long enough for what it promises, and that rate, length,
leads and units are what the dataset has. Samples of format
16 in one file, as all published sets of 12-lead ECGs have them, are read here in one go; other
formats by `wfdb`, once the two agree on what the header says.
"""

import functools
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbeta_lib.data.inside import inside, size_of
from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.data.recordings import in_mv
from dbeta_lib.data.signals import Rejected
from dbeta_lib.data.wfdb_header import Header, SignalLine, parse_header
from dbeta_lib.errors import nearest
from dbeta_lib.leads import LEADS, lead_index

MAX_HEADER_BYTES = 64 * 1024
MAX_SECONDS = 3600  # longer ones are Holter recordings; the longest published 12-lead set has 1800
MAX_RATE = 100_000  # Hz
MAX_SIGNALS = 64  # with pressure, respiration, vector leads and derived signals beside the twelve
# Of all signals together; an hour of twelve at 1000 Hz has 43 million. As float64: half a GB.
MAX_SAMPLES = 64_000_000
# Bits per sample of the formats in which 12-lead ECGs are published.
_FORMAT_BITS = {8: 8, 16: 16, 24: 24, 32: 32, 61: 16, 80: 8, 160: 16, 212: 12}
_INVALID = -32768  # WFDB's marker of format 16 for "no valid sample"
_TO_MV = {"mv": 1.0, "uv": 1e-3, "\u00b5v": 1e-3, "\u03bcv": 1e-3, "v": 1e3}


@dataclass(frozen=True)
class Recording:
    """One recording; `samples` `[12, T]` are float64 mV (NaN = no valid sample) or int16 uV.

    int16 is what most published recordings are, with nothing lost and a quarter of the memory.
    """

    samples: np.ndarray
    lead_mask: np.ndarray  # bool [12], True = recorded
    sampling_rate: float  # Hz
    left_out: tuple[str, ...] = ()  # signals of the file that are no leads, as it names them

    @property
    def ecg(self) -> np.ndarray:
        """float64 mV `[12, T]`, NaN = no valid sample."""
        return in_mv(self.samples)


def read_wfdb(
    folder: Path | str, name: str, sampling_rate: int | None = None, samples: int | None = None,
    *, leave_out: bool = False,
) -> Recording:  # fmt: skip
    """Read `<folder>/<name>.hea` and its signals.

    name: path below folder, without suffix. sampling_rate (Hz) and samples: what is expected, None
    = whatever the header says. Leads are known by "I", "ECG I", "lead_II", whatever their case.
    leave_out: True leaves signals that are no leads out, which a published set of twelve leads has
    none of: there such a name is a damaged one. Raises Rejected; its detail names the file.
    """
    path = inside(folder, name)
    header = _open_header(path, name)
    _check_shape(header, f"{name}.hea", sampling_rate, samples)
    leads = _leads(header, f"{name}.hea", leave_out)
    scale = _scales(header, leads, f"{name}.hea")
    length = _check_files(header, leads, os.path.dirname(path), name)
    first = header.signals[0]
    is_plain = all(
        (s.file, s.offset) == (first.file, first.offset)
        and (s.format, s.per_frame, s.skew) == (16, 1, 0)
        for s in header.signals
    )
    values = (_plain if is_plain else _by_wfdb)(path, header, [*leads], length, name)
    if (scale != 1).any():
        values = in_mv(values) * scale[:, None]
    mask = np.array([lead in leads.values() for lead in LEADS])
    if not mask.all():
        values, present = np.full((len(LEADS), length), np.nan), in_mv(values)
        values[mask] = present
    others = tuple(s.lead for i, s in enumerate(header.signals) if i not in leads and s.lead)
    return Recording(values, mask, header.sampling_rate, others)


def read_header(folder: Path | str, name: str) -> Header:
    """The header of `<folder>/<name>.hea` alone. Raises Rejected; its detail names the file."""
    return _open_header(inside(folder, name), name)


def _plain(path: str, header: Header, wanted: list[int], length: int, name: str) -> np.ndarray:
    """`[wanted, T]` in the header's units, of format 16 in one file; NaN where invalid.

    int16, in thousandths of the unit, where every sample is a whole number of them.
    """
    first, count = header.signals[0], len(header.signals)
    try:
        with open(os.path.join(os.path.dirname(path), first.file), "rb", buffering=0) as file:
            file.seek(first.offset)
            raw = np.frombuffer(_read(file, 2 * length * count), "<i2")
    except OSError as error:
        raise Rejected("unreadable", f"{name}: {error.strerror}") from None
    if raw.size != length * count:
        raise Rejected("truncated", f"{name}: its signal file became shorter while it was read")
    samples = raw.reshape(length, count).T[wanted]  # each lead in one piece: what follows is fast
    gains = [header.signals[i].gain for i in wanted]
    baselines = [header.signals[i].baseline for i in wanted]
    lowest = int(raw.min())
    step = 1000 / gains[0]
    is_whole = step.is_integer() and len({*gains}) == 1 and not any(baselines)
    if is_whole and lowest != _INVALID and max(-lowest, int(raw.max())) * abs(step) < -_INVALID:
        samples *= np.int16(step)
        return samples
    values = samples.astype(np.float64)
    if lowest == _INVALID:
        values[samples == _INVALID] = np.nan
    if any(baselines):
        values -= np.array(baselines)[:, None]
    values /= np.array(gains)[:, None]
    return values


def _read(file: io.RawIOBase, size: int) -> bytes:
    """So many bytes, fewer at the file's end; one call of the system may give less than asked."""
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data[: len(data) // 2 * 2]


def _by_wfdb(path: str, header: Header, wanted: list[int], length: int, name: str) -> np.ndarray:
    """The same for other formats, several files or several samples per frame."""
    import wfdb  # a second of import that most workers can do without

    try:
        is_agreed = _layout(header, wanted) == _wfdb_layout(wfdb.rdheader(path), wanted)
        read = wfdb.rdrecord(path, channels=sorted(wanted)).p_signal.T if is_agreed else None
    except Exception as error:  # wfdb raises whatever its parsing meets; none of it may end a run
        raise Rejected("unreadable", f"{name}.dat: {type(error).__name__}: {error}") from error
    if read is None or read.shape != (len(wanted), length):
        raise Rejected(
            "unreadable", f"{name}.hea is understood otherwise by wfdb; write it plainly"
        )
    return read[np.argsort(np.argsort(wanted))]


def _layout(header: Header, wanted: list[int]) -> tuple:
    """What decides which bytes are read and what they mean."""
    where = [(s.file, str(s.format), s.per_frame, s.skew, s.offset) for s in header.signals]
    meaning = [(header.signals[i].gain, header.signals[i].baseline) for i in wanted]
    return header.samples, where, meaning


def _wfdb_layout(record: Any, wanted: list[int]) -> tuple:
    """`_layout` as wfdb understood the same file; checks of one would not hold for the other."""
    r = record
    fields = zip(r.file_name, r.fmt, r.samps_per_frame, r.skew, r.byte_offset, strict=True)
    where = [(file, fmt, n or 1, skew or 0, at or 0) for file, fmt, n, skew, at in fields]
    return r.sig_len or 0, where, [(r.adc_gain[i], r.baseline[i]) for i in wanted]


def _open_header(path: str, name: str) -> Header:
    size = size_of(f"{path}.hea", f"{name}.hea")
    if not 0 < size <= MAX_HEADER_BYTES:
        raise Rejected("unreadable", f"{name}.hea has {size} bytes; it is no header")
    try:
        with open(f"{path}.hea", "rb", buffering=0) as file:
            text = file.read(MAX_HEADER_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise Rejected("unreadable", f"{name}.hea: {error.strerror}") from None
    header = parse_header(text, f"{name}.hea")
    if not header.signals:
        raise Rejected("unreadable", f"{name}.hea describes no signals in one segment")
    return header


def _check_shape(header: Header, file: str, sampling_rate: int | None, samples: int | None) -> None:
    rate, length = header.sampling_rate, header.samples
    if not math.isfinite(rate) or not 1 <= rate <= MAX_RATE:
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
    if len(header.signals) > MAX_SIGNALS:
        found = f"{file} says {len(header.signals)} signals, at most {MAX_SIGNALS} are read"
        raise Rejected("wrong shape", found)


def _check_files(header: Header, leads: dict[int, str], folder: str, name: str) -> int:
    """Every signal file lies beside the header; those of leads are as long as the header needs.

    Returns the samples of a signal: a header that does not say how many has those of its one file.
    """
    files: dict[str, list[SignalLine]] = {}
    for signal in header.signals:
        files.setdefault(signal.file, []).append(signal)
    for file in files:
        if "/" in file or file in (".", "..", "~", "-") or not file.isprintable():
            raise Rejected("path refused", f"{name}.hea names '{file}', which is not beside it")
    if [s for group in files.values() for s in group] != [*header.signals]:
        raise Rejected(
            "unreadable", f"{name}.hea mixes the signals of its files; sort them by file"
        )
    lengths = [
        _check_file(files[file], header, os.path.join(folder, file), name)
        for file in dict.fromkeys(header.signals[i].file for i in leads)
    ]
    length = header.samples or (lengths[0] if len(files) == 1 else 0)
    if not 0 < length <= MAX_SECONDS * header.sampling_rate:
        raise Rejected("wrong shape", f"{name}.hea does not say how many samples there are")
    total = length * sum(s.per_frame for s in header.signals)
    if total > MAX_SAMPLES:
        found = f"{name}.hea says {total} samples in all; cut the recording first"
        raise Rejected("wrong shape", found)
    late = max(s.skew for s in header.signals)
    if late > min(header.sampling_rate, length - 1):
        found = f"{name}.hea says a skew of {late} samples, more than a second or all there are"
        raise Rejected("wrong shape", found)
    return length


def _check_file(signals: list[SignalLine], header: Header, path: str, name: str) -> int:
    """One file that holds these signals: its length in samples of each."""
    first = signals[0]
    if any((s.format, s.offset) != (first.format, first.offset) for s in signals):
        raise Rejected("unreadable", f"{name}.hea gives {first.file} several formats or offsets")
    if first.format not in _FORMAT_BITS:
        found = f"{name}.hea: storage format {first.format} is not read here"
        raise Rejected("unreadable", found)
    most = max(s.per_frame for s in signals)
    if min(s.per_frame for s in signals) < 1 or most * header.sampling_rate > MAX_RATE:
        found = f"{name}.hea says {most} samples in a frame of {header.sampling_rate:g} Hz"
        raise Rejected("wrong sampling rate", found)
    shown = os.path.join(os.path.dirname(name), first.file)
    bits = _FORMAT_BITS[first.format] * sum(s.per_frame for s in signals)
    size = size_of(path, shown)
    needed = math.ceil(header.samples * bits / 8) + first.offset
    if size < needed:
        raise Rejected("truncated", f"{shown} has {size} bytes where {needed} are needed")
    return (size - first.offset) * 8 // bits


def _leads(header: Header, file: str, leave_out: bool) -> dict[int, str]:
    """Which signals are leads: `{place in the header: name}`, in the order of LEADS."""
    labels = tuple(signal.lead for signal in header.signals)
    leads = _named(labels)
    others = [label for i, label in enumerate(labels) if i not in leads]
    if not leads or (others and not leave_out):
        found = f"{file}: '{others[0][:30]}' is no lead name{nearest(others[0][:30], LEADS)}"
        raise Rejected("unknown lead name", found)
    if len(set(leads.values())) != len(leads):
        found = f"{file} names a lead twice: {' '.join(leads.values())}"
        raise Rejected("unknown lead name", found)
    return leads


@functools.lru_cache(maxsize=512)  # the records of a data set have the same few
def _named(labels: tuple[str, ...]) -> dict[int, str]:
    parsed = [(i, parse_label(label)) for i, label in enumerate(labels)]
    # "I/II" and "V1 (filtered)" are something else than the lead: what follows must be a unit.
    leads = {i: label[0] for i, label in parsed if label and label[1] in ("", *_TO_MV)}
    return dict(sorted(leads.items(), key=lambda item: lead_index(item[1])))


def _scales(header: Header, leads: dict[int, str], file: str) -> np.ndarray:
    """Factor to mV of each lead, from the header's unit."""
    for i, lead in leads.items():
        if header.signals[i].unit.lower() not in _TO_MV:
            found = f"{file}: '{header.signals[i].unit}' of lead {lead} is none of V, mV, uV"
            raise Rejected("unknown unit", found)
    return np.array([_TO_MV[header.signals[i].unit.lower()] for i in leads])
