"""Zero-shot classification: a class is scored by how well an ECG fits the texts that describe it.

The score of an ECG for a class is the model's similarity (the logit of its ETS loss), averaged
over the class's texts. Where the similarity is linear in the text's vector (dot product, or cosine
of unit vectors) that equals the similarity with the mean of the class's text vectors, and scaling
that mean to unit length would change no class's ranking of ECGs, hence no AUC. No label is used:
labels only score the ranking afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.encoders import device_of, evaluating
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.metrics import (
    Interval,
    Macro,
    auc_per_class,
    bootstrap,
    bootstrap_per_class,
    class_table,
    interval,
    macro,
    mean_over_classes,
)
from dbeta_lib.seeds import rng


@dataclass(frozen=True)
class ZeroShot:
    """Scores of the evaluated rows for every class, and what they say."""

    task: str
    classes: tuple[str, ...]
    rows: np.ndarray = field(repr=False)  # of the store [n]
    y: np.ndarray = field(repr=False)  # 0/1 [n, K]
    scores: np.ndarray = field(repr=False)  # [n, K]
    patients: np.ndarray = field(repr=False)  # [n]
    macro: Macro | None = None
    interval: Interval | None = None  # of the macro AUC
    per_class: tuple[Interval, ...] = ()

    def table(self) -> pd.DataFrame:
        """AUC of each class with its interval and positives, best first."""
        return class_table(self.classes, self.per_class, self.y)


def zero_shot(
    model,
    store,
    task: str,
    prompts: Mapping[str, Sequence[str]],
    rows: np.ndarray | None = None,
    *,
    cache_dir: Path | str | None = None,
    lead_mask: np.ndarray | None = None,
    resamples: int = 1000,
    progress: bool = True,
) -> ZeroShot:
    """Score rows of a store (the labelled test rows by default) for every class of a task.

    `prompts`: texts by class name, as `prompts.select` gives them. `lead_mask` as in `extract`.
    Raises UsageError for a model without a text side or a class without a text.
    """
    labels, valid = store.labels(task), store.labels_valid(task)
    rows = store.rows("test") if rows is None else np.asarray(rows)
    rows = rows[valid[rows]]
    classes = tuple(map(str, labels.columns))
    texts = class_texts(classes, prompts)
    ecg = extract(model, store, rows, cache_dir, lead_mask, progress=progress)
    scores = score_classes(model, ecg, texts)
    patients = store.records["patient_id"].to_numpy()[rows]
    return summarise(task, classes, rows, labels.to_numpy()[rows], scores, patients, resamples)


def class_texts(
    classes: Sequence[str], prompts: Mapping[str, Sequence[str]]
) -> list[tuple[str, ...]]:
    """The texts of each class, in the order of `classes`; matched by name, never by position."""
    absent = [name for name in classes if not prompts.get(name)]
    if absent:
        raise UsageError(
            f"no text among the prompts for {len(absent)} of {len(classes)} classes "
            f"({', '.join(absent)}); add an entry for each to the prompts file"
        )
    return [(prompts[n],) if isinstance(prompts[n], str) else tuple(prompts[n]) for n in classes]


def score_classes(model, ecg: np.ndarray, texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Mean similarity of each ECG with each class's texts: `[n, D]`, K lists -> `[n, K]`."""
    flat = [text for its in texts for text in its]
    similarity = similarities(model, ecg, flat)
    ends = np.cumsum([len(its) for its in texts])[:-1]
    return np.stack([part.mean(axis=1) for part in np.split(similarity, ends, axis=1)], axis=1)


def similarities(model, ecg: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """The model's similarity of ECG features with texts: `[n, D]`, m texts -> float64 `[n, m]`."""
    return similarities_to(model, ecg, text_vectors(model, texts))


def text_vectors(model, texts: Sequence[str]) -> np.ndarray:
    """Texts as the model encodes them, float32 `[m, D]`. Raises UsageError without a text side."""
    for name in ("encode_text", "similarity"):
        if not hasattr(model, name):
            raise UsageError(
                f"{type(model).__name__} has no {name}, so it cannot be asked by text; "
                "evaluate it by a probe"
            )
    with evaluating(model):
        return model.encode_text(list(texts)).float().cpu().numpy()


def similarities_to(model, ecg: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The same for texts that `text_vectors` has encoded: `[n, D]`, `[m, D]` -> `[n, m]`."""
    with evaluating(model):
        features, encoded = (
            torch.from_numpy(np.asarray(each, dtype=np.float32)).to(device_of(model))
            for each in (ecg, vectors)
        )
        found = model.similarity(features, encoded)
        return found.cpu().double().numpy()  # in this order: Apple's GPUs have no float64


def summarise(
    task: str,
    classes: Sequence[str],
    rows: np.ndarray,
    y: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    resamples: int = 1000,
) -> ZeroShot:
    """AUCs and intervals of given scores `[n, K]`; any text classifier may use it."""
    return ZeroShot(
        task=task,
        classes=tuple(classes),
        rows=rows,
        y=y,
        scores=scores,
        patients=patients,
        macro=macro(auc_per_class(y, scores), classes),
        interval=bootstrap(y, scores, patients, resamples),
        per_class=tuple(bootstrap_per_class(y, scores, patients, resamples)),
    )


def chance(result: ZeroShot, times: int = 200, seed: int = 0) -> Interval:
    """What chance looks like: macro AUC with the ECGs permuted against their labels.

    The interval is the middle 95 % over permutations; its value is their mean, near 0.5.
    """
    sampler = rng(seed, "zero-shot-chance")
    values = [
        mean_over_classes(
            auc_per_class(result.y, result.scores[sampler.permutation(len(result.y))])[None]
        )[0]
        for _ in range(times)
    ]
    return interval(float(np.mean(values)), np.asarray(values), rows=len(result.y))


def swapped_texts(result: ZeroShot, seed: int = 0) -> ZeroShot:
    """The same with every class given another class's text (no class keeps its own).

    A model that only tells sick from healthy still scores here: a control on the words.
    """
    count = len(result.classes)
    if count < 2:
        raise UsageError("texts can only be swapped between two classes or more")
    order = np.empty(count, dtype=int)
    walk = rng(seed, "zero-shot-swap").permutation(count)
    order[walk] = np.roll(walk, 1)  # one cycle through all classes
    return summarise(
        result.task, result.classes, result.rows, result.y, result.scores[:, order],
        result.patients, result.interval.resamples if result.interval else 1000,
    )  # fmt: skip


def rank(model, query: str, ecg: np.ndarray, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The k ECGs that fit a free text best: positions in `ecg` `[n, D]`, and their similarities."""
    scores = similarities(model, ecg, [query])[:, 0]
    best = np.argsort(-scores, kind="stable")[:k]
    return best, scores[best]
