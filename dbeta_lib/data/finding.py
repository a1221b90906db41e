"""What a check finds, and what the checks look at: recordings made ready once for all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dbeta_lib.data import mains
from dbeta_lib.data.beats import block_of, slow_down
from dbeta_lib.data.medians import middle_of
from dbeta_lib.data.recordings import Recordings, in_mv
from dbeta_lib.data.signals import MAX_GAP
from dbeta_lib.data.wfdb_header import Header
from dbeta_lib.leads import LEADS

_FLAT = 0.002  # of a usual lead's excursion; a connected lead moves by more, if only by noise


@dataclass(frozen=True)
class Finding:
    """name: one of `quality.NAMES`; leads it is about, () = all; says, remedy: a clause each.

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


Found = Iterator[tuple[int, Finding]]  # of a check: which recording, and what


def names_of(leads: np.ndarray) -> tuple[str, ...]:
    """Names of the leads marked True, bool `[12]`."""
    return tuple(LEADS[i] for i in np.flatnonzero(leads))


@dataclass(frozen=True)
class View:
    """n recordings as the checks want them: gaps filled with the lead's median, absent leads 0.

    recordings: so, with the present leads as their mask; int16 uV or float64 mV. moving: bool
    `[n, 12]`, present, not flat and without long gaps. slow: float mV `[n, 12, t]`, means of
    blocks at slow_rate, each lead around 0, zeros where it is not moving. centre `[n, 12]`: what
    was taken away for that. hum: of `mains.project`, `[n, 12, seconds, k]`. missing: which samples
    were, bool `[12, T]`, by recording that has any. gaps `[n, 12]`: their shares. headers: one
    each, or None.
    """

    recordings: Recordings
    moving: np.ndarray
    slow: np.ndarray
    slow_rate: float
    centre: np.ndarray
    hum: np.ndarray
    gaps: np.ndarray
    missing: dict[int, np.ndarray]
    headers: Sequence[Header | None]

    @property
    def sampling_rate(self) -> float:
        """Hz, as stated."""
        return self.recordings.sampling_rate

    @property
    def seconds(self) -> float:
        """Length of each."""
        return self.recordings.samples.shape[2] / self.sampling_rate

    @property
    def long_gaps(self) -> np.ndarray:
        """bool `[n, 12]`: so much is missing that the lead will be masked."""
        return self.gaps > MAX_GAP


def view(recordings: Recordings, headers: Sequence[Header | None]) -> View:
    """Make recordings ready for the checks."""
    missing: dict[int, np.ndarray] = {}
    if not recordings.is_whole.all():
        recordings, missing = _without_gaps(recordings)
    gaps = np.zeros(recordings.lead_mask.shape)
    for row, samples in missing.items():
        gaps[row] = samples.mean(axis=1) * recordings.lead_mask[row]
    top, bottom = (in_mv(extreme.value) for extreme in recordings.extremes)
    usual = middle_of(top - bottom, top > bottom)[:, None]
    moving = recordings.lead_mask & (top - bottom > _FLAT * usual) & (gaps <= MAX_GAP)
    rate = recordings.sampling_rate
    each = []
    for samples in recordings.samples:  # one at a time: what goes over all samples stays in cache
        ecg = samples * np.float32(1e-3) if recordings.is_uv else samples  # exact to 1e-6 mV
        each.append((slow_down(ecg, rate), mains.project(ecg, rate)))
    slow, hum = map(np.stack, zip(*each))
    centre = slow.mean(axis=2)  # not the median: the limb leads' laws hold for means
    slow -= centre[..., None]
    if not moving.all():
        slow[~moving] = 0
    slow_rate = rate / block_of(rate)
    return View(recordings, moving, slow, slow_rate, centre, hum, gaps, missing, headers)


def _without_gaps(recordings: Recordings) -> tuple[Recordings, dict[int, np.ndarray]]:
    """The leads' medians in their gaps, zeros in absent leads; and which samples were missing."""
    ecg, missing = recordings.samples.copy(), {}
    for row in np.flatnonzero(~recordings.is_whole):
        gone = ~np.isfinite(ecg[row])
        for lead in np.flatnonzero(gone.any(axis=1)):
            known = ecg[row, lead, ~gone[lead]]
            ecg[row, lead, gone[lead]] = np.median(known) if known.size else 0.0
        ecg[row][~recordings.lead_mask[row]] = 0
        if gone.any():
            missing[row] = gone
    return Recordings(ecg, recordings.lead_mask, recordings.sampling_rate), missing
