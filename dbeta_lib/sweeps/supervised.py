"""The row that learns from labels alone: ResNet-18 fine-tuned from random weights, draw by draw.

The draws of training rows are the probe's own, so each score stands beside a probe's of the very
same labels; the network's seed is the run's. A training takes minutes where a probe takes a second:
of the draws the first three are taken at most. An epoch of few labels is few steps, so there are
more epochs then: still fewer steps than with all labels, of which validation chooses the best.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.evaluation.encoders import to_training_device
from dbeta_lib.evaluation.finetune import Finetuned, finetune
from dbeta_lib.evaluation.metrics import auc_per_class, bootstrap, macro
from dbeta_lib.evaluation.probe import draw
from dbeta_lib.evaluation.results import Result
from dbeta_lib.progress import tqdm
from dbeta_lib.sweeps.evaluate import FRACTIONS, Measured, common_facts, probe_name, score_frame
from dbeta_lib.sweeps.spec import Run
from dbeta_lib.sweeps.train import Trained

DRAWS = 3  # most that are taken of a share of labels
FEWER_LABELS = 3  # times as many epochs with 1 and 10 % of the labels


def learn_from_labels(run: Run, store: Any, progress: bool) -> tuple[Trained, Measured]:
    """A network from random weights at each share of labels, scored on the test split.

    Its costs are of all trainings together, its steps those with all labels.
    """
    rows = store.rows("train")
    labelled = rows[store.labels_valid(run.profile.task)[rows]]
    plan = {
        fraction: range(1 if fraction == 1.0 else min(DRAWS, run.profile.draws))
        for fraction in FRACTIONS
    }
    measured, tuned = Measured([], score_frame(run, store)), []
    total = sum(map(len, plan.values()))
    with tqdm(total=total, desc="from labels", unit="training", disable=not progress) as bar:
        for fraction, draws in plan.items():
            done = []
            for number in draws:
                chosen = draw(labelled, fraction, number)
                done.append(_learn(run, store, chosen, fraction < 1, number == 0))
                bar.update()
            measured.results.append(_over_draws(run, store, done))
            measured.scores[probe_name(fraction)] = _stacked(done).astype(np.float32)
            tuned += done
    last = tuned[-1]
    steps = len(last.curve) * math.ceil(last.n_train / last.settings.batch_size)
    trained = Trained(
        last.model, last.parameters, steps, sum(one.seconds for one in tuned), last.records_per_s,
        {"bce": float(last.curve["loss"].iloc[-1])},
    )  # fmt: skip
    return trained, measured


def _learn(run: Run, store: Any, rows: np.ndarray, is_share: bool, is_first: bool) -> Finetuned:
    """One training on these rows; of the first draw the interval is computed too."""
    settings, rate = run.tuning, run.sampling_rate
    if is_share:
        settings = dataclasses.replace(settings, epochs=FEWER_LABELS * settings.epochs)
    network = ResNet18(**run.own_settings, sampling_rate=rate, seed=run.seed)
    return finetune(
        to_training_device(network), store, run.profile.task, settings=settings, rows=rows,
        seed=run.seed, resamples=run.profile.resamples if is_first else 1, progress=False,
    )  # fmt: skip


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
