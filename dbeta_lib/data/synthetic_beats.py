"""Beats of the synthetic cohort: the kernels of each record's P, QRS and ST-T, by its findings.

Findings change the kernels of the patient's normal beat in the order in which a heart would:
conduction first, then lost muscle, then repolarisation (`synthetic_repolarisation`).
"""

from dataclasses import dataclass

import numpy as np

from dbeta_lib.data.synthetic_patients import (
    ANTERIOR,
    BLOCK,
    INFERIOR,
    LBBB,
    LEFT_AXIS,
    LONG_QT,
    LVH,
    RBBB,
    Patients,
    Visits,
)
from dbeta_lib.data.synthetic_repolarisation import st_t_vectors
from dbeta_lib.data.synthetic_vectors import (
    LATE_MS,
    LATE_WIDTH,
    LBBB_QRS,
    LEFT_AXIS_QRS,
    NORMAL_P,
    NORMAL_QRS,
    P_CENTRES,
    P_WIDTH,
    QRS_END,
    QRS_MS,
    QRS_ONSET,
    QRS_STEP,
    QRS_WIDTH,
    RBBB_LATE,
    frontal_axis,
    rotation,
    turn_to_axis,
)

_RIGHTMOST_AXIS = 95.0  # degrees; right axis deviation is not among the conditions
# How much each QRS kernel differs between patients, in parts of what the largest does.
_OWN = (0.1, 0.15, 0.35, 0.6, 1.0, 0.9, 0.55, 0.35, 0.15, 0.05)
_FOCI = ((0.45, 0.85, 0.65), (0.65, -0.5, 0.75), (-0.65, 0.5, -0.55), (-0.5, -0.7, -0.3))
_FOCUS_SHARES = (0.4, 0.65, 0.82)  # cumulative, the last focus has the rest
_FOCUS_FORM = LBBB  # foci take that column of `subtype`


@dataclass(frozen=True)
class Wave:
    """Gaussian kernels of one wave in each record: ms from the R reference, vectors in mV."""

    centres: np.ndarray  # [n, K]
    widths: np.ndarray  # [n, K]
    vectors: np.ndarray  # [n, K, 3]


@dataclass(frozen=True)
class Beats:
    """What each record's beats are made of, and the intervals (ms) and axis that follow."""

    p: Wave
    atrial_p: Wave  # of premature atrial beats
    qrs: Wave
    st_t: Wave
    ventricular: Wave  # QRS of premature ventricular beats
    ventricular_t: Wave
    pr: np.ndarray
    qrs_ms: np.ndarray
    qt: np.ndarray
    axis: np.ndarray  # degrees


def build_beats(
    rng: np.random.Generator, patients: Patients, visits: Visits, rate: np.ndarray
) -> Beats:
    """Kernels for every record; `rate` `[n]` per minute shortens QT (Fridericia) and PR."""
    people, shows, rr = patients.take(visits.patient), visits.shows, 60.0 / rate
    loop = _qrs_loop(people, visits)
    stretch = _stretch(people, visits)
    onset = QRS_ONSET * stretch
    end = QRS_END * stretch + 44.0 * shows[:, RBBB]
    qtc = np.where(shows[:, LONG_QT], people.long_qtc, people.qtc) + rng.normal(0, 6, len(rr))
    # A wide QRS delays the T wave by about half of what it is wider (JT stays).
    qt = qtc * rr ** (1 / 3) + 0.55 * np.maximum(end - onset - 100, 0)
    pr = _pr(people, visits, rr)
    p = _p_wave(people, onset - pr)
    ventricular, ventricular_t = _ventricular(people, qt)
    return Beats(
        p=p,
        atrial_p=_other_focus(rng, p),
        qrs=_qrs_wave(loop, stretch),
        st_t=_st_t_wave(people, visits, end, onset + qt),
        ventricular=ventricular,
        ventricular_t=ventricular_t,
        pr=pr,
        qrs_ms=end - onset,
        qt=qt,
        axis=frontal_axis(loop),
    )


