"""When the synthetic hearts beat: times of ventricular and atrial events, and atrial waves.

All times are in seconds from the start of the record; events from a second before it to a second
after it are made, so that no wave is missing at the edges.
"""

from dataclasses import dataclass

import numpy as np

from dbeta_lib.data.synthetic_patients import (
    FIBRILLATION,
    FLUTTER,
    PAC,
    PVC,
    Visits,
)

BEFORE = 1.2  # s of events before the record
SINUS_BEAT, VENTRICULAR_BEAT, ATRIAL_BEAT = 0, 1, 2
_BEATS = 60


@dataclass(frozen=True)
class Rhythm:
    """Events of `n` records: padded arrays `[n, B]`; a beat outside the record is harmless."""

    times: np.ndarray  # s, of the R reference of each beat
    kind: np.ndarray  # SINUS_BEAT, VENTRICULAR_BEAT or ATRIAL_BEAT
    p_times: np.ndarray  # s, of the R reference that the P wave belongs to; nan = no P wave
    atrial_period: np.ndarray  # [n] s, of the flutter wave; nan elsewhere
    flutter_start: np.ndarray  # [n] s, a time at which a flutter wave begins


def draw_rhythm(
    rng: np.random.Generator, visits: Visits, age: np.ndarray, seconds: float
) -> Rhythm:
    """Beat times of each record; `age` `[n]` in years (the young breathe more arrhythmia)."""
    n = len(visits.rate)
    mean = 60.0 / np.where(np.isnan(visits.rate), 75.0, visits.rate)
    rr = _sinus_intervals(rng, mean, age)
    irregular = _fibrillation_variation(rng, n)
    rr = np.where((visits.rhythm == FIBRILLATION)[:, None], mean[:, None] * irregular, rr)
    flutter_rr, period = _flutter_intervals(rng, n)
    rr = np.where((visits.rhythm == FLUTTER)[:, None], flutter_rr, rr)
    rr = np.maximum(rr, 0.29)
    start = -BEFORE - (1 + rng.random(n)) * rr[:, 0]
    regular = start[:, None] + np.cumsum(rr, axis=1)

    kind = np.zeros((n, _BEATS), dtype=int)
    ventricular = _choose(rng, regular, visits.extras[:, PVC], seconds)
    atrial = _choose(rng, regular, visits.extras[:, PAC], seconds) & ~_beside(ventricular)
    kind[atrial], kind[ventricular] = ATRIAL_BEAT, VENTRICULAR_BEAT
    coupling_v = rng.uniform(0.50, 0.72, n)[:, None] + rng.normal(0, 0.015, (n, _BEATS))
    coupling_a = rng.uniform(0.56, 0.80, n)[:, None] + rng.normal(0, 0.02, (n, _BEATS))
    early_v = np.maximum(coupling_v * rr, np.minimum(0.36, 0.85 * rr))
    early_a = np.maximum(coupling_a * rr, np.minimum(0.36, 0.88 * rr))
    after_v, after_a = np.roll(ventricular, 1, axis=1), np.roll(atrial, 1, axis=1)
    # A compensatory pause after a ventricular beat; the sinus node is reset by an atrial one.
    pause = rr + np.roll(rr - early_v, 1, axis=1)
    actual = np.where(ventricular, early_v, np.where(atrial, early_a, rr))
    actual = np.where(after_v, pause, np.where(after_a, rr * 1.06, actual))
    times = start[:, None] + np.cumsum(actual, axis=1)

    sinus_due = np.where(ventricular, times + rr - early_v, times)  # P waves march through
    no_p = (visits.rhythm >= FIBRILLATION)[:, None]
    return Rhythm(
        times=times,
        kind=kind,
        p_times=np.where(no_p, np.nan, sinus_due),
        atrial_period=np.where(visits.rhythm == FLUTTER, period, np.nan),
        flutter_start=times[:, 0],
    )


