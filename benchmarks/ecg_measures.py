"""Plain measurements of a 12-lead ECG, alike for real and synthetic ones: intervals, sizes, noise.

Intervals come from the median beat over all leads (a global measurement, as electrocardiographs
make it). Made to compare two groups of records with one ruler, not to diagnose.
"""

import numpy as np
from scipy.signal import butter, find_peaks, resample_poly, sosfiltfilt

RATE = 500  # Hz at which everything is measured
BEFORE, AFTER = 200, 300  # samples of the median beat around the QRS
INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]
II, AVR, V5 = 1, 3, 10


def measure(ecg: np.ndarray, sampling_rate: int) -> dict[str, float]:
    """Measurements of one record `[12, T]` mV, rows as in LEADS; {} when too few beats are found.

    Times in ms, sizes in mV.
    """
    raw = resample_poly(ecg, RATE // sampling_rate, 1, axis=1) if sampling_rate != RATE else ecg
    signal = sosfiltfilt(butter(2, 0.5, "high", fs=RATE, output="sos"), raw, axis=1)
    peaks = find_qrs(signal)
    inside = peaks[(peaks > BEFORE + 30) & (peaks < raw.shape[1] - AFTER - 30)]
    if len(inside) < 4:
        return {}
    beat, beats = median_beat(signal, inside)
    rr = np.diff(peaks) / RATE
    return {
        "heart_rate": 60 / rr.mean(),
        "rr_cv": rr.std() / rr.mean(),
        **intervals(beat, 1000 * np.median(rr)),
        **amplitudes(beat),
        **noise(ecg, sampling_rate, beats),
    }


def find_qrs(signal: np.ndarray) -> np.ndarray:
    """Samples of the QRS complexes: peaks of the smoothed 5-25 Hz energy over all leads."""
    band = sosfiltfilt(
        butter(2, [5, 25], "band", fs=RATE, output="sos"), signal[INDEPENDENT], axis=1
    )
    energy = np.convolve(np.sqrt((band**2).sum(axis=0)), np.ones(40) / 40, "same")
    return find_peaks(energy, height=0.4 * np.quantile(energy, 0.98), distance=140)[0]


def median_beat(signal: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of the aligned beats `[12, 500]`, and the beats `[n, 12, 500]`."""
    peaks = peaks.copy()
    for _ in range(2):
        beats = np.stack([signal[:, p - BEFORE : p + AFTER] for p in peaks])
        middle = np.median(beats, axis=0)[:, BEFORE - 60 : BEFORE + 60]
        for i, p in enumerate(peaks):
            match = [(signal[:, p + s - 60 : p + s + 60] * middle).sum() for s in range(-20, 21)]
            peaks[i] = p + int(np.argmax(match)) - 20
        peaks = peaks[(peaks >= BEFORE) & (peaks <= signal.shape[1] - AFTER)]
    beats = np.stack([signal[:, p - BEFORE : p + AFTER] for p in peaks])
    return np.median(beats, axis=0), beats


def intervals(beat: np.ndarray, rr: float) -> dict[str, float]:
    """PR, QRS and QT in ms of a median beat; nan where a wave is not found."""
    lead = beat[INDEPENDENT]
    speed = np.sqrt((np.gradient(lead, axis=1) ** 2).sum(axis=0))
    speed = np.convolve(speed, np.ones(5) / 5, "same")
    top = BEFORE - 40 + int(np.argmax(speed[BEFORE - 40 : BEFORE + 40]))
    slow = speed < 0.07 * speed[top]
    onset = _edge(slow, top, -1)
    end = _edge(slow, top, +1)
    level = np.median(lead[:, onset - 12 : onset - 4], axis=1, keepdims=True)
    size = np.sqrt(((lead - level) ** 2).sum(axis=0))
    size = np.convolve(size, np.ones(11) / 11, "same")
    qt = _t_end(lead - level, end, int(min(0.62 * rr, 560) / 2) + onset) - onset
    p_onset = _p_onset(lead, onset)
    return {"pr": 2.0 * (onset - p_onset), "qrs": 2.0 * (end - onset), "qt": 2.0 * qt}


def _edge(slow: np.ndarray, top: int, step: int) -> int:
    """First sample from the QRS outwards at which it has been slow for 12 ms."""
    run = 0
    for at in range(top, top + step * 100, step):
        run = run + 1 if slow[at] else 0
        if run == 6:
            return at - step * 5
    return top + step * 100


def _principal(lead: np.ndarray) -> np.ndarray:
    """The leads' weighted sum along which they move most, signed so that its peak is positive."""
    values = np.linalg.svd(lead - lead.mean(axis=1, keepdims=True), full_matrices=False)[0][:, 0]
    sum_ = values @ lead
    return sum_ if sum_.max() > -sum_.min() else -sum_


def _t_end(lead: np.ndarray, qrs_end: int, limit: int) -> float:
    """Where the steepest tangent after the T peak meets the base line (sample)."""
    start = qrs_end + 35
    limit = min(limit + 40, lead.shape[1] - 5)
    if limit - start < 40:
        return np.nan
    t = _principal(lead[:, start:limit])
    t = np.convolve(t, np.ones(15) / 15, "same")[:-8]
    peak = int(np.argmax(t[15:-15])) + 15
    slope = np.gradient(t)
    steep = peak + int(np.argmin(slope[peak : peak + 60]))
    base = np.quantile(t[peak:], 0.1)
    return start + steep + (base - t[steep]) / slope[steep] if slope[steep] < 0 else np.nan


def _p_onset(lead: np.ndarray, onset: int) -> float:
    """Where the tangent before the P peak of I + II meets the base line (sample)."""
    start = max(onset - 140, 5)
    p = np.convolve(lead[0] + lead[1], np.ones(11) / 11, "same")[start : onset - 8]
    tilted = p - np.linspace(np.median(p[:15]), np.median(p[-8:]), len(p))
    peak = 30 + int(np.argmax(tilted[30:-6]))
    slope = np.gradient(p)
    early = max(peak - 40, 0)
    steep = early + int(np.argmax(slope[early:peak]))
    base = np.quantile(p[max(peak - 75, 0) : peak], 0.15)
    return start + steep - (p[steep] - base) / slope[steep] if slope[steep] > 0 else np.nan


def amplitudes(beat: np.ndarray) -> dict[str, float]:
    """Sizes against the level just before the QRS: R, S, P and T in some leads, and the axis."""
    level = np.median(beat[:, BEFORE - 34 : BEFORE - 26], axis=1, keepdims=True)
    beat = beat - level
    qrs, t = beat[:, BEFORE - 35 : BEFORE + 45], beat[:, BEFORE + 80 : BEFORE + 210]
    p = beat[:, BEFORE - 120 : BEFORE - 32]
    area = qrs.sum(axis=1)
    sizes = {
        "r_ii": qrs[II].max(),
        "r_v5": qrs[V5].max(),
        "p_ii": p[II].max() - p[II].min(),
        "t_ii": t[II][np.argmax(abs(t[II]))],
        "t_v2": t[7][np.argmax(abs(t[7]))],
        "t_v5": t[V5][np.argmax(abs(t[V5]))],
        "axis": np.degrees(np.arctan2(area[5] * 2 / np.sqrt(3), area[0])),
    }
    for name, lead in zip(("i", "v1", "v2", "v3", "v4", "v6"), (0, 6, 7, 8, 9, 11), strict=True):
        sizes[f"r_{name}"] = qrs[lead].max()
    for number in range(6):
        sizes[f"s_v{number + 1}"] = -qrs[6 + number].min()
    return {name: float(value) for name, value in sizes.items()}


def noise(ecg: np.ndarray, sampling_rate: int, beats: np.ndarray) -> dict[str, float]:
    """Three noises in mV: between beats, above 30 Hz away from the QRS, and below 0.5 Hz."""
    residual = (beats - np.median(beats, axis=0)).std(axis=(0, 2))
    low = sosfiltfilt(butter(2, 0.5, "low", fs=sampling_rate, output="sos"), ecg, axis=1)
    high = sosfiltfilt(butter(4, 30, "high", fs=sampling_rate, output="sos"), ecg, axis=1)
    quiet = np.sort(np.abs(high), axis=1)[:, : int(0.7 * high.shape[1])]
    return {
        "noise_beats": float(np.median(residual)),
        "noise_high": float(np.median(np.sqrt((quiet**2).mean(axis=1)))),
        "wander": float(np.median(low.std(axis=1))),
    }
