"""Windows of ten seconds out of recordings of any length and rate."""

import numpy as np

from dbeta_lib.data import quality
from dbeta_lib.data.recordings import Recordings, in_mv
from dbeta_lib.data.signals import (
    MIN_SECONDS,
    SECONDS,
    Rejected,
    Signal,
    resample,
    to_signal,
)
from dbeta_lib.data.wfdb_read import Recording
from dbeta_lib.errors import UsageError, nearest

WINDOWS = ("first", "centre", "all")


def check_window(window: str, keep_seconds: float) -> None:
    """Raises UsageError for an unknown choice."""
    if window not in WINDOWS:
        raise UsageError(f"window='{window}' is no choice{nearest(str(window), WINDOWS)}")
    if not isinstance(keep_seconds, int | float) or not MIN_SECONDS <= keep_seconds <= SECONDS:
        raise UsageError(f"keep_seconds={keep_seconds!r} must be between {MIN_SECONDS:g} and 10")


def cut(
    recording: Recording, hz: int, window: str = "first", keep_seconds: float = SECONDS
) -> list[tuple[int, Signal | Rejected]]:
    """`(index, signal)` of each window; a window that cannot be kept is its `Rejected`.

    window: "first" ten seconds; "centre"; "all" whole windows from the start (what is left over is
    shorter than ten seconds and not kept). A shorter recording is one window with zeros after its
    end, `Signal.padded` of them. keep_seconds: so much of each window, zeros after it; 5 is MERL's
    convention. Cut first, then resampled to `hz`: a window never holds what its neighbour does.
    Raises Rejected when there is less than a second.
    """
    rate, length = recording.sampling_rate, recording.samples.shape[1]
    if length < MIN_SECONDS * rate:
        raise Rejected("too short", f"{length / rate:.2f} s; at least 1 s is needed")
    whole = round(SECONDS * rate)
    starts = {
        "first": [0],
        "centre": [max(0, (length - whole) // 2)],
        "all": [*range(0, max(length - whole, 0) + 1, whole)],
    }[window]
    part = min(whole, round(keep_seconds * rate))
    return [
        (index, _window(recording, start, part, hz, len(starts) > 1, index))
        for index, start in enumerate(starts)
    ]


def _window(
    recording: Recording, start: int, part: int, hz: int, is_one_of_many: bool, index: int
) -> Signal | Rejected:
    samples, rate, mask = (
        recording.samples[:, start : start + part],
        recording.sampling_rate,
        recording.lead_mask,
    )
    try:
        at_rate = samples if rate == hz else resample(in_mv(samples), rate, hz)
        signal = to_signal(at_rate, mask)
    except Rejected as reason:
        where = f"window {index}: " if is_one_of_many else ""
        return Rejected(reason.reason, where + reason.detail)
    # Looked at as recorded: resampling hides clipping and hum.
    (findings,) = quality.flags(Recordings(samples[None], mask[None], rate))
    signal = pad(signal.replace(findings=findings), SECONDS * hz)
    _ = signal.hash  # worked out here, in a worker, and sent with the signal
    return signal


def pad(signal: Signal, samples: int) -> Signal:
    """The signal with exactly so many samples: zeros after its end, or cut there."""
    missing = samples - signal.uv.shape[1]
    if missing <= 0:
        uv = np.ascontiguousarray(signal.uv[:, :samples])
    else:
        uv = np.pad(signal.uv, ((0, 0), (0, missing)))
    return signal.replace(uv=uv, padded=max(missing, 0))
