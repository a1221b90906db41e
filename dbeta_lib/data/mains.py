"""Hum of the mains: power in a narrow band that is there all the time and stands out.

Each second is projected on cosine and sine of 50 and 60 Hz under a Hann window (about 2 Hz to each
side: Goertzel's sum). The median over the seconds leaves out what comes in bursts, as QRS does; a
band four Hz beside it says what is there anyway.
"""

import functools

import numpy as np

from dbeta_lib.data.medians import middle

HZ = (50, 60)
_BESIDE = 4
_STANDS_OUT = 5  # times the power of the bands beside; without hum at most 1.6 in PTB-XL


def project(ecg: np.ndarray, sampling_rate: float) -> np.ndarray:
    """float32 `[leads, seconds, k]`: each second on the waves of each frequency that can be there.

    ecg: float mV `[leads, T]` without NaN. k is 0 where the rate can show neither frequency.
    """
    second = round(sampling_rate)
    basis = _basis(second, sampling_rate)
    seconds = ecg.shape[1] // second
    whole = ecg[:, : seconds * second].astype(np.float32, copy=False)  # exact to 1e-6 mV
    return (whole.reshape(-1, second) @ basis).reshape(len(ecg), seconds, basis.shape[1])


def hum(projected: np.ndarray, sampling_rate: float) -> dict[int, np.ndarray]:
    """Power of the hum by lead, mV^2 `[...]`, 0 where it does not stand out, by its frequency.

    projected: `project` of each, `[..., seconds, k]`. A frequency that the rate cannot show, or no
    second is there for, is not among the keys.
    """
    shown = [hz for hz in HZ if _can_show(hz, sampling_rate)]
    if not projected.size:
        return {}
    squares = projected**2
    power = middle((squares[..., ::2] + squares[..., 1::2]) / 2, -2)
    found = {}
    for i, hz in enumerate(shown):
        at, below, above = (power[..., 3 * i + k] for k in range(3))
        found[hz] = np.where(at > _STANDS_OUT * np.maximum(below, above), at, 0.0)
    return found


def _can_show(hz: float, sampling_rate: float) -> bool:
    return sampling_rate > 2 * (hz + _BESIDE + 2)


@functools.lru_cache(maxsize=8)
def _basis(samples: int, sampling_rate: float) -> np.ndarray:
    """float32 `[samples, 6 n]`: cosine and sine of each frequency, of that below and that above."""
    offsets = (0, -_BESIDE, _BESIDE)
    bands = [hz + offset for hz in HZ if _can_show(hz, sampling_rate) for offset in offsets]
    if not bands:
        return np.zeros((samples, 0), dtype=np.float32)
    time = 2 * np.pi * np.arange(samples) / sampling_rate
    window = np.hanning(samples) * 2 / np.hanning(samples).sum()
    waves = [window * wave(f * time) for f in bands for wave in (np.cos, np.sin)]
    return np.array(waves, dtype=np.float32).T.copy()
