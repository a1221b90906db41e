"""Windows of ten seconds out of recordings of any length and rate, as a store keeps them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from dbeta_lib.data import quality
from dbeta_lib.data.recordings import Recordings, in_mv
from dbeta_lib.data.signals import (
    MIN_SECONDS,
    SECONDS,
    Rejected,
    Signal,
    resample,
    to_signals,
)
from dbeta_lib.data.wfdb_read import Recording
from dbeta_lib.errors import UsageError, nearest

WINDOWS = ("first", "centre", "all")
_TOGETHER = 32  # windows cleaned and checked at a time; with more, they no longer fit the cache


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

    window, keep_seconds: as for `split`. Cut first, then resampled to `hz`: a window never holds
    what its neighbour does. Raises Rejected when there is less than a second.
    """
    return next(to_rows([split(recording, window, keep_seconds)], hz))


def split(recording: Recording, window: str, keep_seconds: float = SECONDS) -> list[Recording]:
    """The windows of a recording, without a copy.

    window: "first" ten seconds; "centre"; "all" whole windows from the start (what is left over is
    shorter than ten seconds and not kept). A shorter recording is one window. keep_seconds: so much
    of each window; 5 is MERL's convention. Raises Rejected when there is less than a second.
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
        Recording(recording.samples[:, start : start + part], recording.lead_mask, rate)
        for start in starts
    ]


def to_rows(
    split_up: Sequence[list[Recording] | Rejected], hz: int
) -> Iterator[list[tuple[int, Signal | Rejected]]]:
    """What a store keeps of recordings that were `split`: `(index, signal)` of each window.

    Ten seconds at `hz`, zeros after the end of a shorter window, `Signal.padded` of them. A window
    that cannot be kept is its `Rejected`; a recording that could not be read is one of these.
    """
    windows = [w for each in split_up if not isinstance(each, Rejected) for w in each]
    signals = iter(_signals(windows, hz))
    for each in split_up:
        if isinstance(each, Rejected):
            yield [(0, each)]
        else:
            is_one = len(each) == 1
            yield [(i, s if is_one else _numbered(s, i)) for i, s in zip(range(len(each)), signals)]


def _numbered(signal: Signal | Rejected, index: int) -> Signal | Rejected:
    if isinstance(signal, Signal):
        return signal
    return Rejected(signal.reason, f"window {index}: {signal.detail}")


def _signals(windows: Sequence[Recording], hz: int) -> list[Signal | Rejected]:
    """Each window cleaned and checked, those of one length and rate together."""
    found: list = [None] * len(windows)
    alike = defaultdict(list)
    for place, window in enumerate(windows):
        kind = (window.samples.shape, window.samples.dtype, window.sampling_rate)
        alike[kind].append(place)
    for (_, _, rate), places in alike.items():
        for start in range(0, len(places), _TOGETHER):
            some = places[start : start + _TOGETHER]
            samples, masks = zip(*((windows[p].samples, windows[p].lead_mask) for p in some))
            together = Recordings(np.stack(samples), np.stack(masks), rate)
            for place, signal in zip(some, _kept(together, hz), strict=True):
                found[place] = signal
    return found


def _kept(recordings: Recordings, hz: int) -> list[Signal | Rejected]:
    """Cleaned, checked, and with zeros up to ten seconds."""
    samples, rate = recordings.samples, recordings.sampling_rate
    at_rate = recordings
    if rate != hz:
        resampled = np.stack([resample(each, rate, hz) for each in in_mv(samples)])
        at_rate = Recordings(resampled, recordings.lead_mask, hz)
    signals = to_signals(at_rate)
    rows = [row for row, signal in enumerate(signals) if isinstance(signal, Signal)]
    # Looked at as recorded: resampling hides clipping and hum.
    findings = quality.flags(recordings.only(rows)) if rows else []
    for row, names in zip(rows, findings, strict=True):
        uv, padded = _padded(signals[row].uv, SECONDS * hz)
        signals[row] = signals[row].replace(uv=uv, padded=padded, findings=names)
        _ = signals[row].hash  # worked out here, in a worker, and sent with the signal
    return signals


def _padded(uv: np.ndarray, samples: int) -> tuple[np.ndarray, int]:
    """Exactly so many samples: with zeros after the end, how many of them, or cut there."""
    missing = max(samples - uv.shape[1], 0)
    uv = np.pad(uv, ((0, 0), (0, missing))) if missing else uv[:, :samples]
    return np.ascontiguousarray(uv), missing
