"""Noise of the synthetic cohort, made at the electrodes, so that leads share it as real ones do.

Nine electrodes (right arm, left arm, left leg, six on the chest); a limb lead is a difference of
two, a chest lead is its electrode against the mean of the limbs (Wilson). Baseline wander from
breathing and drift, mains hum of 50 or 60 Hz, muscle noise, and now and then an electrode that
moves or lies badly.
"""

import numpy as np
from scipy.signal import firwin, lfilter

from dbeta_lib.data.resampling import polyphase, ratio

RIGHT_ARM, LEFT_ARM, LEFT_LEG = range(3)


def electrode_noise(rng: np.random.Generator, n: int, samples: int, rate: int) -> np.ndarray:
    """Noise in mV at nine electrodes, `[n, 9, samples]` at `rate` Hz."""
    bad = rng.random((n, 9)) < 0.012
    muscle = 0.0085 * np.exp(rng.normal(0, 0.65, (n, 1))) * np.exp(rng.normal(0, 0.3, (n, 9)))
    muscle = muscle * np.where(bad, rng.uniform(3, 6, (n, 9)), 1.0)
    noise = _muscle(rng, n, samples, rate)
    noise *= muscle[:, :, None]
    noise += _wander(rng, n, samples, rate, bad)
    noise += _mains(rng, n, samples, rate)
    return noise


def electrodes_to_leads(electrodes: np.ndarray) -> np.ndarray:
    """I, II, V1..V6 `[n, 8, T]` of nine electrode potentials `[n, 9, T]`."""
    right, left, leg = electrodes[:, :1], electrodes[:, 1:2], electrodes[:, 2:3]
    wilson = (right + left + leg) / 3
    return np.concatenate([left - right, leg - right, electrodes[:, 3:] - wilson], axis=1)


def _muscle(rng: np.random.Generator, n: int, samples: int, rate: int) -> np.ndarray:
    """Unit noise falling above 9 and again above 25 Hz, with quieter and louder seconds."""
    a, b = np.exp(-2 * np.pi * np.array([9.0, 25.0]) / rate)
    variance = (1 + a * b) / ((1 - a * b) * (1 - a * a) * (1 - b * b))
    white = rng.standard_normal((n, 9, samples))
    shaped = lfilter([1 / np.sqrt(variance)], [1, -a - b, a * b], white, axis=2)
    loud = np.exp(0.25 * _slow(rng, n, samples, rate, 0.6))
    return shaped * loud[:, None, :]


def _slow(rng: np.random.Generator, n: int, samples: int, rate: int, corner: float) -> np.ndarray:
    """Unit noise `[n, samples]`, flat below `corner` Hz and falling with its square above."""
    length = 2 * samples / rate  # s; twice the record, so that nothing returns within it
    hertz = np.arange(1, int(5 * corner * length) + 1) / length
    size = 1 / (1 + (hertz / corner) ** 2)
    size /= np.sqrt((size**2).sum())
    angle = 2 * np.pi * hertz[:, None] * np.arange(samples) / rate
    waves = np.concatenate([np.sin(angle), np.cos(angle)])
    return (rng.standard_normal((n, len(waves))) * np.tile(size, 2)) @ waves


def _wander(
    rng: np.random.Generator, n: int, samples: int, rate: int, bad: np.ndarray
) -> np.ndarray:
    """Breathing, drift and, at some electrodes, movement; `[n, 9, samples]`."""
    t = np.arange(samples) / rate
    breathing = np.sin(
        2 * np.pi * rng.uniform(0.16, 0.36, (n, 1)) * t + rng.uniform(0, 6.3, (n, 1))
    )
    depth = 0.014 * np.exp(rng.normal(0, 0.8, (n, 1))) * rng.normal(0, 1, (n, 9))
    slow = _slow(rng, n * 9, samples, rate, 0.12).reshape(n, 9, samples)
    drift = 0.022 * np.exp(rng.normal(0, 0.75, (n, 1))) * np.exp(rng.normal(0, 0.4, (n, 9)))
    moved = bad | (rng.random((n, 9)) < 0.015)
    drift = drift * np.where(moved, rng.uniform(3, 8, (n, 9)), 1.0)
    return breathing[:, None, :] * depth[:, :, None] + slow * drift[:, :, None]


def _mains(rng: np.random.Generator, n: int, samples: int, rate: int) -> np.ndarray:
    """Mains hum, one phase per record, a size per electrode; most records have hardly any."""
    hertz = rng.choice([50.0, 60.0], size=(n, 1), p=[0.75, 0.25]) + rng.normal(0, 0.03, (n, 1))
    t = np.arange(samples) / rate
    hum = np.sin(2 * np.pi * hertz * t + rng.uniform(0, 6.3, (n, 1)))
    size = 0.0005 * np.exp(rng.normal(0, 1.2, (n, 1))) * np.exp(rng.normal(0, 0.6, (n, 9)))
    return hum[:, None, :] * size[:, :, None]


def resample_steeply(signal: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Change of rate along the last axis; what the new rate cannot hold is 80 dB down.

    PTB-XL's 100 Hz copies are as steep: above 46 Hz they hold nothing, mains hum included.
    """
    if rate == wanted:
        return signal
    change = ratio(rate, wanted)
    steps = max(change.numerator, change.denominator)
    low_pass = firwin(60 * steps + 1, 0.92 / steps, window=("kaiser", 8.0))
    return polyphase(signal, rate, wanted, low_pass=low_pass, padtype="constant")
