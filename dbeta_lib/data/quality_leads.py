"""Checks of what the leads say together: names and signs of leads, and the rate."""

import numpy as np

from dbeta_lib.data.beats import Beats, slow_down
from dbeta_lib.data.checks import LIMB, find_swapped_leads
from dbeta_lib.data.finding import Finding, Found, View
from dbeta_lib.data.medians import middle
from dbeta_lib.leads import LEADS

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
_STRETCHED, _SQUEEZED = 1.35, 1.9  # of `rate`; each is met by under 1 % of PTB-XL


def placed(seen: View, beats: Beats) -> Found:
    """Limb leads that contradict each other; where they do not, arm electrodes exchanged."""
    contradicting = set()
    for row, finding in _limb_leads(seen):
        contradicting.add(row)
        yield row, finding
    for row, finding in _limb_reversal(seen, beats):
        if row not in contradicting:
            yield row, finding


def _limb_leads(seen: View) -> Found:
    """Einthoven's and Goldberger's laws, where all six limb leads have samples."""
    limb = seen.slow[:, :LIMB]
    if seen.missing:
        sound = np.ones((len(limb), 1, limb.shape[2]), dtype=limb.dtype)
        for row, missing in seen.missing.items():  # blocks with a gap are left out
            gone = missing[:LIMB].any(axis=0, keepdims=True).astype(limb.dtype)
            sound[row] = slow_down(gone, seen.sampling_rate) == 0
        limb = limb * sound
    rows = np.flatnonzero(seen.moving[:, :LIMB].all(axis=1))
    for row, says in zip(rows, find_swapped_leads(limb[rows])):
        if says:
            remedy = (
                "compare the lead names with the export, or derive the limb leads from I and II"
            )
            yield row, Finding("limb-leads", LEADS[:LIMB], says, remedy, True)


def _limb_reversal(seen: View, beats: Beats) -> Found:
    """Arm electrodes exchanged: lead I is the mirror of what the chest leads foretell."""
    if not beats.found.any():
        return
    used = [0, *range(LIMB, len(LEADS))]
    shape = beats.shape[:, used]
    shape = shape - middle(shape, 2)[..., None]
    one, foretold = shape[:, 0], _ONE_FROM_CHEST @ shape[:, 1:]
    norm = np.sqrt(np.vecdot(one, one) * np.vecdot(foretold, foretold))
    opposite = np.vecdot(one, foretold) <= _MOST_OPPOSITE * norm
    for row in np.flatnonzero(
        beats.found & seen.moving[:, used].all(axis=1) & (norm > 0) & opposite
    ):
        says = (
            "lead I is the mirror of what V1 to V6 foretell, as with the arm electrodes exchanged"
        )
        remedy = "look at I and aVR; if so, negate I and exchange II with III and aVR with aVL"
        yield row, Finding("limb-reversal", ("I", "aVR"), says, remedy, True)


def polarity(seen: View) -> Found:
    """All leads upside down: their fast parts (by skewness) point where they do in few hearts."""
    square = seen.slow * seen.slow
    time = seen.slow.shape[2]
    variance = np.where(seen.moving, np.vecdot(seen.slow, seen.slow) / time, 1.0)
    skewness = np.vecdot(square, seen.slow) / time / variance**1.5
    score = np.clip(np.cbrt(skewness), -3, 3) @ _POINTS
    weight = seen.moving @ np.abs(_POINTS) / np.abs(_POINTS).sum()
    enough = np.count_nonzero(seen.moving, axis=1) >= LIMB
    for row in np.flatnonzero(enough & (score <= _UPSIDE_DOWN * weight)):
        says = "QRS points the wrong way in nearly all leads, as if all were upside down"
        yield row, Finding("polarity", (), says, "check the sign of the export", True)


def rate(seen: View, beats: Beats) -> Found:
    """The stated rate against the heart's own times: how often, how wide, how long to T."""
    alive = seen.moving.any(axis=1)
    if seen.seconds >= 5:
        for row in np.flatnonzero(alive & ~beats.found):
            says = f"fewer than three heart beats found in {seen.seconds:.0f} s"
            yield row, Finding("rate", (), says, "look at the recording", False)
    times = np.stack([beats.heart_rate, beats.spread, beats.t_peak], axis=1)
    times[~beats.found] = _USUAL
    often, wide, late = np.log2(times / _USUAL).T
    stretched = (often < 0) & (wide + 0.7 * late - often > _STRETCHED)
    squeezed = (often > 0) & (often - 0.3 * wide - 1.2 * late > _SQUEEZED)
    for row in np.flatnonzero(alive & (stretched | squeezed)):
        stated = "the header's" if seen.headers[row] else "the stated"
        says = (
            f"at {stated} {seen.sampling_rate:g} Hz a heart rate of {beats.heart_rate[row]:.0f} "
            f"with {'wide' if stretched[row] else 'narrow'} QRS; "
            f"{seen.sampling_rate * (2 if stretched[row] else 0.5):g} Hz would make it usual"
        )
        yield row, Finding("rate", (), says, "compare the rate with the device's", True)
