"""Patient identification: is the second ECG of a person found among the first ECGs of many?

Of every patient with two records or more the first goes into a gallery and the second, the probe,
searches there. Nothing about diseases is asked: an encoder does well if it keeps what is a person's
own (axis, voltages, shape of the beat) and forgets what differs from day to day. The gallery and
the probes are patients whom no training has seen.

Top-k is the share of probes whose own patient is among the k most similar of the gallery; with
equal similarities the smaller gallery index stands first, so that a constant finds one patient
and no more. The equal error rate asks each pair alone: the same person, or two?

By default similarity is the cosine of embeddings. `protocol="fairseq"` is what fairseq-signals has
coded: gallery and probe are the vectors
of cosines to all K kernels of training patients, compared by their dot product as it is. Gallery
and probes are here those of a split; there 20 % of the patients are drawn, one 5 s crop of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from dbeta_lib.data.splits import check_disjoint
from dbeta_lib.data.store import SPLITS
from dbeta_lib.errors import UsageError, nearest
from dbeta_lib.evaluation.equal_error_rate import equal_error_rate, resampled_rates
from dbeta_lib.evaluation.metrics import Interval, interval, patient_weights
from dbeta_lib.evaluation.patient_pairs import Pairs, gallery_and_probe
from dbeta_lib.evaluation.results import Result

PROTOCOLS = ("cosine", "fairseq")
METRICS = ("top1", "top5", "eer")
TASK = "identification"  # of result records; also the name of their protocol


@dataclass(frozen=True)
class Identification:
    """What `identify` finds for P patients."""

    protocol: str  # "cosine" | "fairseq"
    split: str
    pairs: Pairs = field(repr=False)
    similarity: np.ndarray = field(repr=False)  # [P, P]: probe i, gallery j; a person's own at i, i
    places: np.ndarray = field(repr=False)  # int [P], of the own patient, 1 = first
    top1: Interval  # 0..1
    top5: Interval
    eer: Interval  # 0..1, small is good
    threshold: float  # of the similarity, at which the two errors are equal

    @property
    def patients(self) -> np.ndarray:
        """str `[P]`."""
        return self.pairs.patients

    @property
    def genuine(self) -> np.ndarray:
        """Similarity of the two records of each patient, `[P]`."""
        return np.diag(self.similarity)

    @property
    def impostor(self) -> np.ndarray:
        """Similarity of records of two patients, `[P (P - 1)]`."""
        return self.similarity[~np.eye(len(self.similarity), dtype=bool)]


def identify(
    features: np.ndarray,
    records: pd.DataFrame,
    split: str = "test",
    *,
    standardise: bool = True,
    protocol: str = "cosine",
    kernels: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Identification:
    """Find the patients of a split by features `[N, D]`, rows as in `records` (a store's table).

    `standardise` subtracts each feature's mean over the training rows and divides by its standard
    deviation, so that none counts by its unit; False for embeddings that were trained for a
    cosine. `protocol="fairseq"` needs the `kernels` `[K, D]` of the training patients. Intervals
    resample patients; for top-k the gallery stays whole in each resample, as in `retrieval`.
    Raises UsageError for lengths that differ, features not finite, another protocol, or too few
    patients (see `gallery_and_probe`); DBetaError for a patient in two splits.
    """
    features = _checked(features, records, protocol, kernels)
    pairs = gallery_and_probe(records, split)
    if standardise:
        centre, spread = scaling(features, records)
        features = (features - centre) / spread
    gallery, probe = unit(features[pairs.gallery]), unit(features[pairs.probe])
    if protocol == "fairseq":
        known = unit(np.asarray(kernels, dtype=np.float64)).T
        gallery, probe = gallery @ known, probe @ known
    return compare(probe @ gallery.T, pairs, protocol, split, resamples, seed)


def compare(
    similarity: np.ndarray,
    pairs: Pairs,
    protocol: str = "cosine",
    split: str = "test",
    resamples: int = 1000,
    seed: int = 0,
) -> Identification:
    """The scores of a similarity `[P, P]`, probes in rows, the gallery in columns."""
    places = own_places(similarity)
    weights = patient_weights(pairs.patients, resamples, seed)
    rate, threshold = equal_error_rate(similarity)
    found = {f"top{k}": float((places <= k).mean()) for k in (1, 5)} | {"eer": rate}
    counts = {"rows": len(pairs), "patients": len(pairs)}
    intervals = {
        name: interval(value, _resampled(similarity, places, weights, name), **counts)
        for name, value in found.items()
    }
    return Identification(
        protocol, split, pairs, similarity, places, threshold=threshold, **intervals
    )


def own_places(similarity: np.ndarray) -> np.ndarray:
    """Place of each probe's own patient in the gallery: `[P, P]` -> int `[P]`, 1 = first.

    Equal similarities are told apart by the gallery's index, as an argmax does.
    """
    own = np.diag(similarity)[:, None]
    earlier = np.tri(len(similarity), k=-1, dtype=bool)
    return 1 + (similarity > own).sum(axis=1) + ((similarity == own) & earlier).sum(axis=1)


def gain(
    a: Identification,
    b: Identification,
    metric: str = "top1",
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """`a` minus `b` in "top1", "top5" or "eer", with its paired interval: the same patients drawn.

    Raises UsageError where the two are not about the same records.
    """
    _known(metric)
    same = (getattr(a.pairs, n).tolist() == getattr(b.pairs, n).tolist() for n in vars(a.pairs))
    if not all(same):
        raise UsageError("two identifications can only be paired on the same gallery and probes")
    weights = patient_weights(a.patients, resamples, seed)
    values = _resampled(a.similarity, a.places, weights, metric)
    values = values - _resampled(b.similarity, b.places, weights, metric)
    value = getattr(a, metric).value - getattr(b, metric).value
    return interval(value, values, rows=len(a.pairs), patients=len(a.pairs))


def rate_by_gallery(
    measured: Identification, sizes: Sequence[int] | None = None, ks: Sequence[int] = (1, 5)
) -> pd.DataFrame:
    """Top-k with smaller galleries: columns size, k, rate (0..1) and chance, k / size at most 1.

    The mean over all galleries of that size that hold the own patient, exactly: if r of the P - 1
    others are ahead of him, the number ahead among G - 1 drawn ones is hypergeometric. sizes: from
    2 to P, by default about doubling. Raises UsageError for a size that is none.
    """
    patients = len(measured.places)
    if sizes is None:
        sizes = sorted({*(2**i for i in range(1, 20) if 2**i < patients), patients})
    if not len(sizes) or min(sizes) < 1 or max(sizes) > patients:
        raise UsageError(f"a gallery of {list(sizes)} cannot be drawn from {patients} patients")
    ahead = measured.places - 1
    rows = [
        {"size": size, "k": k, "chance": min(1.0, k / size)}
        | {"rate": float(hypergeom.cdf(k - 1, patients - 1, ahead, size - 1).mean())}
        for k in ks
        for size in sizes
    ]
    return pd.DataFrame(rows, columns=["size", "k", "rate", "chance"])


def to_result(measured: Identification, metric: str = "top1", **facts: Any) -> Result:
    """The record of one metric ("top1", "top5", "eer"); `facts` are further fields of `Result`.

    `variant` should say how the similarity was learnt ("frozen features", "ArcFace head"); the
    protocol of comparison is added where it is not the cosine.
    """
    _known(metric)
    found = getattr(measured, metric)
    how = "" if measured.protocol == "cosine" else f"{measured.protocol} protocol"
    variant = ", ".join(part for part in (facts.pop("variant", ""), how) if part)
    fields = {
        "task": TASK,
        "protocol": TASK,
        "metric": metric,
        "variant": variant,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "level": found.level,
        "resamples": found.resamples,
        "n": found.rows,
        "patients": found.patients,
        "date": datetime.now(UTC).date().isoformat(),
    }
    return Result(**{**fields, **facts})


def scaling(features: np.ndarray, records: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation `[D]` of each feature over the training rows."""
    train = features[records["split"].to_numpy() == "train"]
    if not len(train):
        raise UsageError("no row is in the split 'train'; give standardise=False without any")
    spread = train.std(axis=0)
    return train.mean(axis=0), np.where(spread < 1e-8, 1.0, spread)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays so."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _resampled(
    similarity: np.ndarray, places: np.ndarray, weights: np.ndarray, metric: str
) -> np.ndarray:
    """A metric in each resample, `[B]`, from weights of the patients `[B, P]`."""
    if metric == "eer":
        return resampled_rates(similarity, weights)
    hits = places <= int(metric.removeprefix("top"))
    return weights @ hits / weights.sum(axis=1)


def _known(metric: str) -> None:
    if metric not in METRICS:
        raise UsageError(f"'{metric}' is no score of identification{nearest(metric, METRICS)}")


def _checked(
    features: np.ndarray, records: pd.DataFrame, protocol: str, kernels: np.ndarray | None
) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) != len(records):
        raise UsageError(
            f"features {features.shape} must be [{len(records)}, D], a row per row of the store"
        )
    if not np.isfinite(features).all():
        raise UsageError("features hold NaN or infinity; extract them again")
    if protocol not in PROTOCOLS:
        raise UsageError(f"there is no protocol '{protocol}'{nearest(protocol, PROTOCOLS)}")
    if protocol == "fairseq" and np.shape(kernels)[1:] != features.shape[1:]:
        raise UsageError(
            "protocol='fairseq' compares cosines to the kernels of training patients; give "
            f"kernels [K, {features.shape[1]}] of the trained head or encoder"
        )
    splits = records["split"].to_numpy()
    known = np.isin(splits, SPLITS)
    check_disjoint(records["patient_id"].to_numpy()[known], splits[known])
    return features
