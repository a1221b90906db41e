"""Medians of many small sets at once: of an even number the upper one, several times faster than
numpy's, for values without NaN.
"""

import numpy as np

NINE = 9
# Nineteen exchanges after which place 4 of nine holds their median: N. Devillard, "Fast median
# search" (1998), opt_med9, after J. L. Smith, XCell 23, 30 (1996).
_EXCHANGES = (
    (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3), (5, 8), (4, 7),
    (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
)  # fmt: skip


def middle(values: np.ndarray, axis: int) -> np.ndarray:
    """The median along an axis."""
    half = values.shape[axis] // 2
    return np.partition(values, half, axis=axis).take(half, axis=axis)


def middle_of(values: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The median along the last axis of those marked True in `which`; 0 where none is.

    values: 0 or more `[..., k]`; which: bool of the same shape, or of one that grows to it.
    """
    ordered = np.sort(np.where(which, values, -1), axis=-1)  # the others stand before them
    count = np.broadcast_to(which, ordered.shape).sum(axis=-1)
    at = np.minimum(ordered.shape[-1] - count + count // 2, ordered.shape[-1] - 1)
    found = np.take_along_axis(ordered, at[..., None], axis=-1)[..., 0]
    return np.where(count > 0, found, 0)


def middle_of_nine(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The median over axis 1 of `[n, 9, ...]`: of the first `count` (`[n]`, 1 to 9) of the nine.

    What follows the first `count` is not looked at, and overwritten. Each exchange is one minimum
    and one maximum of whole arrays, which takes a seventh of the time of sorting so many nines.
    """
    places = np.arange(NINE)
    below = count + NINE // 2 - count // 2  # to here -inf, then inf: the median stays in the middle
    values[(places >= count[:, None]) & (places < below[:, None])] = -np.inf
    values[places >= below[:, None]] = np.inf
    nine = [values[:, place] for place in places]
    for a, b in _EXCHANGES:
        nine[a], nine[b] = np.minimum(nine[a], nine[b]), np.maximum(nine[a], nine[b])
    return nine[NINE // 2]
