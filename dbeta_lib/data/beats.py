"""Heart beats found fast, for checks of every record: not for diagnosis, nor for measuring QRS.

A beat is where all leads together move fastest: absolute differences over 20 ms, summed over the
leads, smoothed over 80 ms; a peak counts above 0.45 of the median of the maxima of 1.5 s, and of
two within 240 ms the higher one. (The rule of slopes of Pan and Tompkins, IEEE Trans. Biomed. Eng.
32, 230 (1985), without its adaptive part.) A detector proper, for example that of
`wfdb.processing`, takes far longer and finds small and irregular beats better.

Many recordings of one length go through each step at once: it is the small calls that take time.
"""

import functools
from dataclasses import dataclass

import numpy as np

from dbeta_lib.data.medians import NINE, middle, middle_of, middle_of_nine

BEFORE, AFTER = 0.3, 0.45  # seconds of a mean beat around its fastest place
_FASTEST_RATE = 250  # beats a minute; nearer ones are taken for one
_T_FROM = 0.14  # seconds after the QRS


@dataclass(frozen=True)
class Beats:
    """The beats of n recordings; where `found` is False the other numbers mean nothing.

    found: bool `[n]`, three beats or more. heart_rate `[n]`: a minute, of the median interval.
    spread `[n]`: seconds, area over height of the median beat's velocity: about half of what is
    called QRS duration, 0.038 to 0.065 in 90 % of PTB-XL. t_peak `[n]`: seconds from the QRS to
    where the leads are farthest from their baseline after it. shape: float `[n, 12, m]` mV, the
    median of the first nine beats (more change little), from BEFORE to AFTER. count `[n]`: of the
    beats.
    """

    found: np.ndarray
    heart_rate: np.ndarray
    spread: np.ndarray
    t_peak: np.ndarray
    shape: np.ndarray
    count: np.ndarray


