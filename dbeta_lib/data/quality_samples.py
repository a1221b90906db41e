"""Checks of each lead's samples: length, gaps, flat leads, gain, clipping, hum of the mains."""

import numpy as np

from dbeta_lib.data.finding import Finding, Found, View, names_of
from dbeta_lib.data.lead_names import parse_label
from dbeta_lib.data.mains import hum
from dbeta_lib.data.medians import middle, middle_of
from dbeta_lib.data.recordings import in_mv
from dbeta_lib.data.signals import MIN_SECONDS, SECONDS
from dbeta_lib.data.wfdb_header import Header

# Median over leads of the excursion within a second, mV: 0.24 to 3.4 in PTB-XL. Microvolts taken
# for millivolts give 240 and more, counts of the usual 200 to 1000 per mV 48 and more.
MIN_SWING, MAX_SWING = 0.05, 10.0
_MAINS_RMS = 0.02  # mV


def length(seconds: float, count: int) -> Found:
    """Less than ten seconds, of `count` recordings alike."""
    if seconds >= SECONDS * 0.999:
        return
    says, remedy = f"{seconds:.1f} s, shorter than 10 s", "zeros will follow its end"
    spoils = seconds < MIN_SECONDS
    if spoils:
        says = f"{seconds:.2f} s hold no whole beat"
        remedy = "record at least 1 s, better 10 s"
    for row in range(count):
        yield row, Finding("length", (), says, remedy, spoils)


def gaps(seen: View) -> Found:
    """Samples that are missing."""
    for row in np.flatnonzero(seen.gaps.any(axis=1)):
        shares = seen.gaps[row]
        spoils = bool(seen.long_gaps[row].any())
        says = f"up to {shares.max():.1%} of a lead's samples are missing"
        what = "leads with more than 5 % will be masked" if spoils else "they will be interpolated"
        yield row, Finding("gaps", names_of(shares > 0), says, what, spoils)


def flat(seen: View) -> Found:
    """Leads that do not move."""
    still = seen.recordings.lead_mask & ~seen.moving & ~seen.long_gaps
    for row in np.flatnonzero(still.any(axis=1)):
        remedy = "check the electrode, or leave the lead out"
        says = "no signal, one value throughout"
        yield row, Finding("flat", names_of(still[row]), says, remedy, True)


def gain(seen: View) -> Found:
    """Excursions that are impossible in mV."""
    n, leads, time = seen.slow.shape
    second = max(1, min(round(seen.slow_rate), time))
    whole = seen.slow[..., : time // second * second].reshape(n, leads, -1, second)
    swing = middle(whole.max(axis=3) - whole.min(axis=3), 2)
    typical = middle_of(swing, seen.moving)
    small, large = typical < MIN_SWING, swing > MAX_SWING
    for row in np.flatnonzero(seen.moving.any(axis=1) & (small | large.any(axis=1))):
        quoted = _quoted(seen.headers[row])
        usual = f"mV in a second, where 0.2 to 4 are usual{quoted}"
        if small[row]:
            says = f"the leads move by {typical[row]:.2g} {usual}"
            remedy = "volts taken for mV? give the right unit or gain"
            yield row, Finding("gain", (), says, remedy, True)
            continue
        says = f"up to {swing[row].max():.3g} {usual}"
        remedy = "uV or raw counts taken for mV? give the right unit or gain"
        which = () if large[row][seen.moving[row]].all() else names_of(large[row])
        yield row, Finding("gain", which, says, remedy, True)


def _quoted(header: Header | None) -> str:
    if header is None:
        return ""
    gains = {f"{s.gain:g}/{s.unit}" for s in header.signals if parse_label(s.lead)}
    return f" (the header says {', '.join(sorted(gains))})"


def clipped(seen: View) -> Found:
    """Leads whose extreme value is a plateau: most samples near it are the very same number.

    Near is the outer twentieth of the way from the lead's mean; at least 0.2 % of the samples must
    be there, in more than one place or for 0.2 s, and the way be 0.15 mV: coarse steps of small
    leads are no plateaus, nor is one moment in which a device held its value. The samples are
    compared as recorded.
    """
    recorded = seen.recordings.samples
    least = max(6, 0.002 * recorded.shape[2])
    is_clipped = np.zeros(seen.moving.shape, dtype=bool)
    for extreme in seen.recordings.extremes:
        way = np.abs(in_mv(extreme.value) - seen.centre)
        many = seen.moving & (way > 0.15) & (extreme.times >= least)
        for row, lead in zip(*np.nonzero(many)):
            samples, value = recorded[row, lead], extreme.value[row, lead]
            distance = np.abs(in_mv(samples) - in_mv(value))
            near = np.count_nonzero(distance < 0.05 * way[row, lead])
            is_at = samples == value
            places = np.count_nonzero(np.diff(is_at.view(np.int8)) == 1) + is_at[0]
            times = extreme.times[row, lead]
            is_plateau = places > 1 or times > 0.2 * seen.sampling_rate
            is_clipped[row, lead] |= is_plateau and times > 0.5 * near
    for row in np.flatnonzero(is_clipped.any(axis=1)):
        says = "the largest values are cut off at one level"
        remedy = "record again with a larger range"
        yield row, Finding("clipped", names_of(is_clipped[row]), says, remedy, True)


def mains(seen: View) -> Found:
    """Hum of the mains."""
    power = hum(seen.hum, seen.sampling_rate)
    if not power:
        return
    hz = np.array(list(power))
    each = np.stack(list(power.values()))  # [frequencies, n, 12]
    which = each.max(axis=2).argmax(axis=0)
    power = each[which, np.arange(len(which))]
    humming = seen.moving & (power > _MAINS_RMS**2)
    for row in np.flatnonzero(humming.any(axis=1)):
        leads, name = humming[row], hz[which[row]]
        ecg = in_mv(seen.recordings.samples[row][leads])
        share = np.minimum(power[row][leads] / ecg.var(axis=1), 1.0)
        says = (
            f"hum of {name} Hz, {1e3 * np.sqrt(power[row].max()):.0f} uV, "
            f"{share.max():.0%} of the power"
        )
        spoils = bool(middle(share, 0) > 0.5 and leads.sum() * 2 > seen.moving[row].sum())
        yield row, Finding("mains", names_of(leads), says, f"filter {name} Hz out", spoils)
