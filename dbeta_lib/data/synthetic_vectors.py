"""Heart vectors of the synthetic cohort: Gaussian kernels in x, y, z and their way to the leads.

The heart is one moving dipole. Each wave is a sum of Gaussians in time, each with an amplitude
along x (left), y (down) and z (back): McSharry, Clifford, Tarassenko & Smith, IEEE Trans. Biomed.
Eng. 50(3), 289 (2003), in the three-dimensional form of Sameni, Clifford, Jutten & Shamsollahi,
EURASIP J. Adv. Signal Process. 2007, 43407. The eight independent leads follow by the matrix of
Dower, Machado & Osborne, Clin. Cardiol. 3, 87 (1980). The amplitudes were set by hand so that the
beats resemble the average beats of the same diagnoses in PTB-XL (Wagner et al., Sci. Data 7, 154
(2020)); no recording is copied.
"""

import numpy as np

# Rows I, II, V1..V6; columns x, y, z (Dower, Machado & Osborne 1980).
DOWER = (
    (0.632, -0.235, 0.059),
    (0.235, 1.066, -0.132),
    (-0.515, 0.157, -0.917),
    (0.044, 0.164, -1.387),
    (0.882, 0.098, -1.277),
    (1.213, 0.127, -0.601),
    (1.125, 0.127, -0.086),
    (0.831, 0.076, 0.230),
)

# QRS: ten kernels every QRS_STEP from -48 ms to 60 ms, and three late ones for delayed conduction.
# At this width the complex lasts QRS_MS; a wider one is the same in stretched time.
QRS_MS, QRS_STEP, QRS_WIDTH = 88.0, 12.0, 8.0
QRS_ONSET, QRS_END = -42.0, 46.0
LATE_MS, LATE_WIDTH = (34.0, 54.0, 74.0), 14.0

NORMAL_QRS = (
    (-0.005, -0.005, -0.005),
    (-0.010, -0.005, -0.005),
    (-0.085, -0.030, -0.150),
    (0.190, 0.040, -0.290),
    (1.240, 0.460, 0.190),
    (0.060, 0.130, 0.640),
    (-0.130, -0.010, 0.310),
    (-0.025, 0.000, 0.040),
    (-0.015, 0.000, 0.005),
    (0.000, 0.000, 0.000),
)
# Left bundle branch block (stretched 1.5 times): no septal vector, slow notched leftward and
# backward forces.
LBBB_QRS = (
    (0.000, 0.000, 0.000),
    (0.010, 0.005, 0.010),
    (0.080, 0.010, -0.080),
    (0.400, 0.100, 0.170),
    (0.640, 0.220, 1.050),
    (0.470, 0.140, 1.400),
    (0.440, 0.040, 1.150),
    (0.480, -0.060, 0.740),
    (0.190, -0.060, 0.300),
    (0.020, -0.010, 0.070),
)
# Left anterior fascicular delay: first down and right, then up and left.
LEFT_AXIS_QRS = (
    (-0.005, 0.000, -0.005),
    (0.000, 0.015, -0.005),
    (-0.060, 0.070, -0.100),
    (0.280, 0.110, -0.180),
    (0.860, -0.050, 0.150),
    (-0.050, -0.420, 0.430),
    (-0.200, -0.300, 0.260),
    (-0.100, -0.110, 0.070),
    (-0.030, -0.020, 0.010),
    (0.000, 0.000, 0.000),
)
# Terminal forces of right bundle branch block: slow, to the right and to the front.
RBBB_LATE = ((-0.360, -0.030, -0.400), (-0.330, 0.010, -0.360), (-0.150, 0.010, -0.150))

# After the QRS: two ST kernels, the T wave's slow rise, its peak and its fall, and a U wave.
NORMAL_ST_T = (
    (-0.004, -0.001, -0.050),
    (0.020, 0.008, -0.080),
    (0.130, 0.070, -0.200),
    (0.180, 0.125, -0.160),
    (0.020, 0.015, -0.010),
    (0.012, 0.010, -0.015),
)
# P wave: right, then left atrium; centres and width in ms after its onset.
P_CENTRES, P_WIDTH = (38.0, 70.0), 18.0
NORMAL_P = ((0.050, 0.095, -0.042), (0.078, 0.070, 0.024))


def lead_matrix(shift: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Dower's rows for electrodes moved along the chest: `[n, 8, 3]`.

    `shift` `[n]` moves V1..V6 towards V6 (+) or V1 (-), in electrode distances, by interpolation
    between neighbouring rows; `gain` `[n, 8]` scales each lead.
    """
    dower = np.array(DOWER)
    place = np.clip(np.arange(6) + shift[:, None], 0.0, 5.0)
    low = np.minimum(place.astype(int), 4)
    part = (place - low)[..., None]
    chest = dower[2:][low] * (1 - part) + dower[2:][low + 1] * part
    limb = np.broadcast_to(dower[:2], (len(shift), 2, 3))
    return np.concatenate([limb, chest], axis=1) * gain[..., None]


def rotation(frontal: np.ndarray, horizontal: np.ndarray, sagittal: np.ndarray) -> np.ndarray:
    """Rotation matrices `[n, 3, 3]` for angles in degrees.

    Positive `frontal` turns from left to down (clockwise as the reader sees it), `horizontal` from
    left to back, `sagittal` from down to back.
    """

    def plane(angle: np.ndarray, a: int, b: int) -> np.ndarray:
        turn = np.broadcast_to(np.eye(3), (len(angle), 3, 3)).copy()
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turn[:, a, a], turn[:, b, b] = cos, cos
        turn[:, a, b], turn[:, b, a] = -sin, sin
        return turn

    return plane(frontal, 0, 1) @ plane(horizontal, 0, 2) @ plane(sagittal, 1, 2)


def frontal_axis(qrs: np.ndarray) -> np.ndarray:
    """Electrical axis in degrees from the net QRS area in I and aVF; `qrs` is `[n, K, 3]`.

    aVF is scaled by 2 / sqrt(3), since augmented leads are recorded smaller than the bipolar ones.
    """
    area = qrs.sum(axis=1) @ np.array(DOWER[:2]).T
    one, avf = area[:, 0], area[:, 1] - area[:, 0] / 2
    return np.degrees(np.arctan2(avf * 2 / np.sqrt(3), one))


def turn_to_axis(qrs: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`qrs` `[n, K, 3]` turned in the frontal plane until its axis is `target` `[n]` degrees."""
    zero = np.zeros(len(qrs))
    for _ in range(6):
        off = (target - frontal_axis(qrs) + 180) % 360 - 180
        qrs = qrs @ rotation(0.8 * off, zero, zero).transpose(0, 2, 1)
    return qrs
