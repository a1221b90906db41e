"""Full fine-tuning: every weight of an encoder learns from labels, with a linear layer on top.

One function for three rows of a table: a pre-trained encoder, the same network from random weights,
and a supervised comparison (`comparisons.supervised.ResNet18`). The loss is the mean binary
cross-entropy over records and classes; the epoch is the one with the highest macro AUC on the
validation split; the test split is scored once, with that epoch's weights. All validation labels
choose the epoch, whatever the share of training labels, as in the linear probe, and a share is the
same draw of records as the probe's of the same seed.

A class whose training rows have one value only cannot be learnt: its score is a constant, so its
AUC is 0.5 as in the probe, and it is named. With fewer leads training, validation and test see the
same ones, the others being zeros and masked.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dbeta_lib.data.splits import check_disjoint
from dbeta_lib.data.store import SPLITS
from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.challenge_interval import challenge_bootstrap, weights_for
from dbeta_lib.evaluation.classifier import Classifier
from dbeta_lib.evaluation.encoders import Encoder, check_encoder, device_of
from dbeta_lib.evaluation.finetune_loop import Examples, learn, logits, seeded
from dbeta_lib.evaluation.finetune_settings import FinetuneConfig
from dbeta_lib.evaluation.lead_subsets import subset_key
from dbeta_lib.evaluation.metrics import (
    Interval,
    Macro,
    auc_per_class,
    bootstrap,
    bootstrap_per_class,
    both_values,
    class_table,
    macro,
    paired_bootstrap,
)
from dbeta_lib.evaluation.probe import Probe, draw
from dbeta_lib.evaluation.results import Result
from dbeta_lib.leads import LEADS, subset_mask
from dbeta_lib.seeds import rng

PROTOCOL = "full fine-tuning"
NEVER = 10.0  # logit of a class that no training row denies (or, negative, has)


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned network, its scores on the labelled test rows, and what they say."""

    task: str
    classes: tuple[str, ...]
    settings: FinetuneConfig
    seed: int
    leads: tuple[str, ...]  # that training and test saw
    n_train: int
    n_labelled: int  # training rows there are
    empty: tuple[str, ...]  # classes with one value only among the training rows
    epoch: int  # chosen on validation, from 1
    curve: pd.DataFrame = field(repr=False)  # epoch, loss, val_macro_auc, lr, seconds; a row each
    seconds: float  # of the whole call
    records_per_s: float  # of training alone
    parameters: int  # numbers that learnt
    model: Classifier = field(repr=False)  # logits by `forward`, features by `encode_ecg`
    y: np.ndarray = field(repr=False)  # 0/1 [n_test, K]
    scores: np.ndarray = field(repr=False)  # logits [n_test, K]
    patients: np.ndarray = field(repr=False)  # [n_test]
    macro: Macro
    interval: Interval  # of the macro AUC
    per_class: tuple[Interval, ...] = field(repr=False)  # AUCs
    challenge: Interval | None = None  # the Challenge's score, where its matrix was given

    @property
    def lead_subset(self) -> str:
        """The leads as records name them: "12", "6", "3", "2", "1", or the names."""
        return subset_key(self.leads)

    def table(self) -> pd.DataFrame:
        """AUC of each class with its interval and positives, best first."""
        return class_table(self.classes, self.per_class, self.y)

    def results(self, **facts: Any) -> list[Result]:
        """Its records: the macro AUC and, where it was measured, the Challenge's score.

        `facts` are further fields of `Result`: encoder, data, store_fingerprint, provenance, ...
        The Challenge's score with all labels names no share of labels, as published tables do not.
        """
        per_class = {
            name: {"auc": i.value, "low": i.low, "high": i.high, "positives": int(positives)}
            for name, i, positives in zip(
                self.classes, self.per_class, self.y.sum(axis=0), strict=True
            )
        }
        share = self.n_train / self.n_labelled
        found = [self._result(self.interval, share, per_class, {"metric": "macro_auc", **facts})]
        if self.challenge is not None:
            named = {**facts, "metric": "challenge_score"}
            found.append(self._result(self.challenge, None if share == 1 else share, {}, named))
        return found

    def _result(self, interval: Interval, share, per_class: dict, facts: dict[str, Any]) -> Result:
        fields = {
            "task": self.task,
            "protocol": PROTOCOL,
            "value": interval.value,
            "low": interval.low,
            "high": interval.high,
            "level": interval.level,
            "resamples": interval.resamples,
            "n": interval.rows,
            "patients": interval.patients,
            "label_fraction": share,
            "n_train": self.n_train,
            "seeds": (self.seed,),
            "k_used": self.macro.k_used,
            "k": self.macro.k,
            "excluded_classes": self.macro.excluded,
            "per_class": per_class,
            "wall_time_s": self.seconds,
            "date": datetime.now(UTC).date().isoformat(),
        }
        # the leads of this training, whatever else the encoder takes
        return Result(**{**fields, **facts, "lead_subset": self.lead_subset})


