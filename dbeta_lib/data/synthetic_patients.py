"""Who is in the synthetic cohort: anatomy of each patient, and what each record of his shows.

A patient keeps his anatomy and nearly always his conduction and scars; rate, ectopic beats and
repolarisation change from visit to visit. How frequent what is, stands in the tables below; the
shares are higher than in a hospital, so that each of the 18 conditions can be learned and tested.
"""

from dataclasses import dataclass

import numpy as np

RHYTHMS = (
    "sinus rhythm",
    "sinus bradycardia",
    "sinus tachycardia",
    "atrial fibrillation",
    "atrial flutter",
)
SINUS, BRADYCARDIA, TACHYCARDIA, FIBRILLATION, FLUTTER = range(5)
EXTRAS = (
    "first degree av block",
    "premature ventricular contractions",
    "premature atrial contractions",
)
BLOCK, PVC, PAC = range(3)
MORPHOLOGIES = (
    "left bundle branch block",
    "right bundle branch block",
    "left ventricular hypertrophy",
    "anterior infarct",
    "inferior infarct",
    "st depression",
    "t wave inversion",
    "long qt interval",
    "left axis deviation",
)
LBBB, RBBB, LVH, ANTERIOR, INFERIOR, ST_DOWN, T_DOWN, LONG_QT, LEFT_AXIS = range(9)

# What patients have, and how many in a hundred; two at once where medicine knows the combination
# and a report names both.
COMBINATIONS = (
    ((), 44.0),
    ((LBBB,), 7.0),
    ((RBBB,), 4.5),
    ((LVH,), 6.0),
    ((ANTERIOR,), 4.5),
    ((INFERIOR,), 4.5),
    ((ST_DOWN,), 4.5),
    ((T_DOWN,), 4.5),
    ((LONG_QT,), 5.5),
    ((LEFT_AXIS,), 3.0),
    ((LBBB, LEFT_AXIS), 1.5),
    ((RBBB, LEFT_AXIS), 1.5),
    ((RBBB, ANTERIOR), 1.0),
    ((RBBB, INFERIOR), 1.0),
    ((RBBB, LONG_QT), 1.0),
    ((LVH, LEFT_AXIS), 1.0),
    ((LVH, LONG_QT), 1.0),
    ((LVH, INFERIOR), 0.8),
    ((ANTERIOR, INFERIOR), 1.0),
    ((ANTERIOR, T_DOWN), 1.2),
    ((ANTERIOR, LEFT_AXIS), 1.0),
    ((INFERIOR, ST_DOWN), 1.2),
    ((INFERIOR, T_DOWN), 1.2),
    ((ST_DOWN, T_DOWN), 1.2),
    ((ST_DOWN, LONG_QT), 1.0),
    ((ST_DOWN, LEFT_AXIS), 1.0),
    ((T_DOWN, LONG_QT), 1.2),
)
# Probability that a record shows what its patient has: scars and bundle branch blocks stay, ST and
# T come and go.
PERSISTENCE = (0.98, 0.97, 0.97, 0.97, 0.96, 0.75, 0.80, 0.80, 0.95)
# Underlying rhythm of a record by the patient's tendency: none, fibrillation, flutter.
RHYTHM_SHARES = (
    (0.68, 0.16, 0.16, 0.00, 0.00),
    (0.18, 0.05, 0.05, 0.68, 0.04),
    (0.16, 0.05, 0.05, 0.10, 0.64),
)
TENDENCY_SHARES = (0.72, 0.15, 0.13)
# Mean log gain of I, II, V1..V6: against PTB-XL, Dower's matrix makes I small and V1 large.
_LEAD_GAIN = (0.12, 0.0, -0.25, 0.0, 0.0, 0.0, 0.0, 0.0)
# Share of patients who ever show it (each has at most one), and of their records that do.
EXTRA_SHARES = ((0.15, 0.85), (0.16, 0.72), (0.17, 0.72))


