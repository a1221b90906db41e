"""What a result must beat: a random encoder, hand-made measurements, heart rate, the text alone.

Each gives features that go through the same probe as a trained encoder's. The measurements are
made here from the median beat, simply: they are a yardstick, not a clinical analysis.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.signal import butter, find_peaks, sosfiltfilt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from dbeta_lib.errors import UsageError
from dbeta_lib.leads import LEADS
from dbeta_lib.seeds import int_seed

BEFORE, AFTER = 0.30, 0.50  # s, the median beat's window around R


def random_encoder(config, seed: int):
    """An untrained DBeta of this config in evaluation mode, the same for the same seed.

    The initial weights are those a training run with these random numbers would start from;
    torch's global state is left as it was.
    """
    from dbeta_lib.model import DBeta

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int_seed(seed, "random-encoder"))
        return DBeta(config, load_text_weights=False).eval()


class HandMadeFeatures:
    """Measurements of rhythm and median beat as an Encoder: 10 of the record, 5 of each lead.

    >>> HandMadeFeatures().encode_ecg(torch.zeros(1, 12, 1000)).shape
    torch.Size([1, 70])
    """

    leads = LEADS
    weights_hash = "hand-made features, version 1"  # to be raised when a measurement changes
    names = (
        "rate", "rr_sd", "rr_successive", "rr_shortest", "beats", "beat_likeness",
        "qrs_ms", "pr_ms", "axis_cos", "axis_sin",
        *(f"{what}_{lead}" for what in ("r", "s", "st", "t", "p") for lead in LEADS),
    )  # fmt: skip

    def __init__(self, sampling_rate: int = 100) -> None:
        self.sampling_rate = sampling_rate  # Hz

    def encode_ecg(self, ecg: Tensor, lead_mask: Tensor | None = None) -> Tensor:
        """ecg float mV `[B, 12, T]` -> `[B, 70]` in the order of `names` (bpm, s, ms, mV)."""
        signals = ecg.detach().cpu().double().numpy()
        if lead_mask is not None:
            signals = signals * lead_mask.cpu().numpy()[..., None]
        rows = [measure(signal, self.sampling_rate) for signal in signals]
        return torch.from_numpy(np.stack(rows).astype(np.float32))


def measure(ecg: np.ndarray, sampling_rate: int) -> np.ndarray:
    """The measurements of one ECG, mV `[12, T]` -> `[70]`; zeros where no three beats are found."""
    peaks = find_beats(ecg, sampling_rate)
    before, after = int(BEFORE * sampling_rate), int(AFTER * sampling_rate)
    whole = peaks[(peaks >= before) & (peaks + after < ecg.shape[1])]
    if len(peaks) < 3 or len(whole) < 1:
        return np.zeros(len(HandMadeFeatures.names))
    beats = np.stack([ecg[:, p - before : p + after] for p in whole])  # [beats, 12, window]
    beats = beats - _window(beats, -0.09, -0.05, sampling_rate).mean(-1, keepdims=True)
    median = np.median(beats, axis=0)
    return np.concatenate(
        [
            _rhythm(peaks / sampling_rate),
            [_likeness(beats, median)],
            _intervals(median, sampling_rate),
            _axis(median, sampling_rate),
            _amplitudes(median, sampling_rate),
        ]
    )


def find_beats(ecg: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Samples of the R peaks of one ECG `[12, T]`: where all leads have energy in 5-20 Hz."""
    if ecg.shape[1] < sampling_rate:
        return np.zeros(0, dtype=int)
    band = butter(2, (5, 20), btype="bandpass", fs=sampling_rate, output="sos")
    energy = np.sqrt((sosfiltfilt(band, ecg, axis=-1) ** 2).sum(axis=0))
    width = max(1, round(0.08 * sampling_rate))
    smooth = np.convolve(energy, np.full(width, 1 / width), mode="same")
    height = 0.35 * np.quantile(smooth, 0.98)
    if height <= 1e-6:
        return np.zeros(0, dtype=int)
    peaks = find_peaks(smooth, height=height, distance=max(1, round(0.25 * sampling_rate)))[0]
    reach = round(0.06 * sampling_rate)
    return np.array([_r_peak(ecg, peak, reach) for peak in peaks], dtype=int)


def heart_rate(ecg: np.ndarray, sampling_rate: int) -> float:
    """Beats per minute of one ECG `[12, T]`, by the median interval; NaN below three beats."""
    peaks = find_beats(ecg, sampling_rate)
    return 60 * sampling_rate / float(np.median(np.diff(peaks))) if len(peaks) > 2 else np.nan


def _r_peak(ecg: np.ndarray, peak: int, reach: int) -> int:
    """The sample within `reach` of a complex's energy peak where the leads are farthest out."""
    start = max(0, peak - reach)
    part = ecg[:, start : peak + reach + 1]
    return start + int(np.abs(part - np.median(part, axis=1, keepdims=True)).sum(axis=0).argmax())


def _window(beats: np.ndarray, start: float, end: float, sampling_rate: int) -> np.ndarray:
    """The part of `[..., window]` from `start` to `end` seconds after R."""
    first = round((BEFORE + start) * sampling_rate)
    return beats[..., first : max(first + 1, round((BEFORE + end) * sampling_rate))]