def finetune(
    encoder: Encoder,
    store,
    task: str,
    *,
    settings: FinetuneConfig | None = None,
    lead_mask: np.ndarray | str | None = None,
    fraction: float | int = 1.0,
    rows: np.ndarray | None = None,
    seed: int = 0,
    challenge_weights: Path | str | None = None,
    resamples: int = 1000,
    progress: bool = True,
) -> Finetuned:
    """Fine-tune a copy of an encoder on a task of a signal store and score the test split.

    encoder: an `Encoder` that is an `nn.Module` with a differentiable path (see `classifier`), on
    the device where it shall learn; it is not changed. lead_mask: bool `[12]`, or a subset's name
    or list as in `subset_mask` ("3", "I,II,V2"). fraction: share of the labelled training rows, or
    their number if an int; `rows` instead names the training rows themselves. challenge_weights:
    the Challenge's `weights.csv`, for the task "cinc2021".
    Raises UsageError for an encoder that cannot learn, rows outside the training split or a split
    without labelled rows; DBetaError for a patient on both sides or a loss that explodes.

    >>> found = finetune(ResNet18(), store, "super",  # doctest: +SKIP
    ...                  settings=FinetuneConfig.from_scratch(epochs=10))
    """
    started = time.perf_counter()
    check_encoder(encoder)
    settings = settings or FinetuneConfig()
    frame = store.labels(task)
    classes = tuple(map(str, frame.columns))
    scoring = None if challenge_weights is None else weights_for(challenge_weights, classes)
    labelled = _labelled(store, task)
    train = _training_rows(labelled["train"], rows, fraction, seed)
    allowed = _allowed(lead_mask, encoder)
    present = store.lead_mask() & allowed
    examples = Examples(store, frame.to_numpy().astype(np.int8), present, encoder)
    if not both_values(examples.y[labelled["val"]]).any():
        raise UsageError(f"no class of '{task}' has both values in the validation split")
    network = _network(encoder, examples, train, settings, seed)
    learnt = learn(network, examples, train, labelled["val"], settings, seed, progress)
    network.eval()
    scores, empty = _scores(network, examples, train, labelled["test"])
    measured = _measure(scores, examples, store, labelled["test"], classes, resamples)
    if scoring is not None:
        answers = 1 / (1 + np.exp(-scores)) > settings.threshold
        measured["challenge"] = challenge_bootstrap(
            measured["y"], answers, scoring[0], classes, measured["patients"], resamples,
            sinus=scoring[1],
        )  # fmt: skip
    return Finetuned(
        task=task,
        classes=classes,
        settings=settings,
        seed=seed,
        leads=tuple(name for name, kept in zip(LEADS, allowed) if kept),
        n_train=len(train),
        n_labelled=len(labelled["train"]),
        empty=tuple(name for name, absent in zip(classes, empty) if absent),
        seconds=time.perf_counter() - started,
        model=network,
        **vars(learnt),
        **measured,
    )