@dataclass(frozen=True)
class Patients:
    """Arrays over patients `[P, ...]`: angles in degrees, times in ms, the rest factors."""

    age: np.ndarray  # years
    sex: np.ndarray  # 0 male, 1 female, as in PTB-XL
    angles: np.ndarray  # [P, 3] how the heart lies: frontal, horizontal, sagittal
    repolarisation: np.ndarray  # [P, 3] angles of the T vector beyond those
    atria: np.ndarray  # [P, 3] angles of the P vector
    qrs_noise: np.ndarray  # [P, 10, 3] each patient's own loop
    st_noise: np.ndarray  # [P, 6, 3] the same for ST and T
    gains: np.ndarray  # [P, 3] size of P, QRS, T
    lead_gain: np.ndarray  # [P, 8] I, II, V1..V6: the torso between heart and electrode
    electrode_shift: np.ndarray  # [P] electrode distances
    pr: np.ndarray  # ms, without block
    long_pr: np.ndarray  # ms, with first degree block
    qrs: np.ndarray  # ms, without bundle branch block
    late: np.ndarray  # share of a right bundle branch block that is a normal variant
    broad_qrs: np.ndarray  # ms, with bundle branch block
    qtc: np.ndarray  # ms, without prolongation
    long_qtc: np.ndarray  # ms, with prolongation
    axis: np.ndarray  # [P, 2] usual axis limit and axis when deviated left, degrees
    ectopic: np.ndarray  # [P, 7] direction (6) and width factor of ventricular ectopic beats
    subtype: np.ndarray  # [P, 9] uniform numbers: which form of each morphology
    severity: np.ndarray  # [P, 9] 0 slight .. 1 marked
    has: np.ndarray  # bool [P, 9] morphologies
    tendency: np.ndarray  # 0 none, 1 fibrillation, 2 flutter
    extras: np.ndarray  # bool [P, 3]

    def take(self, who: np.ndarray) -> "Patients":
        """The same arrays, row i that of patient `who[i]`."""
        return Patients(**{name: value[who] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Visits:
    """Arrays over records `[R, ...]`: what each record shows."""

    patient: np.ndarray  # index into Patients
    rhythm: np.ndarray  # index into RHYTHMS
    rate: np.ndarray  # ventricular beats per minute that are aimed at
    extras: np.ndarray  # bool [R, 3]
    shows: np.ndarray  # bool [R, 9]
    severity: np.ndarray  # [R, 9]


def draw_patients(rng: np.random.Generator, n: int) -> Patients:
    """`n` patients; on average the shares of COMBINATIONS, TENDENCY_SHARES, EXTRA_SHARES hold."""
    kinds, weights = zip(*COMBINATIONS, strict=True)
    kind = rng.choice(len(kinds), size=n, p=np.array(weights) / sum(weights))
    has = np.zeros((n, len(MORPHOLOGIES)), dtype=bool)
    for row, k in enumerate(kind):
        has[row, list(kinds[k])] = True
    extra_share = [share for share, _ in EXTRA_SHARES]
    kind_of_extra = rng.choice(len(EXTRAS) + 1, size=n, p=[*extra_share, 1 - sum(extra_share)])
    age = np.clip(rng.normal(55 + 6 * has.sum(axis=1), 16), 18, 95).round()
    sex = (rng.random(n) < 0.48).astype(int)
    slow = np.where(rng.random(n) < 0.07, rng.uniform(6, 14, n), 0.0)  # nonspecific delay, ms
    return Patients(
        age=age,
        sex=sex,
        angles=rng.normal(0, (17, 18, 11), (n, 3)) - np.array([0.25, 0, 0]) * (age - 60)[:, None],
        repolarisation=rng.normal(0, (14, 18, 12), (n, 3)),
        atria=rng.normal(0, (14, 14, 10), (n, 3)),
        qrs_noise=rng.standard_normal((n, 10, 3)),
        st_noise=rng.standard_normal((n, 6, 3)),
        gains=np.exp(rng.normal((-0.05, 0.03, 0.08), (0.28, 0.22, 0.35), (n, 3))),
        lead_gain=np.exp(rng.normal(_LEAD_GAIN, (0.18, 0.08) + (0.20,) * 6, (n, 8))),
        electrode_shift=rng.normal(0, 0.4, n),
        pr=np.clip(rng.normal(153, 20, n), 112, 194),
        long_pr=212 + np.minimum(rng.gamma(1.7, 24, n), 130),
        qrs=np.clip(rng.normal(89, 8, n) - 4 * sex, 70, 104) + slow,
        late=np.where(rng.random(n) < 0.12, rng.uniform(0.1, 0.35, n), 0.0),
        broad_qrs=np.clip(rng.normal(143, 12, n), 123, 176),
        qtc=np.clip(rng.normal(404, 17, n) + 8 * sex, 360, 446),
        long_qtc=476 + np.minimum(rng.gamma(1.8, 20, n), 110),
        axis=np.stack([rng.uniform(-27, -5, n), rng.uniform(-70, -33, n)], axis=1),
        ectopic=rng.standard_normal((n, 7)),
        subtype=rng.random((n, len(MORPHOLOGIES))),
        severity=rng.beta(1.7, 1.7, (n, len(MORPHOLOGIES))),
        has=has,
        tendency=rng.choice(3, size=n, p=TENDENCY_SHARES),
        extras=kind_of_extra[:, None] == np.arange(len(EXTRAS)),
    )


def draw_visits(rng: np.random.Generator, patients: Patients, each: int) -> Visits:
    """`each` records of every patient, in the patients' order."""
    patient = np.repeat(np.arange(len(patients.age)), each)
    n = len(patient)
    shares = np.cumsum(np.array(RHYTHM_SHARES), axis=1)[patients.tendency[patient]]
    rhythm = (rng.random(n)[:, None] > shares[:, :-1]).sum(axis=1)
    rate_spread = rng.normal(0, 1, n)
    often = np.array([share for _, share in EXTRA_SHARES])
    extras = patients.extras[patient] & (rng.random((n, len(EXTRAS))) < often)
    extras[rhythm == TACHYCARDIA, BLOCK] = False
    extras[rhythm >= FIBRILLATION, BLOCK] = False
    extras[rhythm >= FIBRILLATION, PAC] = False
    extras[rhythm == FLUTTER, PVC] = False
    shows = patients.has[patient] & (rng.random((n, len(MORPHOLOGIES))) < np.array(PERSISTENCE))
    severity = patients.severity[patient] + rng.normal(0, 0.1, shows.shape)
    return Visits(
        patient=patient,
        rhythm=rhythm,
        rate=_rate(rhythm, rate_spread, rng.random(n)),
        extras=extras,
        shows=shows,
        severity=np.clip(severity, 0, 1),
    )


def _rate(rhythm: np.ndarray, spread: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Ventricular rate per minute; flutter's follows from its atrial rate (synthetic_rhythm)."""
    by_rhythm = np.stack(
        [
            np.clip(75 + 10 * spread, 62, 97),
            np.clip(53 + 4.5 * spread, 38, 58),
            np.minimum(103 - 14 * np.log(uniform), 158),
            np.clip(84 * np.exp(0.27 * spread), 46, 165),
            np.full(len(rhythm), np.nan),
        ]
    )
    return by_rhythm[rhythm, np.arange(len(rhythm))]
