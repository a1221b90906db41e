"""What may be wrong with one recording, found fast enough for every record of a preparation.

Each check is a rule with a published or a physical reason, conservative on purpose: on the 2,000
PTB-XL records that they were measured with, about two in a hundred meet one that `spoils`. A
finding is a hint to look at the recording, never a diagnosis: a rare heart may break a rule too.
"""

from dataclasses import dataclass

import numpy as np

from dbeta_lib.data.beats import Beats, median_beat, middle, slow_down
from dbeta_lib.data.checks import LIMB, find_swapped_leads
from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.data.mains import hum
from dbeta_lib.data.signals import MAX_GAP, MIN_SECONDS, SECONDS, in_mv
from dbeta_lib.data.wfdb_header import Header
from dbeta_lib.leads import LEADS

NAMES = (
    "length", "gaps", "flat", "gain", "clipped", "mains", "limb-leads", "limb-reversal", "polarity",
    "rate",
)  # fmt: skip
# What a store has in columns of its own: `padded` and `nan_filled`.
_IN_OTHER_COLUMNS = ("length", "gaps")
# Median over leads of the excursion within a second, mV: 0.24 to 3.4 in PTB-XL. Microvolts taken
# for millivolts give 240 and more, counts of the usual 200 to 1000 per mV 48 and more.
MIN_SWING, MAX_SWING = 0.05, 10.0
_FLAT = 0.002  # of a usual lead's excursion; a connected lead moves by more, if only by noise
_MAINS_RMS = 0.02  # mV
# Lead I from V1 to V6 by least squares over the median beats of 1,000 records of PTB-XL. That the
# chest leads foretell a limb lead, and contradict it when electrodes are exchanged, is the method
# of Kors and van Herpen, Am. J. Cardiol. 88, 396 (2001).
_ONE_FROM_CHEST = np.array([-0.525, 0.211, 0.037, -0.077, 0.124, 0.232])
_MOST_OPPOSITE = -0.4  # correlation; reversed arms -0.4 and below in 97 %, real ones in 0.2 %
# Which way the fast part of each lead points in most hearts, and how surely: weights of a logistic
# regression, upside down or not, on 1,000 records of PTB-XL. Of the other 1,000, 88 % are found.
_POINTS = np.array([0.6, 0.3, -0.2, -0.3, 0.6, 0.1, -0.4, -0.5, -0.2, 0.2, 0.6, 0.7])
_UPSIDE_DOWN = -2.3
# Medians of PTB-XL: heart rate, spread and T peak, which a wrong rate stretches all together.
_USUAL = (71.0, 0.046, 0.245)
_STRETCHED, _SQUEEZED = 1.35, 1.9  # of `_rate`; each is met by under 1 % of PTB-XL


@dataclass(frozen=True)
class Finding:
    """name: one of NAMES; leads it is about, () = all; says, remedy: a clause of a sentence each.

    spoils: what is computed from the recording will be wrong, not just noisier.
    """

    name: str
    leads: tuple[str, ...]
    says: str
    remedy: str
    spoils: bool

    def __str__(self) -> str:
        where = f" ({' '.join(self.leads)})" if self.leads else ""
        return f"{self.name}{where}: {self.says}; {self.remedy}"


def flags(ecg: np.ndarray, lead_mask: np.ndarray, sampling_rate: float) -> str:
    """Names of the findings, "," between them, "" if none: what a store keeps of `examine`.

    Left out is what a store has in columns of its own (gaps, length).
    """
    found = {f.name for f in examine(ecg, lead_mask, sampling_rate)}
    return ",".join(n for n in NAMES if n in found and n not in _IN_OTHER_COLUMNS)


def examine(
    ecg: np.ndarray, lead_mask: np.ndarray, sampling_rate: float, *, header: Header | None = None
) -> list[Finding]:
    """Findings in the order of NAMES, at most one of a name.

    ecg: float mV `[12, T]`, NaN = no valid sample, or int16 uV. lead_mask: True = recorded, `[12]`.
    sampling_rate: Hz, as stated. header: what it says is then quoted.
    """
    present = np.array(lead_mask, dtype=bool)
    length = ecg.shape[1] / sampling_rate
    findings = [_length(length)]
    if length < MIN_SECONDS or not present.any():
        return [f for f in findings if f]
    gaps, missing = np.zeros(len(ecg)), None
    is_uv = ecg.dtype == np.int16
    if not (present.all() and (is_uv or np.isfinite(ecg.sum()))):  # a sum is finite where all is
        missing = ~np.isfinite(ecg)
        gaps = missing.mean(axis=1) * present
        ecg, is_uv = _without_gaps(in_mv(ecg), present, missing), False
    raw, extremes = ecg, (ecg.max(axis=1), ecg.min(axis=1))
    top, bottom = (in_mv(extreme) for extreme in extremes)
    if is_uv:
        ecg = ecg.astype(np.float32)  # exact to 1e-6 mV, and half the memory to go through
        ecg *= np.float32(1e-3)
    moving = present & (top - bottom > _FLAT * _typical(top - bottom)) & (gaps <= MAX_GAP)
    slow, rate = slow_down(ecg, sampling_rate)
    centre = slow.mean(axis=1, keepdims=True)
    slow -= centre  # not the median: the limb leads' laws hold for means
    slow[~moving] = 0
    findings += [_gaps(gaps), _flat(present & ~moving & (gaps <= MAX_GAP))]
    if moving.any():
        gain = _gain(slow, moving, rate, header)
        beats = median_beat(slow, rate)
        limb = _limb_leads(slow, moving, missing if gaps.any() else None, sampling_rate)
        findings += [
            gain,
            _clipped(raw, extremes, centre[:, 0], moving, sampling_rate),
            _mains(ecg, moving, sampling_rate),
            limb,
            None if limb else _limb_reversal(beats, moving),
            _polarity(slow, moving),
            _rate(beats, length, sampling_rate, header),
        ]
    return [f for f in findings if f]


