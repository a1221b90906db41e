"""The row that learns from labels alone: ResNet-18 fine-tuned from random weights, draw by draw.

The draws of training rows are the probe's own, so each score stands beside a probe's of the very
same labels; the network's seed is the run's.
"""

import dataclasses
from typing import Any

import numpy as np

from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.evaluation.encoders import to_training_device
from dbeta_lib.evaluation.finetune import Finetuned, finetune
from dbeta_lib.evaluation.metrics import auc_per_class, bootstrap, macro
from dbeta_lib.evaluation.probe import draw
from dbeta_lib.evaluation.results import Result
from dbeta_lib.sweeps.evaluate import FRACTIONS, Measured, common_facts, probe_name, score_frame
from dbeta_lib.sweeps.spec import Run
from dbeta_lib.sweeps.train import Trained


def learn_from_labels(run: Run, store: Any, progress: bool) -> tuple[Trained, Measured]:
    """A network from random weights at each share of labels, scored on the test split."""
    task, config = run.profile.task, run.config.ecg
    rows = store.rows("train")
    labelled = rows[store.labels_valid(task)[rows]]
    measured = Measured([], score_frame(run, store))
    tuned: list[Finetuned] = []
    for fraction in FRACTIONS:
        draws = 1 if fraction == 1.0 else run.profile.draws
        done = []
        for number in range(draws):
            network = ResNet18(
                **run.own_settings, sampling_rate=config.sampling_rate, seed=run.seed
            )
            done.append(finetune(
                to_training_device(network), store, task, settings=run.tuning,
                rows=draw(labelled, fraction, number), seed=run.seed,
                resamples=run.profile.resamples if number == 0 else 1, progress=progress,
            ))  # fmt: skip
        measured.results.append(_over_draws(run, store, done))
        measured.scores[probe_name(fraction)] = _stacked(done).astype(np.float32)
        tuned += done
    last = tuned[-1]
    trained = Trained(
        last.model, last.parameters, len(last.curve), sum(one.seconds for one in tuned),
        last.records_per_s, {"bce": float(last.curve["loss"].iloc[-1])},
    )  # fmt: skip
    return trained, measured


def _stacked(done: list[Finetuned]) -> np.ndarray:
    """Logits `[draws, n, K]`."""
    return np.stack([one.scores for one in done])


def _over_draws(run: Run, store: Any, done: list[Finetuned]) -> Result:
    """One record of all draws, as the probe's: mean over them, interval over test patients."""
    first, scores = done[0], _stacked(done)
    per_draw = [macro(auc_per_class(first.y, one), first.classes).value for one in scores]
    found = bootstrap(first.y, scores, first.patients, run.profile.resamples)
    result = first.results(**common_facts(run, store))[0]
    return dataclasses.replace(
        result, value=found.value, low=found.low, high=found.high, resamples=found.resamples,
        seeds=tuple(range(len(done))), per_class={},
        sd=float(np.std(per_draw, ddof=1)) if len(done) > 1 else None,
        wall_time_s=sum(one.seconds for one in done),
    )  # fmt: skip
