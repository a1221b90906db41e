"""ST and T of the synthetic cohort: the patient's normal repolarisation and what findings do to it.

All arrays run over records; `people` holds the patients' arrays taken per record. The six kernels
are those of NORMAL_ST_T: two of the ST segment, the T wave's rise, peak and fall, and a U wave.
"""

import numpy as np

from dbeta_lib.data.synthetic_patients import (
    ANTERIOR,
    INFERIOR,
    LBBB,
    LONG_QT,
    LVH,
    RBBB,
    ST_DOWN,
    T_DOWN,
    Patients,
    Visits,
)
from dbeta_lib.data.synthetic_vectors import NORMAL_ST_T, rotation

STRAIN_SHARE = 0.7  # of the patients with hypertrophy
_T_PLACES = (0.5, 0.75)  # uniform numbers up to these: in front and left, lateral; above: inferior


def st_t_vectors(people: Patients, visits: Visits) -> np.ndarray:
    """ST and T vectors `[n, 6, 3]` in mV."""
    st_t = np.array(NORMAL_ST_T) * people.gains[:, 2, None, None]
    st_t = st_t * (1 + 0.12 * people.st_noise) + 0.012 * people.st_noise[:, ::-1, ::-1]
    turn = rotation(*(0.6 * people.angles + people.repolarisation).T)
    st_t = st_t @ turn.transpose(0, 2, 1)
    for change in (_bundle_branch_block, _hypertrophy, _infarct, _depression, _inversion, _flat):
        st_t = change(st_t, people, visits)
    return st_t


def has_strain(people: Patients, visits: Visits) -> np.ndarray:
    """bool `[n]`: hypertrophy with a strain pattern (ST-T against the QRS)."""
    strained = (people.subtype[:, LVH] < STRAIN_SHARE) & (visits.severity[:, LVH] > 0.3)
    return visits.shows[:, LVH] & strained


def t_place(people: Patients) -> np.ndarray:
    """Where T is inverted, if it is: 0 in front and left, 1 lateral, 2 inferior; `[n]`."""
    return (people.subtype[:, T_DOWN, None] > np.array(_T_PLACES)).sum(axis=1)


def _where(shows: np.ndarray, changed: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    return np.where(shows[:, None, None], changed, otherwise)


def _added(weights: tuple[float, ...], *xyz: np.ndarray | float) -> np.ndarray:
    """A vector per record, `x`, `y`, `z` `[n]` or scalars, spread over the kernels: `[n, 6, 3]`."""
    vector = np.stack(np.broadcast_arrays(*xyz), axis=-1)
    return np.array(weights)[:, None] * vector[..., None, :]


def _bundle_branch_block(st_t: np.ndarray, people: Patients, visits: Visits) -> np.ndarray:
    """Secondary changes point away from the late QRS forces."""
    size = people.gains[:, 1] * (0.8 + 0.4 * people.subtype[:, LBBB])
    left = 0.25 * st_t + _added(
        (0.45, 0.65, 0.85, 0.75, 0.2, 0), -0.16 * size, -0.08 * size, -0.34 * size
    )
    right = 0.85 * st_t + _added((0.1, 0.25, 0.8, 0.9, 0.2, 0), 0.03, 0.0, 0.14)
    return _where(visits.shows[:, LBBB], left, _where(visits.shows[:, RBBB], right, st_t))


def _hypertrophy(st_t: np.ndarray, people: Patients, visits: Visits) -> np.ndarray:
    strain = visits.severity[:, LVH] * (people.subtype[:, LVH] < STRAIN_SHARE)
    size = strain * people.gains[:, 1]
    away = _added((0.45, 0.65, 1.0, 0.85, 0.1, 0), -0.20 * size, -0.10 * size, -0.04 * size)
    return _where(visits.shows[:, LVH], st_t * (1 - 0.35 * strain)[:, None, None] + away, st_t)


def _infarct(st_t: np.ndarray, people: Patients, visits: Visits) -> np.ndarray:
    """T flat over the scar; in one of four ST is still elevated there."""
    grade, form = visits.severity, people.subtype
    fresh = (form[:, ANTERIOR] > 0.72) * (0.10 + 0.16 * grade[:, ANTERIOR])
    front = st_t * np.array([0.35, 1.0, 0.75])
    front = front + _added((0.75, 1.0, 0.8, 0.4, 0, 0), 0.15 * fresh, 0.0, -fresh)
    st_t = _where(visits.shows[:, ANTERIOR], front, st_t)
    fresh = (form[:, INFERIOR] > 0.75) * (0.08 + 0.12 * grade[:, INFERIOR])
    below = st_t * np.array([1.0, 0.25, 1.0])
    below = below + _added((0.8, 1.0, 0.8, 0.4, 0, 0), -0.2 * fresh, fresh, 0.2 * fresh)
    return _where(visits.shows[:, INFERIOR], below, st_t)


def _depression(st_t: np.ndarray, people: Patients, visits: Visits) -> np.ndarray:
    """ST down in the left and inferior leads, more or less in front too; a lower T."""
    grade, form = visits.severity[:, ST_DOWN], people.subtype[:, ST_DOWN]
    down = -(0.075 + 0.11 * grade)
    sunk = st_t * (1 - 0.45 * grade)[:, None, None] + _added(
        (0.9, 1.0, 0.75, 0.25, 0, 0), 0.85 * down, 0.6 * down, (0.15 - 0.6 * form) * down
    )
    return _where(visits.shows[:, ST_DOWN], sunk, st_t)


def _inversion(st_t: np.ndarray, people: Patients, visits: Visits) -> np.ndarray:
    """T upside down in one region, with an unchanged ST level."""
    region = np.array([(-0.16, -0.02, 0.16), (-0.17, -0.02, -0.06), (0.02, -0.15, -0.03)])
    size = 0.5 + 1.0 * visits.severity[:, T_DOWN]
    kept = np.array([0.8, 0.6, 0.15, 0.05, 0.1, 1.0])[:, None]
    inverted = st_t * kept + _added(
        (0, 0.10, 0.8, 1.25, 0.35, 0), *(size[:, None] * region[t_place(people)]).T
    )
    return _where(visits.shows[:, T_DOWN], inverted, st_t)


def _flat(st_t: np.ndarray, people: Patients, visits: Visits) -> np.ndarray:
    """A long QT often comes with a lower, broader T."""
    lower = 1 - 0.35 * people.subtype[:, LONG_QT] * (people.gains[:, 2] > 0.7)
    return _where(visits.shows[:, LONG_QT], st_t * lower[:, None, None], st_t)
