"""From kernels and beat times to signals: overlap-add of waves, atrial waves, projection, noise.

Everything is made at `MODEL_RATE` in float64, brought to the wanted rate by an anti-aliasing
filter and rounded to whole microvolts; the other four limb leads follow exactly from I and II.
"""

import numpy as np

from dbeta_lib.data.synthetic_beats import Beats, Wave
from dbeta_lib.data.synthetic_noise import electrode_noise, electrodes_to_leads, resample_steeply
from dbeta_lib.data.synthetic_patients import FIBRILLATION, Patients, Visits
from dbeta_lib.data.synthetic_rhythm import ATRIAL_BEAT, VENTRICULAR_BEAT, Rhythm
from dbeta_lib.data.synthetic_vectors import lead_matrix

MODEL_RATE = 500  # Hz
_PAD = 250  # samples before and after, for the filter's edges


def render(
    rng: np.random.Generator,
    patients: Patients,
    visits: Visits,
    rhythm: Rhythm,
    beats: Beats,
    seconds: float,
    sampling_rate: int,
) -> np.ndarray:
    """int16 microvolts `[n, 12, seconds * sampling_rate]` in the order of LEADS."""
    n, samples = len(visits.rate), int(seconds * MODEL_RATE) + 2 * _PAD
    heart = np.zeros((n, 3, samples))
    breath = 1 + 0.045 * np.sin(
        2 * np.pi * rng.uniform(0.16, 0.36, (n, 1)) * rhythm.times + rng.uniform(0, 6.3, (n, 1))
    )
    narrow = rhythm.kind != VENTRICULAR_BEAT
    no_focus = rhythm.kind != ATRIAL_BEAT
    for wave, times, where in (
        (beats.p, rhythm.p_times, no_focus & ~np.isnan(rhythm.p_times)),
        (beats.atrial_p, rhythm.p_times, ~no_focus & ~np.isnan(rhythm.p_times)),
        (beats.qrs, rhythm.times, narrow),
        (beats.st_t, rhythm.times, narrow),
        (beats.ventricular, rhythm.times, ~narrow),
        (beats.ventricular_t, rhythm.times, ~narrow),
    ):
        _add_wave(heart, wave, times, breath, where)
    _add_atrial_waves(rng, heart, visits, rhythm, patients)
    who = visits.patient
    shift = patients.electrode_shift[who] + rng.normal(0, 0.12, n)
    gain = patients.lead_gain[who] * np.exp(rng.normal(0, 0.04, (n, 8)))
    leads = lead_matrix(shift, gain) @ heart
    leads += electrodes_to_leads(electrode_noise(rng, n, samples, MODEL_RATE))
    return _to_microvolts(leads, sampling_rate, int(seconds * sampling_rate))


def _add_wave(
    heart: np.ndarray, wave: Wave, times: np.ndarray, gain: np.ndarray, where: np.ndarray
) -> None:
    """Add one wave at every beat of `where` `[n, B]` to the heart vector `[n, 3, samples]`."""
    samples = heart.shape[2]
    reach = 4.0 * wave.widths
    first = (wave.centres - reach).min(axis=1) / 1000
    last = (wave.centres + reach).max(axis=1) / 1000
    length = int(np.ceil((last - first).max() * MODEL_RATE)) + 2
    row, beat = np.nonzero(where)
    time = times[row, beat]
    begin = np.floor((time + first[row]) * MODEL_RATE).astype(int) + _PAD
    seen = (begin < samples) & (begin + length > 0)
    row, beat, time, begin = row[seen], beat[seen], time[seen], begin[seen]
    if not len(row):
        return
    ms = (begin[:, None] - _PAD + np.arange(length)) * (1000 / MODEL_RATE) - 1000 * time[:, None]
    phase = (ms[:, None, :] - wave.centres[row][:, :, None]) / wave.widths[row][:, :, None]
    kernels = np.exp(-0.5 * phase * phase)  # [events, K, length]
    added = wave.vectors[row].transpose(0, 2, 1) @ kernels * gain[row, beat][:, None, None]
    _overlap_add(heart, row, begin, added)