def _pr(people: Patients, visits: Visits, rr: np.ndarray) -> np.ndarray:
    """PR in ms; shorter in tachycardia, and never so long that P falls into the T wave before."""
    blocked = visits.extras[:, BLOCK]
    usual = people.pr - 20 * np.clip(1 - rr, 0, 0.5)
    return np.where(blocked, np.minimum(people.long_pr, 1000 * rr - 330), usual)


def _stretch(people: Patients, visits: Visits) -> np.ndarray:
    """How much longer than QRS_MS the ten QRS kernels last, as a factor `[n]`."""
    shows = visits.shows
    narrow = people.qrs + 9 * visits.severity[:, LVH] * shows[:, LVH] + 8 * shows[:, LEFT_AXIS]
    narrow = np.clip(narrow, np.where(shows[:, RBBB], 82, 0), 117)
    return np.where(shows[:, LBBB], people.broad_qrs, narrow) / QRS_MS


def _qrs_loop(people: Patients, visits: Visits) -> np.ndarray:
    """The QRS vectors `[n, 13, 3]` of the heart as it lies, with the axis that the labels say."""
    loop = np.concatenate([_early_vectors(people, visits), _late_vectors(people, visits)], axis=1)
    loop = loop @ rotation(*people.angles.T).transpose(0, 2, 1)
    usual = np.clip(frontal_axis(loop), people.axis[:, 0], _RIGHTMOST_AXIS)
    return turn_to_axis(loop, np.where(visits.shows[:, LEFT_AXIS], people.axis[:, 1], usual))


def _early_vectors(people: Patients, visits: Visits) -> np.ndarray:
    """The ten QRS vectors `[n, 10, 3]` before the heart is turned."""
    shows, severity = visits.shows[:, :, None, None], visits.severity
    normal, deviated = np.array(NORMAL_QRS), np.array(LEFT_AXIS_QRS)
    fascicle = (0.75 + 0.4 * severity[:, LEFT_AXIS])[:, None, None]
    loop = np.where(shows[:, LEFT_AXIS], normal + fascicle * (deviated - normal), normal)
    loop = np.where(shows[:, LBBB], np.array(LBBB_QRS), loop)
    loop = loop * (1 + 0.18 * people.qrs_noise)
    loop = loop + 0.09 * np.array(_OWN)[:, None] * people.qrs_noise[:, ::-1, ::-1]
    thick = 1 + visits.shows[:, LVH] * (0.40 + 0.65 * severity[:, LVH])
    loop = loop * (people.gains[:, 1] * thick)[:, None, None]
    return loop + _lost_muscle(people, visits)


def _lost_muscle(people: Patients, visits: Visits) -> np.ndarray:
    """What infarcts take away, `[n, 10, 3]`: early forces to the front, or downwards."""
    change = np.zeros_like(people.qrs_noise)
    gain = people.gains[:, 1, None]
    front = visits.shows[:, ANTERIOR, None] * gain * (0.5 + 0.65 * visits.severity[:, [ANTERIOR]])
    change[:, 2:6, 2] += front * np.array([0.22, 0.48, 0.40, 0.10])
    change[:, 2:6, 0] -= front * np.array([-0.05, 0.06, 0.35, 0.0])
    wide = front * (people.subtype[:, [ANTERIOR]] < 0.45)  # reaches V4-V5
    change[:, 2:5, 0] -= wide * np.array([0.04, 0.20, 0.30])
    below = visits.shows[:, INFERIOR, None] * gain * (0.5 + 0.6 * visits.severity[:, [INFERIOR]])
    change[:, 1:6, 1] -= below * np.array([0.05, 0.20, 0.40, 0.24, -0.06])
    return change


def _late_vectors(people: Patients, visits: Visits) -> np.ndarray:
    """Late forces to the right and front, `[n, 3, 3]`: the block, or a normal variant's little."""
    size = np.where(visits.shows[:, RBBB], 0.7 + 0.5 * visits.severity[:, RBBB], people.late)
    size = size * np.sqrt(people.gains[:, 1])
    return np.array(RBBB_LATE) * size[:, None, None] * (1 + 0.12 * people.qrs_noise[:, :3])


