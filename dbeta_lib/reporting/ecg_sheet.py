"""The geometry of a sheet of ECG paper: which lead lies where, and how far the rows are apart.

Millimetres on the paper, seconds and millivolts in the recording; nothing is drawn here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.leads import LEADS, canonical, lead_index

Rows = tuple[tuple[str, ...], ...]

# Rows of leads that share the width; a row of one lead is a strip over the whole time.
LAYOUTS = {
    "3x4+rhythm": (
        ("I", "aVR", "V1", "V4"),
        ("II", "aVL", "V2", "V5"),
        ("III", "aVF", "V3", "V6"),
        ("II",),
    ),
    "6x2": (("I", "V1"), ("II", "V2"), ("III", "V3"), ("aVR", "V4"), ("aVL", "V5"), ("aVF", "V6")),
    "12x1": tuple((lead,) for lead in LEADS),
}

PULSE_S, PULSE_MV = 0.2, 1.0
PULSE_ZONE_MM = 10.0  # before the traces: the pulse and its feet
ROW_MM = (20.0, 35.0)  # least and greatest distance of two rows
EDGE_MM = (10.0, 40.0)  # least and greatest room above the first row and under the last


@dataclass(frozen=True)
class Sheet:
    """Where things lie on one sheet, in mm from the paper's lower left corner."""

    rows: Rows
    seconds: float
    speed: float  # mm/s
    gain: float  # mm/mV
    baselines: tuple[float, ...]  # height of 0 mV, per row
    height: float

    @property
    def left(self) -> float:
        """Where the first column's traces begin."""
        return PULSE_ZONE_MM + 2.0

    @property
    def width(self) -> float:
        """Whole bold squares that hold the pulse and the time shown."""
        return float(np.ceil((self.left + self.seconds * self.speed + 3.0) / 5) * 5)


@dataclass(frozen=True)
class Recording:
    """What is drawn: mV `[12, T]` without offset, which leads are there, and the rate in Hz."""

    ecg: np.ndarray
    present: np.ndarray
    sampling_rate: float

    @property
    def seconds(self) -> float:
        return self.ecg.shape[1] / self.sampling_rate


def layout_rows(layout: str) -> Rows:
    """The rows of a named layout; of leads as "II,V1" a row each, over the whole time.

    Raises UsageError for an unknown name.
    """
    if "," in layout or layout in LEADS:
        return tuple((canonical(name),) for name in layout.split(","))
    if layout not in LAYOUTS:
        raise UsageError(f"'{layout}' is no ECG layout{nearest(layout, LAYOUTS)}")
    return LAYOUTS[layout]


def to_recording(
    ecg: np.ndarray, sampling_rate: float, lead_mask: Sequence[bool] | None, seconds: float
) -> Recording:
    """Check the input, cut it to `seconds` and put each lead's median on zero.

    A lead without any finite sample counts as not recorded. Raises UsageError as `draw_ecg`.
    """
    ecg = np.asarray(ecg, dtype=float)
    if ecg.ndim != 2 or len(ecg) != len(LEADS) or ecg.shape[1] < 2:
        raise UsageError(f"an ECG to draw is [12, T] in mV, not {list(ecg.shape)}; transpose it?")
    if not sampling_rate > 0 or not seconds > 0:
        raise UsageError(f"{sampling_rate} Hz over {seconds} s cannot be drawn; both are above 0")
    ecg = np.where(np.isfinite(ecg), ecg, np.nan)[:, : max(2, round(seconds * sampling_rate))]
    present = np.ones(len(LEADS), bool) if lead_mask is None else np.array(lead_mask, dtype=bool)
    if present.shape != (len(LEADS),):
        raise UsageError(f"a lead mask has 12 entries, not {list(present.shape)}")
    present &= ~np.isnan(ecg).all(axis=1)
    centred = np.full_like(ecg, np.nan)
    centred[present] = ecg[present] - np.nanmedian(ecg[present], axis=1, keepdims=True)
    return Recording(centred, present, float(sampling_rate))


def windows(row: tuple[str, ...], seconds: float) -> Iterator[tuple[str, float, float]]:
    """Each lead of a row with the seconds in which it is shown: the columns follow in time."""
    span = seconds / len(row)
    for column, name in enumerate(row):
        yield name, column * span, (column + 1) * span


def shown(
    recording: Recording, name: str, start: float, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and mV of one lead in its window, one sample more: the pen does not lift."""
    first, last = round(start * recording.sampling_rate), round(stop * recording.sampling_rate)
    values = recording.ecg[lead_index(name), first : last + 1]
    return (first + np.arange(len(values))) / recording.sampling_rate, values


def _extent(row: tuple[str, ...], seconds: float, recordings: Sequence[Recording]) -> np.ndarray:
    """How far a row's traces go under and over their baseline, in mV, both at least 0."""
    values = [np.zeros(1)]
    for recording in recordings:
        values += [shown(recording, *window)[1] for window in windows(row, seconds)]
    joined = np.concatenate(values)
    return np.array([-np.nanmin(joined), np.nanmax(joined)])


def plan_sheet(rows: Rows, recordings: Sequence[Recording], speed: float, gain: float) -> Sheet:
    """Row distances from the traces' extent: close for small ones, never beyond `ROW_MM`.

    Tall complexes may then overlap the neighbouring row, as they do on real paper.
    """
    seconds = max(r.seconds for r in recordings)
    lows, highs = np.array([_extent(row, seconds, recordings) for row in rows]).T * gain
    gaps = [_five(low + high + 2, *ROW_MM) for low, high in zip(lows, highs[1:], strict=False)]
    top = _five(max(highs[0], PULSE_MV * gain) + 3, *EDGE_MM)
    bottom = _five(lows[-1] + 7, *EDGE_MM)
    heights = bottom + np.concatenate([[0.0], np.cumsum(gaps[::-1])])[::-1]
    return Sheet(rows, seconds, speed, gain, tuple(heights), float(heights[0] + top))


def _five(value: float, least: float, greatest: float) -> float:
    """Rounded up to a bold line's 5 mm, within bounds."""
    return float(np.clip(np.ceil(value / 5) * 5, least, greatest))