def _overlap_add(heart: np.ndarray, row: np.ndarray, begin: np.ndarray, added: np.ndarray) -> None:
    """heart[row, :, begin:begin+L] += added, for events that may overlap; in the events' order."""
    samples, length = heart.shape[2], added.shape[2]
    for event in range(len(row)):
        low, high = max(begin[event], 0), min(begin[event] + length, samples)
        heart[row[event], :, low:high] += added[event, :, low - begin[event] : high - begin[event]]


def _add_atrial_waves(
    rng: np.random.Generator,
    heart: np.ndarray,
    visits: Visits,
    rhythm: Rhythm,
    patients: Patients,
) -> None:
    """Fibrillation's f waves and flutter's saw teeth, all through the record."""
    t = (np.arange(heart.shape[2]) - _PAD) / MODEL_RATE
    size = patients.gains[visits.patient, 0]
    rows = np.flatnonzero(visits.rhythm == FIBRILLATION)
    heart[rows] += _fibrillation_waves(rng, t, len(rows)) * size[rows, None, None]
    rows = np.flatnonzero(~np.isnan(rhythm.atrial_period))
    phase = (t - rhythm.flutter_start[rows, None]) / rhythm.atrial_period[rows, None]
    heart[rows] += _flutter_waves(rng, phase) * size[rows, None, None]


def _fibrillation_waves(rng: np.random.Generator, t: np.ndarray, n: int) -> np.ndarray:
    """`[n, 3, T]` mV: two wandering oscillations of 4.5 to 8 Hz, largest towards V1."""
    waves = np.zeros((n, 3, len(t)))
    amplitude = 0.036 * np.exp(rng.normal(0, 0.5, n))
    for share in (1.0, 0.6):
        hertz = rng.uniform(4.5, 8.0, (n, 1))
        drift = sum(
            rng.uniform(0.3, 1.1, (n, 1)) * np.sin(2 * np.pi * f * t + rng.uniform(0, 6.3, (n, 1)))
            for f in (0.23, 0.61, 1.3)
        )
        swell = 1 + 0.5 * np.sin(
            2 * np.pi * rng.uniform(0.2, 0.9, (n, 1)) * t + rng.uniform(0, 6.3, (n, 1))
        )
        angle = 2 * np.pi * hertz * t + drift
        form = np.sin(angle) + 0.3 * np.sin(2 * angle + 0.6)
        direction = np.array([-0.3, 0.30, -0.8]) + 0.28 * rng.standard_normal((n, 3))
        waves += share * (amplitude[:, None] * swell * form)[:, None, :] * direction[:, :, None]
    return waves


def _flutter_waves(rng: np.random.Generator, phase: np.ndarray) -> np.ndarray:
    """`[n, 3, T]` mV: saw teeth, slowly down, quickly up in II, III, aVF; one in five reversed."""
    n = len(phase)
    angle = 2 * np.pi * phase
    saw = sum(np.sin(k * angle + 0.25 * (k - 1)) * 0.9**k / k for k in (1, 2, 3, 4))
    second = np.cos(angle)
    sign = np.where(rng.random(n) < 0.2, -1.0, 1.0)
    size = 0.10 * np.exp(rng.normal(0, 0.4, n)) * sign
    direction = np.array([-0.10, 0.85, 0.30]) + 0.12 * rng.standard_normal((n, 3))
    across = np.array([0.05, 0.10, -0.35]) + 0.10 * rng.standard_normal((n, 3))
    both = saw[:, None, :] * direction[:, :, None] + 0.5 * second[:, None, :] * across[:, :, None]
    return both * size[:, None, None]


def _to_microvolts(leads: np.ndarray, sampling_rate: int, samples: int) -> np.ndarray:
    """Eight leads in mV at MODEL_RATE with padding -> twelve in int16 microvolts, cropped."""
    start = _PAD * sampling_rate // MODEL_RATE
    eight = resample_steeply(leads, MODEL_RATE, sampling_rate)[:, :, start : start + samples] * 1000
    eight = np.clip(np.rint(eight), -16000, 16000).astype(np.int32)
    one, two = eight[:, 0], eight[:, 1]
    limb = np.stack(
        [one, two, two - one, -(one + two) // 2, one - two // 2, two - one // 2], axis=1
    )
    return np.concatenate([limb, eight[:, 2:]], axis=1).clip(-32767, 32767).astype(np.int16)
