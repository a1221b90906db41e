"""Beats of the synthetic cohort: the kernels of each record's P, QRS and ST-T, by its findings.

A wave of one record is `centres [n, K]` and `widths [n, K]` in ms from the R reference, and
`vectors [n, K, 3]` in mV. Findings change the kernels of the patient's normal beat, in the order in
which a heart would: conduction first, then lost muscle, then repolarisation.
"""

from dataclasses import dataclass

import numpy as np

from dbeta_lib.data.synthetic_patients import (
    ANTERIOR,
    INFERIOR,
    LBBB,
    LEFT_AXIS,
    LONG_QT,
    LVH,
    RBBB,
    ST_DOWN,
    T_DOWN,
    Patients,
    Visits,
    BLOCK,
)
from dbeta_lib.data.synthetic_vectors import (
    LATE_MS,
    LATE_WIDTH,
    LBBB_QRS,
    LEFT_AXIS_QRS,
    NORMAL_P,
    NORMAL_QRS,
    NORMAL_ST_T,
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


@dataclass(frozen=True)
class Wave:
    """Gaussian kernels of one wave: times in ms from the R reference, vectors in mV."""

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


def build_beats(rng: np.random.Generator, patients: Patients, visits: Visits, rate: np.ndarray) -> Beats:
    """Kernels for every record; `rate` `[n]` per minute shortens QT (Fridericia) and PR."""
    who, rr = visits.patient, 60.0 / rate
    take = _Taken(patients, who)
    stretch = _stretch(take, visits)
    vectors = _qrs_vectors(take, visits)
    late = _late_vectors(take, visits)
    loop = np.concatenate([vectors, late], axis=1)
    loop = loop @ take.turn.transpose(0, 2, 1)
    axis = frontal_axis(loop)
    limit = np.where(visits.shows[:, LEFT_AXIS], take.axis[:, 1], np.clip(axis, take.axis[:, 0], 95))
    loop = turn_to_axis(loop, limit)
    qrs = _qrs_wave(loop, stretch)
    end = QRS_END * stretch + np.where(visits.shows[:, RBBB], 44.0, 0.0)
    onset = QRS_ONSET * stretch
    qtc = np.where(visits.shows[:, LONG_QT], take.long_qtc, take.qtc) + rng.normal(0, 6, len(who))
    qt = qtc * rr ** (1 / 3) + 0.55 * np.maximum(end - onset - 100, 0)
    st_t = _st_t_wave(take, visits, end, onset + qt)
    pr = np.where(visits.extras[:, BLOCK], take.long_pr, take.pr - 10 * np.clip(1 - rr, 0, 0.5) * 2)
    pr = np.where(visits.extras[:, BLOCK], np.minimum(pr, 1000 * rr - 330), pr)
    p = _p_wave(take, onset - pr)
    ventricular, ventricular_t = _ventricular(take, qt)
    return Beats(
        p=p,
        atrial_p=_atrial_p(rng, p, len(who)),
        qrs=qrs,
        st_t=st_t,
        ventricular=ventricular,
        ventricular_t=ventricular_t,
        pr=pr,
        qrs_ms=end - onset,
        qt=qt,
        axis=frontal_axis(loop),
    )


class _Taken:
    """The patients' arrays, taken per record."""

    def __init__(self, patients: Patients, who: np.ndarray):
        self.n = len(who)
        for name, value in vars(patients).items():
            setattr(self, name, value[who])
        self.turn = rotation(*self.angles.T)
        self.t_turn = rotation(*(self.angles * 0.6 + self.repolarisation).T)
        self.p_turn = rotation(*(self.angles * 0.3 + self.atria).T)


def _where(shows: np.ndarray, table: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """`table` in the records that show it."""
    return np.where(shows[:, None, None], table, otherwise)


def _stretch(take: "_Taken", visits: Visits) -> np.ndarray:
    """How much longer than QRS_MS the ten QRS kernels last, as a factor `[n]`."""
    narrow = take.qrs + 9 * visits.severity[:, LVH] * visits.shows[:, LVH]
    narrow = narrow + 8 * visits.shows[:, LEFT_AXIS]
    return np.where(visits.shows[:, LBBB], take.broad_qrs, narrow) / QRS_MS


def _qrs_vectors(take: "_Taken", visits: Visits) -> np.ndarray:
    """The ten QRS vectors `[n, 10, 3]` before the heart is turned."""
    shows, severity = visits.shows, visits.severity
    loop = np.broadcast_to(np.array(NORMAL_QRS), (take.n, 10, 3))
    fascicle = (0.75 + 0.4 * severity[:, LEFT_AXIS])[:, None, None]
    loop = _where(shows[:, LEFT_AXIS], loop + fascicle * (np.array(LEFT_AXIS_QRS) - loop), loop)
    loop = _where(shows[:, LBBB], np.array(LBBB_QRS), loop)
    own = np.array([0.1, 0.15, 0.35, 0.6, 1, 0.9, 0.55, 0.35, 0.15, 0.05])[:, None]
    loop = loop * (1 + 0.14 * take.qrs_noise) + 0.075 * own * take.qrs_noise[:, ::-1, ::-1]
    big = 1 + shows[:, LVH] * (0.35 + 0.65 * severity[:, LVH])
    loop = loop * (take.gains[:, 1] * big)[:, None, None]
    return loop + _lost_muscle(take, visits)


def _lost_muscle(take: "_Taken", visits: Visits) -> np.ndarray:
    """What infarcts take away: early forces to the front, or downwards; `[n, 10, 3]`."""
    change = np.zeros((take.n, 10, 3))
    gain = take.gains[:, 1]
    front = visits.shows[:, ANTERIOR] * (0.55 + 0.65 * visits.severity[:, ANTERIOR]) * gain
    wide = (take.subtype[:, ANTERIOR] < 0.45) * front  # reaches V4-V5
    change[:, 2:6, 2] += front[:, None] * np.array([0.20, 0.44, 0.30, 0.08])
    change[:, 2:6, 0] -= front[:, None] * np.array([-0.05, 0.06, 0.35, 0.00])
    change[:, 2:5, 0] -= wide[:, None] * np.array([0.04, 0.20, 0.30])
    below = visits.shows[:, INFERIOR] * (0.6 + 0.6 * visits.severity[:, INFERIOR]) * gain
    change[:, 1:6, 1] -= below[:, None] * np.array([0.05, 0.20, 0.40, 0.24, -0.06])
    return change


def _late_vectors(take: "_Taken", visits: Visits) -> np.ndarray:
    """Three late vectors `[n, 3, 3]`: right bundle branch block."""
    size = visits.shows[:, RBBB] * (0.75 + 0.5 * visits.severity[:, RBBB])
    size = size * take.gains[:, 1] ** 0.5
    return np.array(RBBB_LATE) * size[:, None, None] * (1 + 0.12 * take.qrs_noise[:, :3])


def _qrs_wave(loop: np.ndarray, stretch: np.ndarray) -> Wave:
    centre = np.concatenate([QRS_STEP * np.arange(-4, 6), np.array(LATE_MS)])
    width = np.array([QRS_WIDTH] * 10 + [LATE_WIDTH] * 3)
    return Wave(stretch[:, None] * centre, stretch[:, None] * width, loop)


def _st_t_wave(take: "_Taken", visits: Visits, start: np.ndarray, end: np.ndarray) -> Wave:
    """ST and T between the QRS end and the T end (ms)."""
    scale = ((end - start) / 302.0)[:, None]
    after = end[:, None] - scale * np.array([122.0, 78.0, 38.0, -15.0])
    first = start[:, None] + 45.0 * scale
    second = 0.5 * (start[:, None] + 10 + after[:, 1:2])
    centres = np.concatenate([first, second, after], axis=1)
    widths = scale * np.array([32.0, 38.0, 36.0, 28.0, 27.0, 36.0])
    vectors = np.array(NORMAL_ST_T) * take.gains[:, 2, None, None]
    vectors = vectors * (1 + 0.12 * take.st_noise)
    vectors = vectors + 0.012 * take.st_noise[:, ::-1, ::-1]
    vectors = vectors @ take.t_turn.transpose(0, 2, 1)
    return Wave(centres, widths, _repolarisation(take, visits, vectors))


def _repolarisation(take: "_Taken", visits: Visits, st_t: np.ndarray) -> np.ndarray:
    """ST and T vectors `[n, 6, 3]` with what the findings do to them."""
    shows, grade, form = visits.shows, visits.severity, take.subtype
    qrs_gain, t_gain = take.gains[:, 1], take.gains[:, 2]

    def weights(shape: tuple[float, ...], vector: np.ndarray) -> np.ndarray:
        return np.array(shape)[None, :, None] * vector[:, None, :]

    def vector(*xyz: np.ndarray | float) -> np.ndarray:
        return np.stack([np.broadcast_to(v, (take.n,)) for v in xyz], axis=1)

    # Secondary changes point away from the QRS: left bundle, right bundle, strain.
    secondary = vector(-0.16, -0.08, -0.34) * (qrs_gain * (0.8 + 0.4 * form[:, LBBB]))[:, None]
    left = 0.25 * st_t + weights((0.45, 0.65, 0.85, 0.75, 0.2, 0.0), secondary)
    st_t = _where(shows[:, LBBB], left, st_t)
    right = st_t * 0.85 + weights((0.1, 0.25, 0.8, 0.9, 0.2, 0.0), vector(0.03, 0, 0.14))
    st_t = _where(shows[:, RBBB], right, st_t)
    strain = grade[:, LVH] * (form[:, LVH] < 0.7)
    away = vector(-0.20 * strain, -0.10 * strain, -0.04 * strain) * qrs_gain[:, None]
    strained = st_t * (1 - 0.35 * strain)[:, None, None]
    strained = strained + weights((0.45, 0.65, 1.0, 0.85, 0.1, 0.0), away)
    st_t = _where(shows[:, LVH], strained, st_t)
    # Infarcts: T flat over the scar, sometimes (one in four) still with ST elevation.
    fresh = (form[:, ANTERIOR] > 0.72) * (0.10 + 0.16 * grade[:, ANTERIOR])
    scar = st_t * np.array([0.35, 1.0, 0.75]) + weights(
        (0.75, 1.0, 0.8, 0.4, 0, 0), vector(0.15 * fresh, 0, -fresh)
    )
    st_t = _where(shows[:, ANTERIOR], scar, st_t)
    fresh = (form[:, INFERIOR] > 0.75) * (0.08 + 0.12 * grade[:, INFERIOR])
    scar = st_t * np.array([1.0, 0.25, 1.0]) + weights(
        (0.8, 1.0, 0.8, 0.4, 0, 0), vector(-0.2 * fresh, fresh, 0.2 * fresh)
    )
    st_t = _where(shows[:, INFERIOR], scar, st_t)
    down = 0.085 + 0.10 * grade[:, ST_DOWN]
    sunk = st_t * (1 - 0.45 * grade[:, ST_DOWN])[:, None, None] + weights(
        (0.9, 1.0, 0.75, 0.25, 0, 0), -down[:, None] * vector(0.85, 0.6, 0.15 - 0.6 * form[:, ST_DOWN])
    )
    st_t = _where(shows[:, ST_DOWN], sunk, st_t)
    st_t = _where(shows[:, T_DOWN], _inverted(st_t, form[:, T_DOWN], grade[:, T_DOWN]), st_t)
    flat = st_t * (1 - 0.35 * form[:, LONG_QT] * (t_gain > 0.7))[:, None, None]
    return _where(shows[:, LONG_QT], flat, st_t)


def _inverted(st_t: np.ndarray, form: np.ndarray, grade: np.ndarray) -> np.ndarray:
    """T inverted in front and left (half), laterally, or below, with an unchanged ST level."""
    where = np.array([(-0.16, -0.02, 0.16), (-0.17, -0.02, -0.06), (0.02, -0.15, -0.03)])
    target = where[(form[:, None] > np.array([0.5, 0.75])).sum(axis=1)]
    size = (0.65 + 1.1 * grade)[:, None, None]
    shape = np.array([0.0, 0.10, 0.8, 1.25, 0.35, 0.0])[None, :, None]
    keep = np.array([0.8, 0.6, 0.15, 0.05, 0.1, 1.0])[None, :, None]
    return st_t * keep + shape * size * target[:, None, :]


def _p_wave(take: "_Taken", onset: np.ndarray) -> Wave:
    """P wave from its onset (ms from the R reference)."""
    vectors = np.array(NORMAL_P) * take.gains[:, 0, None, None]
    vectors = vectors * (1 + 0.2 * take.qrs_noise[:, :2]) @ take.p_turn.transpose(0, 2, 1)
    centres = onset[:, None] + np.array(P_CENTRES)
    return Wave(centres, np.full_like(centres, P_WIDTH), vectors)


def _atrial_p(rng: np.random.Generator, p: Wave, n: int) -> Wave:
    """Another focus: the P vector turned and often upside down, a little narrower and earlier."""
    angles = rng.normal(0, 1, (n, 3)) * 35 + np.array([-110, 20, 0]) * (rng.random((n, 1)) < 0.65)
    turned = p.vectors @ rotation(*angles.T).transpose(0, 2, 1)
    return Wave(p.centres + rng.uniform(-10, 30, (n, 1)), p.widths * 0.9, turned * 1.1)


def _ventricular(take: "_Taken", qt: np.ndarray) -> tuple[Wave, Wave]:
    """Broad QRS from a ventricular focus, and the T wave opposite to it."""
    foci = np.array([(0.45, 0.85, 0.65), (0.65, -0.5, 0.75), (-0.65, 0.5, -0.55), (-0.5, -0.7, -0.3)])
    focus = foci[(take.subtype[:, PVC_FORM, None] > np.array([0.4, 0.65, 0.82])).sum(axis=1)]
    main = focus + 0.25 * take.ectopic[:, :3]
    swing = 0.45 * take.ectopic[:, 3:6]
    phase = np.linspace(-1, 1, 10)[None, :, None]
    size = np.array([0.02, 0.15, 0.45, 0.8, 1.0, 0.9, 0.75, 0.5, 0.22, 0.05])[None, :, None]
    loop = 1.15 * size * (main[:, None, :] + phase * swing[:, None, :])
    loop = loop * (take.gains[:, 1] ** 0.6)[:, None, None] * (1 + 0.12 * take.qrs_noise)
    stretch = 1.62 + 0.13 * np.clip(take.ectopic[:, 6], -1.5, 2)
    centre = stretch[:, None] * QRS_STEP * np.arange(-4, 6)
    qrs = Wave(centre, np.full_like(centre, QRS_WIDTH) * stretch[:, None], loop)
    start, end = QRS_END * stretch, QRS_ONSET * stretch + qt + 35
    scale = ((end - start) / 302.0)[:, None]
    after = end[:, None] - scale * np.array([122.0, 78.0, 38.0])
    centres = np.concatenate([start[:, None] + 30 * scale, after], axis=1)
    shape = np.array([0.14, 0.26, 0.26, 0.06])[None, :, None]
    widths = scale * np.array([40.0, 44.0, 32.0, 28.0])
    return qrs, Wave(centres, widths, -shape * (loop.sum(axis=1) / 5)[:, None, :])


PVC_FORM = LBBB  # ventricular foci share that uniform number; a bundle branch block does not use it


def has_strain(patients: Patients, visits: Visits) -> np.ndarray:
    """bool `[n]`: hypertrophy with a strain pattern (ST-T against the QRS)."""
    grade = visits.severity[:, LVH]
    return visits.shows[:, LVH] & (patients.subtype[visits.patient, LVH] < 0.7) & (grade > 0.3)


def t_place(patients: Patients, visits: Visits) -> np.ndarray:
    """Where T is inverted, if it is: 0 in front and left, 1 lateral, 2 inferior; `[n]`."""
    form = patients.subtype[visits.patient, T_DOWN]
    return (form[:, None] > np.array([0.5, 0.75])).sum(axis=1)
