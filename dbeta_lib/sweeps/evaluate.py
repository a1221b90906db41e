"""Every run of a sweep is measured alike: linear probe at 1, 10 and 100 %, zero-shot, matching.

The functions are those of `evaluation` and `training.monitor`, whatever the model: a difference is
the model's. All scores are of the test split; what is chosen is chosen on validation.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbeta_lib.comparisons.base import Comparison
from dbeta_lib.errors import DBetaError
from dbeta_lib.evaluation.baselines import text_features
from dbeta_lib.evaluation.features import extract
from dbeta_lib.evaluation.probe import linear_probe
from dbeta_lib.evaluation.prompts import digest, load, select
from dbeta_lib.evaluation.provenance import Provenance
from dbeta_lib.evaluation.records import (
    encoder_facts,
    from_probe,
    from_zero_shot,
    provenance,
    store_facts,
)
from dbeta_lib.evaluation.results import Result
from dbeta_lib.evaluation.zero_shot import class_texts, score_classes, summarise
from dbeta_lib.sweeps.spec import TEXT_ONLY, UNTRAINED, Run
from dbeta_lib.training.monitor import MATCHING, Monitor

FRACTIONS = (0.01, 0.1, 1.0)  # of the labelled training rows


@dataclass
class Measured:
    """What is kept of a run: records, scores of the test rows, matching accuracies."""

    results: list[Result]
    scores: dict[str, np.ndarray]  # see `finished.save_scores`
    matching: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(MATCHING))


def evaluate(run: Run, encoder: Any, store: Any) -> Measured:
    """Probe, zero-shot where there is text, and the matching set where there is a head for it."""
    started = time.perf_counter()
    # A contrast's head serves the contrast: the papers of these models probe what lies before it.
    probed = encoder.without_head() if isinstance(encoder, Comparison) else encoder
    features = extract(probed, store, progress=False)
    measured = probe_features(run, features, store, encoder_facts(probed), started)
    asks = run.model != "mem-only" and hasattr(encoder, "encode_text")
    if asks and prompts_of(run, store.meta["name"]):
        rows = test_rows(run, store)
        own = features[rows] if probed is encoder else extract(encoder, store, rows, progress=False)
        _zero_shot(run, encoder, own, store, measured)
    if run.has_matching_head:
        measured.matching = matching(run, encoder, store)
    return measured


def evaluate_text_only(run: Run, store: Any) -> Measured:
    """The reports alone through the same probe: no ECG is read."""
    started, texts = time.perf_counter(), store.records["text"].fillna("").tolist()
    features = text_features(texts, store.rows("train"), seed=run.seed)
    return probe_features(run, features, store, {}, started)


def probe_features(
    run: Run, features: np.ndarray, store: Any, facts: dict[str, Any], started: float
) -> Measured:
    """The linear probe of features of all rows of the store, and the frame of the scores."""
    profile, records = run.profile, store.records
    labels, valid = store.labels(profile.task), store.labels_valid(profile.task)
    probes = linear_probe(
        features, labels, records["split"], FRACTIONS, range(profile.draws),
        patients=records["patient_id"], valid=valid, resamples=profile.resamples, progress=False,
    )  # fmt: skip
    facts = common_facts(run, store) | facts
    seconds = time.perf_counter() - started
    results = [
        from_probe(one, **facts, provenance=seen(run, store, probed=True), wall_time_s=seconds)
        for one in probes
    ]
    scores = score_frame(run, store)
    for fraction, one in zip(FRACTIONS, probes, strict=True):
        scores[probe_name(fraction)] = one.scores.astype(np.float32)
    return Measured(results, scores)


def probe_name(fraction: float) -> str:
    """`0.01` -> `"probe_1"`."""
    return f"probe_{100 * fraction:g}"


def test_rows(run: Run, store: Any) -> np.ndarray:
    """Rows of the test split that are labelled, ascending: the order of every score."""
    rows = store.rows("test")
    return rows[store.labels_valid(run.profile.task)[rows]]


def score_frame(run: Run, store: Any) -> dict[str, np.ndarray]:
    """Who the scores are of, and the truth."""
    rows, labels = test_rows(run, store), store.labels(run.profile.task)
    return {
        "record_id": store.records["record_id"].to_numpy()[rows].astype(str),
        "patient_id": store.records["patient_id"].to_numpy()[rows].astype(str),
        "classes": np.array(labels.columns, dtype=str),
        "labels": labels.to_numpy()[rows].astype(np.uint8),
    }


def common_facts(run: Run, store: Any) -> dict[str, Any]:
    """Fields of every result record of a run."""
    return {
        "encoder": run.name, "task": run.profile.task, "profile": run.profile_name,
        "pretraining_seed": run.seed, **store_facts(store),
    }  # fmt: skip


def seen(run: Run, store: Any, probed: bool) -> Provenance:
    """What pre-training had read of the evaluated patients: its training split, or nothing."""
    if run.model in UNTRAINED:
        return Provenance()
    train = store.rows("train")
    return provenance(
        store, test_rows(run, store), [(store, train)], train if probed else None,
        reports_read=run.reads_reports,
    )  # fmt: skip


def prompts_of(run: Run, name: str) -> dict[str, tuple[str, ...]]:
    """Texts by class of the data set `name`; empty where the kit describes none for this task, or
    no text is asked."""
    task = run.profile.task
    if run.model == TEXT_ONLY or task not in load()["prompts"].get(name, {}):
        return {}
    return select(name, task, run.profile.style, run.profile.languages)


def _zero_shot(
    run: Run, encoder: Any, features: np.ndarray, store: Any, measured: Measured
) -> None:
    started, rows = time.perf_counter(), test_rows(run, store)
    texts = prompts_of(run, store.meta["name"])
    labels, patients = store.labels(run.profile.task), store.records["patient_id"].to_numpy()
    classes = tuple(map(str, labels.columns))
    scores = score_classes(encoder, features, class_texts(classes, texts))
    found = summarise(
        run.profile.task, classes, rows, labels.to_numpy()[rows], scores, patients[rows],
        run.profile.resamples,
    )  # fmt: skip
    asked = f"{run.profile.style} {','.join(run.profile.languages)} ({digest(texts)})"
    facts = common_facts(run, store) | encoder_facts(encoder) | {"variant": asked}
    seconds = time.perf_counter() - started
    record = from_zero_shot(
        found, **facts, provenance=seen(run, store, probed=False), wall_time_s=seconds
    )
    measured.results.append(record)
    measured.scores["zero_shot"] = scores.astype(np.float32)


def matching(run: Run, encoder: Any, store: Any) -> dict[str, float | None]:
    """Shares of right matching decisions on the fixed validation set, 0..1, with their controls.

    `MATCHING`, and of a run with the released leak `etm_leak` and `etm_leak_shuffled`. None of each
    where validation holds too few reports for such a set.
    """
    profile = run.profile
    try:
        monitor = Monitor(
            run.config, store, encoder.tokenizer, store.rows("val"),
            records=profile.eval_records, batch_size=profile.batch_size,
        )  # fmt: skip
    except DBetaError:
        return dict.fromkeys(MATCHING)
    found = monitor.measure(encoder)
    return {
        name.removeprefix("val_"): value
        for name, value in found.items()
        if name.startswith("val_etm_")
    }