def _qrs_wave(loop: np.ndarray, stretch: np.ndarray) -> Wave:
    centres = np.concatenate([QRS_STEP * np.arange(-4, 6), np.array(LATE_MS)])
    widths = np.array([QRS_WIDTH] * 10 + [LATE_WIDTH] * 3)
    return Wave(stretch[:, None] * centres, stretch[:, None] * widths, loop)


def _st_t_wave(people: Patients, visits: Visits, start: np.ndarray, end: np.ndarray) -> Wave:
    """ST and T between the QRS end and the T end (ms)."""
    scale = ((end - start) / 302.0)[:, None]  # 302 ms: a QT of 390 with a QRS of 88
    t = end[:, None] - scale * np.array([122.0, 78.0, 38.0, -15.0])
    first = start[:, None] + 45.0 * scale
    second = 0.5 * (start[:, None] + 10 + t[:, 1:2])
    widths = scale * np.array([32.0, 38.0, 36.0, 28.0, 27.0, 36.0])
    return Wave(np.concatenate([first, second, t], axis=1), widths, st_t_vectors(people, visits))


def _p_wave(people: Patients, onset: np.ndarray) -> Wave:
    """P wave from its onset (ms from the R reference)."""
    vectors = np.array(NORMAL_P) * people.gains[:, 0, None, None]
    vectors = vectors * (1 + 0.2 * people.qrs_noise[:, :2])
    turn = rotation(*(0.3 * people.angles + people.atria).T)
    centres = onset[:, None] + np.array(P_CENTRES)
    return Wave(centres, np.full_like(centres, P_WIDTH), vectors @ turn.transpose(0, 2, 1))


def _other_focus(rng: np.random.Generator, p: Wave) -> Wave:
    """Another atrial focus: P turned and often upside down, a little narrower and later."""
    n = len(p.centres)
    angles = 35 * rng.standard_normal((n, 3))
    angles += np.array([-110, 20, 0]) * (rng.random((n, 1)) < 0.65)
    vectors = 1.1 * p.vectors @ rotation(*angles.T).transpose(0, 2, 1)
    return Wave(p.centres + rng.uniform(-10, 30, (n, 1)), 0.9 * p.widths, vectors)


def _ventricular(people: Patients, qt: np.ndarray) -> tuple[Wave, Wave]:
    """Broad QRS from a ventricular focus, and the T wave opposite to it."""
    which = (people.subtype[:, _FOCUS_FORM, None] > np.array(_FOCUS_SHARES)).sum(axis=1)
    main = np.array(_FOCI)[which] + 0.25 * people.ectopic[:, :3]
    swing = 0.45 * people.ectopic[:, 3:6]
    rise = np.array([0.02, 0.15, 0.45, 0.8, 1.0, 0.9, 0.75, 0.5, 0.22, 0.05])
    rise = 1.05 * rise * np.sqrt(people.gains[:, 1, None])
    loop = main[:, None, :] + np.linspace(-1, 1, 10)[:, None] * swing[:, None, :]
    loop = loop * rise[:, :, None] * (1 + 0.12 * people.qrs_noise)
    stretch = (1.58 + 0.13 * np.clip(people.ectopic[:, 6], -1.5, 2))[:, None]
    centres = stretch * QRS_STEP * np.arange(-4, 6)
    qrs = Wave(centres, np.full_like(centres, QRS_WIDTH) * stretch, loop)
    start, end = QRS_END * stretch, QRS_ONSET * stretch + qt[:, None] + 35
    scale = (end - start) / 302.0
    t = np.concatenate([start + 30 * scale, end - scale * np.array([122.0, 78.0, 38.0])], axis=1)
    against = -np.array([0.14, 0.26, 0.26, 0.06])[:, None] * (loop.sum(axis=1) / 5)[:, None, :]
    return qrs, Wave(t, scale * np.array([40.0, 44.0, 32.0, 28.0]), against)
