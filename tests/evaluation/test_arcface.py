"""ArcFace's loss against a slow loop from the formula; whom a training reads."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from dbeta_lib.errors import UsageError
from dbeta_lib.evaluation.arcface import (
    ArcFaceConfig,
    TrainingPatients,
    arcface_logits,
    arcface_loss,
)


@pytest.mark.parametrize(("scale", "margin"), [(192.0, 1.0), (32.0, 0.5), (1.0, 0.0)])
def test_arcface_is_the_slow_loop_from_the_formula(scale, margin):
    rng = np.random.default_rng(7)
    cosine = rng.uniform(-1, 1, (50, 6))
    patient = rng.integers(6, size=50)
    cosine[np.arange(6), patient[:6]] = [1, -1, -0.99, -0.6, 0.999, 0]  # beyond the angle too
    losses = []
    for row, own in zip(cosine, patient):
        logits = [scale * c for c in row]
        angle = math.acos(row[own])
        if angle + margin < math.pi:
            logits[own] = scale * math.cos(angle + margin)
        else:
            logits[own] = scale * (row[own] - margin * math.sin(margin))
        top = max(logits)
        losses.append(top + math.log(sum(math.exp(z - top) for z in logits)) - logits[own])
    found = arcface_loss(torch.tensor(cosine), torch.tensor(patient), scale, margin)
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-4, abs=1e-6)


def test_the_gradient_is_finite_where_the_root_has_none():
    for value in (1.0, -1.0):
        cosine = torch.full((2, 3), value, requires_grad=True)
        arcface_logits(cosine, torch.tensor([0, 2]), 192.0, 1.0).sum().backward()
        assert torch.isfinite(cosine.grad).all()


def test_impossible_settings_are_refused():
    with pytest.raises(UsageError, match="margin of 4"):
        ArcFaceConfig(margin=4)
    with pytest.raises(UsageError, match="epochs=0"):
        ArcFaceConfig(epochs=0)


def table(rows):
    """A store's table of (record_id, patient_id, split)."""
    frame = pd.DataFrame(rows, columns=["record_id", "patient_id", "split"])
    return frame.assign(window=0, signal_hash=[f"h{i}" for i in range(len(frame))])


def test_only_training_patients_with_two_records_are_learnt():
    records = table([("1", "a", "train"), ("2", "a", "train"), ("3", "a", "train"),
                     ("4", "b", "train"), ("5", "c", "train"), ("6", "c", "train"),
                     ("7", "d", "val"), ("8", "d", "val"), ("9", "e", "val"),
                     ("10", "e", "val"), ("11", "f", "test")])  # fmt: skip
    people = TrainingPatients.of(records)
    assert people.rows.tolist() == [0, 1, 2, 4, 5]
    assert people.patient.tolist() == [0, 0, 0, 1, 1]
    assert people.validation.gallery.tolist() == [6, 8]