def heart_rate(rhythm: Rhythm, seconds: float) -> np.ndarray:
    """Mean ventricular rate per minute of the beats within the record, `[n]`."""
    inside = (rhythm.times >= 0) & (rhythm.times < seconds)
    first = np.where(inside, rhythm.times, np.inf).min(axis=1)
    last = np.where(inside, rhythm.times, -np.inf).max(axis=1)
    return 60.0 * (inside.sum(axis=1) - 1) / (last - first)


def _sinus_intervals(rng: np.random.Generator, mean: np.ndarray, age: np.ndarray) -> np.ndarray:
    """RR in s around `mean`: breathing and slow waves, less in tachycardia; `[n, B]`."""
    n = len(mean)
    calm = np.clip(mean, 0.4, 1.2) / 0.85
    breathing = rng.uniform(0.16, 0.33, n)
    depth = 0.028 * np.exp(rng.normal(0, 0.7, n)) * np.exp((50 - age) / 60)
    depth = np.minimum(depth, 0.10) * calm
    slow = 0.5 * np.cumsum(rng.normal(0, 0.014, (n, _BEATS)) * calm[:, None], axis=1)
    turns = (breathing * mean)[:, None] * np.arange(_BEATS) + rng.random((n, 1))
    factor = np.clip(1 + depth[:, None] * np.sin(2 * np.pi * turns) + slow, 0.8, 1.25)
    # The mean over the record is what was aimed at: a rate class is never left by chance.
    seen = np.arange(_BEATS) < np.ceil(12 / mean)[:, None]
    return mean[:, None] * factor * (seen.sum(axis=1) / (factor * seen).sum(axis=1))[:, None]


def _fibrillation_variation(rng: np.random.Generator, n: int) -> np.ndarray:
    """Independent factors with mean 1 and a coefficient of variation of 0.13 to 0.30."""
    spread = rng.uniform(0.13, 0.30, n)[:, None]
    return np.clip(np.exp(rng.normal(0, 1, (n, _BEATS)) * spread - spread**2 / 2), 0.5, 2.0)


def _flutter_intervals(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """RR intervals that are whole numbers of flutter waves, fixed (two in three) or changing."""
    period = 60.0 / rng.uniform(235, 335, n)
    usual = rng.choice([2, 3, 4, 5], size=n, p=[0.27, 0.27, 0.38, 0.08])
    changing = np.clip(usual[:, None] + rng.integers(-1, 2, (n, _BEATS)), 2, 6)
    ratio = np.where((rng.random(n) < 0.36)[:, None], changing, usual[:, None])
    return ratio * period[:, None], period


def _choose(
    rng: np.random.Generator, times: np.ndarray, wanted: np.ndarray, seconds: float
) -> np.ndarray:
    """Which beats are premature, bool `[n, B]`: in bigeminy, trigeminy or here and there.

    Each wanted record has at least one inside; never two in a row.
    """
    n = len(times)
    pattern = rng.choice(3, size=n, p=[0.07, 0.07, 0.86])
    every = np.array([2, 3, 1])[pattern]
    regular = (np.arange(_BEATS) + rng.integers(0, 3, n)[:, None]) % every[:, None] == 0
    inside = (times > 0.9) & (times < seconds - 0.9)
    score = rng.random((n, _BEATS)) * inside
    rank = (-score).argsort(axis=1).argsort(axis=1)
    here_and_there = rank < rng.choice([1, 2, 3, 4], size=n, p=[0.4, 0.3, 0.2, 0.1])[:, None]
    chosen = np.where((pattern < 2)[:, None], regular, here_and_there & inside)
    for beat in range(1, _BEATS):
        chosen[:, beat] &= ~chosen[:, beat - 1]
    return chosen & wanted[:, None]


def _beside(chosen: np.ndarray) -> np.ndarray:
    """The chosen beats and their neighbours."""
    return chosen | np.roll(chosen, 1, axis=1) | np.roll(chosen, -1, axis=1)