def _without_gaps(ecg: np.ndarray, present: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The recording with the lead's median in its gaps; absent leads are 0."""
    ecg = np.array(ecg, dtype=np.float64)
    for lead in np.flatnonzero(missing.any(axis=1)):
        known = ecg[lead][~missing[lead]]
        ecg[lead][missing[lead]] = np.median(known) if known.size else 0.0
    ecg[~present] = 0.0
    return ecg


def _typical(values: np.ndarray) -> float:
    """The median of those that are not 0; 0 where all are."""
    values = values[values > 0]
    return float(middle(values, 0)) if values.size else 0.0


def _names(mask: np.ndarray) -> tuple[str, ...]:
    return tuple(LEADS[i] for i in np.flatnonzero(mask))


def _length(seconds: float) -> Finding | None:
    if seconds >= SECONDS * 0.999:
        return None
    if seconds < MIN_SECONDS:
        says = f"{seconds:.2f} s hold no whole beat"
        return Finding("length", (), says, "record at least 1 s, better 10 s", True)
    says = f"{seconds:.1f} s, shorter than 10 s"
    return Finding("length", (), says, "zeros will follow its end", False)


def _gaps(gaps: np.ndarray) -> Finding | None:
    if not gaps.any():
        return None
    says = f"up to {gaps.max():.1%} of a lead's samples are missing"
    spoils = bool((gaps > MAX_GAP).any())
    what = "leads with more than 5 % will be masked" if spoils else "they will be interpolated"
    return Finding("gaps", _names(gaps > 0), says, what, spoils)


def _flat(flat: np.ndarray) -> Finding | None:
    if not flat.any():
        return None
    remedy = "check the electrode, or leave the lead out"
    return Finding("flat", _names(flat), "no signal, one value throughout", remedy, True)


def _gain(
    slow: np.ndarray, moving: np.ndarray, rate: float, header: Header | None
) -> Finding | None:
    second = max(1, min(round(rate), slow.shape[1]))
    whole = slow[:, : slow.shape[1] // second * second].reshape(len(slow), -1, second)
    swing = middle(np.ptp(whole, axis=2), 1)
    typical = float(middle(swing[moving], 0))
    large = swing > MAX_SWING
    if typical >= MIN_SWING and not large.any():
        return None
    quoted = f" (the header says {_quote_gain(header)})" if header else ""
    if typical < MIN_SWING:
        says = f"the leads move by {typical:.2g} mV in a second, where 0.2 to 4 are usual{quoted}"
        return Finding("gain", (), says, "volts taken for mV? give the right unit or gain", True)
    says = f"up to {swing.max():.3g} mV in a second, where 0.2 to 4 are usual{quoted}"
    remedy = "uV or raw counts taken for mV? give the right unit or gain"
    return Finding("gain", () if large[moving].all() else _names(large), says, remedy, True)


def _quote_gain(header: Header) -> str:
    gains = {f"{s.gain:g}/{s.unit}" for s in header.signals if parse_label(s.lead)}
    return ", ".join(sorted(gains))


def _clipped(
    samples: np.ndarray, extremes: tuple[np.ndarray, np.ndarray], centre: np.ndarray,
    moving: np.ndarray, sampling_rate: float,
) -> Finding | None:  # fmt: skip
    """Leads whose extreme value is a plateau: most samples near it are the very same number.

    Near is the outer twentieth of the way from the lead's mean; at least 0.2 % of the samples must
    be there, in more than one place or for 0.2 s, and the way be 0.15 mV: coarse steps of small
    leads are no plateaus, nor is one moment in which a device held its value. samples and their
    highest and lowest by lead: as recorded, mV or uV; centre: mV.
    """
    clipped = np.zeros(len(samples), dtype=bool)
    for extreme in extremes:
        way = np.abs(in_mv(extreme) - centre)
        is_at = samples == extreme[:, None]
        at = np.array([np.count_nonzero(row) for row in is_at])  # axis=1 takes thrice as long
        many = at >= max(6, 0.002 * samples.shape[1])
        for lead in np.flatnonzero(moving & (way > 0.15) & many):
            distance = np.abs(in_mv(samples[lead]) - in_mv(extreme[lead]))
            near = np.count_nonzero(distance < 0.05 * way[lead])
            places = np.count_nonzero(np.diff(is_at[lead].view(np.int8)) == 1) + is_at[lead, 0]
            is_plateau = places > 1 or at[lead] > 0.2 * sampling_rate
            clipped[lead] |= is_plateau and at[lead] > 0.5 * near
    if not clipped.any():
        return None
    says = "the largest values are cut off at one level"
    return Finding("clipped", _names(clipped), says, "record again with a larger range", True)


def _mains(ecg: np.ndarray, moving: np.ndarray, sampling_rate: float) -> Finding | None:
    power = hum(ecg, sampling_rate)
    if not power:
        return None
    which = max(power, key=lambda hz: power[hz].max())
    humming = moving & (power[which] > _MAINS_RMS**2)
    if not humming.any():
        return None
    share = np.minimum(power[which][humming] / ecg[humming].var(axis=1), 1.0)
    says = (
        f"hum of {which} Hz, {1e3 * np.sqrt(power[which].max()):.0f} uV, "
        f"{share.max():.0%} of the power"
    )
    spoils = bool(middle(share, 0) > 0.5 and humming.sum() * 2 > moving.sum())
    return Finding("mains", _names(humming), says, f"filter {which} Hz out", spoils)


def _limb_leads(
    slow: np.ndarray, moving: np.ndarray, missing: np.ndarray | None, sampling_rate: float
) -> Finding | None:
    """Einthoven's and Goldberger's laws, where all six limb leads have samples."""
    if not moving[:LIMB].all():
        return None
    if missing is not None:
        whole = slow_down(missing[:LIMB].any(axis=0)[None], sampling_rate)[0][0] == 0
        slow = slow[:, whole]
    if not (says := find_swapped_leads(slow[None])[0]):
        return None
    remedy = "compare the lead names with the export, or derive the limb leads from I and II"
    return Finding("limb-leads", LEADS[:LIMB], says, remedy, True)


def _limb_reversal(beats: Beats | None, moving: np.ndarray) -> Finding | None:
    """Arm electrodes exchanged: lead I is the mirror of what the chest leads foretell."""
    if beats is None or not moving[[0, *range(LIMB, len(LEADS))]].all():
        return None
    shape = beats.shape - middle(beats.shape, 1)[:, None]
    one, foretold = shape[0], _ONE_FROM_CHEST @ shape[LIMB:]
    norm = np.sqrt((one @ one) * (foretold @ foretold))
    if norm == 0 or one @ foretold / norm > _MOST_OPPOSITE:
        return None
    says = "lead I is the mirror of what V1 to V6 foretell, as with the arm electrodes exchanged"
    remedy = "look at I and aVR; if so, negate I and exchange II with III and aVR with aVL"
    return Finding("limb-reversal", ("I", "aVR"), says, remedy, True)


def _polarity(slow: np.ndarray, moving: np.ndarray) -> Finding | None:
    """All leads upside down: their fast parts (by skewness) point where they do in few hearts."""
    if np.count_nonzero(moving) < LIMB:
        return None
    square = slow * slow
    variance = np.where(moving, square.mean(axis=1), 1.0)
    skewness = (square * slow).mean(axis=1) / variance**1.5
    score = float(_POINTS @ np.clip(np.cbrt(skewness), -3, 3))
    if score > _UPSIDE_DOWN * np.abs(_POINTS[moving]).sum() / np.abs(_POINTS).sum():
        return None
    says = "QRS points the wrong way in nearly all leads, as if all were upside down"
    return Finding("polarity", (), says, "check the sign of the export", True)


def _rate(
    beats: Beats | None, seconds: float, sampling_rate: float, header: Header | None
) -> Finding | None:
    """The stated rate against the heart's own times: how often, how wide, how long to T."""
    if beats is None:
        if seconds < 5:
            return None
        says = f"fewer than three heart beats found in {seconds:.0f} s"
        return Finding("rate", (), says, "look at the recording", False)
    often, wide, late = np.log2([beats.heart_rate, beats.spread, beats.t_peak] / np.array(_USUAL))
    stretched = often < 0 and wide + 0.7 * late - often > _STRETCHED
    squeezed = often > 0 and often - 0.3 * wide - 1.2 * late > _SQUEEZED
    if not stretched and not squeezed:
        return None
    stated = "the header's" if header else "the stated"
    says = (
        f"at {stated} {sampling_rate:g} Hz a heart rate of {beats.heart_rate:.0f} with "
        f"{'wide' if stretched else 'narrow'} QRS; {sampling_rate * (2 if stretched else 0.5):g} "
        "Hz would make it usual"
    )
    return Finding("rate", (), says, "compare the rate with the device's", True)
