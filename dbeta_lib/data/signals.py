"""From a recording in mV to what a store keeps: 12 rows of int16, 1 LSB = 1 uV, and quality flags.

The rules are the same for every dataset. A missing lead is zeros and its mask False, never
invented. NaN gaps of up to 5 % of a lead are interpolated linearly and counted; with more, the lead
is zeroed and masked. A flat lead stays as recorded and is flagged. What cannot be kept raises
`Rejected` with a reason; the record is then set aside, never dropped in silence.
"""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dbeta_lib.data.recordings import Recordings, in_mv
from dbeta_lib.data.resampling import polyphase, ratio
from dbeta_lib.errors import DBetaError
from dbeta_lib.leads import LEADS

SECONDS = 10  # of a window
MIN_SECONDS = 1.0  # of a recording; less holds no whole beat
MAX_GAP = 0.05  # share of a lead's samples that may be NaN and are interpolated
MAX_MV = 32.767  # largest amplitude that int16 holds at 1 uV per step
# Median excursion of the leads that are not flat within one tenth of the recording (one second of
# ten). The smallest of PTB-XL's 21,837 records is 0.24 mV, the median 0.99; volts taken for mV
# give about 0.001.
MIN_SWING_MV = 0.01


# What helps, by the reason for which a record was set aside.
_ANEW = "get its files anew, then prepare again"
REMEDIES = {
    "file missing": _ANEW, "truncated": _ANEW, "unreadable": _ANEW,
    "path refused": "links and paths out of the folder are not followed; put the files inside",
    "unknown lead name": "correct the name in the header, then prepare again",
    "unknown unit": "write V, mV or uV in the header, then prepare again",
    "beyond 32.767 mV": "correct unit or gain in the header, then prepare again",
    "amplitude implausible": "correct unit or gain in the header, then prepare again",
    "wrong sampling rate": "correct the header, or prepare it as a folder of your own",
    "wrong shape": "correct the header, or prepare it as a folder of your own",
    "all leads bad": "nothing was recorded; nothing is lost",
    "too short": "no window of it holds a beat; nothing is lost",
}  # fmt: skip


