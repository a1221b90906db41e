"""Heart beats found fast, for checks of every record: not for diagnosis, nor for measuring QRS.

A beat is where all leads together move fastest: absolute differences over 20 ms, summed over the
leads, smoothed over 80 ms; a peak counts above 0.45 of the median of the maxima of 1.5 s, and of
two within 240 ms the higher one. (The rule of slopes of Pan and Tompkins, IEEE Trans. Biomed. Eng.
32, 230 (1985), without its adaptive part.) A detector proper, for example that of
`wfdb.processing`, takes far longer and finds small and irregular beats better.
"""

from dataclasses import dataclass

import numpy as np

BEFORE, AFTER = 0.3, 0.45  # seconds of a mean beat around its fastest place
_FASTEST_RATE = 250  # beats a minute; nearer ones are taken for one
_MOST_BEATS = 9  # of which the median is taken; more change little


@dataclass(frozen=True)
class Beats:
    """The beats of one recording.

    heart_rate: a minute, of the median interval. spread: seconds, area over height of the median
    beat's velocity: about half of what is called QRS duration, 0.038 to 0.065 in 90 % of PTB-XL.
    t_peak: seconds from the QRS to where the leads are farthest from their baseline after it.
    shape: float `[12, n]` mV, the median of the first nine beats, from BEFORE to AFTER. count: of
    the beats found.
    """

    heart_rate: float
    spread: float
    t_peak: float
    shape: np.ndarray
    count: int


def slow_down(ecg: np.ndarray, sampling_rate: float) -> tuple[np.ndarray, float]:
    """`[12, T]` as means of blocks, and its rate: 100 Hz, or up to twice that, for what is slow."""
    step = max(1, int(sampling_rate // 100))
    if step == 1:
        return np.array(ecg), sampling_rate
    length = ecg.shape[1] // step
    blocks = np.ascontiguousarray(ecg[:, : length * step]).reshape(len(ecg), length, step)
    weights = np.full(step, 1 / step, dtype=np.result_type(ecg.dtype, np.float32))
    return blocks @ weights, sampling_rate / step


def middle(values: np.ndarray, axis: int) -> np.ndarray:
    """The median, of an even number the upper one; several times faster than numpy's, no NaN."""
    half = values.shape[axis] // 2
    return np.partition(values, half, axis=axis).take(half, axis=axis)


def median_beat(ecg: np.ndarray, sampling_rate: float) -> Beats | None:
    """The median beat of a recording after `slow_down`; None when there are fewer than three.

    ecg: float `[12, T]`, without NaN, each lead around 0; leads not to be looked at are zeros.
    """
    lag = max(1, round(0.02 * sampling_rate))
    if ecg.shape[1] < 2 * sampling_rate:
        return None
    moved = ecg[:, lag:] - ecg[:, :-lag]
    velocity = np.abs(moved, out=moved).sum(axis=0)
    peaks = _peaks(velocity, sampling_rate)
    if len(peaks) < 3:
        return None
    interval = float(middle(np.diff(peaks), 0)) / sampling_rate
    after = min(0.7 * interval, 0.9)  # before the next P wave
    spread = _spread(velocity, peaks, sampling_rate)
    beat = _around(ecg, peaks + lag // 2, max(after, AFTER), sampling_rate)
    if spread is None or beat is None:
        return None
    start = round(BEFORE * sampling_rate)
    t_peak = _t_peak(beat[:, : start + int(after * sampling_rate)], sampling_rate)
    if t_peak is None:
        return None
    shape = beat[:, : start + int(AFTER * sampling_rate)]
    return Beats(60 / interval, spread, t_peak, shape, len(peaks))


def _peaks(velocity: np.ndarray, rate: float) -> np.ndarray:
    width = max(1, round(0.08 * rate))
    smooth = np.convolve(velocity, np.full(width, 1 / width), "same")
    parts = max(1, int(len(smooth) / (1.5 * rate)))
    length = len(smooth) // parts
    level = 0.45 * middle(smooth[: parts * length].reshape(parts, length).max(axis=1), 0)
    is_up = np.zeros(len(smooth) + 2, dtype=np.int8)
    is_up[1:-1] = smooth > level
    edges = np.flatnonzero(np.diff(is_up))
    found: list[int] = []
    height = smooth.tolist()  # a few beats: a loop over plain numbers is faster than arrays
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist()):
        peak = max(range(start, end), key=height.__getitem__)
        if not found or peak - found[-1] >= 60 / _FASTEST_RATE * rate:
            found.append(peak)
        elif height[peak] > height[found[-1]]:
            found[-1] = peak
    return np.array(found, dtype=int)


def _spread(velocity: np.ndarray, peaks: np.ndarray, rate: float) -> float | None:
    """Seconds: area over height of the median beat's velocity, above what it is between beats."""
    half = round(0.2 * rate)
    whole = peaks[(peaks >= half) & (peaks + half < len(velocity))]
    if len(whole) < 2:
        return None
    beat = middle(velocity[whole[:, None] + np.arange(-half, half + 1)], 0)
    beat -= middle(beat, 0)
    return float(np.maximum(beat, 0).sum() / beat.max() / rate) if beat.max() > 0 else None


def _around(ecg: np.ndarray, peaks: np.ndarray, after: float, rate: float) -> np.ndarray | None:
    """The median beat `[12, n]`, from BEFORE to `after` seconds around the peaks."""
    start, end = round(BEFORE * rate), int(after * rate)
    whole = peaks[(peaks >= start) & (peaks + end <= ecg.shape[1])][:_MOST_BEATS]
    if len(whole) < 2:
        return None
    # Beats last: what is sorted lies in one piece.
    return middle(ecg[:, np.arange(-start, end)[:, None] + whole], 2)


def _t_peak(beat: np.ndarray, rate: float) -> float | None:
    """Seconds from the QRS to the largest distance from the baseline, from 0.14 s after it on."""
    onset, first = round((BEFORE - 0.1) * rate), round(BEFORE * rate) + round(0.14 * rate)
    if beat.shape[1] <= first + 1:
        return None
    away = beat[:, first:] - beat[:, onset : onset + 2].mean(axis=1, keepdims=True)
    return 0.14 + int(np.argmax((away**2).sum(axis=0))) / rate
