"""Why this score? Hide one piece of an ECG after another and see how far the score falls.

Occlusion (Zeiler and Fergus, ECCV 2014, section 4.2) asks the model and nothing else: a piece of
one lead, or of all leads at once, is replaced by a straight line between its neighbours, so that no
step arises, and the class score is taken again. What falls when it is hidden had spoken for the
class. It tells what this model used, which need not be what a reader would look at; and since the
twelve leads say much the same, hiding one of them may change little although all of them matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import check_encoder, device_of, evaluating, to_encoder_input
from dbeta_lib.evaluation.zero_shot import similarities_to, text_vectors
from dbeta_lib.leads import LEADS

BATCH = 64  # hidden variants encoded at once


@dataclass(frozen=True)
class Occlusion:
    """How much a score falls when pieces are hidden: whole minus hidden, in the score's units.

    Positive: the piece spoke for the class. Leads that were not recorded are NaN.
    """

    score: float  # of the whole ECG
    edges: np.ndarray  # float64 [W + 1], seconds between which the pieces lie
    pieces: np.ndarray  # float64 [12, W]: one lead, one piece
    seconds: np.ndarray  # float64 [W]: one piece in all leads at once
    leads: np.ndarray  # float64 [12]: one lead throughout, zeroed and masked


def occlude(
    model,
    ecg: np.ndarray,
    sampling_rate: int,
    texts: Sequence[str],
    *,
    lead_mask: np.ndarray | None = None,
    window: float = 1.0,
) -> Occlusion:
    """Occlusion of one ECG's score for a class: the mean similarity with the class's `texts`.

    ecg: mV `[12, T]` in the order of `LEADS`; lead_mask bool `[12]`, False = not recorded; window:
    seconds of a piece, the last one may be shorter. One encoding for each recorded lead and piece,
    one for each piece and one for each lead. Raises UsageError without a text or for a window
    that is no part of the ECG.
    """
    check_encoder(model)
    ecg = np.asarray(ecg, dtype=np.float32)
    mask = np.ones(len(LEADS), bool) if lead_mask is None else np.asarray(lead_mask, dtype=bool)
    if not len(texts):
        raise UsageError("a class without a text has no score to explain; give it a sentence")
    stops = _stops(ecg.shape[1], window * sampling_rate, window)
    there = np.flatnonzero(mask)
    vectors = text_vectors(model, texts)
    jobs = [(slice(0, 0), [])]
    jobs += [(piece, [lead]) for lead in there for piece in stops]
    jobs += [(piece, there) for piece in stops]
    hidden = [(without(ecg, piece, leads), mask) for piece, leads in jobs]
    hidden += [(ecg, mask & (np.arange(len(LEADS)) != lead)) for lead in there if len(there) > 1]
    scores = _scores(model, hidden, sampling_rate, vectors)
    fall = scores[0] - scores[1:]
    count = len(there) * len(stops)
    pieces, leads = np.full((len(LEADS), len(stops)), np.nan), np.full(len(LEADS), np.nan)
    pieces[there] = fall[:count].reshape(len(there), len(stops))
    if len(there) > 1:
        leads[there] = fall[count + len(stops) :]
    edges = np.array([*(piece.start for piece in stops), stops[-1].stop]) / sampling_rate
    return Occlusion(float(scores[0]), edges, pieces, fall[count : count + len(stops)], leads)


def without(ecg: np.ndarray, piece: slice, leads: Sequence[int]) -> np.ndarray:
    """A copy of mV `[12, T]` with a piece of some leads drawn as a straight line.

    The line runs from the sample before the piece to the sample after it; at the record's ends it
    is level.
    """
    ecg = ecg.copy()
    length = piece.stop - piece.start
    if not length or not len(leads):
        return ecg
    before = ecg[leads, piece.start - 1] if piece.start else ecg[leads, piece.stop]
    after = ecg[leads, piece.stop] if piece.stop < ecg.shape[1] else before
    along = np.arange(1, length + 1, dtype=np.float32) / (length + 1)
    ecg[leads, piece] = before[:, None] + (after - before)[:, None] * along
    return ecg


def _stops(samples: int, width: float, window: float) -> list[slice]:
    """The pieces, in samples; at least two, or nothing would be left to compare with."""
    step = round(width)
    if not 1 <= step < samples:
        raise UsageError(f"a window of {window:g} s is no piece of this ECG; give a shorter one")
    return [slice(a, min(a + step, samples)) for a in range(0, samples, step)]


def _scores(
    model, hidden: Sequence[tuple[np.ndarray, np.ndarray]], sampling_rate: int, texts: np.ndarray
) -> np.ndarray:
    """float64 `[n]`: mean similarity of each ECG and mask with the encoded texts."""
    found = []
    for start in range(0, len(hidden), BATCH):
        part = hidden[start : start + BATCH]
        ecgs, masks = (np.stack(each) for each in zip(*part))
        x, mask = to_encoder_input(ecgs, masks, sampling_rate, model)
        with evaluating(model):
            features = model.encode_ecg(x.to(device_of(model)), lead_mask=mask.to(device_of(model)))
        found.append(similarities_to(model, features.float().cpu().numpy(), texts).mean(axis=1))
    return np.concatenate(found)