class Rejected(DBetaError):
    """A record that cannot be kept: `reason` (one of few, counted), `detail` (names the file)."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail

    def __reduce__(self):
        return type(self), (self.reason, self.detail)


@dataclass(frozen=True)
class Signal:
    """What is kept of one recording; `uv` is int16 `[12, T]` in uV, rows in the order of LEADS."""

    uv: np.ndarray
    leads_present: int  # bit i set = lead i is present
    nan_filled: int = 0  # samples interpolated, all leads together
    flat_leads: int = 0  # bit i set = lead i is present and constant
    padded: int = 0  # zeros after the recording's end, samples
    findings: str = ""  # what `quality` noticed, short names with a comma between

    def replace(self, **changes: Any) -> "Signal":
        """A copy with fields changed."""
        return dataclasses.replace(self, **changes)

    @cached_property
    def hash(self) -> str:
        """Of the samples: equal recordings have equal ones."""
        return signal_hash(self.uv)


def signal_hash(uv: np.ndarray) -> str:
    """Sixteen hexadecimal digits of SHA-256 of int16 samples `[12, T]`."""
    return hashlib.sha256(np.ascontiguousarray(uv)).hexdigest()[:16]


@dataclass
class Record:
    """One row of a store. `extra` holds further columns, the same keys for every record."""

    record_id: str
    signal: Signal
    patient_id: str
    split: str  # "train", "val", "test", or "unused": kept, but in no split
    report: str = ""  # as published; "" = none
    text: str | None = None  # copy for the model; None = `normalise_report(report)`
    language: str = "unknown"  # "de", "en", "sv" or "unknown"
    age: float = np.nan  # years
    sex: str = "unknown"  # "female", "male" or "unknown"
    fold: int = 0  # 0 = the dataset has none
    source: str = ""  # path below the dataset's folder, without suffix
    window: int = 0  # index of the 10 s window within the recording
    extra: dict[str, Any] = field(default_factory=dict)


def to_signal(ecg: np.ndarray, lead_mask: np.ndarray | None = None) -> Signal:
    """Clean and quantise one recording.

    ecg: float `[12, T]` in mV, NaN where the recording has no valid sample, rows in the order of
    LEADS; or int16 in uV. lead_mask: bool `[12]`, False = the lead was not recorded (None = all).
    Raises Rejected when no lead is left, or an amplitude or its unit is impossible.
    """
    is_uv = getattr(ecg, "dtype", None) == np.int16
    ecg = ecg if is_uv else np.asarray(ecg, dtype=np.float64)
    if ecg.ndim != 2 or ecg.shape[0] != len(LEADS):
        raise Rejected("wrong shape", f"{ecg.shape} where (12, samples) is expected")
    mask = np.ones(len(LEADS), bool) if lead_mask is None else np.array(lead_mask, dtype=bool)
    (found,) = to_signals(Recordings(ecg[None], mask[None], 0))
    if isinstance(found, Rejected):
        raise found
    return found


def to_signals(recordings: Recordings) -> list[Signal | Rejected]:
    """`to_signal` of many, at their own rate; what cannot be kept is its `Rejected`."""
    filled = np.zeros(len(recordings), dtype=int)
    if not recordings.is_whole.all():
        recordings, filled = _mended(recordings)
    present = recordings.lead_mask
    top, bottom = (in_mv(extreme.value) for extreme in recordings.extremes)
    flat = present & (top == bottom)
    moving = present & ~flat
    highest = np.where(moving, top, -np.inf).max(axis=1)
    lowest = np.where(moving, bottom, np.inf).min(axis=1)
    swing = highest - lowest  # for most this alone shows that they are in mV
    for row in np.flatnonzero(moving.any(axis=1) & (swing < 10 * MIN_SWING_MV)):
        swing[row] = _swing(in_mv(recordings.samples[row][moving[row]]))
    # Flat leads too: int16 would wrap around without a word.
    peak = np.maximum(top.max(axis=1), -bottom.min(axis=1))
    reasons = [_reason(*of) for of in zip(moving.any(axis=1), peak, swing)]
    kept = [row for row, reason in enumerate(reasons) if reason is None]
    ecg = recordings.only(kept).samples
    uv = iter(ecg if recordings.is_uv else np.rint(ecg * 1000).astype(np.int16))
    columns = zip(reasons, bits(present).tolist(), filled.tolist(), bits(flat).tolist())
    return [reason or Signal(next(uv), *values) for reason, *values in columns]


def _mended(recordings: Recordings) -> tuple[Recordings, np.ndarray]:
    """With short gaps filled, and zeros in absent leads and those with long gaps; samples filled.

    The lead mask of the result says which leads are still present.
    """
    ecg, present = recordings.samples.copy(), recordings.lead_mask.copy()
    filled = np.zeros(len(ecg), dtype=int)
    for row in np.flatnonzero(~recordings.is_whole):
        if not recordings.is_uv:
            ecg[row][~np.isfinite(ecg[row])] = np.nan
            present[row], filled[row] = _fill_gaps(ecg[row], present[row])
        ecg[row][~present[row]] = 0
    return Recordings(ecg, present, recordings.sampling_rate), filled


def _fill_gaps(ecg: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, int]:
    """Interpolate short gaps in place; `(leads still present, samples filled)`."""
    present, filled = present.copy(), 0
    missing = np.isnan(ecg)
    for lead in np.flatnonzero(present & missing.any(axis=1)):
        gap = missing[lead]
        if gap.mean() > MAX_GAP:
            present[lead] = False
            continue
        ecg[lead, gap] = np.interp(np.flatnonzero(gap), np.flatnonzero(~gap), ecg[lead, ~gap])
        filled += int(gap.sum())
    return present, filled


def _swing(ecg: np.ndarray) -> float:
    """The median excursion within a tenth of the recording, of `[leads, T]` and in its unit."""
    step = max(ecg.shape[1] // 10, 1)
    starts = np.arange(0, ecg.shape[1] // step * step, step)[:10]  # the last has what is left over
    highest, lowest = (f.reduceat(ecg, starts, axis=1) for f in (np.maximum, np.minimum))
    return float(np.median(highest - lowest))


def _reason(moves: bool, peak: float, swing: float) -> Rejected | None:
    """Why a recording cannot be kept. peak: its largest amplitude, mV; swing: mV, see `_swing`."""
    if not moves:
        return Rejected("all leads bad", "no lead has a signal")
    if peak > MAX_MV:  # more than int16 holds
        return Rejected(
            "beyond 32.767 mV",
            f"the largest amplitude is {peak:.6g} mV; is the unit or gain in the header right",
        )
    if swing < MIN_SWING_MV:  # it cannot be mV
        return Rejected(
            "amplitude implausible",
            f"the leads move by {swing:.2g} mV in a second; volts where mV are expected",
        )
    return None


def resample(ecg: np.ndarray, rate: float, to_rate: int) -> np.ndarray:
    """`[12, T]` at `rate` Hz to `to_rate` Hz, polyphase with scipy's low-pass; same units.

    A lead with gaps cannot be filtered: short gaps are bridged before, and the samples at their
    places are NaN again after, so that they are counted as for any other recording. A constant
    lead stays exactly constant, so that it is still known as flat.
    """
    if rate == to_rate:
        return ecg
    missing = ~np.isfinite(ecg)
    bridged = np.array(ecg, dtype=np.float64)
    for lead in np.flatnonzero(missing.any(axis=1)):
        gap = missing[lead]
        known = np.flatnonzero(~gap)
        bridged[lead, gap] = (
            np.interp(np.flatnonzero(gap), known, bridged[lead, ~gap]) if known.size else 0.0
        )
    out = polyphase(bridged, rate, to_rate)
    # The filter's phases sum to one only nearly: without this a flat lead would ripple.
    flat = np.ptp(bridged, axis=1) == 0
    out[flat] = bridged[flat, :1]
    if missing.any():
        change = ratio(rate, to_rate)
        places = np.arange(out.shape[1]) * change.denominator // change.numerator
        nearest = np.minimum(places, ecg.shape[1] - 1)
        out[missing[:, nearest]] = np.nan
    return out


def bits(mask: np.ndarray) -> np.ndarray:
    """Bool `[..., 12]` to integers `[...]`, bit i = lead i."""
    return np.asarray(mask) @ (1 << np.arange(len(LEADS)))


def unpack_bits(values: np.ndarray) -> np.ndarray:
    """Integers `[N]` to bool `[N, 12]`, the inverse of `bits`."""
    return (np.asarray(values)[:, None] >> np.arange(len(LEADS)) & 1).astype(bool)