def gain(a: Finetuned | Probe, b: Finetuned | Probe, resamples: int = 1000) -> Interval:
    """Macro AUC of `a` minus `b` with its paired interval; either may be a probe's.

    Raises UsageError where the two are not on the same test rows.
    """
    if not (np.array_equal(a.y, b.y) and np.array_equal(a.patients, b.patients)):
        raise UsageError("two results can only be paired on the same task and test rows")
    return paired_bootstrap(a.y, a.scores, b.scores, a.patients, resamples)


def _labelled(store, task: str) -> dict[str, np.ndarray]:
    """Labelled rows of each split, after the check that no patient stands in two."""
    splits = store.records["split"].to_numpy()
    known = np.isin(splits, SPLITS)
    check_disjoint(store.records["patient_id"].to_numpy()[known], splits[known])
    valid = store.labels_valid(task)
    found = {name: np.flatnonzero(valid & (splits == name)) for name in SPLITS}
    for name, rows in found.items():
        if not len(rows):
            raise UsageError(f"no row of the split '{name}' is labelled for '{task}'")
    return found


def _training_rows(
    labelled: np.ndarray, rows: np.ndarray | None, fraction: float | int, seed: int
) -> np.ndarray:
    """The rows named, or the draw that a probe of this seed would make."""
    if rows is None:
        return draw(labelled, fraction, seed)
    rows = np.asarray(rows)
    if fraction != 1.0:
        raise UsageError("give either the training rows or a fraction of them, not both")
    if len(np.unique(rows)) != len(rows) or len(rows) < 2 or not np.isin(rows, labelled).all():
        raise UsageError(
            "rows must be two or more labelled rows of the training split, each named once"
        )
    return np.sort(rows)


def _allowed(lead_mask: np.ndarray | str | None, encoder: Encoder) -> np.ndarray:
    """bool `[12]` of the leads that the evaluation allows and the encoder takes."""
    if lead_mask is None:
        return subset_mask(encoder.leads)
    asked = subset_mask(lead_mask) if isinstance(lead_mask, str) else np.asarray(lead_mask)
    if asked.shape != (len(LEADS),) or asked.dtype != bool:
        raise UsageError(f"a lead mask must be bool [12], not {asked.dtype} {list(asked.shape)}")
    allowed = asked & subset_mask(encoder.leads)
    if not allowed.any():
        raise UsageError("the lead mask leaves no lead that this encoder takes")
    return allowed


def _network(
    encoder: Encoder, examples: Examples, train: np.ndarray, settings: FinetuneConfig, seed: int
) -> Classifier:
    """The copy that learns, with a seeded head; the first training rows are its trial."""
    first = train[:2]
    trials = [examples.inputs(first)]
    if settings.crop:
        trials.append(examples.varied(first, settings, rng(seed, "finetune-trial")))
    with seeded(seed, "finetune-head", device_of(encoder)):
        return Classifier.build(encoder, trials, examples.y.shape[1], settings)


def _scores(
    network: Classifier, examples: Examples, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[n, K]` of the test rows, constant for the classes not learnt: bool `[K]`."""
    y = examples.y[train]
    empty = ~both_values(y)
    scores = logits(network, examples, test).astype(np.float64)
    scores[:, empty] = np.where(y.any(axis=0), NEVER, -NEVER)[empty]
    return scores, empty


def _measure(
    scores: np.ndarray, examples: Examples, store, test: np.ndarray, classes, resamples: int
) -> dict[str, Any]:
    """Everything that is said of the scores on the test rows."""
    y, patients = examples.y[test], store.records["patient_id"].to_numpy()[test]
    return {
        "y": y,
        "scores": scores,
        "patients": patients,
        "macro": macro(auc_per_class(y, scores), classes),
        "interval": bootstrap(y, scores, patients, resamples),
        "per_class": tuple(bootstrap_per_class(y, scores, patients, resamples)),
    }