def block_of(sampling_rate: float) -> int:
    """Samples that `slow_down` takes together: what is left is 100 Hz, or up to twice that."""
    return max(1, int(sampling_rate // 100))


def slow_down(ecg: np.ndarray, sampling_rate: float) -> np.ndarray:
    """Float `[leads, T]` as means of `block_of` samples, for what is slow; units and dtype stay."""
    block = block_of(sampling_rate)
    if block == 1:
        return ecg
    length = ecg.shape[1] // block
    blocks = np.ascontiguousarray(ecg[:, : length * block])
    weights = _weights(block, 4 if blocks.size % (4 * block) == 0 else 1, ecg.dtype)
    return (blocks.reshape(-1, len(weights)) @ weights).reshape(len(ecg), length)


@functools.lru_cache(maxsize=16)
def _weights(block: int, count: int, dtype: np.dtype) -> np.ndarray:
    """The means of `count` blocks as one product: of four BLAS makes thrice as many as of one."""
    return np.kron(np.eye(count), np.full((block, 1), 1 / block)).astype(dtype)


def find_beats(ecg: np.ndarray, sampling_rate: float) -> Beats:
    """The beats of recordings after `slow_down`.

    ecg: float mV `[n, 12, T]`, no NaN, each lead around 0; leads not to be looked at are zeros.
    """
    n, leads, length = ecg.shape
    if length < 2 * sampling_rate:
        none = np.zeros(n)
        return Beats(none > 0, none, none, none, np.zeros((n, leads, 0)), none)
    lag = max(1, round(0.02 * sampling_rate))
    moved = ecg[..., lag:] - ecg[..., :-lag]
    velocity = np.abs(moved, out=moved).sum(axis=1)
    peaks, count = _peaks(velocity, sampling_rate)
    is_peak = np.arange(peaks.shape[1]) < count[:, None]
    found = count >= 3
    interval = middle_of(np.diff(peaks, axis=1), is_peak[:, 1:]) / sampling_rate
    interval[~found] = 1.0
    after = np.minimum(0.7 * interval, 0.9)  # before the next P wave
    spread = _spread(velocity, peaks, is_peak, sampling_rate)
    shape, whole = _around(ecg, peaks + lag // 2, is_peak, np.maximum(after, AFTER), sampling_rate)
    t_peak = _t_peak(shape, after, sampling_rate)
    shape = shape[..., : round(BEFORE * sampling_rate) + int(AFTER * sampling_rate)]
    found &= (spread > 0) & whole & (t_peak > 0)
    return Beats(found, 60 / interval, spread, t_peak, shape, count)


def _peaks(velocity: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Places of the beats int `[n, k]`, in order, and how many each recording has `[n]`."""
    smooth = _smoothed(velocity, max(1, round(0.08 * rate)))
    n, length = smooth.shape
    parts = max(1, int(length / (1.5 * rate)))
    part = length // parts
    level = 0.45 * middle(smooth[:, : parts * part].reshape(n, parts, part).max(axis=2), 1)
    is_up = np.zeros((n, length + 1), dtype=bool)  # one more: no run goes on in the next recording
    is_up[:, :-1] = smooth > level[:, None]
    row, place = np.nonzero(is_up)
    place, height, row = _tops(place, smooth[row, place], row)
    kept: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for i, peak, high in zip(row.tolist(), place.tolist(), height.tolist()):
        if not kept[i] or peak - kept[i][-1][0] >= 60 / _FASTEST_RATE * rate:
            kept[i].append((peak, high))
        elif high > kept[i][-1][1]:
            kept[i][-1] = (peak, high)
    count = np.array([len(each) for each in kept])
    peaks = np.zeros((n, max(count.max(), 2)), dtype=int)
    peaks[np.arange(peaks.shape[1]) < count[:, None]] = [p for each in kept for p, _ in each]
    return peaks, count


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Means of `width` values around each of `[n, T]`; beyond the ends are zeros."""
    length = values.shape[1]
    padded = np.zeros((len(values), length + width - 1))
    padded[:, width // 2 : width // 2 + length] = values
    padded *= 1 / width
    return sum(padded[:, i : i + length] for i in range(width))


def _tops(place: np.ndarray, height: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, ...]:
    """The highest place of each run of neighbours, the first of equal ones: place, height, row."""
    if not len(place):
        return place, height, row
    starts = np.flatnonzero((np.diff(place, prepend=-2) != 1) | (np.diff(row, prepend=-1) != 0))
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(place)))
    highest = np.flatnonzero(height == np.maximum.reduceat(height, starts)[run])
    first = highest[np.diff(run[highest], prepend=-1) > 0]
    return place[first], height[first], row[first]


def _spread(
    velocity: np.ndarray, peaks: np.ndarray, is_peak: np.ndarray, rate: float
) -> np.ndarray:
    """Seconds `[n]`: area over height of the median beat's velocity, beyond that between beats.

    0 where fewer than two beats are whole.
    """
    half = round(0.2 * rate)
    whole = is_peak & (peaks >= half) & (peaks + half < velocity.shape[1])
    places = np.arange(-half, half + 1)[:, None] + np.where(whole, peaks, half)[:, None]
    each = np.take_along_axis(velocity, places.reshape(len(peaks), -1), axis=1)
    beat = middle_of(each.reshape(places.shape), whole[:, None])
    beat -= middle(beat, 1)[:, None]
    height, area = beat.max(axis=1), np.maximum(beat, 0).sum(axis=1)
    known = (whole.sum(axis=1) >= 2) & (height > 0)
    return np.divide(area, height, out=np.zeros(len(area)), where=known) / rate


def _around(
    ecg: np.ndarray, peaks: np.ndarray, is_peak: np.ndarray, after: np.ndarray, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """The median beats `[n, 12, m]` from BEFORE to `after` seconds (`[n]`) around the peaks.

    And which of them (bool `[n]`) are of two beats or more; m is that of the longest.
    """
    start, ends = round(BEFORE * rate), (after * rate).astype(int)
    length = max(start + ends.max(), 1)
    whole = is_peak & (peaks >= start) & (peaks + ends[:, None] <= ecg.shape[2])
    place = np.cumsum(whole, axis=1) - 1
    row, which = np.nonzero(whole & (place < NINE))
    firsts = np.zeros((len(ecg), NINE), dtype=int)
    firsts[row, place[row, which]] = peaks[row, which] - start
    count = np.minimum(place[:, -1] + 1, NINE)
    padded = np.pad(ecg, ((0, 0), (0, 0), (0, length)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=2)
    each = windows[np.arange(len(ecg))[:, None], :, firsts]  # [n, 9, 12, m]
    return middle_of_nine(each, np.maximum(count, 1)), count >= 2


def _t_peak(beat: np.ndarray, after: np.ndarray, rate: float) -> np.ndarray:
    """Seconds `[n]` from the QRS to the largest distance from the baseline.

    Looked at are 0.14 s to `after` seconds (`[n]`) from the QRS; 0 where that is nothing.
    """
    start = round(BEFORE * rate)
    onset, first = round((BEFORE - 0.1) * rate), start + round(_T_FROM * rate)
    if beat.shape[2] <= first:
        return np.zeros(len(beat))
    away = beat[..., first:] - beat[..., onset : onset + 2].mean(axis=2, keepdims=True)
    distance = (away**2).sum(axis=1)
    ends = start + (after * rate).astype(int) - first
    distance[np.arange(distance.shape[1]) >= ends[:, None]] = -1
    return np.where(ends > 1, _T_FROM + distance.argmax(axis=1) / rate, 0)