def _rhythm(times: np.ndarray) -> list[float]:
    """Rate (bpm); RR's spread, successive difference and shortest, over its median; beats."""
    rr = np.diff(times)
    middle = np.median(rr)
    successive = np.sqrt(np.mean(np.diff(rr) ** 2)) if len(rr) > 1 else 0.0
    return [60 / middle, rr.std() / middle, successive / middle, rr.min() / middle, len(times)]


def _likeness(beats: np.ndarray, median: np.ndarray) -> float:
    """Lowest correlation of a beat with the median beat: ectopic beats look otherwise."""
    flat = beats.reshape(len(beats), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    target = median.ravel() - median.mean()
    norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(target)
    return float((flat @ target / np.maximum(norms, 1e-9)).min())


def _intervals(median: np.ndarray, sampling_rate: int) -> list[float]:
    """QRS width and PR (P's peak to R), in ms."""
    speed = np.sqrt((np.gradient(median, axis=-1) ** 2).sum(axis=0))
    near = _window(speed, -0.12, 0.14, sampling_rate)
    fast = np.flatnonzero(near > 0.15 * near.max()) if near.max() > 0 else np.zeros(1)
    atrial = np.abs(_window(median[[1, 6]], -0.28, -0.08, sampling_rate)).sum(axis=0)
    pr = 280 - 1000 * int(atrial.argmax()) / sampling_rate
    return [1000 * (fast[-1] - fast[0] + 1) / sampling_rate, pr]


def _axis(median: np.ndarray, sampling_rate: int) -> list[float]:
    """Cosine and sine of the frontal QRS axis, from the areas of I and aVF."""
    area = _window(median, -0.06, 0.08, sampling_rate).sum(axis=-1)
    angle = np.arctan2(area[LEADS.index("aVF")], area[LEADS.index("I")])
    return [float(np.cos(angle)), float(np.sin(angle))]


def _amplitudes(median: np.ndarray, sampling_rate: int) -> np.ndarray:
    """R, S, ST level, T and P of each lead in mV against the PR segment: `[60]`."""
    qrs = _window(median, -0.06, 0.08, sampling_rate)
    return np.concatenate(
        [
            qrs.max(axis=-1),
            qrs.min(axis=-1),
            _window(median, 0.10, 0.13, sampling_rate).mean(axis=-1),
            _extreme(_window(median, 0.16, 0.45, sampling_rate)),
            _extreme(_window(median, -0.28, -0.09, sampling_rate)),
        ]
    )


def _extreme(part: np.ndarray) -> np.ndarray:
    """The value farthest from zero, with its sign, along the last axis."""
    return np.take_along_axis(part, np.abs(part).argmax(-1)[:, None], axis=-1)[:, 0]


def heart_rate_features(rate: Sequence[float], step: float = 15.0) -> np.ndarray:
    """Heart rate alone, bpm `[N]` -> `[N, knots]`: hat functions, so that any curve can be fitted.

    A linear probe on them is a one-feature classifier that may find both slow and fast rhythms;
    a rate that is unknown (NaN) is all zeros.
    """
    rate = np.asarray(rate, dtype=np.float64)
    knots = np.arange(30.0, 225.0 + step, step)
    hats = np.maximum(0, 1 - np.abs(np.clip(rate, knots[0], knots[-1])[:, None] - knots) / step)
    return np.nan_to_num(hats)


def text_features(
    texts: Sequence[str], train: np.ndarray, dim: int = 256, seed: int = 0
) -> np.ndarray:
    """TF-IDF of words and word pairs, reduced by SVD, fitted on the `train` rows: `[N, <= dim]`.

    With the probe on top (one scale for all: small components are small for a reason) this is
    the text-only classifier: what the reports alone give away.
    """
    texts = list(texts)
    words, counts = _counted(texts, train, r"\S+")
    rank = min(dim, min(counts.shape) - 1)
    if rank < 1:
        return words.transform(texts).toarray()
    reduce = TruncatedSVD(rank, random_state=int_seed(seed, "text-features") % 2**32)
    reduce.fit(counts)
    return reduce.transform(words.transform(texts))


def report_scores(
    texts: Sequence[str], train: np.ndarray, asked: Sequence[Sequence[str]]
) -> np.ndarray:
    """Zero-shot that reads the report and no ECG: `[N, K]`, 0..1, of reports and K classes.

    The mean over a class's sentences (`asked`) of the cosine between the TF-IDF of report and
    sentence, words and word pairs, fitted on the `train` rows: what the words alone give away.
    """
    texts, flat = list(texts), [text for its in asked for text in its]
    words, _ = _counted(texts, train, r"\w+")  # a sentence and a report differ in full stops
    found = (words.transform(texts) @ words.transform(flat).T).toarray()  # rows have length 1
    ends = np.cumsum([len(its) for its in asked])[:-1]
    return np.stack([part.mean(axis=1) for part in np.split(found, ends, axis=1)], axis=1)


def _counted(texts: list[str], train: np.ndarray, token: str) -> tuple[TfidfVectorizer, object]:
    """The TF-IDF that the training reports fit, and theirs."""
    train = np.asarray(train)
    if train.dtype == bool:
        train = np.flatnonzero(train)
    if not len(train):
        raise UsageError("a text-only classifier needs training reports")
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=token)
    try:
        return words, words.fit_transform([texts[i] for i in train])
    except ValueError as error:  # no word stands in two reports
        raise UsageError(f"the training reports share no word ({error})") from error
