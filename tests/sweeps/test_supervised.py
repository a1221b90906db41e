"""The row that learns from labels: the probe's draws, the same fine-tuning as anywhere else."""

import dataclasses

import numpy as np
import pytest

from dbeta_lib.comparisons.supervised import ResNet18
from dbeta_lib.evaluation.finetune import finetune
from dbeta_lib.evaluation.probe import draw
from dbeta_lib.sweeps.supervised import DRAWS, FEWER_LABELS, learn_from_labels

ROW = "- {name: labels, model: supervised, seeds: [2], settings: {batch_size: 16}}\n"


@pytest.fixture(scope="module")
def learnt(runs, store):
    run = runs(ROW, draws=5)[0]
    return run, *learn_from_labels(run, store, progress=False)


def test_of_a_share_of_labels_three_draws_are_taken_and_of_all_labels_one(learnt):
    _, trained, measured = learnt
    shapes = [measured.scores[name].shape[0] for name in ("probe_1", "probe_10", "probe_100")]
    assert shapes == [DRAWS, DRAWS, 1]
    assert [len(record.seeds) for record in measured.results] == shapes
    assert not np.array_equal(*measured.scores["probe_10"][:2])
    assert trained.parameters > 0 and trained.seconds > 0


def test_a_score_is_the_fine_tuning_of_the_probes_draw_with_the_runs_seed(learnt, store):
    run, trained, measured = learnt
    rows = store.rows("train")
    settings = dataclasses.replace(run.tuning, epochs=FEWER_LABELS * run.profile.epochs)
    found = finetune(
        ResNet18(width=4, seed=2), store, "conditions", settings=settings,
        rows=draw(rows, 0.1, 1), seed=2, resamples=1, progress=False,
    )  # fmt: skip
    assert np.array_equal(found.scores.astype(np.float32), measured.scores["probe_10"][1])
    assert trained.steps == run.profile.epochs * -(-len(rows) // 16)


def test_each_record_is_of_the_full_fine_tuning_at_its_share_and_of_no_pre_training(learnt):
    run, _, measured = learnt
    assert {record.protocol for record in measured.results} == {"full fine-tuning"}
    assert [round(r.label_fraction, 1) for r in measured.results] == [0.0, 0.1, 1.0]
    assert {record.domain for record in measured.results} == {"untrained"}
    assert {record.pretraining_seed for record in measured.results} == {run.seed}
