"""Another sampling rate by a polyphase filter: the one place where rates are changed."""

from fractions import Fraction

import numpy as np


def ratio(rate: float, to_rate: float) -> Fraction:
    """`to_rate / rate` in small whole numbers: 257 to 500 Hz is 500/257."""
    return (Fraction(to_rate) / Fraction(rate)).limit_denominator(10_000)


def polyphase(
    ecg: np.ndarray,
    rate: float,
    to_rate: float,
    *,
    low_pass: np.ndarray | None = None,
    padtype: str = "line",
) -> np.ndarray:
    """`[..., T]` at `rate` Hz -> `[..., T * to_rate / rate]` at `to_rate` Hz, same units and dtype.

    low_pass: taps at the common rate; scipy's own by default (Kaiser window, beta 5). padtype:
    "line" continues the straight line from the first to the last sample past both ends, so that an
    offset makes no edge; "constant" takes zeros there.
    """
    if rate == to_rate:
        return ecg
    from scipy.signal import resample_poly  # a second of import, for who changes a rate alone

    change = ratio(rate, to_rate)
    taps = {} if low_pass is None else {"window": low_pass}
    found = resample_poly(
        ecg, change.numerator, change.denominator, axis=-1, padtype=padtype, **taps
    )
    return found.astype(ecg.dtype, copy=False)
